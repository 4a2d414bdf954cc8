//! Whoever asks it for a block gets none, another one, one too many, or a lie that it does not hold it (R33).

use std::sync::Arc;

use bytes::Bytes;
use probity_core::{Block, BlockRef, Message, ValidatorIndex};

use super::{Hands, Sin};
use crate::random::Random;

struct FetchLiar {
    random: Random,
    ppm: u64,
    /// Own blocks in a million that are kept from all but one, so that the others must ask.
    hidden_ppm: u64,
}

pub(super) fn make(mut random: Random) -> Box<dyn Sin> {
    let ppm = *random.pick(&[1_000_000, 500_000]);
    let hidden_ppm = *random.pick(&[100_000, 500_000]);
    Box::new(FetchLiar {
        random,
        ppm,
        hidden_ppm,
    })
}

impl FetchLiar {
    /// "I do not hold" this one, and a few that were not asked for.
    fn denial(hands: &Hands<'_>) -> Message {
        let refs: Vec<BlockRef> = hands.seen.keys().rev().take(64).copied().collect();
        Message::NotHeld(refs)
    }

    fn another(&mut self, hands: &Hands<'_>) -> Option<Bytes> {
        let all: Vec<&Arc<Block>> = hands.seen.values().collect();
        if all.is_empty() {
            return None;
        }
        let other = self.random.pick(&all);
        Some(Message::encode_fetched(
            other.signed_header(),
            other.payload().bytes(),
        ))
    }
}

impl Sin for FetchLiar {
    fn broadcast(&mut self, hands: &mut Hands<'_>, block: &Arc<Block>) {
        if !self.random.chance(self.hidden_ppm) {
            hands.push_all(block);
            return;
        }
        if let Some(to) = hands.shuffled(&mut self.random).first() {
            hands.send(*to, Message::encode_block(block));
        }
    }

    fn send(&mut self, hands: &mut Hands<'_>, to: ValidatorIndex, frame: Bytes) {
        let answer = matches!(Message::decode(&frame), Ok(Message::Fetched(_)));
        if !answer || !self.random.chance(self.ppm) {
            hands.send(to, frame);
            return;
        }
        match self.random.below(4) {
            0 => {}
            1 => {
                let denial = Self::denial(hands).encode();
                hands.send(to, denial);
            }
            2 => {
                let other = self.another(hands);
                other.into_iter().for_each(|other| hands.send(to, other));
            }
            _ => {
                let other = self.another(hands);
                other.into_iter().for_each(|other| hands.send(to, other));
                hands.send(to, frame);
            }
        }
    }
}
