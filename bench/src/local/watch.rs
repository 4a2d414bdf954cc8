//! Looks at the readers once a second while the load lasts, and adds up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::load::Load;
use crate::machine;
use crate::reader::{Progress, latencies};
use crate::report::LatencyMs;

/// How often a line is printed.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often it is looked whether the transactions have run out.
const GLANCE: Duration = Duration::from_millis(50);

/// What happened while the load lasted.
pub(super) struct Window {
    /// How long that was.
    pub(super) lasted: Duration,
    /// Transactions that validators said yes to.
    pub(super) accepted: u64,
    /// Transactions delivered where they were submitted.
    pub(super) committed: u64,
    /// Commits at the validator that is furthest.
    pub(super) commits: u64,
    /// Rounds from its first leader to its last.
    pub(super) rounds: u64,
    /// Changes from one epoch to the next.
    pub(super) epoch_changes: u64,
    /// The longest pause between two commits of one epoch, at the validator where it was longest.
    pub(super) gap: Duration,
    /// The same from the last commit of an epoch to the first of the next.
    pub(super) change_gap: Duration,
    /// Processor time of the process.
    pub(super) cpu: Duration,
    /// The greatest anonymous memory seen.
    pub(super) rss_bytes_max: u64,
    /// Microseconds.
    pub(super) latencies: Histogram<u64>,
}

/// How far the readers are together.
#[derive(Clone, Copy)]
struct Mark {
    committed: u64,
    commits: u64,
    rounds: u64,
    epoch: u64,
}

impl Mark {
    fn of(progress: &[Arc<Progress>]) -> Self {
        let loads = |field: fn(&Progress) -> u64| progress.iter().map(move |at| field(at));
        Self {
            committed: loads(|at| at.own_delivered.load(Ordering::Acquire)).sum(),
            commits: loads(|at| at.last_index.load(Ordering::Acquire))
                .max()
                .unwrap_or(0),
            rounds: loads(|at| at.leader_round.load(Ordering::Relaxed))
                .max()
                .unwrap_or(0),
            epoch: loads(|at| at.epoch.load(Ordering::Relaxed))
                .max()
                .unwrap_or(0),
        }
    }
}

/// Prints a line each second until the load ends or its clients do.
pub(super) fn watch(load: &Load, progress: &[Arc<Progress>]) -> Window {
    let clock = || load.ledger.elapsed();
    let cpu_before = machine::cpu_time();
    take_longest(progress, |at| &at.gap_us);
    take_longest(progress, |at| &at.change_gap_us);
    let first = Mark::of(progress);
    let (mut before, mut since) = (first, load.starts);
    let mut all = latencies();
    let mut rss_bytes_max = 0;
    println!("  time       committed     p50       p90       p99    rounds");
    while clock() < load.ends && load.ended_early.load(Ordering::Relaxed) < load.clients {
        thread::sleep(GLANCE.min(load.ends.saturating_sub(clock())));
        let now = clock();
        if now < since + INTERVAL && now < load.ends {
            continue;
        }
        rss_bytes_max = rss_bytes_max.max(machine::anonymous_bytes());
        let mark = Mark::of(progress);
        let recent = take_recent(progress);
        all.add(&recent).expect("both have the same bounds");
        let LatencyMs { p50, p90, p99, .. } = LatencyMs::of(&recent);
        let seconds = (now - since).as_secs_f64();
        println!(
            "{:>5.1} s {:>10.0} tx/s {p50:>6.1} ms {p90:>6.1} ms {p99:>6.1} ms {:>5.0}/s",
            (now - load.starts).as_secs_f64(),
            (mark.committed - before.committed) as f64 / seconds,
            (mark.rounds - before.rounds) as f64 / seconds,
        );
        (before, since) = (mark, now);
    }
    let last = Mark::of(progress);
    Window {
        lasted: clock() - load.starts,
        accepted: load.accepted.load(Ordering::Relaxed),
        committed: last.committed - first.committed,
        commits: last.commits - first.commits,
        rounds: last.rounds - first.rounds,
        epoch_changes: last.epoch - first.epoch,
        gap: take_longest(progress, |at| &at.gap_us),
        change_gap: take_longest(progress, |at| &at.change_gap_us),
        cpu: machine::cpu_time().saturating_sub(cpu_before),
        rss_bytes_max,
        latencies: all,
    }
}

/// The longest pause that any reader noted since the last look.
fn take_longest(progress: &[Arc<Progress>], of: fn(&Progress) -> &AtomicU64) -> Duration {
    let longest = progress.iter().map(|at| of(at).swap(0, Ordering::Relaxed));
    Duration::from_micros(longest.max().unwrap_or(0))
}

/// The latencies that no look has counted yet.
pub(super) fn take_recent(progress: &[Arc<Progress>]) -> Histogram<u64> {
    let mut sum = latencies();
    for at in progress {
        let mut recent = at.recent.lock();
        sum.add(&*recent).expect("both have the same bounds");
        recent.reset();
    }
    sum
}
