//! Committees of equal weights, and signed blocks for them.

use std::sync::Arc;

use probity_core::block::genesis_ref;
use probity_core::testing::{Draft, committee, committee_with, proposal, sign};
use probity_core::{
    Block, BlockRef, Committee, FaultBounds, Mode, Payload, ReputationParams, Round, ValidatorIndex,
};

/// Validators of weight 1, of which fewer than a third may be Byzantine.
pub(crate) fn equal(validators: usize, mode: Mode, gc_depth: u32) -> Arc<Committee> {
    let bounds = FaultBounds {
        mode,
        byzantine: (validators as u64 - 1) / 3,
        crashed: 0,
    };
    Arc::new(committee(&vec![1; validators], bounds, gc_depth))
}

/// The same with windows of a few rounds for the scores.
pub(crate) fn equal_with_windows(validators: usize, windows: ReputationParams) -> Arc<Committee> {
    let bounds = FaultBounds {
        mode: Mode::Graded,
        byzantine: (validators as u64 - 1) / 3,
        crashed: 0,
    };
    Arc::new(committee_with(&vec![1; validators], bounds, (8, windows)))
}

/// A round and its author.
pub(crate) type At = (u32, u16);

/// The signed block of a slot, without a payload.
pub(crate) fn block(committee: &Committee, at: At, parents: &[BlockRef]) -> Arc<Block> {
    block_with(committee, at, parents, Payload::empty())
}

/// The signed block of a slot.
pub(crate) fn block_with(
    committee: &Committee,
    (round, author): At,
    parents: &[BlockRef],
    payload: Payload,
) -> Arc<Block> {
    let draft = Draft {
        round: Round(round),
        author: ValidatorIndex(author),
        parents: parents.to_vec(),
        timestamp_ms: u64::from(round),
    };
    Arc::new(sign(proposal(committee, draft, payload)))
}

/// One block of a round for each of `authors`, all with the same parents.
pub(crate) fn row(
    committee: &Committee,
    round: u32,
    authors: impl IntoIterator<Item = u16>,
    parents: &[BlockRef],
) -> Vec<Arc<Block>> {
    let authors = authors.into_iter();
    authors
        .map(|author| block(committee, (round, author), parents))
        .collect()
}

pub(crate) fn refs(blocks: &[Arc<Block>]) -> Vec<BlockRef> {
    blocks.iter().map(|block| block.reference()).collect()
}

pub(crate) fn genesis(committee: &Committee) -> Vec<BlockRef> {
    let indices = committee.indices();
    indices
        .filter_map(|author| genesis_ref(committee, author))
        .collect()
}

/// Almost 2 MiB of transactions: eight of them stay under 16 MiB, four under 8 MiB.
pub(crate) fn big(mark: u8) -> Payload {
    Payload::from_transactions(&vec![vec![mark; 65_536]; 31])
}
