//! A disk that keeps what was confirmed, and after a crash perhaps some of the rest.

use std::collections::BTreeMap;
use std::convert::Infallible;

use bytes::Bytes;
use probity_core::record::{Record, RecordSource, RecordTable};

/// Durable records.
#[derive(Default)]
pub(super) struct Store {
    records: BTreeMap<(u8, Vec<u8>), Bytes>,
}

impl Store {
    pub(super) fn write(&mut self, records: Vec<Record>) {
        for record in records {
            let key = (record.table as u8, record.key.to_vec());
            self.records.insert(key, record.value);
        }
    }

    pub(super) fn get(&self, table: RecordTable, key: &[u8]) -> Option<&Bytes> {
        self.records.get(&(table as u8, key.to_vec()))
    }
}

impl RecordSource for Store {
    type Error = Infallible;

    fn read(&self, table: RecordTable, key: &[u8]) -> Result<Option<Bytes>, Infallible> {
        Ok(self.get(table, key).cloned())
    }

    fn scan(
        &self,
        table: RecordTable,
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Infallible> {
        let from = (table as u8, from.to_vec());
        for ((_, key), value) in self.records.range(from..(table as u8 + 1, Vec::new())) {
            if !visit(key, value) {
                break;
            }
        }
        Ok(())
    }
}
