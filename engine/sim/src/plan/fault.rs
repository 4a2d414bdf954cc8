//! What goes wrong in a run, and when.

use serde::{Deserialize, Serialize};

/// One thing that goes wrong, from `at_ms` on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fault {
    /// When it begins.
    pub at_ms: u64,
    /// How long it lasts.
    pub for_ms: u64,
    /// What it is.
    #[serde(flatten)]
    pub kind: FaultKind,
}

/// What goes wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "kebab-case")]
pub enum FaultKind {
    /// The process dies and starts again from its disk.
    Crash {
        /// Whose.
        validator: u16,
    },
    /// The process dies the next time it comes to this point of making an own block.
    CrashAt {
        /// Whose.
        validator: u16,
        /// Where.
        boundary: Boundary,
    },
    /// Every process dies at once.
    PowerLoss,
    /// The process stands still, and then does everything at once.
    Pause {
        /// Whose.
        validator: u16,
    },
    /// Everything takes longer at one validator.
    Slow {
        /// Which one.
        validator: u16,
        /// By how much, each way.
        extra_us: u64,
    },
    /// The wall clock jumps.
    ClockJump {
        /// Whose.
        validator: u16,
        /// How far.
        by_ms: i64,
    },
    /// The next write fails, which stops the process.
    WriteError {
        /// Whose.
        validator: u16,
    },
    /// Frames go one way only.
    OneWay {
        /// From whom none arrives.
        from: u16,
        /// At whom.
        to: u16,
    },
    /// Two groups that do not hear each other; the transport notices and reports the links down.
    Split {
        /// One of them.
        left: Vec<u16>,
    },
    /// Two groups that do not hear each other, on links that look up.
    SilentSplit {
        /// One of them.
        left: Vec<u16>,
    },
    /// Everybody hears only the neighbours in a ring.
    Ring,
    /// A split that comes and goes.
    Flap {
        /// One of the groups.
        left: Vec<u16>,
        /// How long each half of a turn lasts.
        period_ms: u64,
    },
    /// Somebody else signs with its key, in a round that it has come to; it is shown the block (R37).
    StolenKey {
        /// Whose.
        validator: u16,
    },
    /// A network on which every frame is lost with this chance.
    Storm {
        /// In parts of a million.
        loss_ppm: u64,
    },
}

impl FaultKind {
    /// The validators it names.
    #[must_use]
    pub fn validators(&self) -> Vec<u16> {
        match self {
            Self::Crash { validator }
            | Self::CrashAt { validator, .. }
            | Self::Pause { validator }
            | Self::Slow { validator, .. }
            | Self::ClockJump { validator, .. }
            | Self::StolenKey { validator }
            | Self::WriteError { validator } => vec![*validator],
            Self::OneWay { from, to } => vec![*from, *to],
            Self::Split { left } | Self::SilentSplit { left } | Self::Flap { left, .. } => {
                left.clone()
            }
            Self::PowerLoss | Self::Ring | Self::Storm { .. } => Vec::new(),
        }
    }

    /// A short name, for counts and marks.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Crash { .. } => "crash",
            Self::CrashAt { .. } => "crash-at",
            Self::PowerLoss => "power-loss",
            Self::Pause { .. } => "pause",
            Self::Slow { .. } => "slow",
            Self::ClockJump { .. } => "clock-jump",
            Self::WriteError { .. } => "write-error",
            Self::OneWay { .. } => "one-way",
            Self::Split { .. } => "split",
            Self::SilentSplit { .. } => "silent-split",
            Self::Ring => "ring",
            Self::Flap { .. } => "flap",
            Self::StolenKey { .. } => "stolen-key",
            Self::Storm { .. } => "storm",
        }
    }
}

/// A point between an own block's header and its arrival elsewhere (R11).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Boundary {
    /// The header was made; nothing is written.
    BeforePersist,
    /// The header is durable; nobody knows yet.
    AfterPersist,
    /// The signer is about to be asked.
    BeforeSign,
    /// Signed; nothing is sent.
    BeforeSend,
    /// Sent to some.
    AmidSend,
    /// Sent to all.
    AfterSend,
}

impl Boundary {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::BeforePersist,
        Self::AfterPersist,
        Self::BeforeSign,
        Self::BeforeSend,
        Self::AmidSend,
        Self::AfterSend,
    ];
}
