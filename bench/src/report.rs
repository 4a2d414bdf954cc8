//! What a run has measured: as JSON and as a table.

use std::fmt;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::machine::Machine;
use crate::reader::Decisions;

/// Every figure of one run. The names are those of the JSON object.
#[derive(Serialize, Clone, Debug)]
pub(crate) struct Report {
    pub(crate) validators: usize,
    pub(crate) profile: String,
    pub(crate) transactions: String,
    pub(crate) size_bytes: usize,
    pub(crate) transport: String,
    pub(crate) storage: String,
    pub(crate) crypto_backend: String,
    /// How long the load lasted.
    pub(crate) duration_s: f64,
    /// What fell due; when saturating, what was accepted.
    pub(crate) offered_tx_per_s: f64,
    /// Delivered while the load lasted, each transaction counted once, where it was submitted.
    pub(crate) committed_tx_per_s: f64,
    pub(crate) latency_ms: LatencyMs,
    /// Commits while the load lasted.
    pub(crate) commits: u64,
    pub(crate) rounds_per_s: f64,
    /// Changes from one epoch to the next while the load lasted.
    pub(crate) epoch_changes: u64,
    /// The longest pause between two commits of one epoch, at any validator.
    pub(crate) gap_ms_max: f64,
    /// The longest pause between the last commit of an epoch and the first of the next.
    pub(crate) change_gap_ms_max: f64,
    /// Of validator 0, over the whole run.
    pub(crate) decisions: DecisionCounts,
    /// Processor time of the whole process while the load lasted, validators and clients together.
    pub(crate) cpu_us_per_tx: f64,
    /// Greatest anonymous memory of the process, transactions signed in advance included.
    pub(crate) rss_bytes_max: u64,
    /// Anonymous memory at the end less that after signing, divided by the validators.
    pub(crate) rss_bytes_per_validator: u64,
    /// What all storages hold at the end.
    pub(crate) stored_bytes: u64,
    pub(crate) sequences_identical: bool,
    pub(crate) machine: Machine,
}

/// Latency from due to delivered at the validator that took the transaction.
#[derive(Serialize, Clone, Copy, PartialEq, Debug)]
pub(crate) struct LatencyMs {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl LatencyMs {
    /// Of a histogram of microseconds; zeros when it is empty.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        Self {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max: histogram.max() as f64 / 1e3,
        }
    }
}

/// Slots by the rule that decided them.
#[derive(Serialize, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct DecisionCounts {
    fast: u64,
    slow: u64,
    indirect: u64,
    skipped: u64,
}

impl From<Decisions> for DecisionCounts {
    fn from(decisions: Decisions) -> Self {
        let Decisions {
            fast,
            slow,
            indirect,
            skipped,
        } = decisions;
        Self {
            fast,
            slow,
            indirect,
            skipped,
        }
    }
}

impl Report {
    /// How long nothing was committed, within an epoch and at its end.
    fn gaps(&self) -> String {
        let (gap_ms, change_gap_ms) = (self.gap_ms_max, self.change_gap_ms_max);
        let within = format!("{gap_ms:.1} ms between commits of one epoch");
        match self.epoch_changes {
            0 => within,
            1 => format!("{within}, {change_gap_ms:.1} ms at the epoch change"),
            changes => format!("{within}, {change_gap_ms:.1} ms at {changes} epoch changes"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            validators,
            profile,
            transactions,
            size_bytes,
            transport,
            storage,
            ..
        } = self;
        let LatencyMs { p50, p90, p99, max } = self.latency_ms;
        let DecisionCounts {
            fast,
            slow,
            indirect,
            skipped,
        } = self.decisions;
        let Machine { cores, cpu, os } = &self.machine;
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let mut row = |name: &str, value: String| writeln!(f, "  {name:<16} {value}");
        row(
            "validators",
            format!("{validators}, {profile}, {transport}, {storage}"),
        )?;
        row(
            "transactions",
            format!("{transactions}, {size_bytes} bytes each"),
        )?;
        row(
            "machine",
            format!("{cores} cores, {cpu}, {os}, curve {}", self.crypto_backend),
        )?;
        row(
            "load",
            format!(
                "{:.0} tx/s for {:.1} s",
                self.offered_tx_per_s, self.duration_s
            ),
        )?;
        row("committed", format!("{:.0} tx/s", self.committed_tx_per_s))?;
        let latency = format!("p50 {p50:.1}  p90 {p90:.1}  p99 {p99:.1}  max {max:.1} ms");
        row("latency", latency)?;
        row(
            "commits",
            format!("{}, {:.1} rounds/s", self.commits, self.rounds_per_s),
        )?;
        row("longest gap", self.gaps())?;
        let decisions = format!("fast {fast}  slow {slow}  indirect {indirect}  skipped {skipped}");
        row("decisions", decisions)?;
        row(
            "processor",
            format!("{:.1} us per transaction", self.cpu_us_per_tx),
        )?;
        let per_validator = mib(self.rss_bytes_per_validator);
        let memory = format!(
            "{per_validator:.0} MiB each, {:.0} MiB at most in all",
            mib(self.rss_bytes_max)
        );
        row("memory", memory)?;
        row(
            "stored",
            format!("{:.0} MiB in all", mib(self.stored_bytes)),
        )?;
        let sequences = if self.sequences_identical {
            "identical"
        } else {
            "DIFFERENT"
        };
        row("sequences", sequences.to_owned())
    }
}
