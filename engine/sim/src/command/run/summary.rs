//! What many seeds came to: as JSON and as a table.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use hdrhistogram::Histogram;
use probity_core::testing::marks::{Mark, MarkSet};
use probity_sim::START;
use probity_sim::amplification::Amplification;
use probity_sim::run::Report;
use serde::Serialize;

use crate::command::Verdict;

/// Sums over seeds, in any order.
pub(super) struct Totals {
    seeds: u64,
    validator_us: u64,
    /// Time that the worlds took, summed; stands in for processor time where the system does not tell it.
    took: Duration,
    commits: u64,
    frames: u64,
    faults: BTreeMap<&'static str, u64>,
    sins: BTreeMap<String, u64>,
    recovery_us: Histogram<u64>,
    recovered_promptly: u64,
    amplification: Worst,
    marks: MarkSet,
    broken: Vec<BrokenSeed>,
}

/// The longest time that the histogram tells apart.
const HOUR_US: u64 = 3_600_000_000;

impl Default for Totals {
    fn default() -> Self {
        Self {
            seeds: 0,
            validator_us: 0,
            took: Duration::ZERO,
            commits: 0,
            frames: 0,
            faults: BTreeMap::new(),
            sins: BTreeMap::new(),
            recovery_us: Histogram::new_with_bounds(1, HOUR_US, 3)
                .expect("the bounds are possible"),
            recovered_promptly: 0,
            amplification: Worst::default(),
            marks: MarkSet::default(),
            broken: Vec::new(),
        }
    }
}

impl Totals {
    /// With one more seed.
    pub(super) fn with(mut self, report: &Report, broken: Option<BrokenSeed>) -> Self {
        self.seeds += 1;
        self.validator_us += report.virtual_us * report.plan.validators() as u64;
        self.took += report.took;
        self.commits += report.commits;
        self.frames += report.frames;
        for (kind, count) in &report.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        for sinner in &report.plan.sinners {
            *self.sins.entry(sinner.sin.clone()).or_default() += 1;
        }
        for took_us in &report.recovery_us {
            self.recovery_us.saturating_record(*took_us);
        }
        self.recovered_promptly += report.recovered_promptly;
        let (found, seed) = (report.amplification, report.plan.seed);
        self.amplification = self.amplification.merged(Worst { found, seed });
        self.marks = self.marks.union(report.marks);
        self.broken.extend(broken);
        self
    }

    /// Of two groups of seeds together.
    pub(super) fn merged(mut self, other: Self) -> Self {
        self.seeds += other.seeds;
        self.validator_us += other.validator_us;
        self.took += other.took;
        self.commits += other.commits;
        self.frames += other.frames;
        for (kind, count) in other.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        for (sin, count) in other.sins {
            *self.sins.entry(sin).or_default() += count;
        }
        let sum = self.recovery_us.add(&other.recovery_us);
        sum.expect("histograms of the same range add up");
        self.recovered_promptly += other.recovered_promptly;
        self.amplification = self.amplification.merged(other.amplification);
        self.marks = self.marks.union(other.marks);
        self.broken.extend(other.broken);
        self
    }
}

/// The highest amplification, and the seed that came to it.
#[derive(Clone, Copy, Default)]
struct Worst {
    found: Amplification,
    seed: u64,
}

impl Worst {
    fn merged(self, other: Self) -> Self {
        let (one, two) = (self.found.exact, other.found.exact);
        let first = one > two || (one == two && self.seed <= other.seed);
        Self {
            found: self.found.merged(other.found),
            seed: if first { self.seed } else { other.seed },
        }
    }
}

/// A seed with a broken promise.
#[derive(Serialize, Clone, Debug)]
pub(super) struct BrokenSeed {
    seed: u64,
    promise: String,
    at_ms: u64,
    validator: Option<u16>,
    how: String,
    replay: String,
}

impl BrokenSeed {
    /// What a report says of a broken promise, if one was.
    pub(super) fn of(report: &Report, replay: String) -> Option<Self> {
        let violation = report.violation.as_ref()?;
        Some(Self {
            seed: report.plan.seed,
            promise: violation.promise.clone(),
            at_ms: violation.at.since_us(START) / 1_000,
            validator: violation.validator.map(|validator| validator.0),
            how: violation.how.clone(),
            replay,
        })
    }
}

impl fmt::Display for BrokenSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} breaks: {}", self.seed, self.promise)?;
        write!(f, "  at {} ms", self.at_ms)?;
        if let Some(validator) = self.validator {
            write!(f, ", validator {validator}")?;
        }
        writeln!(f, ": {}", self.how)?;
        write!(f, "  {}", self.replay)
    }
}

/// Every figure of a run of seeds. The names are those of the JSON object.
#[derive(Serialize, Clone, Debug)]
pub(super) struct Summary {
    scenario: String,
    first_seed: u64,
    seeds: u64,
    crypto: String,
    virtual_validator_hours: f64,
    cpu_hours: f64,
    validator_hours_per_cpu_hour: f64,
    wall_s: f64,
    commits: u64,
    frames: u64,
    /// How often each kind of fault struck.
    faults: BTreeMap<&'static str, u64>,
    /// How many validators committed each sin.
    sins: BTreeMap<String, u64>,
    recovery_ms: RecoveryMs,
    amplification: AmplificationFigures,
    /// Interesting paths of the core that some seed has taken, of how many there are.
    marks_hit: usize,
    marks: usize,
    /// Those that none has taken.
    marks_never_hit: Vec<&'static str>,
    violations: Vec<BrokenSeed>,
}

/// From the end of all faults to the first new transaction committed, over all correct validators.
#[derive(Serialize, Clone, Copy, Debug)]
struct RecoveryMs {
    validators: u64,
    /// Those that took two leader timeouts and six delays at most.
    prompt: u64,
    p50: f64,
    p99: f64,
    max: f64,
}

/// By which factor sinners came to weigh more than their share of the stake (R30).
#[derive(Serialize, Clone, Copy, Debug)]
struct AmplificationFigures {
    /// Epochs after the first in which somebody sinned.
    epochs: u64,
    /// The worst factor; at most ten ninths, but for the next one's rounding.
    worst: f64,
    /// The worst one of weights as they are, in whole numbers.
    worst_rounded: f64,
    /// The seed of the worst.
    seed: u64,
}

impl Summary {
    /// Of sums, and the time they took.
    pub(super) fn of(mut totals: Totals, wall: Duration, cpu: Duration) -> Self {
        totals.broken.sort_by_key(|broken| broken.seed);
        let cpu = if cpu.is_zero() { totals.took } else { cpu };
        let virtual_validator_hours = totals.validator_us as f64 / 3.6e9;
        let cpu_hours = cpu.as_secs_f64() / 3_600.0;
        let recovery = &totals.recovery_us;
        let ms = |us: u64| us as f64 / 1e3;
        Self {
            scenario: String::new(),
            first_seed: 0,
            seeds: totals.seeds,
            crypto: String::new(),
            virtual_validator_hours,
            cpu_hours,
            validator_hours_per_cpu_hour: virtual_validator_hours / cpu_hours.max(1e-9),
            wall_s: wall.as_secs_f64(),
            commits: totals.commits,
            frames: totals.frames,
            recovery_ms: RecoveryMs {
                validators: recovery.len(),
                prompt: totals.recovered_promptly,
                p50: ms(recovery.value_at_quantile(0.5)),
                p99: ms(recovery.value_at_quantile(0.99)),
                max: ms(recovery.max()),
            },
            amplification: AmplificationFigures {
                epochs: totals.amplification.found.epochs,
                worst: totals.amplification.found.exact,
                worst_rounded: totals.amplification.found.weight,
                seed: totals.amplification.seed,
            },
            marks_hit: totals.marks.len(),
            marks: Mark::ALL.len(),
            marks_never_hit: totals.marks.missing().map(Mark::name).collect(),
            faults: totals.faults,
            sins: totals.sins,
            violations: totals.broken,
        }
    }

    /// With what was asked for.
    pub(super) fn about(mut self, seeds: &Range<u64>, scenario: &str, crypto: &str) -> Self {
        self.first_seed = seeds.start;
        self.scenario = scenario.to_owned();
        self.crypto = crypto.to_owned();
        self
    }

    /// Whether every seed kept every promise.
    pub(super) fn verdict(&self) -> Verdict {
        if self.violations.is_empty() {
            Verdict::Kept
        } else {
            Verdict::Broken
        }
    }
}

impl fmt::Display for RecoveryMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50, p99, max, .. } = self;
        write!(f, "p50 {p50:.0}  p99 {p99:.0}  max {max:.0} ms")?;
        let share = 100.0 * self.prompt as f64 / self.validators.max(1) as f64;
        write!(f, "; {share:.1} % within 2 timeouts and 6 delays")
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: String| writeln!(f, "  {name:<12} {value}");
        let (first, seeds) = (self.first_seed, self.seeds);
        row("seeds", format!("{seeds} from {first}, {}", self.scenario))?;
        row("crypto", self.crypto.clone())?;
        let (hours, ratio) = (
            self.virtual_validator_hours,
            self.validator_hours_per_cpu_hour,
        );
        row(
            "time",
            format!(
                "{hours:.2} virtual validator-hours, {ratio:.0} per CPU-hour, {:.1} s",
                self.wall_s
            ),
        )?;
        row(
            "commits",
            format!("{}, {} frames", self.commits, self.frames),
        )?;
        row("faults", counts(&self.faults))?;
        row("sins", counts(&self.sins))?;
        row("recovery", self.recovery_ms.to_string())?;
        let AmplificationFigures {
            epochs,
            worst,
            worst_rounded,
            seed,
        } = self.amplification;
        if epochs > 0 {
            row(
                "weight",
                format!(
                    "sinners weigh at most {worst:.4} x their share of the stake (bound 1.1111; seed {seed}), rounded {worst_rounded:.4} x; {epochs} epochs"
                ),
            )?;
        }
        let (hit, all) = (self.marks_hit, self.marks);
        let never = self.marks_never_hit.join("  ");
        row("marks", format!("{hit} of {all} hit; never: {never}"))?;
        row(
            "broken",
            format!("{} of {seeds} seeds", self.violations.len()),
        )?;
        for broken in &self.violations {
            writeln!(f, "{broken}")?;
        }
        Ok(())
    }
}

fn counts<K: fmt::Display>(of: &BTreeMap<K, u64>) -> String {
    let words: Vec<String> = of
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    if words.is_empty() {
        return "none".to_owned();
    }
    words.join("  ")
}
