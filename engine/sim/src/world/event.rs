//! What is going to happen in a world, and in which order.

use std::cmp::Ordering;

use bytes::Bytes;
use probity_core::{PayloadRoom, Round, Time, ValidatorIndex};

/// Something that is going to happen.
pub(crate) enum Event {
    Frame {
        from: ValidatorIndex,
        to: usize,
        life: u32,
        frame: Bytes,
    },
    /// A sinner's frame leaves.
    Leave {
        from: usize,
        to: ValidatorIndex,
        frame: Bytes,
    },
    Written {
        process: usize,
        life: u32,
    },
    Tick {
        process: usize,
        life: u32,
    },
    Wake {
        process: usize,
    },
    Client {
        process: usize,
    },
    /// The operator of a validator asks for a change of the plan.
    Change {
        process: usize,
        at: usize,
    },
    /// Who is no member asks how epochs have ended.
    Follow {
        process: usize,
    },
    /// The shell has chosen a payload.
    Proposal {
        process: usize,
        life: u32,
        round: Round,
        room: PayloadRoom,
    },
    FaultBegins(usize),
    FaultEnds(usize),
    FlapTurns {
        fault: usize,
        apart: bool,
    },
    Restart {
        process: usize,
        life: u32,
    },
    /// A pause may be over.
    Resume {
        process: usize,
    },
    /// The transport notices what changed.
    Links,
    Heal,
}

impl Event {
    /// The process that it would reach, unless that is paused.
    pub(super) fn process(&self) -> Option<usize> {
        match self {
            Self::Frame { to, .. } => Some(*to),
            Self::Leave { from, .. } => Some(*from),
            Self::Written { process, .. }
            | Self::Tick { process, .. }
            | Self::Wake { process }
            | Self::Client { process }
            | Self::Change { process, .. }
            | Self::Follow { process }
            | Self::Proposal { process, .. }
            | Self::Restart { process, .. } => Some(*process),
            Self::Resume { .. }
            | Self::FaultBegins(_)
            | Self::FaultEnds(_)
            | Self::FlapTurns { .. }
            | Self::Links
            | Self::Heal => None,
        }
    }
}

/// An event and its time; those of one time happen in the order in which they were asked for.
pub(super) struct Scheduled {
    pub(super) at: Time,
    pub(super) order: u64,
    pub(super) event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    /// The heap gives the greatest first, so the earliest is the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}
