//! Transactions: who submits what, and what becomes of them.

use bytes::{BufMut, Bytes, BytesMut};
use probity_core::limits::TRANSACTION_BYTES_MAX;
use probity_core::{Change, Commit, Outcome, Round, Time};

use super::{Event, World};

/// Transactions that one validator holds for its next blocks; more are turned away.
const QUEUE_MAX: usize = 2_000;

impl World {
    /// Clients arrive at a validator.
    pub(super) fn client(&mut self, process: usize) {
        let clients = self.plan.clients.clone();
        if self.liveness.has_begun() {
            return; // The healed cluster is measured with transactions of its own.
        }
        for _ in 0..clients.burst {
            let repeats = self.random.chance(clients.duplicate_ppm);
            if !repeats {
                self.submitted += 1;
            }
            let mut bytes = usize::try_from(clients.bytes).unwrap_or(usize::MAX);
            if self.random.chance(clients.oversized_ppm) {
                bytes = TRANSACTION_BYTES_MAX + 1;
            }
            self.submit(process, self.submitted, bytes);
        }
        let at = self.now.plus_us(clients.every_ms * 1_000);
        self.schedule(at, Event::Client { process });
    }

    /// Whether anybody submits to a validator.
    pub(super) fn has_clients(&self, process: usize) -> bool {
        let me = self.processes[process].validator.0;
        self.plan.clients.only.is_none_or(|only| only == me)
    }

    /// A transaction with this number reaches a validator; whether it was taken.
    pub(super) fn submit(&mut self, process: usize, number: u64, bytes: usize) -> bool {
        let now = self.now;
        let host = &mut self.processes[process];
        let refused = bytes > TRANSACTION_BYTES_MAX
            || host.is_down()
            || host.queue.len() >= QUEUE_MAX
            || (!host.known.insert(number) && !takes_twice());
        if refused {
            return false;
        }
        host.queue.push_back(transaction(number, now, bytes));
        let pending = host.pending();
        self.with(process, |replica| replica.handle_pending(now, pending));
        true
    }

    /// A transaction of the healed cluster, ahead of all that waits.
    pub(super) fn submit_fresh(&mut self, process: usize) {
        self.submitted += 1;
        let (now, number) = (self.now, self.submitted);
        let host = &mut self.processes[process];
        host.known.insert(number);
        host.queue.push_front(transaction(number, now, 64));
        let pending = host.pending();
        self.with(process, |replica| replica.handle_pending(now, pending));
    }

    /// An own block ended: its transactions are in the sequence, or go back into the queue (R24).
    pub(super) fn settle(&mut self, process: usize, round: Round, outcome: Outcome) {
        let Some(taken) = self.processes[process].proposed.remove(&round) else {
            return;
        };
        if matches!(outcome, Outcome::Sequenced { .. }) {
            return;
        }
        if matches!(outcome, Outcome::Unknown) {
            return self.ask_again(process, &taken);
        }
        let now = self.now;
        let host = &mut self.processes[process];
        for transaction in taken.into_iter().rev() {
            host.queue.push_front(transaction);
        }
        let pending = host.pending();
        // Not `with`: this is called while outputs are being carried out.
        if let Some(replica) = host.replica.as_mut() {
            replica.handle_pending(now, pending);
        }
    }

    /// Who is told that nobody knows what became of a transaction of the healed cluster sends another one.
    fn ask_again(&mut self, process: usize, lost: &[Bytes]) {
        if self.liveness.awaits_one_of(lost) {
            self.submitted += 1;
            let fresh = transaction(self.submitted, self.now, 64);
            let host = &mut self.processes[process];
            host.known.insert(self.submitted);
            host.queue.push_front(fresh);
        }
    }

    pub(super) fn note_committed(&mut self, process: usize, commit: &Commit) {
        if !self.liveness.has_begun() {
            return;
        }
        let fresh = commit
            .transactions()
            .filter_map(|bytes| number_of(&bytes))
            .max();
        let now = self.now;
        self.liveness.note_committed(now, process, fresh);
        if let Some(replica) = &self.processes[process].replica {
            self.liveness.note_slashed(process, replica);
        }
    }
}

/// Whether the intake's planted mistake is on.
#[cfg(probity_planted)]
fn takes_twice() -> bool {
    probity_core::planted::active() == Some(probity_core::planted::Bug::IntakeTwice)
}

#[cfg(not(probity_planted))]
const fn takes_twice() -> bool {
    false
}

/// A transaction: its number, when it was submitted, then padding.
fn transaction(number: u64, now: Time, bytes: usize) -> Bytes {
    let mut transaction = BytesMut::with_capacity(bytes.max(HEAD_BYTES));
    transaction.put_u64_le(number);
    transaction.put_u64_le(now.0);
    transaction.resize(bytes.max(HEAD_BYTES), 0x5A);
    transaction.freeze()
}

/// Bytes of the number and the time.
const HEAD_BYTES: usize = 16;

/// The number of a transaction of ours.
pub(crate) fn number_of(transaction: &[u8]) -> Option<u64> {
    if Change::is_change(transaction) {
        return None;
    }
    word(transaction, 0)
}

/// When a transaction of ours was submitted to the validator that took it.
#[must_use]
pub fn submitted_at(transaction: &[u8]) -> Option<Time> {
    word(transaction, 8).map(Time)
}

fn word(transaction: &[u8], at: usize) -> Option<u64> {
    let word = transaction.get(at..at + 8)?;
    Some(u64::from_le_bytes(word.try_into().ok()?))
}
