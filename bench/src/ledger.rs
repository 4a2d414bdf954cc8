//! What is known of every transaction by its sequence number: who took it, and since when it counts.
//!
//! Clients write a row before they hand the transaction over, readers read it when it is delivered.
//! Rows are plain atomics in an array, so neither side ever waits for the other.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Set in a row's state once `submit` has said yes.
const ACCEPTED: u8 = 0x80;

/// The rows of one run.
#[derive(Debug)]
pub(crate) struct Ledger {
    started: Instant,
    /// Microseconds on the ledger's clock, from which latency counts.
    due_us: Vec<AtomicU32>,
    /// 0: never handed over. Otherwise one more than the validator it was handed to, and `ACCEPTED`.
    state: Vec<AtomicU8>,
}

/// A row, read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Row {
    /// The validator that it was handed to.
    pub(crate) taker: usize,
    /// From when its latency counts.
    pub(crate) due: Duration,
}

impl Ledger {
    /// Rows for `transactions`, and a clock that starts now. Their memory is touched, so that it does
    /// not show up as the validators' later.
    pub(crate) fn new(transactions: usize) -> Self {
        let mut due_us = Vec::with_capacity(transactions);
        due_us.resize_with(transactions, || AtomicU32::new(u32::MAX));
        let mut state = Vec::with_capacity(transactions);
        state.resize_with(transactions, || AtomicU8::new(u8::MAX));
        for row in &state {
            row.store(0, Ordering::Relaxed);
        }
        Self {
            started: Instant::now(),
            due_us,
            state,
        }
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.state.len()
    }

    /// Time on the ledger's clock.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Notes that `row` is given now; must precede the call of `submit`.
    pub(crate) fn hand_over(&self, sequence: usize, row: Row) {
        let due_us = u32::try_from(row.due.as_micros()).unwrap_or(u32::MAX);
        let taker = u8::try_from(row.taker).expect("there are at most 64 validators");
        self.due_us[sequence].store(due_us, Ordering::Relaxed);
        // Release: who sees the taker sees the due time.
        self.state[sequence].store(taker + 1, Ordering::Release);
    }

    /// Notes that the taker has accepted it.
    pub(crate) fn accept(&self, sequence: usize) {
        self.state[sequence].fetch_or(ACCEPTED, Ordering::Relaxed);
    }

    /// The row of a delivered transaction; `None` if it was never handed over.
    pub(crate) fn row(&self, sequence: usize) -> Option<Row> {
        let state = self.state.get(sequence)?.load(Ordering::Acquire);
        let taker = usize::from(state & !ACCEPTED).checked_sub(1)?;
        let due_us = self.due_us[sequence].load(Ordering::Relaxed);
        Some(Row {
            taker,
            due: Duration::from_micros(due_us.into()),
        })
    }

    /// Whether `submit` has said yes.
    pub(crate) fn accepted(&self, sequence: usize) -> bool {
        self.state[sequence].load(Ordering::Relaxed) & ACCEPTED != 0
    }
}

/// A set of sequence numbers.
#[derive(Clone, Debug)]
pub(crate) struct SequenceSet {
    words: Vec<u64>,
}

impl SequenceSet {
    /// The empty set of numbers below `length`, with its memory touched.
    pub(crate) fn new(length: usize) -> Self {
        let mut words = vec![u64::MAX; length.div_ceil(64)];
        words.fill(0);
        Self { words }
    }

    /// Adds a number; whether it is new.
    pub(crate) fn insert(&mut self, sequence: usize) -> bool {
        let (word, bit) = (&mut self.words[sequence / 64], 1 << (sequence % 64));
        let fresh = *word & bit == 0;
        *word |= bit;
        fresh
    }

    /// Whether the number is in the set.
    pub(crate) fn contains(&self, sequence: usize) -> bool {
        self.words[sequence / 64] & (1 << (sequence % 64)) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let ledger = Ledger::new(3);
        assert_eq!(ledger.row(1), None);
        let row = Row {
            taker: 63,
            due: Duration::from_micros(1_234),
        };
        ledger.hand_over(1, row);
        assert_eq!((ledger.row(1), ledger.accepted(1)), (Some(row), false));
        ledger.accept(1);
        assert_eq!((ledger.row(1), ledger.accepted(1)), (Some(row), true));
        assert_eq!((ledger.row(3), ledger.len()), (None, 3));
    }

    #[test]
    fn a_number_is_new_once() {
        let mut set = SequenceSet::new(65);
        assert!(set.insert(64) && !set.insert(64) && set.insert(0));
        assert!(set.contains(64) && set.contains(0) && !set.contains(1));
    }
}
