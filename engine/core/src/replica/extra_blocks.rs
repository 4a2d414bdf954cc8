//! Further blocks of a slot: taken if an author whose block stands on them pays (R6).

use crate::block::{Block, BlockRef};
use crate::fetch::{Need, Reason};
use crate::id::{Round, Time, ValidatorIndex};
use crate::limits::{BLOCK_BYTES_MAX, FETCH_RETRY_MAX_US};

use super::Replica;

impl Replica {
    /// R6: a block on an occupied slot is taken if an author whose suspended block stands on it can pay.
    pub(super) fn pay_extra(&mut self, block: &Block) -> bool {
        let (reference, bytes) = (block.reference(), block.encoded_len());
        if planted!(ExtraRefused) {
            return false;
        }
        if self.extra.is_paid(&reference) {
            return true;
        }
        let Some(payer) = self.payer(&reference, bytes) else {
            return false;
        };
        sometimes!(ExtraTaken);
        self.extra.charge(payer, reference, bytes);
        true
    }

    fn payer(&self, block: &BlockRef, bytes: usize) -> Option<ValidatorIndex> {
        self.suspended
            .payer(block, |author| self.extra.pays(author, block, bytes))
    }

    #[cfg(any(test, feature = "testing"))]
    fn needed_by_others(&self, block: &BlockRef) -> Option<ValidatorIndex> {
        self.suspended.payer(block, |author| author != block.author)
    }

    /// It is wanted again as soon as somebody can pay, and in any case after a while.
    pub(super) fn put_off_extra(&mut self, now: Time, from: ValidatorIndex, block: BlockRef) {
        if !self.suspended.is_awaited(&block) {
            return;
        }
        sometimes!(ExtraUnpaid if self.needed_by_others(&block).is_none());
        sometimes!(ExtraOverBudget if self.needed_by_others(&block).is_some());
        let need = Need::Accept;
        let reason = Reason { hint: from, need };
        self.fetch
            .want(now.plus_us(FETCH_RETRY_MAX_US), block, reason);
        self.extra.refuse(now, block);
    }

    /// A block was suspended: its author, or one whose block stands on it, may pay for what was refused beneath it.
    pub(super) fn retry_extra_beneath(&mut self, now: Time, top: &BlockRef) {
        if self.extra.has_refused() {
            let missing = self.suspended.missing_beneath(top);
            self.retry_extra(now, missing);
        }
    }

    /// Asks at once for those refused blocks that somebody can pay for now.
    fn retry_extra(&mut self, now: Time, blocks: impl IntoIterator<Item = BlockRef>) {
        for block in blocks {
            let refused = self.extra.is_refused(&block);
            if refused && self.payer(&block, BLOCK_BYTES_MAX).is_some() {
                self.extra.forget(&block);
                self.fetch.hurry(now, &block);
                sometimes!(ExtraRetried);
            }
        }
    }

    /// R6: while a block is refused, spent budgets grow by one block a second.
    pub(super) fn grant_extra(&mut self, now: Time) {
        if self.extra.next_grant().is_some_and(|due| due <= now) {
            sometimes!(ExtraGranted);
            self.extra.grant(now);
            self.retry_extra(now, self.extra.lowest_refused());
        }
    }

    /// The gc round rose: budgets get back what was collected.
    pub(super) fn collect_extra(&mut self, now: Time, gc_round: Round) {
        if self.extra.collect(gc_round) {
            self.retry_extra(now, self.extra.lowest_refused());
        }
    }
}
