//! Scores without the rest of a replica: commits in, standings out.

use std::sync::Arc;

use bytes::Bytes;

use crate::block::{BlockRef, Header};
use crate::commit::CommitRecord;
use crate::committee::Committee;
use crate::crypto::Digest;
use crate::id::{Round, ValidatorIndex};
use crate::reputation::{Reputation, Scored, Standing};

/// The scores of an epoch, kept by whoever has its commits: to explain them, to plot them, to compare them.
#[derive(Clone, Debug)]
pub struct Scoring {
    pub(crate) reputation: Reputation,
}

/// A commit that was just scored.
#[derive(Clone, Copy, Debug)]
pub struct ReplayedCommit<'a> {
    /// Its record.
    pub record: &'a CommitRecord,
    /// Its blocks in order.
    pub blocks: &'a [(BlockRef, &'a Header)],
    /// The scores after it.
    pub scores: &'a Scoring,
}

impl Scoring {
    /// Before the first commit.
    #[must_use]
    pub fn new(committee: Arc<Committee>) -> Self {
        Self {
            reputation: Reputation::new(committee),
        }
    }

    /// Takes the next commit with its blocks in order; the digest of the table after it (R21).
    pub fn commit(&mut self, record: &CommitRecord, blocks: &[(BlockRef, &Header)]) -> Digest {
        self.reputation.handle_commit(Scored {
            leader: record.leader,
            skipped: &record.skipped,
            blocks: blocks.iter().copied(),
        });
        self.reputation.digest()
    }

    /// The snapshot after a commit, as a replica stores it.
    #[must_use]
    pub fn snapshot(&self, record: &CommitRecord) -> Bytes {
        self.reputation.encode(record.index)
    }

    /// Whose scores they are.
    #[must_use]
    pub fn committee(&self) -> &Arc<Committee> {
        &self.reputation.committee
    }

    /// R27: every validator's score, by index.
    #[must_use]
    pub fn scores(&self) -> Vec<u64> {
        self.reputation.table.scores()
    }

    /// Whether two blocks of its in one slot, or evidence of them, were committed; no for who is no member.
    #[must_use]
    pub fn is_slashed(&self, validator: ValidatorIndex) -> bool {
        let member = self.committee().member(validator).is_some();
        member && self.reputation.table.slashed.contains(validator)
    }

    /// R29: the newest schedule's number and the first round that it is in force for.
    #[must_use]
    pub fn newest_schedule(&self) -> (u64, Round) {
        let newest = self.reputation.schedules().newest();
        (newest.id(), newest.start())
    }

    /// R31: a validator's score with what moved it; `None` if there is no such validator.
    #[must_use]
    pub fn standing(&self, validator: ValidatorIndex) -> Option<Standing> {
        self.reputation.standing(validator)
    }

    /// Everybody's, by index.
    #[must_use]
    pub fn standings(&self) -> Vec<Standing> {
        let all = self.committee().indices();
        all.filter_map(|validator| self.standing(validator))
            .collect()
    }
}
