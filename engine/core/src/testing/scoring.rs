//! The real scores without the rest of a replica: commits in, digests out.

use std::sync::Arc;

use crate::block::Block;
use crate::commit::CommitRecord;
use crate::committee::Committee;
use crate::crypto::Digest;
use crate::id::ValidatorIndex;
use crate::reputation::{Reputation, Scored, Standing};

/// Scores of an epoch, from its first commit on.
#[derive(Clone, Debug)]
pub struct Scoring {
    reputation: Reputation,
}

impl Scoring {
    /// Before the first commit.
    #[must_use]
    pub fn new(committee: Arc<Committee>) -> Self {
        Self {
            reputation: Reputation::new(committee),
        }
    }

    /// Takes the next commit with its blocks; the digest of the table after it.
    pub fn commit(&mut self, record: &CommitRecord, blocks: &[Arc<Block>]) -> Digest {
        let blocks: Vec<_> = blocks
            .iter()
            .map(|block| (block.reference(), block.header()))
            .collect();
        self.reputation.handle_commit(Scored {
            leader: record.leader,
            skipped: &record.skipped,
            blocks: &blocks,
        });
        self.reputation.digest()
    }

    /// The snapshot after a commit.
    #[must_use]
    pub fn snapshot(&self, record: &CommitRecord) -> bytes::Bytes {
        self.reputation.encode(record.index)
    }

    /// R31: a validator's score with what moved it.
    #[must_use]
    pub fn standing(&self, validator: ValidatorIndex) -> Option<Standing> {
        self.reputation.standing(validator)
    }
}
