//! A batch, as LMDB operations.

use lmdb::{Cursor, Database, RwTransaction, WriteFlags};

use super::{ffi, record, room};
use crate::Table;
use crate::batch::{Batch, Operation};

/// Applies `batch` inside `transaction`, which the caller commits, or drops after an error. Answers
/// the number of the page behind all those that long values have taken.
pub(super) fn apply(
    transaction: &mut RwTransaction<'_>,
    tables: &[Database],
    batch: &Batch,
    page_bytes: u64,
) -> lmdb::Result<u64> {
    let handle = |table: &Table| tables[table.index()];
    let mut values_end = 0;
    for operation in batch.operations() {
        match operation {
            Operation::Put { table, key, value } => {
                let checksum = record::checksum(*table, key, value);
                let parts = (&checksum[..], &value[..]);
                let page = ffi::put_in_two_parts(transaction, handle(table), key, parts)?;
                if room::has_own_pages(key, value, page_bytes) {
                    values_end = values_end.max(page.number + u64::from(page.pages));
                }
            }
            Operation::Remove { table, key } => match transaction.del(handle(table), key, None) {
                Ok(()) | Err(lmdb::Error::NotFound) => {}
                Err(error) => return Err(error),
            },
            Operation::RemoveRange { table, from, to } => {
                remove_range(transaction, handle(table), (from, to))?;
            }
        }
    }
    Ok(values_end)
}

/// A record in LMDB's memory. LMDB leaves the key out when it is the one that was asked for.
pub(super) type Found<'a> = lmdb::Result<(Option<&'a [u8]>, &'a [u8])>;

/// Moves `cursor` to the first key that is `from` or above. An empty `from` is below all keys, but
/// LMDB does not take it.
pub(super) fn seek<'a>(cursor: &impl Cursor<'a>, from: &[u8]) -> Found<'a> {
    if from.is_empty() {
        cursor.get(None, None, lmdb_sys::MDB_FIRST)
    } else {
        cursor.get(Some(from), None, lmdb_sys::MDB_SET_RANGE)
    }
}

/// Removes what is in `from..to`. Each step seeks anew, because a deletion may move the cursor, and
/// no slice is kept across a deletion, because its page may be reused.
fn remove_range(
    transaction: &mut RwTransaction<'_>,
    table: Database,
    (from, to): (&[u8], &[u8]),
) -> lmdb::Result<()> {
    let mut cursor = transaction.open_rw_cursor(table)?;
    loop {
        let goes = match seek(&cursor, from) {
            Ok((Some(key), _)) => key < to,
            Ok((None, _)) => return Err(lmdb::Error::Corrupted),
            Err(lmdb::Error::NotFound) => false,
            Err(error) => return Err(error),
        };
        if !goes {
            return Ok(());
        }
        cursor.del(WriteFlags::empty())?;
    }
}
