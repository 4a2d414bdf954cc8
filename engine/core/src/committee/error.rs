//! Why a committee is refused, and in which words.

use std::fmt;

use crate::epoch::RosterError;
use crate::limits::{GC_DEPTH_ROUNDS_MAX, REPUTATION_ROUNDS_MAX, VALIDATORS_MAX};
use crate::thresholds::ThresholdError;

/// Why a committee is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CommitteeError {
    /// No validator, or more than 256.
    Size {
        /// How many were given.
        validators: usize,
    },
    /// A validator would weigh nothing.
    ZeroWeight {
        /// Its index.
        index: usize,
    },
    /// The weights do not fit 64 bits.
    WeightOverflow,
    /// Two validators have one key.
    DuplicateKey {
        /// The lower index.
        first: usize,
        /// The higher index.
        second: usize,
    },
    /// `gc_depth` is out of range.
    GcDepth {
        /// The depth given.
        rounds: u32,
        /// The least depth for this commit rule.
        least: u32,
    },
    /// A window of the scores is empty or too long.
    ReputationWindow,
    /// The stakes make no roster.
    Roster(RosterError),
    /// The weights do not carry the fault bounds.
    Thresholds(ThresholdError),
}

impl fmt::Display for CommitteeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size { validators } => {
                write!(
                    f,
                    "{validators} validators with stake; allowed: 1 to {VALIDATORS_MAX}"
                )
            }
            Self::ZeroWeight { index } => {
                write!(
                    f,
                    "validator {index} would have weight 0; raise its stake or leave it out"
                )
            }
            Self::WeightOverflow => f.write_str("the weights add up to more than 64 bits hold"),
            Self::DuplicateKey { first, second } => {
                write!(f, "validators {first} and {second} have the same key")
            }
            Self::GcDepth { rounds, least } => {
                write!(
                    f,
                    "gc_depth {rounds}; allowed: {least} to {GC_DEPTH_ROUNDS_MAX} rounds"
                )
            }
            Self::ReputationWindow => write!(
                f,
                "the windows of the scores may have 1 to {REPUTATION_ROUNDS_MAX} rounds"
            ),
            Self::Roster(why) => why.fmt(f),
            Self::Thresholds(why) => why.fmt(f),
        }
    }
}

impl std::error::Error for CommitteeError {}
