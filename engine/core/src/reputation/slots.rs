//! How leader slots ended, as sets of leaders and as the bytes that the window of R27 keeps: thousands of rounds are summed
//! up and written down, so a row is as short as its committee allows.

use crate::committee::AuthorSet;
use crate::id::ValidatorIndex;
use crate::reputation::explain::SlotOutcome;

/// How the slots of a round ended.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct SlotOutcomes {
    /// Leaders with a committed slot.
    pub(crate) committed: AuthorSet,
    /// Leaders with a skipped slot.
    pub(crate) skipped: AuthorSet,
}

impl SlotOutcomes {
    /// Writes the committed set and behind it the skipped one, one bit a member.
    pub(crate) fn put(&self, row: &mut [u8]) {
        let (committed, skipped) = row.split_at_mut(row.len() / 2);
        self.committed.put(committed);
        self.skipped.put(skipped);
    }
}

/// How a validator's slot of the round ended, if it led one.
pub(crate) fn outcome_of(author: ValidatorIndex, row: &[u8]) -> Option<SlotOutcome> {
    let (committed, skipped) = row.split_at(row.len() / 2);
    let (at, bit) = (author.position() / 8, 1 << (author.position() % 8));
    if skipped[at] & bit != 0 {
        return Some(SlotOutcome::Skipped);
    }
    (committed[at] & bit != 0).then_some(SlotOutcome::Committed)
}

/// Tells `count` for each of the validators, by index, how many slots it led in the round, one or none, and how many of
/// them were skipped.
pub(crate) fn for_each<T>(of: &mut [T], row: &[u8], mut count: impl FnMut(&mut T, u32, u32)) {
    let (committed, skipped) = row.split_at(row.len() / 2);
    for ((eight, committed), skipped) in of.chunks_mut(8).zip(committed).zip(skipped) {
        let led = committed | skipped;
        for (bit, item) in eight.iter_mut().enumerate() {
            count(
                item,
                u32::from(led >> bit & 1),
                u32::from(skipped >> bit & 1),
            );
        }
    }
}
