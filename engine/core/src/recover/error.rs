//! Why a store cannot be continued, and in which words.

use std::fmt;

use crate::codec::DecodeError;
use crate::evidence_file::EvidenceFileError;
use crate::id::{CommitIndex, ValidatorIndex};
use crate::record::ReadError;
use crate::verify::Reject;

/// Why a store cannot be continued.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RecoverError<E> {
    /// Reading failed.
    Store(E),
    /// The store belongs to another network, epoch or set of parameters.
    OtherChain,
    /// The store belongs to another validator.
    OtherValidator(ValidatorIndex),
    /// The number of the last commit is damaged, or a commit has another number than its key says.
    Tip,
    /// The record before this one is not the one it chains to.
    BrokenChain(CommitIndex),
    /// This commit or one of its blocks is not in the store, where retention may have removed it.
    Missing(CommitIndex),
    /// The scores after this commit are not those that its record names.
    Reputation(CommitIndex),
    /// This commit ends the epoch and names another next one than its agenda and scores make.
    NextEpoch(CommitIndex),
    /// A stored block or proof is damaged.
    Block(Reject),
    /// A stored commit or own header is damaged.
    Commit(DecodeError),
    /// The stored proofs of equivocation make no file.
    Evidence(EvidenceFileError),
}

impl<E> RecoverError<E> {
    pub(crate) fn from_read(error: ReadError<E>) -> Self {
        match error {
            ReadError::Store(error) => Self::Store(error),
            ReadError::Damaged(reject) => Self::Block(reject),
        }
    }
}

impl<E: fmt::Display> fmt::Display for RecoverError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => write!(f, "the store could not be read: {error}"),
            Self::OtherChain => {
                f.write_str("the store belongs to another network, committee or set of parameters")
            }
            Self::OtherValidator(author) => {
                write!(
                    f,
                    "the store belongs to validator {author} of this committee"
                )
            }
            Self::Tip => f.write_str("the stored number of the last commit is damaged"),
            Self::BrokenChain(index) => {
                write!(f, "commit {index} does not chain to the one before it")
            }
            Self::Missing(index) => {
                write!(
                    f,
                    "commit {index} or one of its blocks is missing from the store"
                )
            }
            Self::Reputation(index) => {
                write!(f, "the scores after commit {index} cannot be replayed")
            }
            Self::NextEpoch(index) => write!(
                f,
                "commit {index} ends the epoch, and the stored changes and scores do not make the next one that it names"
            ),
            Self::Block(reject) => write!(f, "a stored block or proof is damaged: {reject}"),
            Self::Commit(error) => write!(f, "a stored record is damaged: {error}"),
            Self::Evidence(error) => write!(f, "the stored evidence: {error}"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for RecoverError<E> {}
