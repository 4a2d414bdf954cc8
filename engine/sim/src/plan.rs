//! Everything a run does, as data: drawn from a seed, or written down, shrunk and replayed.
//!
//! A [`Plan`] and the code decide a run completely. A regression file is a plan in TOML.

use bytes::Bytes;
use probity_core::crypto::Digest;
use probity_core::testing;
use probity_core::{
    Change, Committee, CommitteeConfig, EpochRule, EpochTerms, FaultBounds, Member, Mode, Profile,
    ReputationParams, Tally, TransactionCheck, ValidatorIndex, VotedChanges,
};
use serde::{Deserialize, Serialize};

mod draw;
mod file;

pub use draw::{DrawError, Draws, FAULTY_MS, REFERENCE_EVERY};
pub use file::PlanFileError;

/// A whole run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Seeds every chance that the plan leaves open: delays, losses, what a sin does when.
    pub seed: u64,
    /// The scenario it was drawn for.
    pub scenario: String,
    /// How long faults and sins go on, in virtual milliseconds; then everything heals.
    pub faulty_ms: u64,
    /// Byzantine weight may exceed `f`: the checkers are expected to see it.
    #[serde(default)]
    pub over_the_limit: bool,
    /// The slow reference committer repeats every decision.
    #[serde(default)]
    pub reference: bool,
    /// Who hears whom, by the sender's round from 1 on: bit `p` puts process `p` on the right side ([`crate::twins`]).
    #[serde(default)]
    pub script: Vec<u32>,
    /// Who decides.
    pub committee: CommitteePlan,
    /// How frames travel.
    pub network: NetworkPlan,
    /// How long writes take.
    pub disk: DiskPlan,
    /// What is submitted.
    pub clients: ClientPlan,
    /// When epochs end, and what changes then.
    #[serde(default, skip_serializing_if = "EpochsPlan::is_empty")]
    pub epochs: EpochsPlan,
    /// Who breaks the rules, and how.
    #[serde(default)]
    pub sinners: Vec<Sinner>,
    /// What goes wrong, when.
    #[serde(default)]
    pub faults: Vec<Fault>,
}

/// A committee and its pace.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommitteePlan {
    /// One weight a validator.
    pub weights: Vec<u64>,
    /// A profile's name; its bounds are scaled to the total weight.
    pub profile: String,
    /// Byzantine weight tolerated, in place of the profile's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub byzantine: Option<u64>,
    /// Rounds below the last leader that can still be ordered.
    pub gc_depth: u32,
    /// Windows of the scores; those of the protocol unless it says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scores: Option<ScoresPlan>,
    /// The only ones that lead, from the start and whatever the scores say: a yardstick for what scores find.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaders: Option<Vec<u16>>,
    /// Real Ed25519, or a stand-in that costs a hash.
    pub signatures: Signatures,
    /// Shortest time between two own blocks.
    pub min_round_delay_us: u64,
    /// Longest wait while nothing is pending.
    pub idle_round_delay_us: u64,
    /// By validator: how far its wall clock is off, in milliseconds.
    #[serde(default)]
    pub clock_skew_ms: Vec<i64>,
}

/// Short windows, so that a short run sees many schedules (R27, R29).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoresPlan {
    /// Scored rounds in a score.
    pub score_rounds: u32,
    /// Scored rounds whose slots count.
    pub slot_rounds: u32,
    /// Leader rounds from one schedule to the next.
    pub schedule_rounds: u32,
    /// Rounds from a schedule's commit to its start.
    pub schedule_lead_rounds: u32,
}

impl ScoresPlan {
    fn params(self) -> ReputationParams {
        ReputationParams {
            score_rounds: self.score_rounds,
            slot_rounds: self.slot_rounds,
            schedule_rounds: self.schedule_rounds,
            schedule_lead_rounds: self.schedule_lead_rounds,
        }
    }
}

/// Epochs and changes of the committee (R32).
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochsPlan {
    /// Commit time after which an epoch ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length_ms: Option<u64>,
    /// What the operators of all members ask for.
    #[serde(default)]
    pub changes: Vec<ChangePlan>,
}

impl EpochsPlan {
    /// Whether there is one epoch without end.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn terms(&self) -> EpochTerms {
        if self.is_empty() {
            return EpochTerms::default();
        }
        EpochTerms {
            length_ms: self.length_ms,
            rule: VotedChanges.name().to_owned(),
        }
    }
}

/// One change that every member asks for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangePlan {
    /// When.
    pub at_ms: u64,
    /// Whose stake; with no stake named the epoch is to end.
    pub validator: u16,
    /// The new stake; zero lets the validator leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stake: Option<u64>,
}

impl ChangePlan {
    /// The change as validators ask for it.
    #[must_use]
    pub fn change(&self) -> Change {
        let key = testing::keypair(ValidatorIndex(self.validator)).public();
        match self.stake {
            None => Change::EndEpoch,
            Some(stake) => Change::Stake {
                key,
                stake,
                contact: Bytes::new(),
            },
        }
    }
}

/// What signs blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signatures {
    /// The real thing.
    Ed25519,
    /// A hash of the public key and the message; only the simulator's good manners keep it from being forged.
    StandIn,
}

/// How frames travel. Chances are in parts of a million.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkPlan {
    /// Time from sender to receiver.
    pub delay: Delay,
    /// Frames that vanish.
    #[serde(default)]
    pub loss_ppm: u64,
    /// Frames that arrive twice.
    #[serde(default)]
    pub duplicate_ppm: u64,
    /// Frames that take up to eight times as long, and so arrive after later ones.
    #[serde(default)]
    pub reorder_ppm: u64,
    /// Frames with a flipped bit. (QUIC would drop them; the verifier must cope anyway.)
    #[serde(default)]
    pub corrupt_ppm: u64,
    /// Bytes a second that one validator can send; 0 for any.
    #[serde(default)]
    pub bytes_per_second: u64,
}

/// Time from sender to receiver.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Delay {
    /// The same range between all.
    Range {
        /// At least.
        least_us: u64,
        /// At most.
        most_us: u64,
    },
    /// Validators sit in regions of the world; half the measured round trip, plus up to a tenth.
    Regions {
        /// By validator, an index into the table of regions.
        of: Vec<u8>,
    },
    /// Mostly `base_us`, sometimes twice as long, less often four times as long, and so on up to 64 times.
    HeavyTail {
        /// The shortest delay.
        base_us: u64,
        /// The chance of each doubling.
        doubling_ppm: u64,
    },
}

/// How long a synced write takes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskPlan {
    /// At least.
    pub least_us: u64,
    /// At most.
    pub most_us: u64,
}

/// What is submitted to each correct validator.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientPlan {
    /// Time between two arrivals; 0 for no clients.
    pub every_ms: u64,
    /// Transactions of one arrival.
    pub burst: u64,
    /// Bytes of each.
    pub bytes: u64,
    /// Arrivals that repeat the one before.
    #[serde(default)]
    pub duplicate_ppm: u64,
    /// Transactions above the size limit, which the validator must refuse.
    #[serde(default)]
    pub oversized_ppm: u64,
    /// How long a validator takes to choose a payload; 0 for at once.
    #[serde(default)]
    pub answer_us: u64,
    /// The validator to which all of them come, if not to every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<u16>,
}

/// A validator that breaks the rules.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sinner {
    /// Which one.
    pub validator: u16,
    /// The name of its sin.
    pub sin: String,
}

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

/// Why a plan cannot be run.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PlanError {
    /// The profile does not exist.
    #[error("profile {0:?} is unknown; allowed: dual30, classic33, dual25, dual20c, fast20")]
    Profile(String),
    /// The committee does not exist.
    #[error("impossible committee: {0}")]
    Committee(String),
    /// A validator is named that the committee does not have.
    #[error("validator {named} is named, but the committee has {validators}")]
    Validator {
        /// Which.
        named: u16,
        /// How many there are.
        validators: usize,
    },
    /// The sin does not exist.
    #[error("sin {0:?} is unknown")]
    Sin(String),
    /// Byzantine weight above `f` in a plan that is not marked so.
    #[error("Byzantine weight {weight} is above f = {bound}; mark the plan over_the_limit")]
    OverTheLimit {
        /// Of the sinners.
        weight: u64,
        /// `f`.
        bound: u64,
    },
}

impl Plan {
    /// How many validators there are.
    #[must_use]
    pub fn validators(&self) -> usize {
        self.committee.weights.len()
    }

    /// The committee of the plan.
    ///
    /// # Errors
    /// When there is no such committee, or the plan names validators or sins that do not exist.
    pub fn check(&self) -> Result<Committee, PlanError> {
        let committee = self.committee.build(&self.epochs)?;
        let validators = self.validators();
        let mut byzantine = Tally::default();
        for sinner in &self.sinners {
            if crate::adversary::named(&sinner.sin).is_none() {
                return Err(PlanError::Sin(sinner.sin.clone()));
            }
            byzantine.add(ValidatorIndex(sinner.validator), &committee);
        }
        for named in self.named_validators() {
            if usize::from(named) >= validators {
                return Err(PlanError::Validator { named, validators });
            }
        }
        for stolen in committee.indices().filter(|v| self.is_stolen(*v)) {
            byzantine.add(stolen, &committee);
        }
        let bound = committee.thresholds().byzantine;
        if byzantine.weight() > bound && !self.over_the_limit {
            let weight = byzantine.weight();
            return Err(PlanError::OverTheLimit { weight, bound });
        }
        Ok(committee)
    }

    fn named_validators(&self) -> Vec<u16> {
        let mut named: Vec<u16> = self.sinners.iter().map(|sinner| sinner.validator).collect();
        for fault in &self.faults {
            named.extend(fault.kind.validators());
        }
        if let Delay::Regions { of } = &self.network.delay
            && of.len() != self.validators()
        {
            named.push(u16::MAX);
        }
        named
    }

    /// Whether a validator follows the rules.
    #[must_use]
    pub fn is_correct(&self, validator: ValidatorIndex) -> bool {
        self.sinners
            .iter()
            .all(|sinner| sinner.validator != validator.0)
    }
}

impl Plan {
    /// Whether somebody else is going to sign with a validator's key; it counts as faulty from then on.
    #[must_use]
    pub fn is_stolen(&self, validator: ValidatorIndex) -> bool {
        let stolen = FaultKind::StolenKey {
            validator: validator.0,
        };
        self.faults.iter().any(|fault| fault.kind == stolen)
    }
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

impl CommitteePlan {
    fn build(&self, epochs: &EpochsPlan) -> Result<Committee, PlanError> {
        let profile: Profile = self
            .profile
            .parse()
            .map_err(|_| PlanError::Profile(self.profile.clone()))?;
        let total = self
            .weights
            .iter()
            .try_fold(0u64, |sum, weight| sum.checked_add(*weight))
            .ok_or_else(|| PlanError::Committee("the weights overflow".to_owned()))?;
        let member = |(weight, author): (&u64, u16)| Member {
            key: testing::keypair(ValidatorIndex(author)).public(),
            weight: *weight,
        };
        let members = self.weights.iter().zip(0..);
        let members = members.filter(|(weight, _)| **weight > 0 || epochs.is_empty());
        let mut bounds = scaled(profile.bounds(), total);
        bounds.byzantine = self.byzantine.unwrap_or(bounds.byzantine);
        let config = CommitteeConfig {
            epoch: 0,
            previous: Digest::ZERO,
            // Who has no weight at first may join later.
            members: members.map(member).collect(),
            bounds,
            gc_depth: self.gc_depth,
            reputation: self.scores.map(ScoresPlan::params).unwrap_or_default(),
            epochs: epochs.terms(),
            check: testing::VALID_CHECK.name().to_owned(),
        };
        let committee =
            Committee::new(config).map_err(|why| PlanError::Committee(why.to_string()))?;
        let committee = match self.signatures {
            Signatures::Ed25519 => committee,
            Signatures::StandIn => testing::with_stand_in_signatures(committee),
        };
        let Some(leaders) = &self.leaders else {
            return Ok(committee);
        };
        let leaders: Vec<ValidatorIndex> = leaders.iter().copied().map(ValidatorIndex).collect();
        let strange = leaders.iter().any(|l| committee.member(*l).is_none());
        if leaders.is_empty() || strange || !epochs.is_empty() {
            let why = "the leaders are none, or no members of every epoch".to_owned();
            return Err(PlanError::Committee(why));
        }
        Ok(testing::with_fixed_leaders(committee, &leaders))
    }
}

/// A profile's bounds, stated in millionths, for another total weight.
fn scaled(bounds: FaultBounds, total: u64) -> FaultBounds {
    let share = |of: u64| {
        let scaled = u128::from(of) * u128::from(total) / 1_000_000;
        u64::try_from(scaled).expect("a share of a u64")
    };
    // A third of a small weight: 3f + 1 must still fit.
    let byzantine = match bounds.mode {
        Mode::Classic => share(bounds.byzantine).min(total.saturating_sub(1) / 3),
        Mode::Graded => share(bounds.byzantine),
    };
    FaultBounds {
        byzantine,
        crashed: share(bounds.crashed),
        ..bounds
    }
}
