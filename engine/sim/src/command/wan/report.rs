//! What a measurement across a WAN came to: as JSON and as a table.

use std::fmt;

use hdrhistogram::Histogram;
use probity_sim::START;
use probity_sim::plan::Plan;
use serde::Serialize;

use super::observer::{Decisions, Measured};
use super::{RangeUs, TAIL_US, WanArguments};
use crate::command::crypto_name;

/// Every figure. The names are those of the JSON object.
#[derive(Serialize, Clone, Debug)]
pub(super) struct Report {
    validators: usize,
    crashed: usize,
    slow: usize,
    /// How leaders are chosen: by scores, or by a yardstick.
    leaders: &'static str,
    /// At most; all leaders have one unless a yardstick says otherwise.
    slots_per_round: Option<u16>,
    profile: String,
    network: String,
    mean_delay_ms: f64,
    disk_ms: [f64; 2],
    min_round_delay_ms: u64,
    crypto: String,
    seed: u64,
    seconds: u64,
    warm_up_s: f64,
    /// The schedule from which on it counted.
    after_windows: u64,
    rounds_per_s: f64,
    /// Parts of all slots output, over all validators.
    decided: Shares,
    offered_tx_per_s: f64,
    committed_tx_per_s: f64,
    /// Blocks sent while it counted that no commit held before the end.
    blocks_uncommitted: u64,
    first_leader_blocks: Latency,
    leader_blocks: Latency,
    other_blocks: Latency,
    transactions: Latency,
}

#[derive(Serialize, Clone, Copy, Debug)]
struct Shares {
    fast: f64,
    slow: f64,
    indirect: f64,
    skipped: f64,
}

#[derive(Serialize, Clone, Copy, Debug)]
struct Latency {
    count: u64,
    ms: Figures,
    /// The same in mean delays of one message.
    message_delays: Figures,
}

#[derive(Serialize, Clone, Copy, Debug)]
struct Figures {
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
}

impl Latency {
    fn of(histogram: &Histogram<u64>, mean_delay_us: f64) -> Self {
        Self {
            count: histogram.len(),
            ms: Figures::of(histogram, 1e3),
            message_delays: Figures::of(histogram, mean_delay_us),
        }
    }
}

impl Figures {
    fn of(histogram: &Histogram<u64>, unit_us: f64) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / unit_us;
        Self {
            mean: histogram.mean() / unit_us,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
        }
    }
}

impl From<Decisions> for Shares {
    fn from(of: Decisions) -> Self {
        let all = (of.fast + of.slow + of.indirect + of.skipped).max(1) as f64;
        let share = |count: u64| count as f64 / all;
        Self {
            fast: share(of.fast),
            slow: share(of.slow),
            indirect: share(of.indirect),
            skipped: share(of.skipped),
        }
    }
}

impl Report {
    pub(super) fn of(arguments: &WanArguments, plan: &Plan, measured: &Measured) -> Self {
        let delay_us = arguments.mean_delay_us();
        let RangeUs { least_us, most_us } = arguments.disk;
        let from = measured.from.unwrap_or(START);
        let warm_up_s = from.since_us(START) as f64 / 1e6;
        let counted_s = arguments.seconds as f64 - warm_up_s;
        let rounds = measured
            .leader_rounds
            .map_or(0, |(first, last)| last.0 - first.0);
        let clients = &plan.clients;
        let up = arguments.validators - arguments.crash;
        let each_per_s = match clients.every_ms {
            0 => 0.0,
            every_ms => clients.burst as f64 * 1e3 / every_ms as f64,
        };
        let (sent, committed) = measured.blocks;
        let latency = |of| Latency::of(of, delay_us);
        Self {
            validators: arguments.validators,
            crashed: arguments.crash,
            slow: arguments.slow,
            leaders: leaders(arguments),
            slots_per_round: arguments.slots_per_round,
            profile: arguments.profile.name().to_owned(),
            network: network(arguments),
            mean_delay_ms: delay_us / 1e3,
            disk_ms: [least_us, most_us].map(|us| us as f64 / 1e3),
            min_round_delay_ms: arguments.min_round_delay,
            crypto: crypto_name(plan.committee.signatures).to_owned(),
            seed: plan.seed,
            seconds: arguments.seconds,
            warm_up_s,
            after_windows: arguments.after_windows,
            rounds_per_s: f64::from(rounds) / counted_s,
            decided: measured.decisions.into(),
            offered_tx_per_s: each_per_s * up as f64,
            committed_tx_per_s: measured.transactions_committed as f64 / counted_s,
            blocks_uncommitted: sent - committed,
            first_leader_blocks: latency(&measured.first_leaders),
            leader_blocks: latency(&measured.leaders),
            other_blocks: latency(&measured.others),
            transactions: latency(&measured.transactions),
        }
    }
}

fn leaders(arguments: &WanArguments) -> &'static str {
    match (arguments.oracle, arguments.equal_scores) {
        (true, _) => "an oracle",
        (_, true) => "everybody alike",
        (false, false) => "scores",
    }
}

fn network(arguments: &WanArguments) -> String {
    match (arguments.delay, arguments.regions) {
        (Some(RangeUs { least_us, most_us }), _) => {
            let ms = |us: u64| us as f64 / 1e3;
            format!("{} to {} ms", ms(least_us), ms(most_us))
        }
        (None, regions) => format!("{} regions", regions.unwrap_or(1)),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: String| writeln!(f, "  {name:<14} {value}");
        let (validators, crashed) = (self.validators, self.crashed);
        row(
            "validators",
            format!(
                "{validators}, {crashed} of them down, {} slow, {}",
                self.slow, self.profile
            ),
        )?;
        let slots = self.slots_per_round;
        let slots = slots.map_or(String::new(), |most| format!(", {most} a round at most"));
        row("leaders", format!("by {}{slots}", self.leaders))?;
        row(
            "network",
            format!(
                "{}, mean delay of a message {:.1} ms",
                self.network, self.mean_delay_ms
            ),
        )?;
        let [least, most] = self.disk_ms;
        row("disk", format!("{least} to {most} ms a write"))?;
        row("crypto", self.crypto.clone())?;
        let (seconds, warm_up) = (self.seconds, self.warm_up_s);
        row(
            "measured",
            format!(
                "{seconds} virtual s without the first {warm_up:.1}, from schedule {} on, seed {}",
                self.after_windows, self.seed
            ),
        )?;
        let pace = self.min_round_delay_ms;
        row(
            "rounds",
            format!(
                "{:.2} per s, own blocks at least {pace} ms apart",
                self.rounds_per_s
            ),
        )?;
        let Shares {
            fast,
            slow,
            indirect,
            skipped,
        } = self.decided;
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        let (fast, slow) = (percent(fast), percent(slow));
        let (indirect, skipped) = (percent(indirect), percent(skipped));
        row(
            "slots",
            format!("fast {fast}  slow {slow}  indirect {indirect}  skipped {skipped}"),
        )?;
        let (offered, committed) = (self.offered_tx_per_s, self.committed_tx_per_s);
        row(
            "load",
            format!("{offered:.0} tx/s offered, {committed:.0} committed"),
        )?;
        row("uncommitted", format!("{} blocks", self.blocks_uncommitted))?;
        writeln!(f)?;
        self.latencies(f)?;
        let tail_s = TAIL_US / 1_000_000;
        writeln!(
            f,
            "\n  Blocks from being sent, transactions from submission, both until committed at the validator"
        )?;
        writeln!(
            f,
            "  that made the block or took the transaction. What began in the last {tail_s} s is left out."
        )
    }
}

impl Report {
    fn latencies(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = format!("{:>8} {:>7} {:>7} {:>7}", "mean", "p50", "p90", "p99");
        writeln!(
            f,
            "  {:<14} {:>8}  {title} ms {title} message delays",
            "", "count"
        )?;
        let rows = [
            ("first leaders", self.first_leader_blocks),
            ("leader blocks", self.leader_blocks),
            ("other blocks", self.other_blocks),
            ("transactions", self.transactions),
        ];
        for (
            name,
            Latency {
                count,
                ms,
                message_delays,
            },
        ) in rows
        {
            let Figures {
                mean,
                p50,
                p90,
                p99,
            } = ms;
            write!(
                f,
                "  {name:<14} {count:>8}  {mean:>8.1} {p50:>7.1} {p90:>7.1} {p99:>7.1}    "
            )?;
            let Figures {
                mean,
                p50,
                p90,
                p99,
            } = message_delays;
            writeln!(f, "{mean:>8.2} {p50:>7.2} {p90:>7.2} {p99:>7.2}")?;
        }
        Ok(())
    }
}
