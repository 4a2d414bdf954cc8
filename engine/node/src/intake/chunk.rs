//! Transactions that go the same way together, and what becomes of them.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use event_listener::Event;
use probity_core::CommitIndex;

use crate::health::StopReason;

const WAITING: u64 = 0;
const STOPPED: u64 = u64::MAX;
const UNKNOWN: u64 = u64::MAX - 1;
const NOT_MEMBER: u64 = u64::MAX - 2;

/// What became of a chunk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// It is in the sequence, durably.
    Committed(CommitIndex),
    /// The node stopped before, for this reason.
    Stopped(StopReason),
    /// Its epoch was left without all of its commits.
    Unknown,
    /// The validator left the committee before.
    NotMember,
}

/// Transactions that are proposed and acknowledged together.
pub(crate) struct Chunk {
    pub(super) transactions: Vec<Bytes>,
    pub(super) bytes: usize,
    outcome: AtomicU64,
    // Set before the outcome that it belongs to.
    stopped: OnceLock<StopReason>,
    decided: Event,
}

impl Chunk {
    pub(super) fn new(transactions: Vec<Bytes>, bytes: usize) -> Self {
        Self {
            transactions,
            bytes,
            outcome: AtomicU64::new(WAITING),
            stopped: OnceLock::new(),
            decided: Event::new(),
        }
    }

    /// The transactions in order.
    pub(crate) fn transactions(&self) -> &[Bytes] {
        &self.transactions
    }

    /// The chunk is in the sequence, durably.
    pub(crate) fn resolve(&self, index: CommitIndex) {
        self.settle(index.0);
    }

    /// Nobody here will know whether it is in the sequence.
    pub(crate) fn forget(&self) {
        self.settle(UNKNOWN);
    }

    /// The node stopped before it was.
    pub(super) fn stop(&self, why: &StopReason) {
        self.stopped.get_or_init(|| why.clone());
        self.settle(STOPPED);
    }

    /// The validator left the committee before it was.
    pub(super) fn leave(&self) {
        self.settle(NOT_MEMBER);
    }

    fn settle(&self, outcome: u64) {
        let _ =
            self.outcome
                .compare_exchange(WAITING, outcome, Ordering::AcqRel, Ordering::Acquire);
        self.decided.notify(usize::MAX);
    }

    /// `None` while it waits.
    pub(crate) fn fate(&self) -> Option<Fate> {
        match self.outcome.load(Ordering::Acquire) {
            WAITING => None,
            STOPPED => self.stopped.get().cloned().map(Fate::Stopped),
            UNKNOWN => Some(Fate::Unknown),
            NOT_MEMBER => Some(Fate::NotMember),
            index => Some(Fate::Committed(CommitIndex(index))),
        }
    }

    pub(crate) fn decided(&self) -> &Event {
        &self.decided
    }
}
