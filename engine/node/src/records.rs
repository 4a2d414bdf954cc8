//! The core's records in the node's storage.

use std::sync::Arc;

use bytes::Bytes;
use probity_core::record::{Record, RecordSource, RecordTable};
use probity_storage::{Batch, Scan, Storage, StorageError, Table};

/// The table that retention keeps its marks in; the core leaves this number out.
pub(crate) const RETENTION: Table = Table::new(6);

/// The storage's table for one of the core's.
pub(crate) const fn table(of: RecordTable) -> Table {
    Table::new(of as u8)
}

/// Reads the core's records.
#[derive(Clone)]
pub(crate) struct Records(pub(crate) Arc<dyn Storage>);

impl RecordSource for Records {
    type Error = StorageError;

    fn read(&self, of: RecordTable, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.0.read(table(of), key)
    }

    fn scan(
        &self,
        of: RecordTable,
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StorageError> {
        self.0.scan(table(of), from, &mut |key, value| {
            if visit(key, value) {
                Scan::Continue
            } else {
                Scan::Stop
            }
        })
    }
}

/// Adds one record to a batch.
pub(crate) fn put(batch: &mut Batch, record: Record) {
    batch.put(table(record.table), record.key, record.value);
}
