//! From clients to the payload of the next own block.
//!
//! ```text
//!   submit ─┐ admitted by the caller's thread                      ┌─▶ Taken, or an error each
//!   submit ─┼─▶ lock-free queue ─▶ intake thread: ids, signatures ─┤
//!   submit ─┘   of whole batches    one signature batch a client   └─▶ pending chunks ─▶ own block
//! ```
//!
//! A [`Chunk`] is what one batch became, at most 64 KiB of it. Own blocks carry whole chunks, and a
//! chunk is acknowledged at once, so an acknowledgement costs nothing per transaction.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam::queue::ArrayQueue;
use event_listener::{Event, Listener as _};
use parking_lot::Mutex;
use probity_core::Round;
use probity_core::limits::{
    CHANGES_PER_BLOCK_MAX, PAYLOAD_BYTES_MAX, PAYLOAD_TRANSACTIONS_MAX, TRANSACTION_BYTES_MAX,
};

use crate::error::SubmitError;
use crate::health::{Health, NAP, StopReason};
use crate::metrics::{Metrics, level};
use crate::recent::RecentIds;
use crate::submit::{Batch, Entry, Reply, Submitted};
use crate::transaction::{ClientCheck, Deduplicate, TransactionFault};
use crate::wake::Bell;

/// Bytes of transactions after which a chunk is closed.
const CHUNK_BYTES: usize = 64 * 1024;
// A chunk alone fits a block, even if every transaction is one byte with four bytes of length.
const _: () = assert!(CHUNK_BYTES * 5 <= PAYLOAD_BYTES_MAX && TRANSACTION_BYTES_MAX <= CHUNK_BYTES);
/// Transactions after which it is closed: changes of the committee have to fit beside them.
const CHUNK_TRANSACTIONS: usize = PAYLOAD_TRANSACTIONS_MAX - CHANGES_PER_BLOCK_MAX;
/// Ids remembered in each of two generations; twice this is far above what can wait here.
const RECENT_IDS: usize = 1 << 18;
/// How long an id is remembered at least, unless there are too many.
const RECENT_AGE: Duration = Duration::from_millis(crate::transaction::REPLAY_WINDOW_MS);
/// What a client that finds the node full is told to wait.
const RETRY_AFTER: Duration = Duration::from_millis(20);
/// Batches that wait for the intake thread.
const BATCHES_MAX: usize = 1 << 16;
/// Batches taken in one go.
const DRAIN_MAX: usize = 1024;

mod chunk;

pub(crate) use chunk::{Chunk, Fate};

/// Bounds of what waits.
#[derive(Clone, Copy)]
pub(crate) struct IntakeLimits {
    pub(crate) transactions: usize,
    pub(crate) bytes: usize,
    /// Bytes of one own block, about.
    pub(crate) block_bytes: usize,
}

/// What waits, shared by submitters, the intake thread and the core.
pub(crate) struct Intake {
    limits: IntakeLimits,
    check: Arc<dyn ClientCheck>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    queue: ArrayQueue<Batch>,
    queued: Event,
    // Transactions and bytes between `submit` and an own block.
    held_transactions: AtomicUsize,
    held_bytes: AtomicUsize,
    // Held for moving a few pointers: by the intake once a batch, by the core once a block.
    pending: Mutex<VecDeque<Arc<Chunk>>>,
    // Kept here, not in their threads, so that a thread's panic leaves nobody waiting.
    proposed: Mutex<BTreeMap<Round, Vec<Arc<Chunk>>>>,
    // Their block was not ordered; in the order of rounds.
    handed_back: Mutex<Vec<Arc<Chunk>>>,
    in_hand: Mutex<Vec<(Arc<Reply>, usize)>>,
    core: Bell,
    // Only members make blocks.
    is_open: AtomicBool,
}

impl Intake {
    pub(crate) fn new(
        limits: IntakeLimits,
        check: Arc<dyn ClientCheck>,
        shared: (&Arc<Health>, &Arc<Metrics>),
        core: Bell,
    ) -> Self {
        Self {
            limits,
            check,
            health: Arc::clone(shared.0),
            metrics: Arc::clone(shared.1),
            queue: ArrayQueue::new(limits.transactions.min(BATCHES_MAX)),
            queued: Event::new(),
            held_transactions: AtomicUsize::new(0),
            held_bytes: AtomicUsize::new(0),
            pending: Mutex::new(VecDeque::new()),
            proposed: Mutex::default(),
            handed_back: Mutex::default(),
            in_hand: Mutex::default(),
            core,
            is_open: AtomicBool::new(false),
        }
    }

    pub(crate) fn check(&self) -> &dyn ClientCheck {
        &*self.check
    }

    /// Why nothing is taken now.
    pub(crate) fn refusal(&self) -> Option<SubmitError> {
        let stopped = self.health.reason().map(SubmitError::Stopped);
        stopped.or_else(|| (!self.is_open()).then_some(SubmitError::NotMember))
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.health.is_stopping()
    }

    fn is_open(&self) -> bool {
        self.is_open.load(Ordering::SeqCst)
    }

    /// The validator is a member: its blocks carry what is submitted.
    pub(crate) fn open(&self) {
        self.is_open.store(true, Ordering::SeqCst);
    }

    /// It is none: everybody who waits learns it.
    pub(crate) fn close(&self) {
        self.is_open.store(false, Ordering::SeqCst);
        self.give_up_all();
    }

    pub(crate) fn busy() -> SubmitError {
        SubmitError::Busy {
            retry_after: RETRY_AFTER,
        }
    }

    /// Counts a refused transaction.
    pub(crate) fn refused(&self, error: &SubmitError) {
        let reason = match error {
            SubmitError::Fault(fault) => fault_label(fault),
            SubmitError::Duplicate { .. } => "duplicate",
            SubmitError::Busy { .. } => "busy",
            SubmitError::Stopped(_) => "stopped",
            SubmitError::NotMember | SubmitError::Unknown => "not_member",
        };
        Metrics::count(&self.metrics.refused, "reason", reason, 1);
    }

    /// Takes room for one transaction; `false` when there is none.
    pub(crate) fn reserve(&self, bytes: usize) -> bool {
        if !reserve(&self.held_transactions, 1, self.limits.transactions) {
            return false;
        }
        let fits = reserve(&self.held_bytes, bytes, self.limits.bytes);
        if !fits {
            self.held_transactions.fetch_sub(1, Ordering::Relaxed);
        }
        fits
    }

    pub(crate) fn release(&self, transactions: usize, bytes: usize) {
        self.held_transactions
            .fetch_sub(transactions, Ordering::Relaxed);
        self.held_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Hands a batch to the intake thread, or back.
    pub(crate) fn push(&self, batch: Batch) -> Result<(), Batch> {
        self.queue.push(batch)?;
        self.queued.notify(1);
        Ok(())
    }

    /// Whether anything waits for an own block.
    pub(crate) fn has_pending(&self) -> bool {
        !self.pending.lock().is_empty()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.held_transactions.load(Ordering::Relaxed)
    }

    /// Takes whole chunks for one block beside what it carries already, oldest first; at least one, which always fits.
    pub(crate) fn take(&self, beside: &[Bytes]) -> Vec<Arc<Chunk>> {
        let (mut taken, mut count) = (Vec::new(), beside.len());
        let mut bytes = beside.iter().map(|other| other.len() + 4).sum::<usize>();
        let mut pending = self.pending.lock();
        while let Some(chunk) = pending.front() {
            let chunk_bytes = chunk.bytes + 4 * chunk.transactions.len();
            let fits = count + chunk.transactions.len() <= PAYLOAD_TRANSACTIONS_MAX
                && bytes + chunk_bytes <= self.limits.block_bytes;
            if !fits && !taken.is_empty() {
                break;
            }
            count += chunk.transactions.len();
            bytes += chunk_bytes;
            taken.extend(pending.pop_front());
        }
        drop(pending);
        self.release(
            count - beside.len(),
            taken.iter().map(|chunk: &Arc<Chunk>| chunk.bytes).sum(),
        );
        self.show_pending();
        taken
    }

    /// Keeps chunks whose block was not ordered until they are put back, those of earlier rounds first.
    pub(crate) fn hand_back(&self, chunks: Vec<Arc<Chunk>>) {
        self.handed_back.lock().extend(chunks);
    }

    /// Puts chunks that were handed back to the front; whether there were any.
    pub(crate) fn put_back(&self) -> bool {
        let chunks = std::mem::take(&mut *self.handed_back.lock());
        if chunks.is_empty() {
            return false;
        }
        let count = chunks.iter().map(|chunk| chunk.transactions.len()).sum();
        let bytes = chunks.iter().map(|chunk| chunk.bytes).sum();
        self.held_transactions.fetch_add(count, Ordering::Relaxed);
        self.held_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.metrics.resubmitted.inc_by(count as u64);
        let mut pending = self.pending.lock();
        chunks
            .into_iter()
            .rev()
            .for_each(|chunk| pending.push_front(chunk));
        drop(pending);
        self.show_pending();
        true
    }

    /// Everybody who waits learns that the node stopped.
    pub(crate) fn abandon(&self) {
        self.give_up_all();
        for (reply, entries) in std::mem::take(&mut *self.in_hand.lock()) {
            self.answer_refused(&reply, entries);
        }
    }

    /// Everybody who waits, or whose transactions are in blocks that are open, learns why it is in vain.
    fn give_up_all(&self) {
        while let Some(batch) = self.queue.pop() {
            self.answer_refused(&batch.reply, batch.entries.len());
            let bytes = batch.entries.iter().map(|entry| entry.bytes.len()).sum();
            self.release(batch.entries.len(), bytes);
        }
        let stopped = self.health.reason();
        let give_up = |chunk: &Chunk| match &stopped {
            Some(why) => chunk.stop(why),
            None => chunk.leave(),
        };
        let proposed = std::mem::take(&mut *self.proposed.lock());
        let handed_back = std::mem::take(&mut *self.handed_back.lock());
        let pending = std::mem::take(&mut *self.pending.lock());
        for chunk in proposed.into_values().flatten().chain(handed_back) {
            give_up(&chunk);
        }
        for chunk in pending {
            self.release(chunk.transactions.len(), chunk.bytes);
            give_up(&chunk);
        }
        self.show_pending();
    }

    /// These chunks are in the own block of `round`.
    pub(crate) fn set_proposed(&self, round: Round, chunks: Vec<Arc<Chunk>>) {
        self.proposed.lock().insert(round, chunks);
    }

    /// The chunks of an own block whose end is known.
    pub(crate) fn take_proposed(&self, round: Round) -> Vec<Arc<Chunk>> {
        self.proposed.lock().remove(&round).unwrap_or_default()
    }

    fn show_pending(&self) {
        self.metrics.pending.set(level(self.waiting()));
    }

    fn answer_refused(&self, reply: &Reply, entries: usize) {
        let stopped = SubmitError::Stopped(StopReason::Requested);
        let why = self.refusal().unwrap_or(stopped);
        reply.answer(vec![Err(why); entries]);
    }
}

fn reserve(held: &AtomicUsize, more: usize, limit: usize) -> bool {
    let add = |now: usize| now.checked_add(more).filter(|sum| *sum <= limit);
    held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
        .is_ok()
}

fn fault_label(fault: &TransactionFault) -> &'static str {
    match fault {
        TransactionFault::TooLarge { .. } => "too_large",
        TransactionFault::Empty => "empty",
        TransactionFault::Malformed(_) => "malformed",
        TransactionFault::Network => "network",
        TransactionFault::BadKey => "bad_key",
        TransactionFault::BadSignature => "bad_signature",
        TransactionFault::Expired { .. } => "expired",
        TransactionFault::ExpiresTooLate => "expires_too_late",
        TransactionFault::Reserved => "reserved",
    }
}

/// The intake thread.
pub(crate) fn run(intake: &Intake, pool: &rayon::ThreadPool) {
    let mut recent = RecentIds::new(RECENT_IDS, RECENT_AGE);
    while !intake.health.is_stopping() {
        let batches = drain(intake);
        if batches.is_empty() {
            let listener = intake.queued.listen();
            if intake.queue.is_empty() {
                listener.wait_timeout(NAP);
            }
            continue;
        }
        let replies = batches
            .iter()
            .map(|batch| (Arc::clone(&batch.reply), batch.entries.len()));
        *intake.in_hand.lock() = replies.collect();
        recent.age(Instant::now());
        let verified = verify(intake, &recent, (batches, pool));
        for (batch, verdicts) in verified {
            accept(intake, &mut recent, (batch, verdicts));
        }
        intake.in_hand.lock().clear();
        intake.show_pending();
        intake.core.ring();
    }
    intake.abandon();
}

fn drain(intake: &Intake) -> Vec<Batch> {
    std::iter::from_fn(|| intake.queue.pop())
        .take(DRAIN_MAX)
        .collect()
}

/// Drops known ids, then checks each client's batch alone, all batches in parallel.
fn verify(
    intake: &Intake,
    recent: &RecentIds,
    work: (Vec<Batch>, &rayon::ThreadPool),
) -> Vec<(Batch, Vec<Verdict>)> {
    use rayon::prelude::*;
    let (batches, pool) = work;
    let one = |batch: Batch| {
        let known = |entry: &Entry| is_known(recent, entry);
        let fresh: Vec<&[u8]> = batch
            .entries
            .iter()
            .filter(|e| !known(e))
            .map(|e| &*e.bytes)
            .collect();
        let mut valid = intake.check.verdicts(&fresh).into_iter();
        let verdict = |entry: &Entry| match known(entry) {
            true => Verdict::Known,
            false if valid.next() == Some(true) => Verdict::Valid,
            false => Verdict::Invalid,
        };
        let verdicts = batch.entries.iter().map(verdict).collect();
        (batch, verdicts)
    };
    pool.install(|| batches.into_par_iter().map(one).collect())
}

#[derive(Clone, Copy)]
enum Verdict {
    Known,
    Valid,
    Invalid,
}

fn is_known(recent: &RecentIds, entry: &Entry) -> bool {
    entry.admitted.duplicate_check == Deduplicate::ById && recent.contains(&entry.admitted.id)
}

/// Puts the valid transactions of a batch into chunks and answers its client. An id counts as seen
/// only from here on: a wrongly signed copy must not keep the real one out.
fn accept(intake: &Intake, recent: &mut RecentIds, work: (Batch, Vec<Verdict>)) {
    let (batch, verdicts) = work;
    let mut chunks = ChunkMaker::default();
    let mut slots = Vec::with_capacity(batch.entries.len());
    for (entry, verdict) in batch.entries.into_iter().zip(verdicts) {
        let id = entry.admitted.id;
        let by_id = entry.admitted.duplicate_check == Deduplicate::ById;
        let error = match verdict {
            Verdict::Valid if !by_id || recent.insert(id) => None,
            Verdict::Valid | Verdict::Known => Some(SubmitError::Duplicate { id }),
            Verdict::Invalid => Some(TransactionFault::BadSignature.into()),
        };
        if let Some(error) = error {
            intake.release(1, entry.bytes.len());
            intake.refused(&error);
            slots.push(Err(error));
        } else {
            slots.push(Ok((id, chunks.push(entry.bytes))));
        }
    }
    let chunks = chunks.finish();
    let answer = |(id, at): (_, usize)| Submitted::new(id, Arc::clone(&chunks[at]));
    let answers: Vec<_> = slots.into_iter().map(|slot| slot.map(answer)).collect();
    intake
        .metrics
        .submitted
        .inc_by(answers.iter().filter(|a| a.is_ok()).count() as u64);
    intake.pending.lock().extend(chunks.iter().cloned());
    batch.reply.answer(answers);
    if !intake.is_open() {
        // The validator left while the batch was in hand.
        intake.give_up_all();
    }
}

#[derive(Default)]
struct ChunkMaker {
    done: Vec<Arc<Chunk>>,
    open: Vec<Bytes>,
    open_bytes: usize,
}

impl ChunkMaker {
    /// Adds a transaction and returns the position of its chunk.
    fn push(&mut self, transaction: Bytes) -> usize {
        let full = self.open.len() >= CHUNK_TRANSACTIONS;
        if full || self.open_bytes + transaction.len() > CHUNK_BYTES {
            self.close();
        }
        self.open_bytes += transaction.len();
        self.open.push(transaction);
        self.done.len()
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            let bytes = std::mem::take(&mut self.open_bytes);
            let chunk = Chunk::new(std::mem::take(&mut self.open), bytes);
            self.done.push(Arc::new(chunk));
        }
    }

    fn finish(mut self) -> Vec<Arc<Chunk>> {
        self.close();
        self.done
    }
}

#[cfg(test)]
mod tests;
