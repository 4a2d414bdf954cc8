//! What may happen to a replica, where a method's plain arguments do not say it.

use crate::id::ValidatorIndex;
use crate::verify::VerifiedBlock;

/// A verified block with how it came here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// The validator whose link it came over.
    pub from: ValidatorIndex,
    /// The block. Whether it was asked for, the replica knows itself.
    pub block: VerifiedBlock,
}

/// Whether a validator can be reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Link {
    /// Messages arrive.
    Up,
    /// They do not.
    Down,
}

/// Whether transactions wait for the next own block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pending {
    /// None: rounds may idle (R9).
    None,
    /// Some: the next round starts as soon as the rules allow.
    Some,
}

/// Whether the application keeps up with the commits that it is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Intake {
    /// It does.
    Open,
    /// It lags: who catches up fetches and installs nothing more for now (R35).
    Closed,
}
