//! The fixed committee that the targets verify against: four validators of equal weight with known keys.

use std::sync::LazyLock;

use probity_core::crypto::Keypair;
use probity_core::{Committee, Profile, TransactionCheck, ValidatorIndex};

/// How many validators there are.
pub const VALIDATORS: u16 = 4;

/// The committee.
///
/// # Panics
/// Never: four equal stakes carry the default profile.
pub fn committee() -> &'static Committee {
    static COMMITTEE: LazyLock<Committee> = LazyLock::new(|| {
        let stake = |author| (keypair(ValidatorIndex(author)).public(), 1);
        let stakes: Vec<_> = (0..VALIDATORS).map(stake).collect();
        let check = AcceptAll.name().to_owned();
        Committee::from_stakes(&stakes, Profile::Dual30, &check).expect("four equal stakes")
    });
    &COMMITTEE
}

/// The key of a validator; everybody may know it.
#[must_use]
pub fn keypair(author: ValidatorIndex) -> Keypair {
    let mut seed = [0xf0; 32];
    seed[..2].copy_from_slice(&author.0.to_le_bytes());
    Keypair::from_seed(&seed)
}

/// A transaction check that finds every transaction valid.
#[derive(Clone, Copy, Debug)]
pub struct AcceptAll;

impl TransactionCheck for AcceptAll {
    fn name(&self) -> &str {
        "accept-all/1"
    }

    fn first_invalid(&self, _: &[&[u8]]) -> Option<usize> {
        None
    }
}
