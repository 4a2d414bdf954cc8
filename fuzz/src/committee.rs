//! The fixed committees that the targets verify against, with keys that everybody knows.

use std::sync::LazyLock;

use probity_core::crypto::{Digest, Keypair};
use probity_core::{
    Committee, CommitteeConfig, EpochTerms, FaultBounds, Member, Mode, Profile, ReputationParams,
    TransactionCheck, ValidatorIndex,
};

/// Validators of the largest committee that any target uses.
const VALIDATORS_MOST: u16 = 8;

/// How many validators the committees here have.
pub const VALIDATORS: u16 = 4;

/// Four validators of equal weight under the default profile.
///
/// # Panics
/// Never: four equal stakes carry the default profile.
pub fn committee() -> &'static Committee {
    static COMMITTEE: LazyLock<Committee> = LazyLock::new(|| {
        let stake = |author| (keypair(ValidatorIndex(author)).public(), 1);
        let stakes: Vec<_> = (0..VALIDATORS).map(stake).collect();
        let check = MostAccepted.name().to_owned();
        Committee::from_stakes(&stakes, Profile::Dual30, &check).expect("four equal stakes")
    });
    &COMMITTEE
}

/// Four validators of unequal weight that may be weighed against each other, and a short memory: its rules about old
/// parents are within reach.
///
/// # Panics
/// Never: the weights carry the bounds.
pub fn uneven_committee() -> &'static Committee {
    static COMMITTEE: LazyLock<Committee> =
        LazyLock::new(|| small_committee(&[3, 1, 2, 4], 2, 5, ReputationParams::default()));
    &COMMITTEE
}

/// A committee of small weights of which `byzantine` may be Byzantine.
///
/// # Panics
/// When the weights do not carry the bound, or `gc_depth` is below the anchor depth.
#[must_use]
pub fn small_committee(
    weights: &[u64],
    byzantine: u64,
    gc_depth: u32,
    reputation: ReputationParams,
) -> Committee {
    let member = |(author, weight): (u16, &u64)| Member {
        key: keypair(ValidatorIndex(author)).public(),
        weight: *weight,
    };
    let config = CommitteeConfig {
        epoch: 0,
        previous: Digest::ZERO,
        members: (0..).zip(weights).map(member).collect(),
        bounds: FaultBounds {
            mode: Mode::Graded,
            byzantine,
            crashed: 0,
        },
        gc_depth,
        reputation,
        epochs: EpochTerms::default(),
        check: MostAccepted.name().to_owned(),
    };
    Committee::new(config).expect("the weights carry the bound")
}

/// The key of a validator; everybody may know it.
#[must_use]
pub fn keypair(author: ValidatorIndex) -> Keypair {
    let mut seed = [0xf0; 32];
    seed[..2].copy_from_slice(&author.0.to_le_bytes());
    Keypair::from_seed(&seed)
}

/// The keys of the committees' members, made once.
///
/// # Panics
/// When `author` is no member.
#[must_use]
pub fn member_keypair(author: ValidatorIndex) -> &'static Keypair {
    static KEYPAIRS: LazyLock<Vec<Keypair>> = LazyLock::new(|| {
        (0..VALIDATORS_MOST)
            .map(|author| keypair(ValidatorIndex(author)))
            .collect()
    });
    &KEYPAIRS[author.position()]
}

/// A transaction check that finds every transaction valid but `invalid`.
#[derive(Clone, Copy, Debug)]
pub struct MostAccepted;

impl TransactionCheck for MostAccepted {
    fn name(&self) -> &str {
        "accept-all/1"
    }

    fn first_invalid(&self, transactions: &[&[u8]]) -> Option<usize> {
        transactions
            .iter()
            .position(|transaction| *transaction == INVALID)
    }
}

/// The one transaction that [`MostAccepted`] refuses.
pub const INVALID: &[u8] = b"invalid";
