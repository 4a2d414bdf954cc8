//! Everything a run does, as data: drawn from a seed, or written down, shrunk and replayed.
//!
//! A [`Plan`] and the code decide a run completely. A regression file is a plan in TOML.

use probity_core::{Committee, Tally, ValidatorIndex};
use serde::{Deserialize, Serialize};

mod committee;
mod draw;
mod fault;
mod file;

pub use committee::{ChangePlan, CommitteePlan, EpochsPlan, ScoresPlan, Signatures};
pub use draw::{DrawError, Draws, FAULTY_MS, REFERENCE_EVERY};
pub use fault::{Boundary, Fault, FaultKind};
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
