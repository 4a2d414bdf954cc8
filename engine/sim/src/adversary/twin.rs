//! One key in two processes, each of which follows the rules: the operator's mistake that looks like a crime.
//!
//! The sin itself does nothing. The world starts a second process for a validator of this sin, and each copy talks
//! with its own acquaintances.

use super::Sin;
use crate::random::Random;

struct Twin;

pub(super) fn make(_: Random) -> Box<dyn Sin> {
    Box::new(Twin)
}

impl Sin for Twin {}

/// Whom a twin's copy talks with: the first copy with some, the second with the others, both with a few. All twins
/// of a run draw the same sides.
#[must_use]
pub(crate) fn side(seed: u64, validators: usize, copy: u64) -> Vec<bool> {
    let mut sides = Random::new(seed).fork(77);
    let side = |_| {
        let side = sides.below(5);
        side == 4 || side % 2 == copy
    };
    (0..validators).map(side).collect()
}
