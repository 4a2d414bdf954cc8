//! Which old blocks and commits may go.
//!
//! Every few commits a [`Mark`] notes how many bytes had been written by then. What lies before the
//! newest mark that leaves enough bytes behind it is removed, unless recovery may need it.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use probity_core::record::{RecordTable, certificate_key, commit_key, epoch_key, round_key};
use probity_core::{CommitIndex, CommitRecord, Round};
use probity_storage::{Batch, Scan, Storage, StorageError};

use crate::chronicle::Past;
use crate::records::{RETENTION, table};

/// Commits between two marks.
const MARK_EVERY: u64 = 16;

/// How much had been written when a commit was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Mark {
    index: CommitIndex,
    epoch: u64,
    leader: Round,
    written: u64,
}

/// The marks that are left, and how much has been written in all.
pub(crate) struct Retention {
    keep_bytes: u64,
    epoch: u64,
    // Rounds below a commit's leader that recovery may read.
    safe_rounds: u32,
    gc_depth: u32,
    written: u64,
    last_leader: Round,
    // Of the epoch before, which is served on.
    last_leader_before: Round,
    marks: VecDeque<Mark>,
    first: CommitIndex,
}

impl Retention {
    /// Reads the marks back.
    pub(crate) fn load(
        storage: &dyn Storage,
        past: &Past,
        keep_bytes: u64,
    ) -> Result<Self, StorageError> {
        let mut marks = VecDeque::new();
        storage.scan(RETENTION, &[], &mut |key, value| {
            marks.extend(read_mark(key, value));
            Scan::Continue
        })?;
        let mut first = past.first_commit;
        storage.scan(table(RecordTable::Commits), &[], &mut |key, _| {
            let found = key.try_into();
            first = found.map_or(first, |key| first.max(CommitIndex(u64::from_be_bytes(key))));
            Scan::Stop
        })?;
        let committee = &past.running;
        let gc_depth = committee.gc_depth();
        let newest = marks
            .back()
            .filter(|mark: &&Mark| mark.epoch == committee.epoch());
        let before = past.before.as_ref();
        Ok(Self {
            keep_bytes,
            epoch: committee.epoch(),
            safe_rounds: gc_depth.saturating_mul(4).saturating_add(1),
            gc_depth,
            written: marks.back().map_or(0, |mark: &Mark| mark.written),
            last_leader: newest.map_or(Round::GENESIS, |mark| mark.leader),
            last_leader_before: before.map_or(Round::GENESIS, |(_, end)| end.record.leader.round),
            marks,
            first,
        })
    }

    /// The oldest commit that is left.
    pub(crate) fn first(&self) -> CommitIndex {
        self.first
    }

    /// Looks at a record that goes into `batch`.
    pub(crate) fn note(&mut self, batch: &mut Batch, record: &probity_core::record::Record) {
        self.written += (record.key.len() + record.value.len()) as u64;
        if record.table == RecordTable::Epoch {
            self.enter(&record.key);
        }
        if record.table != RecordTable::Commits {
            return;
        }
        let Ok(commit) = CommitRecord::decode(&record.value) else {
            return;
        };
        self.last_leader = commit.leader.round;
        if commit.index.0 % MARK_EVERY == 0 {
            let mark = Mark {
                index: commit.index,
                epoch: commit.epoch,
                leader: commit.leader.round,
                written: self.written,
            };
            batch.put(RETENTION, commit_key(mark.index), write_mark(&mark));
            self.marks.push_back(mark);
        }
    }

    /// Rounds begin anew.
    fn enter(&mut self, epoch_key: &[u8]) {
        let epoch = epoch_key.try_into().map_or(self.epoch, u64::from_be_bytes);
        if epoch > self.epoch {
            self.epoch = epoch;
            self.last_leader_before = std::mem::take(&mut self.last_leader);
        }
    }

    /// Whether neither recovery nor those who are still in the epoch before need what lies before a mark. Its last
    /// rounds are kept until the running epoch has as many.
    fn is_safe(&self, mark: &Mark) -> bool {
        if mark.epoch == self.epoch {
            return mark.leader.plus(self.safe_rounds) < self.last_leader;
        }
        mark.epoch + 1 < self.epoch
            || mark.leader.plus(self.safe_rounds) < self.last_leader_before
            || Round::GENESIS.plus(self.safe_rounds) < self.last_leader
    }

    /// Removes at most one mark's worth, and says whether it did.
    pub(crate) fn trim(&mut self, batch: &mut Batch) -> bool {
        let Some(mark) = self.marks.front().copied() else {
            return false;
        };
        let kept = self.written - mark.written;
        if kept < self.keep_bytes || !self.is_safe(&mark) {
            return false;
        }
        self.marks.pop_front();
        let to = round_key(mark.epoch, mark.leader.minus(self.gc_depth));
        for blocks in [RecordTable::Headers, RecordTable::Payloads] {
            batch.remove_range(table(blocks), round_key(0, Round::GENESIS), to.clone());
        }
        let certified = certificate_key(mark.epoch, mark.index);
        batch.remove_range(table(RecordTable::Certificates), Bytes::new(), certified);
        // What exists once an epoch is of no use without its commits; its end and its evidence stay.
        for once in [
            RecordTable::Own,
            RecordTable::Reputation,
            RecordTable::Agenda,
        ] {
            batch.remove_range(table(once), Bytes::new(), epoch_key(mark.epoch));
        }
        self.first = self.first.max(mark.index.next());
        let end = commit_key(self.first);
        batch.remove_range(table(RecordTable::Commits), Bytes::new(), end.clone());
        batch.remove_range(RETENTION, Bytes::new(), end);
        true
    }
}

/// Removes what was decided in the epochs below `epoch`: nobody is told any more.
pub(crate) fn forget_notes(batch: &mut Batch, epoch: u64) {
    let notes = table(RecordTable::Notes);
    batch.remove_range(notes, Bytes::new(), epoch_key(epoch));
}

fn write_mark(mark: &Mark) -> Bytes {
    let mut bytes = BytesMut::with_capacity(20);
    bytes.put_u32_le(mark.leader.0);
    bytes.put_u64_le(mark.written);
    bytes.put_u64_le(mark.epoch);
    bytes.freeze()
}

/// A mark that cannot be read only delays a removal.
fn read_mark(key: &[u8], value: &[u8]) -> Option<Mark> {
    let index = CommitIndex(u64::from_be_bytes(key.try_into().ok()?));
    let (leader, rest) = value.split_first_chunk::<4>()?;
    let (written, epoch) = rest.split_first_chunk::<8>()?;
    let written = u64::from_le_bytes(*written);
    Some(Mark {
        index,
        // Marks of the first epoch had none.
        epoch: epoch.try_into().map_or(0, u64::from_le_bytes),
        leader: Round(u32::from_le_bytes(*leader)),
        written,
    })
}
