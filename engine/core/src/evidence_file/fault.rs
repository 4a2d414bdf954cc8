//! What can be wrong with an evidence file: its bytes, or what it claims.

use std::fmt;

use crate::block::Slot;
use crate::codec::DecodeError;
use crate::crypto::Digest;
use crate::id::ValidatorIndex;
use crate::limits::EVIDENCE_FILE_BYTES_MAX;

/// Why there is no evidence file, or bytes are none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum EvidenceFileError {
    /// They begin otherwise.
    Magic,
    /// Another version of the encoding.
    Version(u16),
    /// More bytes than a file has at most.
    TooLong {
        /// How many.
        bytes: usize,
    },
    /// They are too short, too long, or hold too many proofs.
    Malformed(DecodeError),
    /// There is no proof in it, or none of an epoch that it lists.
    Empty,
    /// The proofs do not rise strictly by epoch, author and round.
    Order,
    /// There are not as many ends of epochs as the last epoch with proofs has epochs before it.
    Ends {
        /// How many there are.
        found: usize,
        /// How many there should be: the last epoch with proofs.
        epoch: u64,
    },
}

impl From<DecodeError> for EvidenceFileError {
    fn from(why: DecodeError) -> Self {
        Self::Malformed(why)
    }
}

impl fmt::Display for EvidenceFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => f.write_str("not an evidence file"),
            Self::Version(version) => write!(
                f,
                "evidence file of version {version}; this program reads version 2: export the evidence again"
            ),
            Self::TooLong { bytes } => write!(
                f,
                "an evidence file of {bytes} bytes; at most {EVIDENCE_FILE_BYTES_MAX} are allowed"
            ),
            Self::Malformed(why) => write!(f, "malformed evidence file: {why}"),
            Self::Empty => f.write_str("the evidence file lists an epoch without proof, or none"),
            Self::Order => f.write_str("the proofs do not rise by epoch, author and round"),
            Self::Ends { found, epoch } => write!(
                f,
                "the committee of epoch {epoch} follows from the ends of {epoch} epochs, but there are {found}"
            ),
        }
    }
}

impl std::error::Error for EvidenceFileError {}

/// Why a file does not prove what it claims.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum EvidenceFault {
    /// It is about another network than the committee, or the committee is not that of the network's first epoch.
    Network {
        /// Chain id of the first epoch by the file.
        found: Digest,
        /// The committee's.
        expected: Digest,
    },
    /// How this epoch ended cannot be read.
    MalformedEnd {
        /// The epoch.
        epoch: u64,
        /// What is wrong with the bytes.
        why: DecodeError,
    },
    /// The end of this epoch is not certified by its committee, so that no later committee is known.
    End {
        /// The epoch.
        epoch: u64,
    },
    /// The accused is no member of the epoch's committee.
    Author {
        /// The epoch.
        epoch: u64,
        /// The accused.
        author: ValidatorIndex,
    },
    /// The two signed headers of this slot are equal, out of order or not both signed by its author in this epoch.
    Proof {
        /// The epoch.
        epoch: u64,
        /// The slot.
        slot: Slot,
    },
}

impl fmt::Display for EvidenceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network { found, expected } => write!(
                f,
                "the file is about network {found}, the committee is that of network {expected}: \
                 take the committee.toml with which that network began"
            ),
            Self::MalformedEnd { epoch, why } => {
                write!(f, "the end of epoch {epoch} cannot be read: {why}")
            }
            Self::End { epoch } => write!(
                f,
                "the end of epoch {epoch} is not certified by its committee; \
                 nothing about later epochs is proved"
            ),
            Self::Author { epoch, author } => write!(
                f,
                "validator {author} is no member of the committee of epoch {epoch}"
            ),
            Self::Proof { epoch, slot } => write!(
                f,
                "the proof against validator {} in round {} of epoch {epoch} does not hold",
                slot.author, slot.round
            ),
        }
    }
}

impl std::error::Error for EvidenceFault {}
