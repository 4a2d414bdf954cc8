//! Timestamps from the beginning to the end of time: commits must keep to the clocks of the honest (R20).

use probity_core::{Header, Payload};

use super::{Hands, Sin};
use crate::random::Random;

struct ClockLiar {
    random: Random,
    ppm: u64,
}

pub(super) fn make(mut random: Random) -> Box<dyn Sin> {
    let ppm = *random.pick(&[1_000_000, 300_000]);
    Box::new(ClockLiar { random, ppm })
}

impl Sin for ClockLiar {
    fn header(&mut self, _: &mut Hands<'_>, header: &mut Header, _: &mut Payload) {
        if !self.random.chance(self.ppm) {
            return;
        }
        let true_ms = header.timestamp_ms;
        header.timestamp_ms = match self.random.below(6) {
            0 => 0,
            1 => u64::MAX,
            2 => self.random.next(),
            3 => true_ms.saturating_add(3_600_000),
            4 => true_ms.saturating_sub(3_600_000),
            _ => true_ms.saturating_add(self.random.below(10)),
        };
    }
}
