//! Signs headers whose payload is not the one that comes with them, is too large, or is refused by the check (R4.6).

use std::sync::Arc;

use bytes::Bytes;
use probity_core::limits::{PAYLOAD_BYTES_MAX, TRANSACTION_BYTES_MAX};
use probity_core::{Block, Message, Payload};

use super::hands::noise;
use super::{Hands, Sin};
use crate::random::Random;

struct InvalidPayload {
    random: Random,
    ppm: u64,
}

const WAYS: u64 = 8;

pub(super) fn make(mut random: Random) -> Box<dyn Sin> {
    let ppm = *random.pick(&[1_000_000, 300_000, 50_000]);
    Box::new(InvalidPayload { random, ppm })
}

impl InvalidPayload {
    fn spoiled(&mut self, hands: &Hands<'_>, block: &Block) -> Arc<Block> {
        let mut header = block.header().clone();
        let mut payload = block.payload().clone();
        match self.random.below(WAYS) {
            0 => header.payload.root = noise(&mut self.random),
            1 => header.payload.bytes = header.payload.bytes.wrapping_add(1),
            2 => header.payload.bytes = u32::MAX,
            3 => header.payload.count = header.payload.count.wrapping_add(1),
            4 => header.payload.count = u32::MAX,
            5 => {
                payload = Payload::from_transactions(&[&b"valid"[..], &b"invalid"[..]]);
                header.payload = payload.describe();
            }
            6 => {
                payload = Payload::from_transactions(&[vec![7; TRANSACTION_BYTES_MAX + 1]]);
                header.payload = payload.describe();
            }
            _ if self.random.chance(20_000) => {
                let whole =
                    vec![vec![7; TRANSACTION_BYTES_MAX]; PAYLOAD_BYTES_MAX / TRANSACTION_BYTES_MAX];
                payload = Payload::from_transactions(&whole);
                header.payload = payload.describe();
            }
            _ => payload = Payload::from_transactions(&[b"another"]),
        }
        hands.sign(header, payload)
    }
}

impl Sin for InvalidPayload {
    fn broadcast(&mut self, hands: &mut Hands<'_>, block: &Arc<Block>) {
        let sins = self.random.chance(self.ppm);
        for to in hands.others() {
            if sins && self.random.chance(500_000) {
                let spoiled = self.spoiled(hands, block);
                hands.send(to, Message::encode_block(&spoiled));
                // Some never get the valid one unasked.
                if self.random.chance(300_000) {
                    continue;
                }
            }
            hands.send(to, Message::encode_block(block));
        }
    }

    fn send(&mut self, hands: &mut Hands<'_>, to: probity_core::ValidatorIndex, frame: Bytes) {
        let fetched = matches!(Message::decode(&frame), Ok(Message::Fetched(_)));
        if fetched && self.random.chance(300_000) {
            // The header asked for, with bytes behind it that it does not describe.
            let mut stretched = frame.to_vec();
            stretched.extend_from_slice(b"more");
            hands.send(to, stretched.into());
            return;
        }
        hands.send(to, frame);
    }
}
