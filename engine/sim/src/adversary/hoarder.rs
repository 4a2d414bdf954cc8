//! Fills the room for suspended blocks (R6): blocks of the greatest size, each in a round of its own within the
//! ceiling, on parents that nobody has.

use std::sync::Arc;

use probity_core::limits::{PAYLOAD_BYTES_MAX, SUSPENDED_PEER_BYTES_MAX};
use probity_core::{Block, Message};

use super::fat_equivocator::fat_payload;
use super::{Hands, Sin};
use crate::random::Random;

struct Hoarder {
    random: Random,
    /// Wakes until the next heap, and heaps that it still sends.
    wait: u64,
    heaps: u64,
}

/// Blocks of a heap: more than one peer has room for.
const HEAP: u64 = (SUSPENDED_PEER_BYTES_MAX / PAYLOAD_BYTES_MAX) as u64 + 3;

pub(super) fn make(mut random: Random) -> Box<dyn Sin> {
    let wait = random.between(3, 30);
    Box::new(Hoarder {
        random,
        wait,
        heaps: 2,
    })
}

impl Hoarder {
    fn block(&mut self, hands: &Hands<'_>, above: u64) -> Arc<Block> {
        let above = u32::try_from(above).expect("a heap is small");
        let round = hands.status.frontier.plus(above);
        let parents = hands.invented_row(&mut self.random, round.minus(1));
        let mut header = hands.header(round, parents);
        let payload = fat_payload(&mut self.random);
        header.payload = payload.describe();
        hands.sign(header, payload)
    }
}

impl Sin for Hoarder {
    fn wake(&mut self, hands: &mut Hands<'_>) {
        self.wait = self.wait.saturating_sub(1);
        if self.wait > 0 || self.heaps == 0 {
            return;
        }
        self.wait = 30;
        self.heaps -= 1;
        for above in 2..2 + HEAP {
            let frame = Message::encode_block(&self.block(hands, above));
            hands.send_all(&frame);
        }
    }
}
