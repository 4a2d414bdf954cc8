//! Who pays for further blocks of a slot, and how much (R6).
//!
//! A correct author fills a slot once; an equivocator may do so without end. Each validator takes one block of a slot
//! unasked, perhaps not the one that another took. The blocks of that other one then stand on what is missing here, so
//! it has to be taken, but somebody has to answer for its bytes: not its own author, which would pay for anything, but
//! one whose block stands on it. A correct author's block stands on few blocks of a slot, and they exist.

use std::collections::{BTreeMap, BTreeSet};

use crate::block::BlockRef;
use crate::id::{Round, Time, ValidatorIndex};
use crate::limits::{
    BLOCK_BYTES_MAX, EXTRA_GRANT_US, MISSING_REFS_MAX, REQUEST_REFS_MAX, extra_bytes_max,
};

/// What each author paid for above the gc round, and what nobody pays for yet.
#[derive(Clone, Debug)]
pub(crate) struct Extra {
    bytes_max: usize,
    paid: BTreeMap<BlockRef, Charge>,
    bytes_by_payer: Vec<usize>,
    /// Blocks that came and were refused: put off until somebody can pay.
    refused: BTreeSet<BlockRef>,
    granted_at: Time,
}

#[derive(Clone, Copy, Debug)]
struct Charge {
    payer: ValidatorIndex,
    bytes: usize,
}

impl Extra {
    pub(crate) fn new(validators: usize, gc_depth: u32) -> Self {
        Self {
            bytes_max: extra_bytes_max(gc_depth),
            paid: BTreeMap::new(),
            bytes_by_payer: vec![0; validators],
            refused: BTreeSet::new(),
            granted_at: Time(0),
        }
    }

    /// Bytes that all payers answer for.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes_by_payer.iter().sum()
    }

    /// Whether this author can pay for a block: somebody else's, out of what its budget has left.
    pub(crate) fn pays(&self, payer: ValidatorIndex, block: &BlockRef, bytes: usize) -> bool {
        payer != block.author && self.bytes_by_payer[payer.position()] + bytes <= self.bytes_max
    }

    /// Whether the block was paid for before it was thrown out.
    pub(crate) fn is_paid(&self, block: &BlockRef) -> bool {
        self.paid.contains_key(block)
    }

    pub(crate) fn charge(&mut self, payer: ValidatorIndex, block: BlockRef, bytes: usize) {
        self.refused.remove(&block);
        let before = self.paid.insert(block, Charge { payer, bytes });
        assert!(before.is_none(), "a block is paid for once");
        self.bytes_by_payer[payer.position()] += bytes;
    }

    pub(crate) fn refuse(&mut self, now: Time, block: BlockRef) {
        if self.refused.is_empty() {
            self.granted_at = self.granted_at.max(now);
        }
        if self.refused.len() < MISSING_REFS_MAX {
            self.refused.insert(block);
        }
    }

    pub(crate) fn is_refused(&self, block: &BlockRef) -> bool {
        self.refused.contains(block)
    }

    pub(crate) fn has_refused(&self) -> bool {
        !self.refused.is_empty()
    }

    /// The lowest blocks that were refused: the others stand on them.
    pub(crate) fn lowest_refused(&self) -> Vec<BlockRef> {
        self.refused
            .iter()
            .take(REQUEST_REFS_MAX)
            .copied()
            .collect()
    }

    /// The block is asked for again, or is here although nobody paid (R35).
    pub(crate) fn forget(&mut self, block: &BlockRef) {
        self.refused.remove(block);
    }

    /// When every payer is granted one more block, if any is needed.
    pub(crate) fn next_grant(&self) -> Option<Time> {
        self.has_refused()
            .then(|| self.granted_at.plus_us(EXTRA_GRANT_US))
    }

    /// R6: a budget may only delay. Of whoever has no room for one more block, the oldest charges are forgiven.
    pub(crate) fn grant(&mut self, now: Time) {
        self.granted_at = now;
        let Self {
            bytes_max,
            paid,
            bytes_by_payer,
            ..
        } = self;
        paid.retain(|_, charge| {
            let bytes = &mut bytes_by_payer[charge.payer.position()];
            let full = *bytes + BLOCK_BYTES_MAX > *bytes_max;
            if full {
                *bytes -= charge.bytes;
            }
            !full
        });
    }

    /// The gc round rose: what is collected costs nothing any more. Says whether that made room.
    pub(crate) fn collect(&mut self, gc_round: Round) -> bool {
        self.refused.retain(|block| block.round > gc_round);
        let before = self.paid.len();
        while let Some(lowest) = self.paid.first_entry() {
            if lowest.key().round > gc_round {
                break;
            }
            let Charge { payer, bytes } = lowest.remove();
            self.bytes_by_payer[payer.position()] -= bytes;
        }
        self.paid.len() < before
    }
}
