//! Committees with known keys, and blocks for them.

use std::sync::Arc;

use crate::block::{Block, BlockRef, Header, Payload, Proposal, genesis_ref};
use crate::committee::{AuthorSet, Committee, CommitteeConfig, Member, PROTOCOL_VERSION};
use crate::crypto::{Digest, Keypair, PublicKey, Signature};
use crate::epoch::EpochTerms;
use crate::id::{Round, ValidatorIndex};
use crate::reputation::ReputationParams;
use crate::thresholds::{FaultBounds, Thresholds};
use crate::verify::TransactionCheck;

/// Whether blocks carry the signature of their author.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signing {
    /// 64 zero bytes: enough for everything behind verification, and cheap.
    Zero,
    /// The author's, under [`keypair`].
    Real,
}

/// What a test says about a block; the rest of the header follows from the committee.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Its round.
    pub round: Round,
    /// Its author.
    pub author: ValidatorIndex,
    /// Its parents, in any order; the author's own is put first.
    pub parents: Vec<BlockRef>,
    /// Its timestamp.
    pub timestamp_ms: u64,
}

/// A transaction check that accepts everything but the transaction `invalid`.
#[derive(Clone, Copy, Debug)]
pub struct AcceptAll;

/// The check that test committees name.
pub const VALID_CHECK: AcceptAll = AcceptAll;

impl TransactionCheck for AcceptAll {
    fn name(&self) -> &str {
        "testing/1"
    }

    fn first_invalid(&self, transactions: &[&[u8]]) -> Option<usize> {
        transactions
            .iter()
            .position(|transaction| *transaction == b"invalid")
    }
}

/// The keypair of a test validator.
#[must_use]
pub fn keypair(author: ValidatorIndex) -> Keypair {
    let mut seed = [0x50; 32];
    seed[..2].copy_from_slice(&author.0.to_le_bytes());
    Keypair::from_seed(&seed)
}

/// A first-epoch committee of validators with these weights and the keys of [`keypair`].
///
/// # Panics
/// When the weights do not carry the fault bounds or `gc_depth` is out of range.
#[must_use]
pub fn committee(weights: &[u64], bounds: FaultBounds, gc_depth: u32) -> Committee {
    committee_with(weights, bounds, (gc_depth, ReputationParams::default()))
}

/// The same with a `gc_depth` and windows of the scores.
///
/// # Panics
/// When the weights do not carry the fault bounds, or `gc_depth` or a window is out of range.
#[must_use]
pub fn committee_with(
    weights: &[u64],
    bounds: FaultBounds,
    (gc_depth, reputation): (u32, ReputationParams),
) -> Committee {
    let member = |(weight, author): (&u64, u16)| Member {
        key: keypair(ValidatorIndex(author)).public(),
        weight: *weight,
    };
    let config = CommitteeConfig {
        epoch: 0,
        previous: Digest::ZERO,
        members: weights.iter().zip(0..).map(member).collect(),
        bounds,
        gc_depth,
        reputation,
        epochs: EpochTerms::default(),
        check: VALID_CHECK.name().to_owned(),
    };
    Committee::new(config).expect("the test asks for a committee that exists")
}

/// The same committee with thresholds changed by `change`, to show what each of them is for.
#[must_use]
pub fn mutated(committee: &Committee, change: impl FnOnce(&mut Thresholds)) -> Committee {
    let mut thresholds = *committee.thresholds();
    change(&mut thresholds);
    committee.clone().with_thresholds(thresholds)
}

/// The same committee with signatures that cost a hash instead of a curve operation. Whoever knows a public key can
/// make one, so a simulator must not let a validator sign for another.
#[must_use]
pub fn with_stand_in_signatures(committee: Committee) -> Committee {
    committee.with_stand_in_signatures()
}

/// The same committee with leaders that are fixed from the start: a yardstick for the leaders that scores find.
///
/// # Panics
/// When nobody would lead.
#[must_use]
pub fn with_fixed_leaders(committee: Committee, leaders: &[ValidatorIndex]) -> Committee {
    let mut set = AuthorSet::default();
    for leader in leaders {
        assert!(committee.member(*leader).is_some(), "leaders are members");
        set.insert(*leader);
    }
    assert!(!leaders.is_empty(), "somebody leads");
    committee.with_fixed_leaders(set)
}

/// The same committee with so many slots a round, the first ones of the draw (R29): a yardstick for a slot for everybody.
///
/// # Panics
/// When there would be none.
#[must_use]
pub fn with_slots_per_round(committee: Committee, most: usize) -> Committee {
    assert!(most > 0, "a round has a slot");
    committee.with_slots_per_round(most)
}

/// What a member signs with in a committee of [`with_stand_in_signatures`].
#[must_use]
pub fn stand_in_signature(key: &PublicKey, message: &[u8]) -> Signature {
    let mut hasher = blake3::Hasher::new_derive_key("probity testing stand-in signature");
    hasher.update(key.as_bytes()).update(message);
    let mut bytes = [0; 64];
    hasher.finalize_xof().fill(&mut bytes);
    Signature(bytes)
}

/// One more signature that a committee of [`with_stand_in_signatures`] accepts for the same message: the first one
/// with another last byte.
#[must_use]
pub fn stand_in_variant(key: &PublicKey, message: &[u8]) -> Signature {
    let mut variant = stand_in_signature(key, message);
    variant.0[63] ^= 0xFF;
    variant
}

/// The block of a draft, without a payload.
#[must_use]
pub fn build(committee: &Committee, draft: Draft, signing: Signing) -> Arc<Block> {
    let proposal = proposal(committee, draft, Payload::empty());
    match signing {
        Signing::Zero => Arc::new(proposal.seal(Signature([0; 64]))),
        Signing::Real => Arc::new(sign(proposal)),
    }
}

/// The unsigned block of a draft.
#[must_use]
pub fn proposal(committee: &Committee, draft: Draft, payload: Payload) -> Proposal {
    let Draft {
        round,
        author,
        mut parents,
        timestamp_ms,
    } = draft;
    parents.sort_unstable_by_key(|parent| (parent.author != author, parent.author));
    let header = Header {
        version: PROTOCOL_VERSION,
        chain: *committee.chain(),
        epoch: committee.epoch(),
        round,
        author,
        timestamp_ms,
        payload: payload.describe(),
        parents,
        evidence: Vec::new(),
        commit_votes: Vec::new(),
    };
    Proposal::new(header, payload)
}

/// Signs with the author's test key.
#[must_use]
pub fn sign(proposal: Proposal) -> Block {
    let signature = keypair(proposal.header().author).sign(&proposal.preimage());
    proposal.seal(signature)
}

/// Rounds `1..=rounds` in which everybody links everybody: what benches feed to a [`super::Committer`].
#[must_use]
pub fn full_dag(committee: &Committee, rounds: u32, signing: Signing) -> Vec<Arc<Block>> {
    let genesis = |author| genesis_ref(committee, author).expect("every member has a genesis");
    let mut below: Vec<BlockRef> = committee.indices().map(genesis).collect();
    let mut blocks = Vec::new();
    for round in (1..=rounds).map(Round) {
        let block = |author| {
            let timestamp_ms = u64::from(round.0) * 10;
            build(
                committee,
                Draft {
                    round,
                    author,
                    parents: below.clone(),
                    timestamp_ms,
                },
                signing,
            )
        };
        let row: Vec<Arc<Block>> = committee.indices().map(block).collect();
        below = row.iter().map(|block| block.reference()).collect();
        blocks.extend(row);
    }
    blocks
}
