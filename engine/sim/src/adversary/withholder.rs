//! Keeps its blocks to itself for a while, or for good, and answers nobody.

use std::sync::Arc;

use bytes::Bytes;
use probity_core::{Block, Message, ValidatorIndex};

use super::{Hands, Sin};
use crate::random::Random;

struct Withholder {
    random: Random,
    silent: bool,
}

pub(super) fn make(mut random: Random) -> Box<dyn Sin> {
    let silent = random.chance(300_000);
    Box::new(Withholder { random, silent })
}

impl Sin for Withholder {
    fn broadcast(&mut self, hands: &mut Hands<'_>, block: &Arc<Block>) {
        if self.silent {
            return;
        }
        let frame = Message::encode_block(block);
        let late_us = *self.random.pick(&[0, 50_000, 300_000, 2_000_000]);
        for to in hands.others() {
            if self.random.chance(800_000) {
                hands.send_after(late_us, to, frame.clone());
            }
        }
    }

    fn send(&mut self, hands: &mut Hands<'_>, to: ValidatorIndex, frame: Bytes) {
        // It asks, but does not answer: an answer carries a block.
        let asks = matches!(
            Message::decode(&frame),
            Ok(Message::Fetch(_) | Message::FetchHistory { .. } | Message::Replay { .. })
        );
        if asks {
            hands.send(to, frame);
        }
    }
}
