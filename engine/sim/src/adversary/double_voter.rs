//! Votes both ways: of its two blocks for a round, each links another block of a slot, or one of them links none.

use std::sync::Arc;

use probity_core::{Block, BlockRef, Message, Round};

use super::{Hands, Sin};
use crate::random::Random;

struct DoubleVoter {
    random: Random,
    /// Rounds in a million in which it votes twice.
    ppm: u64,
    /// Leaders that it blames in the second block, from the primary on.
    blamed: usize,
}

pub(super) fn make(mut random: Random) -> Box<dyn Sin> {
    let ppm = *random.pick(&[1_000_000, 500_000, 100_000]);
    let blamed = *random.pick(&[0, 1, 1, 2]);
    Box::new(DoubleVoter {
        random,
        ppm,
        blamed,
    })
}

impl DoubleVoter {
    /// The parents of the second block: another block of each slot that has two, and none of the first leaders.
    fn other_parents(&mut self, hands: &Hands<'_>, block: &Block) -> Vec<BlockRef> {
        let below = block.round().minus(1);
        let known = hands.of_round(below);
        let mut parents = block.parents().to_vec();
        for parent in parents.iter_mut().skip(1).filter(|p| p.round == below) {
            let others: Vec<BlockRef> = known
                .iter()
                .map(|block| block.reference())
                .filter(|other| other.author == parent.author && other != parent)
                .collect();
            if !others.is_empty() {
                *parent = *self.random.pick(&others);
            }
        }
        if below > Round::GENESIS {
            for leader in hands
                .leaders
                .iter()
                .take(self.blamed)
                .filter(|l| **l != hands.me)
            {
                let mut fewer = parents.clone();
                fewer.retain(|parent| parent.author != *leader || parent.round != below);
                if hands.is_quorum(block.round(), &fewer) {
                    parents = fewer;
                }
            }
        }
        parents
    }
}

impl Sin for DoubleVoter {
    fn broadcast(&mut self, hands: &mut Hands<'_>, block: &Arc<Block>) {
        let parents = self.other_parents(hands, block);
        if parents == block.parents() || !self.random.chance(self.ppm) {
            hands.push_all(block);
            return;
        }
        let mut header = block.header().clone();
        header.parents = parents;
        let second = hands.sign(header, block.payload().clone());
        let (one, other) = (Message::encode_block(block), Message::encode_block(&second));
        let receivers = hands.shuffled(&mut self.random);
        let first_half = self.random.below(receivers.len() as u64 + 1);
        for (to, at) in receivers.into_iter().zip(0..) {
            let frame = if at < first_half { &one } else { &other };
            hands.send(to, frame.clone());
        }
    }
}
