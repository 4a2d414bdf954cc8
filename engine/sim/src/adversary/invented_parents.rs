//! Names parents that nobody has, so that whoever believes it asks for them: in extra blocks around the frontier, and
//! now and then in a block of its own chain.

use std::sync::Arc;

use probity_core::{Block, BlockRef, Header, Message, Payload, Round};

use super::hands::invented;
use super::{Hands, Sin};
use crate::random::Random;

struct InventedParents {
    random: Random,
    blocks_a_wake: u64,
    /// Blocks of its own chain, in a million, with one invented parent.
    own_ppm: u64,
}

pub(super) fn make(mut random: Random) -> Box<dyn Sin> {
    let blocks_a_wake = *random.pick(&[0, 1, 4, 16]);
    let own_ppm = *random.pick(&[0, 30_000, 300_000]);
    Box::new(InventedParents {
        random,
        blocks_a_wake,
        own_ppm,
    })
}

impl InventedParents {
    /// A round of the window, mostly near the frontier.
    fn round(&mut self, hands: &Hands<'_>) -> Round {
        let frontier = hands.status.frontier;
        let depth = u64::from(hands.committee.gc_depth());
        let (below, above) = *self.random.pick(&[(1, 2), (4, 4), (0, depth)]);
        let off = u32::try_from(self.random.below(below + above + 1)).expect("a window");
        let below = u32::try_from(below).expect("a window");
        frontier.plus(off).minus(below).max(Round(2))
    }

    fn parents(&mut self, hands: &Hands<'_>, round: Round) -> Vec<BlockRef> {
        let below = round.minus(1);
        let mut parents = hands.invented_row(&mut self.random, below);
        if self.random.chance(500_000) {
            // Mostly real ones: only some are missing.
            for real in hands.real_parents(round) {
                if let Some(parent) = parents.iter_mut().find(|p| p.author == real.author)
                    && self.random.chance(700_000)
                {
                    *parent = real;
                }
            }
        }
        parents
    }
}

impl Sin for InventedParents {
    fn header(&mut self, hands: &mut Hands<'_>, header: &mut Header, _: &mut Payload) {
        if header.parents.len() < 2 || !self.random.chance(self.own_ppm) {
            return;
        }
        let at = 1 + self.random.below(header.parents.len() as u64 - 1);
        let at = usize::try_from(at).expect("below a length");
        let (round, author) = (header.parents[at].round, header.parents[at].author);
        if round > hands.status.gc_round {
            header.parents[at] = invented(&mut self.random, round, author);
        }
    }

    fn broadcast(&mut self, hands: &mut Hands<'_>, block: &Arc<Block>) {
        hands.push_all(block);
    }

    fn wake(&mut self, hands: &mut Hands<'_>) {
        for _ in 0..self.blocks_a_wake {
            let round = self.round(hands);
            let parents = self.parents(hands, round);
            let frame = Message::encode_block(&hands.block(round, parents));
            for to in hands.others() {
                if self.random.chance(800_000) {
                    hands.send(to, frame.clone());
                }
            }
        }
    }
}
