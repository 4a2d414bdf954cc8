//! What can go wrong, by who has to act.

use std::io;

use probity_core::crypto::Digest;
use probity_core::{CommitIndex, RosterError};
use probity_storage::StorageError;
use thiserror::Error;

use crate::config::ConfigError;
use crate::health::StopReason;
use crate::transaction::TransactionFault;

/// Why a node did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The builder lacks something.
    #[error("the node was given no {0}")]
    Missing(&'static str),
    /// The committee's file names an epoch rule that the builder was not given, or another one was given.
    #[error("the committee's epoch rule is {named}, the node's is {given}")]
    Rule {
        /// By the committee's file.
        named: String,
        /// By the builder.
        given: String,
    },
    /// The committee's file names a transaction check that the builder was not given, or another one was given: its
    /// validators would not agree on which blocks are valid.
    #[error(
        "the committee's transactions are checked by {named}, the node has {}",
        given.as_deref().unwrap_or("no such check: give it to NodeBuilder::check")
    )]
    Check {
        /// By the committee's file.
        named: String,
        /// By the builder, if it was given one.
        given: Option<String>,
    },
    /// A value of the configuration is not allowed.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The storage does not answer.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The storage answers, but not with what this validator can go on from: another chain's
    /// records, or damaged ones.
    #[error("the storage cannot be started from: {0}")]
    Recover(String),
    /// Retention has removed commits, blocks or scores of this epoch.
    #[error(
        "retention has removed what the scores of epoch {epoch} follow from: ask a validator that has kept more, \
         and raise `retain` in the node's file to keep more from now on"
    )]
    EpochRemoved {
        /// The epoch.
        epoch: u64,
    },
    /// The operating system starts no more threads.
    #[error("starting a thread: {0}")]
    Thread(#[from] io::Error),
    /// The threads that verify could not be started.
    #[error("starting the verifying threads: {0}")]
    VerifyThreads(#[from] rayon::ThreadPoolBuildError),
}

/// Why a transaction was not taken, or taken and not committed here.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The transaction itself is at fault; sending it again is of no use.
    #[error(transparent)]
    Fault(#[from] TransactionFault),
    /// It was submitted here before, not long ago.
    #[error("transaction {id} was submitted before")]
    Duplicate {
        /// Its id.
        id: Digest,
    },
    /// Too much is waiting. Nothing was taken.
    #[error("the node is busy; try again in {retry_after:?}")]
    Busy {
        /// When there may be room again.
        retry_after: std::time::Duration,
    },
    /// The node runs no longer; whether a transaction that it had taken was ordered is known by the
    /// other validators.
    #[error("the node has stopped: {0}")]
    Stopped(StopReason),
    /// The validator is no member of the committee, or was none any more before the transaction was
    /// ordered: nothing of it is in the sequence. Submit it to another validator.
    #[error("the validator is no member of the committee")]
    NotMember,
    /// The node was away for so long that it left an epoch without all of its commits: whether the
    /// transaction was ordered is known by the other validators.
    #[error("the node left an epoch without all of its commits")]
    Unknown,
}

/// Why a change of the committee is not asked for.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// The committee's epoch rule takes no votes of validators.
    #[error("the epoch rule {rule} takes no votes for changes; only voted-changes/1 does")]
    NoVotes {
        /// The rule's name.
        rule: String,
    },
    /// It would leave no committee, as things stand in the sequence.
    #[error("the change is refused: {0}")]
    Refused(RosterError),
    /// A newcomer needs a [`Contact`](crate::Contact) that its peers can read.
    #[error("the contact is none; make it with Contact::encode")]
    Contact,
    /// It holds what no validator reads, so that no block could carry it.
    #[error(
        "the change is none that validators read: its key must be one for a committee, and its contact at most 256 bytes"
    )]
    Unreadable,
    /// Another validator has this network key.
    #[error("another validator has this network key")]
    NetworkKeyTaken,
    /// More changes of this validator are open than may be.
    #[error("too many changes are open")]
    TooMany,
    /// The validator has no vote.
    #[error("the validator is no member of the committee")]
    NotMember,
    /// The node runs no longer.
    #[error("the node has stopped: {0}")]
    Stopped(StopReason),
}

/// Why a validator's standing is not known.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ReputationError {
    /// The scores of that epoch are not held: it is not over and not running here, or retention has removed what they
    /// follow from.
    #[error("the scores of epoch {asked} are not held; epoch {running} is running")]
    NotHeld {
        /// The epoch that was asked for.
        asked: u64,
        /// The one that the node is in.
        running: u64,
    },
    /// The node runs no longer; [`replay_scores`](crate::replay_scores) reads its storage.
    #[error("the node has stopped: {0}")]
    Stopped(StopReason),
    /// The storage does not answer.
    #[error("reading scores: {0}")]
    Storage(String),
}

/// Why a stream of commits ended.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum CommitsEnd {
    /// The node stopped, and everything it had committed was delivered.
    #[error("the node has stopped: {0}")]
    Stopped(StopReason),
    /// The application has seen more than the node has stored: one of the two was set back. Set the
    /// application back to a commit that the node has, or give the node its storage back.
    #[error("the application is at commit {asked}, the node only at {last}")]
    Ahead {
        /// What the application named.
        asked: CommitIndex,
        /// What the node has.
        last: CommitIndex,
    },
    /// The next commit was removed by retention. Take a copy of another application's state.
    #[error("commit {wanted} was removed; the first one kept is {first}")]
    Removed {
        /// The next one for the application.
        wanted: CommitIndex,
        /// The oldest that is left.
        first: CommitIndex,
    },
    /// The storage did not answer, or not with what was written.
    #[error("reading commit {index}: {why}")]
    Storage {
        /// Which one.
        index: CommitIndex,
        /// What the storage said.
        why: String,
    },
}

impl Error {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every other one is about contents"
    )]
    pub(crate) fn recover(error: probity_core::RecoverError<StorageError>) -> Self {
        match error {
            probity_core::RecoverError::Store(error) => Self::Storage(error),
            contents => Self::Recover(contents.to_string()),
        }
    }

    pub(crate) fn read(error: probity_core::record::ReadError<StorageError>) -> Self {
        match error {
            probity_core::record::ReadError::Store(error) => Self::Storage(error),
            probity_core::record::ReadError::Damaged(why) => Self::Recover(why.to_string()),
        }
    }
}
