//! Several blocks in one slot, each receiver gets one of them.

use std::sync::Arc;

use probity_core::{Block, Message, Payload};

use super::{Hands, Sin};
use crate::random::Random;

struct Equivocator {
    random: Random,
    /// Rounds in a million in which it sins.
    ppm: u64,
}

/// What the variants of a slot differ in.
const WAYS: u64 = 5;

pub(super) fn make(mut random: Random) -> Box<dyn Sin> {
    let ppm = *random.pick(&[1_000_000, 300_000, 50_000]);
    Box::new(Equivocator { random, ppm })
}

impl Equivocator {
    fn variant(&mut self, hands: &Hands<'_>, block: &Arc<Block>) -> Arc<Block> {
        let mut header = block.header().clone();
        let mut payload = block.payload().clone();
        match self.random.below(WAYS) {
            0 => {
                header.timestamp_ms = header
                    .timestamp_ms
                    .wrapping_add(1 + self.random.below(5_000))
            }
            1 => {
                let text = format!("variant {}", self.random.next());
                payload = Payload::from_transactions(&[text.into_bytes()]);
                header.payload = payload.describe();
            }
            2 => {
                // Another set of parents: one fewer, if the rest may still be a quorum.
                if header.parents.len() > 2 {
                    let at = 1 + self.random.below(header.parents.len() as u64 - 1);
                    header
                        .parents
                        .remove(usize::try_from(at).expect("below a length"));
                }
                header.timestamp_ms += 1;
            }
            3 => header.commit_votes.clear(),
            _ => return hands.sign_again(block),
        }
        hands.sign(header, payload)
    }
}

impl Sin for Equivocator {
    fn broadcast(&mut self, hands: &mut Hands<'_>, block: &Arc<Block>) {
        if !self.random.chance(self.ppm) {
            hands.send_all(&Message::encode_block(block));
            return;
        }
        let mut variants = vec![Arc::clone(block)];
        for _ in 0..self.random.between(1, 3) {
            variants.push(self.variant(hands, block));
        }
        for to in hands.others() {
            let variant = self.random.pick(&variants).clone();
            hands.send(to, Message::encode_block(&variant));
            // Some get two, and see the crime at once.
            if self.random.chance(100_000) {
                let other = self.random.pick(&variants).clone();
                hands.send(to, Message::encode_block(&other));
            }
        }
    }
}
