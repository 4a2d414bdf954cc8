//! Frames that are no messages, and headers of another author, chain, epoch, version or round (R2, R4.1).

use bytes::Bytes;
use probity_core::{Block, BlockRef, Header, Message, Round, ValidatorIndex};

use super::hands::{invented, noise};
use super::{Hands, Sin};
use crate::random::Random;

struct Garbler {
    random: Random,
    frames_a_wake: u64,
}

/// Bytes of a frame of noise.
const NOISE_BYTES_MAX: u64 = 2_000;

pub(super) fn make(mut random: Random) -> Box<dyn Sin> {
    let frames_a_wake = *random.pick(&[1, 10, 40]);
    Box::new(Garbler {
        random,
        frames_a_wake,
    })
}

impl Garbler {
    fn frame(&mut self, hands: &Hands<'_>) -> Bytes {
        let own = hands.own_blocks();
        let Some(block) = own.last() else {
            return self.noise();
        };
        match self.random.below(4) {
            0 => self.noise(),
            1 => self.refs(hands),
            2 => self.bent(&Message::encode_block(block)),
            _ => Message::encode_block(&self.stranger(hands, block)),
        }
    }

    fn noise(&mut self) -> Bytes {
        let length = self.random.below(NOISE_BYTES_MAX);
        let mut bytes: Vec<u8> = (0..length).map(|_| self.byte()).collect();
        // Often a tag that exists.
        if let (Some(tag), true) = (bytes.first_mut(), self.random.chance(700_000)) {
            *tag = u8::try_from(self.random.below(7)).expect("below seven");
        }
        bytes.into()
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.random.below(256)).expect("below 256")
    }

    /// A list of references whose count is a lie, or whose members do not exist.
    fn refs(&mut self, hands: &Hands<'_>) -> Bytes {
        let author = ValidatorIndex(u16::from(self.byte()));
        let refs: Vec<BlockRef> = (0..self.random.below(64))
            .map(|_| invented(&mut self.random, hands.status.frontier, author))
            .collect();
        let message = if self.random.chance(500_000) {
            Message::Fetch(refs)
        } else {
            Message::NotHeld(refs)
        };
        let mut bytes = message.encode().to_vec();
        if self.random.chance(300_000) {
            bytes[1] = self.byte();
        }
        bytes.into()
    }

    /// A frame cut, stretched, or with some bytes changed.
    fn bent(&mut self, frame: &Bytes) -> Bytes {
        let mut bytes = frame.to_vec();
        let at = usize::try_from(self.random.below(bytes.len() as u64)).expect("below a length");
        match self.random.below(3) {
            0 => bytes.truncate(at),
            1 => bytes.extend((0..=self.random.below(9)).map(|_| 0)),
            _ => bytes[at] ^= self.byte(),
        }
        bytes.into()
    }

    /// A well-formed block, signed, that says another origin than its own.
    fn stranger(&mut self, hands: &Hands<'_>, block: &Block) -> Block {
        let mut header: Header = block.header().clone();
        match self.random.below(7) {
            0 => header.author = ValidatorIndex(u16::from(self.byte())),
            1 => header.author = ValidatorIndex(u16::MAX),
            2 => header.chain = noise(&mut self.random),
            3 => header.epoch = header.epoch.wrapping_sub(1),
            4 => header.epoch = header.epoch.wrapping_add(1),
            5 => header.version = header.version.wrapping_add(1),
            _ => header.round = Round::GENESIS,
        }
        Block::clone(&hands.sign(header, block.payload().clone()))
    }
}

impl Sin for Garbler {
    fn wake(&mut self, hands: &mut Hands<'_>) {
        let others = hands.others();
        if others.is_empty() {
            return;
        }
        for _ in 0..self.frames_a_wake {
            let frame = self.frame(hands);
            let to = *self.random.pick(&others);
            hands.send(to, frame);
        }
    }
}
