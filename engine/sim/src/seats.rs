//! Everybody who ever takes part has a number, whatever the index in an epoch's committee.

use probity_core::ValidatorIndex;
use probity_core::crypto::PublicKey;

/// The numbers of so many.
pub(crate) fn seats(count: usize) -> impl Iterator<Item = ValidatorIndex> {
    (0..=u16::MAX).take(count).map(ValidatorIndex)
}

/// The number of a key's owner, from everybody's keys.
pub(crate) fn seat_of(keys: &[PublicKey], key: &PublicKey) -> Option<ValidatorIndex> {
    let mut owners = seats(keys.len()).zip(keys);
    owners
        .find(|(_, known)| *known == key)
        .map(|(seat, _)| seat)
}
