//! Sends what was sent before: own old blocks, others' blocks as if they were its own, answers that nobody waits for,
//! and blocks that the same keys signed on another chain.

use std::sync::Arc;

use probity_core::crypto::Digest;
use probity_core::{
    Block, BlockRef, Committee, CommitteeConfig, FaultBounds, Member, Message, Mode,
    ValidatorIndex, testing,
};

use super::{Hands, Sin};
use crate::random::Random;

struct Replayer {
    random: Random,
    frames_a_wake: u64,
    /// The same keys and weights after another epoch.
    elsewhere: Option<Committee>,
}

pub(super) fn make(mut random: Random) -> Box<dyn Sin> {
    let frames_a_wake = *random.pick(&[2, 10, 40]);
    Box::new(Replayer {
        random,
        frames_a_wake,
        elsewhere: None,
    })
}

impl Replayer {
    /// An own block as it would be on another chain, or in the epoch after.
    fn of_another_chain(&mut self, hands: &Hands<'_>, block: &Block) -> Arc<Block> {
        let epoch = hands.committee.epoch() + self.random.below(2);
        let committee = self
            .elsewhere
            .get_or_insert_with(|| another_chain(hands.committee, epoch));
        let mut header = block.header().clone();
        header.chain = *committee.chain();
        header.epoch = committee.epoch();
        let there = |parent: &BlockRef| {
            let digest = committee.genesis(parent.author).unwrap_or(parent.digest);
            BlockRef { digest, ..*parent }
        };
        header.parents = header.parents.iter().map(there).collect();
        hands.sign(header, block.payload().clone())
    }

    fn frame(&mut self, hands: &Hands<'_>) -> Option<bytes::Bytes> {
        let all: Vec<&Arc<Block>> = hands.seen.values().collect();
        if all.is_empty() {
            return None;
        }
        let any: &Arc<Block> = self.random.pick::<&Arc<Block>>(&all);
        let own = hands.own_blocks();
        Some(match self.random.below(4) {
            0 if !own.is_empty() => {
                let old = Arc::clone(self.random.pick(&own));
                Message::encode_block(&old)
            }
            1 => Message::encode_block(any),
            2 if !own.is_empty() => {
                let old = Arc::clone(self.random.pick(&own));
                Message::encode_block(&self.of_another_chain(hands, &old))
            }
            _ => Message::encode_fetched(any.signed_header(), any.payload().bytes()),
        })
    }
}

/// The same members, after an epoch that never was.
fn another_chain(committee: &Committee, epoch: u64) -> Committee {
    let member = |index: ValidatorIndex| Member {
        key: testing::keypair(index).public(),
        weight: committee.weight(index),
    };
    let config = CommitteeConfig {
        epoch,
        previous: Digest([7; 32]),
        members: committee.indices().map(member).collect(),
        bounds: FaultBounds {
            mode: Mode::Classic,
            byzantine: 0,
            crashed: 0,
        },
        gc_depth: committee.gc_depth(),
        reputation: *committee.reputation(),
        epochs: committee.epochs().clone(),
        check: "elsewhere/1".to_owned(),
    };
    Committee::new(config).expect("the same members without faults are a committee")
}

impl Sin for Replayer {
    fn wake(&mut self, hands: &mut Hands<'_>) {
        let others = hands.others();
        for _ in 0..self.frames_a_wake {
            let frame = self.frame(hands);
            if let (Some(frame), false) = (frame, others.is_empty()) {
                let to = *self.random.pick(&others);
                hands.send(to, frame);
            }
        }
        // The same bytes again are no crime.
        if let Some(newest) = hands.own_blocks().last() {
            hands.push_all(newest);
        }
    }
}
