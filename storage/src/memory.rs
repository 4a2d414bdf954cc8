//! A storage that forgets with the process.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

use crate::batch::{Batch, Operation};
use crate::{Scan, Space, Storage, StorageError, Table, Visitor};

/// Keeps everything in memory. Clones share their records, so a test can "restart" a node by giving
/// it a clone.
#[derive(Clone, Debug)]
pub struct MemoryStorage {
    // Shared by the clones, which is the point of cloning.
    records: Arc<RwLock<Records>>,
    limit_bytes: u64,
}

impl MemoryStorage {
    /// An empty storage without a limit.
    pub fn new() -> Self {
        Self::with_limit_bytes(u64::MAX)
    }

    /// An empty storage that refuses batches which would lead beyond `limit_bytes` of keys and
    /// values.
    pub fn with_limit_bytes(limit_bytes: u64) -> Self {
        Self {
            records: Arc::default(),
            limit_bytes,
        }
    }

    /// An independent storage with the same records; later writes to one do not show in the other.
    pub fn snapshot(&self) -> Self {
        let records = self.records.read().clone();
        Self {
            records: Arc::new(RwLock::new(records)),
            limit_bytes: self.limit_bytes,
        }
    }
}

impl Default for MemoryStorage {
    fn default() -> Self {
        Self::new()
    }
}

impl Storage for MemoryStorage {
    fn write(&self, batch: &Batch) -> Result<(), StorageError> {
        batch.check_keys()?;
        let mut records = self.records.write();
        let used_bytes = records.used_bytes;
        if used_bytes.saturating_add(put_bytes(batch)) > self.limit_bytes && has_puts(batch) {
            return Err(StorageError::Full {
                used_bytes,
                limit_bytes: self.limit_bytes,
            });
        }
        batch
            .operations()
            .iter()
            .for_each(|operation| records.apply(operation));
        Ok(())
    }

    fn read(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        Ok(self.records.read().tables[table.index()].get(key).cloned())
    }

    fn scan(&self, table: Table, from: &[u8], visit: Visitor<'_>) -> Result<(), StorageError> {
        let records = self.records.read();
        let above = (Bound::Included(from), Bound::Unbounded);
        for (key, value) in records.tables[table.index()].range::<[u8], _>(above) {
            if visit(key, value) == Scan::Stop {
                break;
            }
        }
        Ok(())
    }

    fn space(&self) -> Result<Space, StorageError> {
        let used_bytes = self.records.read().used_bytes;
        Ok(Space {
            used_bytes,
            limit_bytes: self.limit_bytes,
        })
    }
}

#[derive(Clone, Default, Debug)]
struct Records {
    tables: [BTreeMap<Bytes, Bytes>; Table::COUNT_MAX as usize],
    used_bytes: u64,
}

impl Records {
    fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Put { table, key, value } => self.put(*table, key, value),
            Operation::Remove { table, key } => self.remove(*table, key),
            Operation::RemoveRange { table, from, to } => self.remove_range(*table, from, to),
        }
    }

    fn put(&mut self, table: Table, key: &Bytes, value: &Bytes) {
        self.remove(table, key);
        self.used_bytes += record_bytes(key, value);
        self.tables[table.index()].insert(key.clone(), value.clone());
    }

    fn remove(&mut self, table: Table, key: &[u8]) {
        if let Some((key, value)) = self.tables[table.index()].remove_entry(key) {
            self.used_bytes -= record_bytes(&key, &value);
        }
    }

    fn remove_range(&mut self, table: Table, from: &[u8], to: &[u8]) {
        if from >= to {
            return;
        }
        let range = (Bound::Included(from), Bound::Excluded(to));
        let keys = self.tables[table.index()]
            .range::<[u8], _>(range)
            .map(|(key, _)| key.clone());
        for key in keys.collect::<Vec<_>>() {
            self.remove(table, &key);
        }
    }
}

fn record_bytes(key: &[u8], value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64
}

fn put_bytes(batch: &Batch) -> u64 {
    batch.operations().iter().filter_map(as_put_bytes).sum()
}

fn has_puts(batch: &Batch) -> bool {
    batch
        .operations()
        .iter()
        .any(|operation| as_put_bytes(operation).is_some())
}

fn as_put_bytes(operation: &Operation) -> Option<u64> {
    match operation {
        Operation::Put { key, value, .. } => Some(record_bytes(key, value)),
        Operation::Remove { .. } | Operation::RemoveRange { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: Table = Table::new(0);

    #[test]
    fn a_full_memory_refuses_puts_and_accepts_removals() {
        let storage = MemoryStorage::with_limit_bytes(10);
        storage
            .write(Batch::new().put(TABLE, "key", "seven b"))
            .unwrap();
        let refused = storage.write(Batch::new().put(TABLE, "k", "")).unwrap_err();
        assert!(refused.is_refusal(), "{refused}");
        storage.write(Batch::new().remove(TABLE, "key")).unwrap();
        assert_eq!(storage.space().unwrap().used_bytes, 0);
    }

    #[test]
    fn clones_share_records_and_snapshots_do_not() {
        let storage = MemoryStorage::new();
        let (shared, frozen) = (storage.clone(), storage.snapshot());
        storage
            .write(Batch::new().put(TABLE, "key", "value"))
            .unwrap();
        assert_eq!(
            shared.read(TABLE, b"key").unwrap().as_deref(),
            Some(&b"value"[..])
        );
        assert_eq!(frozen.read(TABLE, b"key").unwrap(), None);
    }
}
