//! Votes for its accomplices' leaders, and for as few others as a quorum of parents allows.

use probity_core::{Header, Payload};

use super::{Hands, Sin};
use crate::random::Random;

struct Booster {
    random: Random,
}

pub(super) fn make(random: Random) -> Box<dyn Sin> {
    Box::new(Booster { random })
}

impl Sin for Booster {
    fn header(&mut self, hands: &mut Hands<'_>, header: &mut Header, _: &mut Payload) {
        let mut left_out = hands.honest();
        let mut agreed = Random::new(hands.pact);
        match agreed.below(3) {
            // The same ones in all rounds.
            0 => agreed.shuffle(&mut left_out),
            // Everybody in turn.
            1 if !left_out.is_empty() => {
                let turn = header.round.0 as usize % left_out.len();
                left_out.rotate_left(turn);
            }
            _ => self.random.shuffle(&mut left_out),
        }
        hands.leave_out(header, &left_out);
    }
}
