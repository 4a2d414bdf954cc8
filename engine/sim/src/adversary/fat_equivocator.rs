//! Equivocates with payloads of the greatest size (R6): each part of the others gets another block, so that what each of
//! them builds on has to be fetched by the others, and somebody's budget has to pay for it.

use std::sync::Arc;

use probity_core::limits::{PAYLOAD_BYTES_MAX, TRANSACTION_BYTES_MAX};
use probity_core::{Block, Message, Payload};

use super::{Hands, Sin};
use crate::random::Random;

struct FatEquivocator {
    random: Random,
    /// Blocks that it still makes: every one stays in memory to the end of the run.
    left: usize,
    /// Variants of a round; everybody gets one of them.
    variants: usize,
}

/// Blocks of a life.
const BLOCKS_MAX: usize = 24;

pub(super) fn make(mut random: Random) -> Box<dyn Sin> {
    let variants = *random.pick(&[2, 2, 3, 6]);
    Box::new(FatEquivocator {
        random,
        left: BLOCKS_MAX,
        variants,
    })
}

/// A payload as large as the limits allow.
pub(super) fn fat_payload(random: &mut Random) -> Payload {
    let count = PAYLOAD_BYTES_MAX / TRANSACTION_BYTES_MAX - 1;
    let mut transactions = vec![vec![0; TRANSACTION_BYTES_MAX]; count];
    transactions[0][..8].copy_from_slice(&random.next().to_le_bytes());
    Payload::from_transactions(&transactions)
}

impl FatEquivocator {
    fn variant(&mut self, hands: &Hands<'_>, block: &Block) -> Arc<Block> {
        let mut header = block.header().clone();
        let payload = fat_payload(&mut self.random);
        header.payload = payload.describe();
        hands.sign(header, payload)
    }
}

impl Sin for FatEquivocator {
    fn broadcast(&mut self, hands: &mut Hands<'_>, block: &Arc<Block>) {
        if self.left == 0 {
            hands.push_all(block);
            return;
        }
        self.left = self.left.saturating_sub(self.variants);
        let variants = (0..self.variants).map(|_| self.variant(hands, block));
        let frames: Vec<_> = variants.map(|v| Message::encode_block(&v)).collect();
        for (to, at) in hands.shuffled(&mut self.random).into_iter().zip(0..) {
            hands.send(to, frames[at % frames.len()].clone());
        }
    }
}
