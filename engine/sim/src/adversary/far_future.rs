//! Floods with own blocks of rounds that nobody has come to, or ever will: the round ceiling of R6.

use probity_core::block::genesis_ref;
use probity_core::{BlockRef, Round};

use super::{Hands, Sin};
use crate::random::Random;

struct FarFuture {
    random: Random,
    blocks_a_wake: u64,
}

/// Rounds above the frontier; the gc depth is added to some.
const AHEAD: [u32; 9] = [2, 10, 11, 64, 65, 1_000, 65_536, 1_000_000, u32::MAX];

pub(super) fn make(mut random: Random) -> Box<dyn Sin> {
    let blocks_a_wake = *random.pick(&[1, 5, 20]);
    Box::new(FarFuture {
        random,
        blocks_a_wake,
    })
}

impl FarFuture {
    fn round(&mut self, hands: &Hands<'_>) -> Round {
        let ahead = *self.random.pick(&AHEAD);
        let window = *self.random.pick(&[0, 0, hands.committee.gc_depth()]);
        let jitter = u32::try_from(self.random.below(4)).expect("below four");
        let frontier = hands.status.frontier;
        Round(
            frontier
                .0
                .saturating_add(ahead)
                .saturating_add(window)
                .saturating_sub(jitter),
        )
    }

    fn parents(&mut self, hands: &Hands<'_>, round: Round) -> Vec<BlockRef> {
        let below = round.minus(1);
        match self.random.below(4) {
            0 => {
                let genesis = |author| genesis_ref(hands.committee, author);
                hands.committee.indices().filter_map(genesis).collect()
            }
            1 => hands.real_parents(hands.status.frontier),
            _ => hands.invented_row(&mut self.random, below),
        }
    }
}

impl Sin for FarFuture {
    fn wake(&mut self, hands: &mut Hands<'_>) {
        let others = hands.others();
        for _ in 0..self.blocks_a_wake {
            let round = self.round(hands);
            let parents = self.parents(hands, round);
            let block = hands.block(round, parents);
            if self.random.chance(700_000) {
                hands.push_all(&block);
            } else if !others.is_empty() {
                let to = *self.random.pick(&others);
                hands.send(to, probity_core::Message::encode_block(&block));
            }
        }
    }
}
