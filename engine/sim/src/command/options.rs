//! Options that several commands share, and which values are possible.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use probity_core::Profile;
use probity_core::limits::VALIDATORS_MAX;
use probity_sim::plan::{Draws, FAULTY_MS, Plan, REFERENCE_EVERY, Signatures};
use probity_sim::scenario::{self, SCENARIOS, Scenario};

use super::Failure;

/// How a seed becomes a plan.
#[derive(Args, Clone, Debug)]
pub(crate) struct DrawOptions {
    /// What the runs are about; a wrong name lists them all.
    #[arg(long, value_name = "S", default_value = SCENARIOS[0].name, value_parser = scenario)]
    scenario: &'static Scenario,
    /// How many validators; by default 4 to 7, drawn.
    #[arg(long, value_name = "N", value_parser = validators)]
    validators: Option<usize>,
    /// Their weights, in place of a number and a draw.
    #[arg(
        long,
        value_name = "W,W,…",
        value_delimiter = ',',
        conflicts_with = "validators"
    )]
    weights: Option<Vec<u64>>,
    /// Which faults are tolerated: dual30, classic33, dual25, dual20c or fast20; by default drawn.
    #[arg(long, value_name = "P", value_parser = profile)]
    profile: Option<Profile>,
    /// Byzantine weight tolerated, in place of the profile's.
    #[arg(long, value_name = "F")]
    byzantine: Option<u64>,
    /// How long faults and sins go on, in virtual seconds.
    #[arg(long, value_name = "S", default_value_t = FAULTY_MS / 1_000, value_parser = seconds)]
    seconds: u64,
    /// Epochs end after so many seconds of commit time; by default as the scenario says.
    #[arg(long, value_name = "S", value_parser = seconds)]
    epoch_seconds: Option<u64>,
    /// Sign with Ed25519 and not with a hash.
    #[arg(long)]
    real_signatures: bool,
    /// One seed in N has every decision repeated by the slow reference committer; 0 for none.
    #[arg(long, value_name = "N", default_value_t = REFERENCE_EVERY)]
    reference_every: u64,
}

impl DrawOptions {
    /// What a seed and these options become.
    pub(crate) fn draws(&self) -> Draws {
        Draws {
            validators: self.validators,
            weights: self.weights.clone(),
            profile: self.profile,
            byzantine: self.byzantine,
            scenario: self.scenario,
            signatures: signatures(self.real_signatures),
            faulty_ms: self.seconds * 1_000,
            epoch_ms: self.epoch_seconds.map(|seconds| seconds * 1_000),
            reference_every: self.reference_every,
        }
    }

    /// The command that runs a seed again.
    pub(crate) fn replay(&self, seed: u64) -> String {
        let mut line = format!("probity-sim replay --seed {seed}");
        let mut add = |word: String| write!(line, " {word}").expect("a string grows");
        add(format!("--scenario {}", self.scenario.name));
        if let Some(validators) = self.validators {
            add(format!("--validators {validators}"));
        }
        if let Some(weights) = &self.weights {
            let weights: Vec<String> = weights.iter().map(u64::to_string).collect();
            add(format!("--weights {}", weights.join(",")));
        }
        if let Some(profile) = self.profile {
            add(format!("--profile {profile}"));
        }
        if let Some(byzantine) = self.byzantine {
            add(format!("--byzantine {byzantine}"));
        }
        if self.seconds * 1_000 != FAULTY_MS {
            add(format!("--seconds {}", self.seconds));
        }
        if let Some(seconds) = self.epoch_seconds {
            add(format!("--epoch-seconds {seconds}"));
        }
        if self.real_signatures {
            add("--real-signatures".to_owned());
        }
        if self.reference_every != REFERENCE_EVERY {
            add(format!("--reference-every {}", self.reference_every));
        }
        line
    }
}

/// One plan: of a seed, or of a file.
#[derive(Args, Clone, Debug)]
pub(crate) struct PlanOptions {
    /// The seed.
    #[arg(long, value_name = "N", required_unless_present = "plan", value_parser = seed)]
    seed: Option<u64>,
    /// A plan written down, in place of a seed.
    #[arg(long, value_name = "FILE.toml", conflicts_with = "seed")]
    plan: Option<PathBuf>,
    #[command(flatten)]
    draws: DrawOptions,
}

impl PlanOptions {
    /// The plan that was asked for.
    pub(crate) fn plan(&self) -> Result<Plan, Failure> {
        match (&self.plan, self.seed) {
            (Some(path), _) => Plan::read(path).map_err(Failure::usage),
            (None, seed) => {
                let seed = seed.unwrap_or_default();
                self.draws.draws().plan(seed).map_err(Failure::usage)
            }
        }
    }
}

/// What signs, by a flag.
pub(crate) fn signatures(real: bool) -> Signatures {
    if real {
        Signatures::Ed25519
    } else {
        Signatures::StandIn
    }
}

/// `0..2000`, without the last.
pub(crate) fn seeds(text: &str) -> Result<Range<u64>, String> {
    let range: Range<u64> = range(text)?;
    if range.end > SEED_MAX {
        return Err(format!("allowed: seeds up to {SEED_MAX}"));
    }
    Ok(range)
}

/// `10..20`, without the last.
pub(crate) fn rounds(text: &str) -> Result<Range<u32>, String> {
    let range: Range<u32> = range(text)?;
    if range.end - range.start > ROUNDS_MAX {
        return Err(format!("allowed: at most {ROUNDS_MAX} rounds"));
    }
    Ok(range)
}

/// A file holds numbers up to here.
const SEED_MAX: u64 = i64::MAX as u64;
/// Rounds that somebody might still look at.
const ROUNDS_MAX: u32 = 1_000;
const SECONDS_ALLOWED: std::ops::RangeInclusive<u64> = 1..=86_400;

fn range<T: FromStr + PartialOrd>(text: &str) -> Result<Range<T>, String> {
    let ends = text.split_once("..");
    let ends = ends.and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    let (from, to): (T, T) = ends.ok_or("expected FIRST..END, for example 0..2000")?;
    if to <= from {
        return Err("the range ends before it starts; END itself does not belong to it".to_owned());
    }
    Ok(from..to)
}

pub(crate) fn seed(text: &str) -> Result<u64, String> {
    within(text, &(0..=SEED_MAX))
}

pub(crate) fn validators(text: &str) -> Result<usize, String> {
    within(text, &(1..=VALIDATORS_MAX))
}

pub(crate) fn seconds(text: &str) -> Result<u64, String> {
    within(text, &SECONDS_ALLOWED)
}

pub(crate) fn profile(text: &str) -> Result<Profile, String> {
    let known: Vec<&str> = Profile::ALL.into_iter().map(Profile::name).collect();
    let profile = text.parse();
    profile.map_err(|_| {
        format!(
            "profile {text:?} is unknown; there are: {}",
            known.join(", ")
        )
    })
}

fn scenario(text: &str) -> Result<&'static Scenario, String> {
    let known = || scenario::names().join(", ");
    scenario::named(text)
        .ok_or_else(|| format!("scenario {text:?} is unknown; there are: {}", known()))
}

/// Parses a number and checks its range.
pub(crate) fn within<T>(text: &str, allowed: &std::ops::RangeInclusive<T>) -> Result<T, String>
where
    T: FromStr + PartialOrd + std::fmt::Display,
{
    let value = text.parse().ok().filter(|value| allowed.contains(value));
    value.ok_or_else(|| format!("allowed: {} to {}", allowed.start(), allowed.end()))
}
