//! From the log of commits to the application: history first, then live, without gap or repeat.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use event_listener::{Event, Listener as _};
use parking_lot::Mutex;
use probity_core::record::{RecordSource as _, RecordTable, commit_key, read_block};
use probity_core::{Commit, CommitIndex, CommitRecord, CommittedBlock, digest_of};
use probity_storage::Storage;

use crate::chronicle::Chronicle;
use crate::error::CommitsEnd;
use crate::event::StreamEvent;
use crate::health::{Health, StopReason};
use crate::records::Records;

/// Commits kept in memory for readers that are nearly live.
const RECENT_COMMITS: usize = 1024;
/// Bytes of blocks kept in memory for them.
const RECENT_BYTES: usize = 32 << 20;

/// Every commit so far: the youngest in memory, the others in storage.
pub(crate) struct CommitLog {
    records: Records,
    chronicle: Arc<Chronicle>,
    health: Arc<Health>,
    recent: Mutex<Recent>,
    last: AtomicU64,
    // The oldest commit that retention has left.
    first: AtomicU64,
    arrived: Event,
    readers: Mutex<Vec<Weak<AtomicU64>>>,
}

#[derive(Default)]
struct Recent {
    commits: VecDeque<(Arc<Commit>, usize)>,
    bytes: usize,
}

impl CommitLog {
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        chronicle: Arc<Chronicle>,
        health: Arc<Health>,
        last: CommitIndex,
    ) -> Self {
        Self {
            records: Records(storage),
            chronicle,
            health,
            recent: Mutex::default(),
            last: AtomicU64::new(last.0),
            first: AtomicU64::new(1),
            arrived: Event::new(),
            readers: Mutex::default(),
        }
    }

    /// The last commit.
    pub(crate) fn last(&self) -> CommitIndex {
        CommitIndex(self.last.load(Ordering::Acquire))
    }

    /// The oldest commit kept.
    pub(crate) fn first(&self) -> CommitIndex {
        CommitIndex(self.first.load(Ordering::Acquire))
    }

    /// The first epoch of whose end a reader may still be told: one that went no further than its last commit.
    pub(crate) fn first_epoch_told(&self) -> u64 {
        self.chronicle
            .first_ending_at(CommitIndex(self.oldest().0.saturating_sub(1)))
    }

    /// The oldest commit that can be read, from memory or from storage.
    fn oldest(&self) -> CommitIndex {
        let first = self.first();
        let recent = self.recent.lock();
        let front = recent.commits.front();
        front.map_or(first, |(commit, _)| commit.index().min(first))
    }

    /// Nothing is left below `first`, or will not be with the next write.
    pub(crate) fn set_first(&self, first: CommitIndex) {
        self.first.fetch_max(first.0, Ordering::AcqRel);
    }

    /// An epoch begins after this commit, which may be further than the last one that was seen here.
    pub(crate) fn enter_epoch(&self, after: CommitIndex) {
        if self.last() < after {
            *self.recent.lock() = Recent::default();
            self.set_first(after.next());
            self.last.store(after.0, Ordering::Release);
        }
        self.arrived.notify(usize::MAX);
    }

    /// Appends the next commit, which is durable.
    pub(crate) fn push(&self, commit: Arc<Commit>) {
        let bytes = commit
            .blocks
            .iter()
            .map(|block| block.block.encoded_len())
            .sum();
        let index = commit.index();
        let mut recent = self.recent.lock();
        recent.bytes += bytes;
        recent.commits.push_back((commit, bytes));
        while recent.commits.len() > RECENT_COMMITS
            || (recent.bytes > RECENT_BYTES && recent.commits.len() > 1)
        {
            let gone = recent.commits.pop_front().map_or(0, |(_, bytes)| bytes);
            recent.bytes -= gone;
        }
        drop(recent);
        self.last.store(index.0, Ordering::Release);
        self.arrived.notify(usize::MAX);
    }

    /// Everybody who waits looks why the node stopped.
    pub(crate) fn close(&self) {
        self.arrived.notify(usize::MAX);
    }

    /// How far the slowest reader is behind.
    pub(crate) fn lag(&self) -> u64 {
        let mut readers = self.readers.lock();
        readers.retain(|reader| reader.strong_count() > 0);
        let at = readers
            .iter()
            .filter_map(Weak::upgrade)
            .map(|at| at.load(Ordering::Relaxed));
        at.min()
            .map_or(0, |slowest| self.last().0.saturating_sub(slowest))
    }

    fn read(&self, index: CommitIndex) -> Result<Arc<Commit>, CommitsEnd> {
        if let Some(commit) = self.read_recent(index) {
            return Ok(commit);
        }
        let first = self.first();
        if index < first {
            return Err(CommitsEnd::Removed {
                wanted: index,
                first,
            });
        }
        self.read_stored(index)
            .map(Arc::new)
            .map_err(|why| match self.first() {
                first if index < first => CommitsEnd::Removed {
                    wanted: index,
                    first,
                },
                _ => CommitsEnd::Storage { index, why },
            })
    }

    fn read_recent(&self, index: CommitIndex) -> Option<Arc<Commit>> {
        let recent = self.recent.lock();
        let (front, _) = recent.commits.front()?;
        let at = usize::try_from(index.0.checked_sub(front.index().0)?).ok()?;
        recent.commits.get(at).map(|(commit, _)| Arc::clone(commit))
    }

    fn read_stored(&self, index: CommitIndex) -> Result<Commit, String> {
        let records = &self.records;
        let bytes = records.read(RecordTable::Commits, &commit_key(index));
        let bytes = bytes
            .map_err(|why| why.to_string())?
            .ok_or("it is missing")?;
        let record = CommitRecord::decode(&bytes).map_err(|why| why.to_string())?;
        let mut blocks = Vec::with_capacity(record.blocks.len());
        for (reference, void) in &record.blocks {
            let block = read_block(records, record.epoch, reference)
                .map_err(|why| format!("block {reference:?}: {why:?}"))?
                .ok_or_else(|| format!("block {reference:?} is missing"))?;
            blocks.push(CommittedBlock {
                block: Arc::clone(block.block()),
                void: *void,
            });
        }
        // How a commit was decided is not stored: validators may differ in it.
        Ok(Commit {
            record,
            digest: digest_of(&bytes),
            blocks,
            path: None,
        })
    }
}

/// The commits after an index: first from storage, then live; each once, in order. Behind the last commit of an epoch
/// comes its [`EpochEvent`](crate::EpochEvent), for those who ask for events.
///
/// A stream that is not read for too long makes its node stop proposing transactions; drop it to
/// take that back.
pub struct CommitStream {
    log: Arc<CommitLog>,
    // The last commit delivered, for `CommitLog::lag`.
    at: Arc<AtomicU64>,
    // The event behind that commit was delivered.
    told: bool,
    end: Option<CommitsEnd>,
}

impl CommitStream {
    pub(crate) fn new(log: Arc<CommitLog>, after: CommitIndex) -> Self {
        let at = Arc::new(AtomicU64::new(after.0));
        let last = log.last();
        let end = (after > last).then_some(CommitsEnd::Ahead { asked: after, last });
        // One that has ended waits for nothing: it does not count for `CommitLog::lag`.
        if end.is_none() {
            log.readers.lock().push(Arc::downgrade(&at));
        }
        Self {
            log,
            at,
            told: false,
            end,
        }
    }

    /// The next commit, or `None` when there will be no more; [`why_ended`](Self::why_ended) says
    /// why. Nothing is lost when the future is dropped before it is ready.
    pub async fn next(&mut self) -> Option<Arc<Commit>> {
        loop {
            if let StreamEvent::Commit(commit) = self.next_event().await? {
                return Some(commit);
            }
        }
    }

    /// [`next`](Self::next), blocking the thread.
    pub fn next_blocking(&mut self) -> Option<Arc<Commit>> {
        loop {
            if let StreamEvent::Commit(commit) = self.next_event_blocking()? {
                return Some(commit);
            }
        }
    }

    /// [`next_blocking`](Self::next_blocking), but for `timeout` at most; `Ok(None)` when nothing came
    /// in time.
    ///
    /// # Errors
    /// Why the stream ended.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Arc<Commit>>, CommitsEnd> {
        let deadline = deadline_after(timeout);
        loop {
            match self.next_event_until(deadline)? {
                Some(StreamEvent::Commit(commit)) => return Ok(Some(commit)),
                Some(StreamEvent::Epoch(_)) => {}
                None => return Ok(None),
            }
        }
    }

    /// The next commit or end of an epoch, or `None` when there will be no more.
    ///
    /// A stream that is asked to begin after the last commit of an epoch begins with that epoch's end: whether the
    /// application had heard of it, only the application knows.
    pub async fn next_event(&mut self) -> Option<StreamEvent> {
        loop {
            let log = Arc::clone(&self.log);
            let listener = log.arrived.listen();
            if let Some(next) = self.try_next() {
                return next;
            }
            listener.await;
        }
    }

    /// [`next_event`](Self::next_event), blocking the thread.
    pub fn next_event_blocking(&mut self) -> Option<StreamEvent> {
        loop {
            let log = Arc::clone(&self.log);
            let listener = log.arrived.listen();
            if let Some(next) = self.try_next() {
                return next;
            }
            listener.wait();
        }
    }

    /// [`next_event_blocking`](Self::next_event_blocking), but for `timeout` at most; `Ok(None)` when nothing came in
    /// time.
    ///
    /// # Errors
    /// Why the stream ended.
    pub fn next_event_timeout(
        &mut self,
        timeout: Duration,
    ) -> Result<Option<StreamEvent>, CommitsEnd> {
        self.next_event_until(deadline_after(timeout))
    }

    /// Without a deadline it waits for as long as it takes.
    fn next_event_until(
        &mut self,
        deadline: Option<Instant>,
    ) -> Result<Option<StreamEvent>, CommitsEnd> {
        loop {
            let log = Arc::clone(&self.log);
            let listener = log.arrived.listen();
            if let Some(next) = self.try_next() {
                return match self.end.clone() {
                    Some(end) => Err(end),
                    None => Ok(next),
                };
            }
            match deadline {
                Some(deadline) if Instant::now() >= deadline => return Ok(None),
                Some(deadline) => drop(listener.wait_deadline(deadline)),
                None => listener.wait(),
            }
        }
    }

    /// Why [`next`](Self::next) answered `None`.
    #[must_use]
    pub fn why_ended(&self) -> Option<&CommitsEnd> {
        self.end.as_ref()
    }

    /// The last commit delivered, or the one that the stream was asked to begin after.
    #[must_use]
    pub fn position(&self) -> CommitIndex {
        CommitIndex(self.at.load(Ordering::Relaxed))
    }

    /// `None`: wait. `Some(None)`: it ended.
    fn try_next(&mut self) -> Option<Option<StreamEvent>> {
        if self.end.is_some() {
            return Some(None);
        }
        // Asked first: what was committed before the stop is delivered.
        let stopped = self
            .log
            .health
            .is_finished()
            .then(|| self.log.health.reason())
            .flatten();
        let at = self.position();
        if let Some(epoch) = self.log.chronicle.ended_with(at).filter(|_| !self.told) {
            self.told = true;
            return self.tell(at, epoch);
        }
        let wanted = at.next();
        if wanted <= self.log.last() {
            return match self.log.read(wanted) {
                Ok(commit) => {
                    self.at.store(wanted.0, Ordering::Relaxed);
                    self.told = false;
                    Some(Some(StreamEvent::Commit(commit)))
                }
                Err(end) => self.ended(end),
            };
        }
        stopped.and_then(|why: StopReason| self.ended(CommitsEnd::Stopped(why)))
    }

    /// How an epoch ended, unless that may have been removed, wholly or in part, while it was read.
    fn tell(&mut self, at: CommitIndex, epoch: u64) -> Option<Option<StreamEvent>> {
        let event = self.log.chronicle.event(epoch);
        let (wanted, first) = (at.next(), self.log.oldest());
        if wanted < first {
            return self.ended(CommitsEnd::Removed { wanted, first });
        }
        match event {
            Ok(event) => Some(Some(StreamEvent::Epoch(Arc::new(event)))),
            Err(why) => self.ended(CommitsEnd::Storage {
                index: at,
                why: why.to_string(),
            }),
        }
    }

    fn ended(&mut self, end: CommitsEnd) -> Option<Option<StreamEvent>> {
        self.end = Some(end);
        // Nobody waits for a stream that delivers nothing more: it does not count for `CommitLog::lag`.
        self.at = Arc::new(AtomicU64::new(self.position().0));
        Some(None)
    }
}

/// None when the clock does not go so far.
fn deadline_after(timeout: Duration) -> Option<Instant> {
    Instant::now().checked_add(timeout)
}
