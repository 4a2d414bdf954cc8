//! One validator's disk: what is durable, and what is only on its way.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use probity_core::record::{Record, RecordSource, RecordTable};
use probity_core::{PersistTicket, Time};

use crate::random::Random;

/// Records that survive a crash, and writes that may not.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    durable: BTreeMap<(u8, Bytes), Bytes>,
    writing: VecDeque<Write>,
}

/// A write that was handed over and is not confirmed.
#[derive(Clone, Debug)]
struct Write {
    ticket: PersistTicket,
    records: Vec<Record>,
    done_at: Time,
}

impl Disk {
    /// Hands records over; they are durable at the time answered, after all that were handed over before.
    pub fn write(&mut self, ticket: PersistTicket, records: Vec<Record>, done_at: Time) -> Time {
        let done_at = self
            .writing
            .back()
            .map_or(done_at, |last| last.done_at.max(done_at));
        self.writing.push_back(Write {
            ticket,
            records,
            done_at,
        });
        done_at
    }

    /// Makes durable what is due; the last ticket of it.
    pub fn sync(&mut self, now: Time) -> Option<PersistTicket> {
        let mut last = None;
        while self
            .writing
            .front()
            .is_some_and(|write| write.done_at <= now)
        {
            last = self.sync_one().or(last);
        }
        last
    }

    fn sync_one(&mut self) -> Option<PersistTicket> {
        let write = self.writing.pop_front()?;
        for record in write.records {
            let key = (record.table as u8, record.key);
            self.durable.insert(key, record.value);
        }
        Some(write.ticket)
    }

    /// The process died. Of the writes on their way some reached the disk, in order, and nobody was told; a torn one
    /// is recognised by its checksum and dropped as a whole, with all after it.
    pub fn crash(&mut self, random: &mut Random) {
        let reached = random.below(self.writing.len() as u64 + 1);
        for _ in 0..reached {
            self.sync_one();
        }
        self.writing.clear();
    }

    /// Whether a record is durable.
    #[must_use]
    pub fn holds(&self, table: RecordTable, key: &Bytes) -> bool {
        self.durable.contains_key(&(table as u8, key.clone()))
    }

    /// How many records are durable.
    #[must_use]
    pub fn len(&self) -> usize {
        self.durable.len()
    }

    /// Whether nothing is durable.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.durable.is_empty()
    }
}

impl RecordSource for Disk {
    type Error = std::convert::Infallible;

    fn read(&self, table: RecordTable, key: &[u8]) -> Result<Option<Bytes>, Self::Error> {
        let key = (table as u8, Bytes::copy_from_slice(key));
        Ok(self.durable.get(&key).cloned())
    }

    fn scan(
        &self,
        table: RecordTable,
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Self::Error> {
        let from = (table as u8, Bytes::copy_from_slice(from));
        for ((at, key), value) in self.durable.range(from..) {
            if *at != table as u8 || !visit(key, value) {
                break;
            }
        }
        Ok(())
    }
}
