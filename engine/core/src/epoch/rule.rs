//! What the application decides about epochs: which transactions ask for changes, and when an epoch ends (R32).

use std::fmt;

use crate::block::Block;
use crate::commit::CommitRecord;
use crate::epoch::Change;
use crate::limits::CHANGES_PER_BLOCK_MAX;

/// When epochs end and who may change the committee; the same for all validators, for the chain id binds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EpochTerms {
    /// An epoch ends with the first commit whose timestamp is so many milliseconds above that of its first; never by
    /// time alone if there is none.
    pub length_ms: Option<u64>,
    /// The name of the [`EpochRule`].
    pub rule: String,
}

impl Default for EpochTerms {
    /// One epoch without end.
    fn default() -> Self {
        Self {
            length_ms: None,
            rule: FixedCommittee.name().to_owned(),
        }
    }
}

/// What a committed block asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChangeRequest {
    /// The change.
    pub change: Change,
    /// What makes it effective.
    pub authority: Authority,
}

/// Who may change the committee.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Authority {
    /// Blocks of authors of weight `Q` must ask for the same change within one epoch.
    Validators,
    /// The application has decided; it is effective at once.
    Application,
}

/// Reads changes out of the sequence. Every answer must be a function of its arguments and of nothing else: all
/// validators ask, at different times, and again after a restart.
pub trait EpochRule: fmt::Debug + Send + Sync + 'static {
    /// Name and version; all validators must use the same rule.
    fn name(&self) -> &str;

    /// What a committed block whose payload counts asks for, in order; asked once a block, in the order of the
    /// sequence. At most [`CHANGES_PER_BLOCK_MAX`] requests count.
    fn requests(&self, block: &Block) -> Vec<ChangeRequest>;

    /// Whether the epoch ends with this commit, whatever was asked for.
    fn ends(&self, _record: &CommitRecord) -> bool {
        false
    }
}

/// Nobody changes the committee; epochs end by time, if the terms say so.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct FixedCommittee;

impl EpochRule for FixedCommittee {
    fn name(&self) -> &'static str {
        "fixed-committee/1"
    }

    fn requests(&self, _block: &Block) -> Vec<ChangeRequest> {
        Vec::new()
    }
}

/// The validators change the committee themselves: transactions made by [`Change::encode`] at the front of a payload, each
/// a vote of the block's author. Behind the first other transaction nothing is looked at, so reading costs nothing
/// in blocks that ask for nothing.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct VotedChanges;

impl EpochRule for VotedChanges {
    fn name(&self) -> &'static str {
        "voted-changes/1"
    }

    fn requests(&self, block: &Block) -> Vec<ChangeRequest> {
        let front = block.payload().transactions();
        let front = front.take_while(|transaction| Change::is_change(transaction));
        let changes = front
            .take(CHANGES_PER_BLOCK_MAX)
            .filter_map(|transaction| Change::decode(&transaction).ok());
        changes
            .map(|change| ChangeRequest {
                change,
                authority: Authority::Validators,
            })
            .collect()
    }
}
