//! Starves its victims: never links their blocks, so that these lack its vote and its word for them.

use probity_core::{Header, Payload, ValidatorIndex};

use super::{Hands, Sin};
use crate::random::Random;

struct ParentPicker {
    random: Random,
    /// How many it starves, if the rest is a quorum.
    victims_most: usize,
    victims: Vec<ValidatorIndex>,
    ppm: u64,
}

pub(super) fn make(mut random: Random) -> Box<dyn Sin> {
    let victims_most = *random.pick(&[1, 1, 2, 256]);
    let ppm = *random.pick(&[1_000_000, 1_000_000, 500_000]);
    Box::new(ParentPicker {
        random,
        victims_most,
        victims: Vec::new(),
        ppm,
    })
}

impl Sin for ParentPicker {
    fn header(&mut self, hands: &mut Hands<'_>, header: &mut Header, _: &mut Payload) {
        if self.victims.is_empty() {
            self.victims = hands.shuffled(&mut self.random);
            self.victims.truncate(self.victims_most);
        }
        if !self.random.chance(self.ppm) {
            return;
        }
        for victim in &self.victims {
            let mut fewer = header.parents.clone();
            fewer.retain(|parent| parent.author != *victim);
            if hands.is_quorum(header.round, &fewer) {
                header.parents = fewer;
            }
        }
    }
}
