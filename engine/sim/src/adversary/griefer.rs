//! Starves the same victim as its accomplices do: none of them ever links its blocks.
//!
//! A leader's block that settles a round has its ancestors, so a griefer may also link as few of the others as it can.

use probity_core::{Header, Payload};

use super::{Hands, Sin};
use crate::random::Random;

struct Griefer;

pub(super) fn make(_: Random) -> Box<dyn Sin> {
    Box::new(Griefer)
}

impl Sin for Griefer {
    fn header(&mut self, hands: &mut Hands<'_>, header: &mut Header, _: &mut Payload) {
        let mut left_out = hands.honest();
        if left_out.is_empty() {
            return;
        }
        let mut agreed = Random::new(hands.pact);
        agreed.shuffle(&mut left_out);
        if agreed.chance(500_000) {
            left_out.truncate(1);
        }
        hands.leave_out(header, &left_out);
    }
}
