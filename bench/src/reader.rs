//! Reads a validator's whole sequence of commits: digests it, counts it, and times its transactions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use probity::CommitStream;
use probity_core::{Commit, CommitIndex, Path};

use crate::cluster::{Next, next_commit};
use crate::ledger::{Ledger, SequenceSet};
use crate::pool::Pool;

/// Latencies above this are counted as this.
const LATENCY_MAX: Duration = Duration::from_secs(600);
/// How long a reader waits for a commit before it looks whether it should end.
const PATIENCE: Duration = Duration::from_millis(50);

/// What the thread in charge sees of a reader while it runs.
pub(crate) struct Progress {
    /// Index of the last commit read.
    pub(crate) last_index: AtomicU64,
    /// Round of its leader, counted on from one epoch to the next.
    pub(crate) leader_round: AtomicU64,
    // Rounds in all epochs before.
    rounds_before: AtomicU64,
    /// Different transactions of this run that were delivered here.
    pub(crate) delivered: AtomicU64,
    /// Those of them that this validator had taken from a client; so each counts once in a cluster.
    pub(crate) own_delivered: AtomicU64,
    /// The epoch of that commit.
    pub(crate) epoch: AtomicU64,
    /// The longest pause between two commits of one epoch since the load began, in microseconds.
    pub(crate) gap_us: AtomicU64,
    /// The longest one between the last commit of an epoch and the first of the next.
    pub(crate) change_gap_us: AtomicU64,
    /// Latencies in microseconds since the last look. Locked once a commit, and once a second.
    pub(crate) recent: Mutex<Histogram<u64>>,
    stop: AtomicBool,
}

impl Progress {
    /// Nothing read yet.
    pub(crate) fn new() -> Self {
        Self {
            last_index: AtomicU64::new(0),
            leader_round: AtomicU64::new(0),
            rounds_before: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            own_delivered: AtomicU64::new(0),
            epoch: AtomicU64::new(0),
            gap_us: AtomicU64::new(0),
            change_gap_us: AtomicU64::new(0),
            recent: Mutex::new(latencies()),
            stop: AtomicBool::new(false),
        }
    }

    /// Asks the reader to end once there is no commit to read at once.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A histogram of microseconds with three digits.
pub(crate) fn latencies() -> Histogram<u64> {
    let max = u64::try_from(LATENCY_MAX.as_micros()).expect("ten minutes fit");
    Histogram::new_with_bounds(1, max, 3).expect("the bounds are in order")
}

/// Commits by the path that decided them, and slots skipped.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Decisions {
    pub(crate) fast: u64,
    pub(crate) slow: u64,
    pub(crate) indirect: u64,
    pub(crate) skipped: u64,
}

/// What a reader has seen when it ends.
pub(crate) struct Delivered {
    /// The commit before the first one read.
    pub(crate) after: CommitIndex,
    /// For each commit, the digest of the sequence from the first one read up to it.
    pub(crate) digests: Vec<blake3::Hash>,
    /// The transactions of this run.
    pub(crate) transactions: SequenceSet,
    /// How many were delivered again.
    pub(crate) doubled: u64,
    /// One of them.
    pub(crate) doubled_example: Option<usize>,
    /// Transactions that nobody had handed over.
    pub(crate) unknown: u64,
    /// Commits by path.
    pub(crate) decisions: Decisions,
    /// Why the stream ended before it was asked to, or a gap in it.
    pub(crate) fault: Option<String>,
}

/// Reads one validator's stream.
pub(crate) struct Reader {
    /// Which validator.
    pub(crate) validator: usize,
    /// The commit after which its stream starts.
    pub(crate) after: CommitIndex,
    /// The transactions of the run.
    pub(crate) pool: Arc<Pool>,
    /// When they were due.
    pub(crate) ledger: Arc<Ledger>,
    /// Where others look.
    pub(crate) progress: Arc<Progress>,
}

impl Reader {
    /// Reads until [`Progress::stop`], or until something is wrong with the stream.
    pub(crate) fn run(self, mut stream: CommitStream) -> Delivered {
        let mut seen = Delivered {
            after: self.after,
            digests: Vec::new(),
            transactions: SequenceSet::new(self.pool.transactions()),
            doubled: 0,
            doubled_example: None,
            unknown: 0,
            decisions: Decisions::default(),
            fault: None,
        };
        let mut came = None;
        loop {
            match next_commit(&mut stream, PATIENCE) {
                Next::Commit(commit) => {
                    let expected = self.after.0 + seen.digests.len() as u64 + 1;
                    if commit.index().0 != expected {
                        let found = commit.index();
                        seen.fault = Some(format!("commit {found} came instead of {expected}"));
                        return seen;
                    }
                    self.note_gap(&mut came, &commit);
                    self.take(&commit, &mut seen);
                }
                Next::Quiet if self.progress.stop.load(Ordering::Relaxed) => return seen,
                Next::Quiet => {}
                Next::Ended(why) => {
                    seen.fault = Some(why);
                    return seen;
                }
            }
        }
    }

    /// Compares the pause since the commit before with the longest one so far.
    fn note_gap(&self, came: &mut Option<(Duration, u64)>, commit: &Commit) {
        let (now, epoch) = (self.ledger.elapsed(), commit.record.epoch);
        if let Some((at, of)) = came.replace((now, epoch)) {
            let longest = if of == epoch {
                &self.progress.gap_us
            } else {
                let rounds = self.progress.leader_round.load(Ordering::Relaxed);
                self.progress.rounds_before.store(rounds, Ordering::Relaxed);
                &self.progress.change_gap_us
            };
            let gap_us = u64::try_from((now - at).as_micros()).unwrap_or(u64::MAX);
            longest.fetch_max(gap_us, Ordering::Relaxed);
        }
        self.progress.epoch.store(epoch, Ordering::Relaxed);
    }

    fn take(&self, commit: &Commit, seen: &mut Delivered) {
        seen.digests
            .push(extend_digest(seen.digests.last(), commit));
        let decisions = &mut seen.decisions;
        match commit.path {
            Some(Path::Fast) => decisions.fast += 1,
            Some(Path::Slow) => decisions.slow += 1,
            Some(Path::Indirect) => decisions.indirect += 1,
            None => {} // Read back from storage, which does not keep it.
        }
        decisions.skipped += commit.record.skipped.len() as u64;
        self.take_transactions(commit, seen);
        let before = self.progress.rounds_before.load(Ordering::Relaxed);
        let round = before + u64::from(commit.record.leader.round.0);
        self.progress.leader_round.store(round, Ordering::Relaxed);
        self.progress
            .last_index
            .store(commit.index().0, Ordering::Release);
    }

    fn take_transactions(&self, commit: &Commit, seen: &mut Delivered) {
        let now = self.ledger.elapsed();
        let mut recent = self.progress.recent.lock();
        let (mut delivered, mut own) = (0, 0);
        let valid = commit.blocks.iter().filter(|block| !block.void);
        for transaction in valid.flat_map(|block| block.block.payload().iter()) {
            let row = self
                .pool
                .sequence_of(transaction)
                .and_then(|sequence| Some((sequence, self.ledger.row(sequence)?)));
            let Some((sequence, row)) = row else {
                seen.unknown += 1;
                continue;
            };
            if !seen.transactions.insert(sequence) {
                seen.doubled += 1;
                seen.doubled_example = Some(sequence);
                continue;
            }
            delivered += 1;
            if row.taker == self.validator {
                own += 1;
                let latency = now.saturating_sub(row.due).as_micros();
                recent.saturating_record(u64::try_from(latency).unwrap_or(u64::MAX).max(1));
            }
        }
        drop(recent);
        self.progress
            .delivered
            .fetch_add(delivered, Ordering::Release);
        self.progress
            .own_delivered
            .fetch_add(own, Ordering::Release);
    }
}

/// The digest of everything that an application sees of the sequence: index, record, transactions.
///
/// Payloads are hashed whole, with their tables of lengths: the same bytes as their transactions one
/// by one, at several times the speed.
pub(crate) fn extend_digest(before: Option<&blake3::Hash>, commit: &Commit) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(
        before
            .map_or([0; 32], |digest| *digest.as_bytes())
            .as_slice(),
    );
    hasher.update(&commit.index().0.to_le_bytes());
    hasher.update(commit.digest.as_bytes());
    for block in &commit.blocks {
        hasher.update(&[u8::from(block.void)]);
        if !block.void {
            hasher.update(&block.block.payload().count().to_le_bytes());
            hasher.update(block.block.payload().bytes());
        }
    }
    hasher.finalize()
}
