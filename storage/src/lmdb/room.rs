//! How much room a batch needs, and making it before the batch is applied.
//!
//! Three lengths, from small to large:
//!
//! ```text
//! live pages  ≤  limit     what records and index take; puts must stay below it
//! last page   <  file      LMDB's high-water mark; the file is always kept longer than that
//! file        ≤  map       it exceeds the limit, because LMDB copies pages even to remove them
//! ```
//!
//! The file is made longer between the changes and the commit, by allocation and not by writing. A
//! full disk is so found while the changes can still be dropped, commits need not update the file's
//! length, and a file that is shorter than its header says was cut by something else. (LMDB alone
//! may leave such a file behind: it counts pages that it took and gave back within one transaction,
//! without writing them.)
//!
//! LMDB does not tell how far a transaction has moved the high-water mark. But it says where it put
//! each long value, and how many other pages it may have taken can be estimated from above.

use std::fs::File;
use std::io;

use lmdb::{Database, Transaction};

use super::ffi;
use super::header::Header;
use crate::Table;
use crate::batch::{Batch, Operation};

/// The length of the map for a storage with this limit and this file.
pub(super) fn map_bytes(limit_bytes: u64, header: Header) -> usize {
    let file_bytes = header.pages * header.page_bytes;
    let least = limit_bytes.max(file_bytes);
    let bytes = least
        .saturating_add(least / 8)
        .saturating_add(MAP_SLACK_BYTES);
    let bytes = bytes.min(MAP_BYTES_MAX) / header.page_bytes * header.page_bytes;
    usize::try_from(bytes).expect("machines have 64 bits here")
}

/// The pages in use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Live {
    /// All of them.
    pub(super) pages: u64,
    /// Those of the trees; the others hold long values.
    tree_pages: u64,
}

impl Live {
    /// Adds up the pages of `tables`. The two header pages count; the list of free pages, at most a
    /// five-hundredth of the file, and the list of tables, a page or two, do not.
    pub(super) fn count(transaction: &impl Transaction, tables: &[Database]) -> lmdb::Result<Self> {
        let mut live = Self {
            pages: HEADER_PAGES,
            tree_pages: 0,
        };
        for table in tables {
            let stat = transaction.stat(*table)?;
            let tree_pages = (stat.branch_pages() + stat.leaf_pages()) as u64;
            live.tree_pages += tree_pages;
            live.pages += tree_pages + stat.overflow_pages() as u64;
        }
        Ok(live)
    }
}

/// What a batch needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand {
    /// Pages that may be in use after the batch and were not before; 0 when it only removes.
    pub(super) added_pages: u64,
    /// Pages that may be taken, other than those of long values.
    single_pages: u64,
}

impl Demand {
    /// Estimates from above what `batch` needs in a storage like this.
    pub(super) fn of(batch: &Batch, live: Live, page_bytes: u64) -> Self {
        let (mut tree_bytes, mut value_pages, mut puts) = (0, 0, 0);
        for operation in batch.operations() {
            let Operation::Put { key, value, .. } = operation else {
                continue;
            };
            puts += 1;
            tree_bytes += NODE_BYTES + key.len() as u64;
            if has_own_pages(key, value, page_bytes) {
                value_pages += (PAGE_HEADER_BYTES + record_bytes(value)).div_ceil(page_bytes);
            } else {
                tree_bytes += record_bytes(value);
            }
        }
        // The new pages of a tree are half full on average, or better, and have parents that hold
        // at least three each. Besides, a put may start a tree, or split a page that was full.
        let new_pages = (tree_bytes * 3).div_ceil(page_bytes)
            + puts.min(live.tree_pages + u64::from(Table::COUNT_MAX)) * 2;
        // Even where a batch changes a single byte, LMDB copies the page and those above it.
        let operations = batch.len() as u64;
        let copied_pages = live
            .tree_pages
            .min(operations.saturating_mul(TREE_DEPTH_MAX));
        Self {
            added_pages: value_pages + new_pages,
            single_pages: new_pages + copied_pages,
        }
    }

    /// How long the file must be, from above, to commit a batch of this demand. `file` is the file
    /// before the batch, and `values_end` what the changes answered.
    pub(super) fn file_bytes(self, file: Header, values_end: u64) -> u64 {
        // LMDB notes in pages of their own which pages became free.
        let list_pages = file.pages * PAGE_NUMBER_BYTES * 2 / file.page_bytes;
        let pages = file.pages.max(values_end) + self.single_pages + list_pages + SPARE_PAGES;
        // Puts leave room behind that a batch of removals finds when the disk is full.
        let kept = if self.added_pages > 0 {
            KEPT_FOR_REMOVALS_BYTES
        } else {
            0
        };
        pages.saturating_mul(file.page_bytes).saturating_add(kept)
    }
}

/// Whether LMDB gives `value` pages of its own: when two nodes of its length do not fit on one
/// page.
pub(super) fn has_own_pages(key: &[u8], value: &[u8], page_bytes: u64) -> bool {
    let node_bytes_max = (((page_bytes - PAGE_HEADER_BYTES) / 2) & !1) - NODE_OFFSET_BYTES;
    NODE_HEADER_BYTES + key.len() as u64 + record_bytes(value) > node_bytes_max
}

fn record_bytes(value: &[u8]) -> u64 {
    (super::record::CHECKSUM_BYTES + value.len()) as u64
}

/// Makes `file` at least `needed` bytes long, but not longer than `ceiling`. A step takes more than
/// was asked for, so that few batches need one; but no more than asked when the disk is almost
/// full.
pub(super) fn allocate(file: &File, needed: u64, ceiling: u64) -> io::Result<()> {
    let needed = needed.min(ceiling);
    if file.metadata()?.len() >= needed {
        return Ok(());
    }
    let step = (needed / 16).clamp(STEP_BYTES_MIN, STEP_BYTES_MAX);
    match ffi::allocate(file, (needed + step).min(ceiling)) {
        Err(error) if is_disk_full(&error) => ffi::allocate(file, needed),
        result => result,
    }
}

/// Whether there is no more room for the file: on the disk, in the quota, or by the process's
/// limit.
pub(super) fn is_disk_full(error: &io::Error) -> bool {
    [libc::ENOSPC, libc::EDQUOT, libc::EFBIG]
        .map(Some)
        .contains(&error.raw_os_error())
}

const HEADER_PAGES: u64 = 2;
/// What LMDB puts before each page's content.
const PAGE_HEADER_BYTES: u64 = 16;
const NODE_HEADER_BYTES: u64 = 8;
/// Where a node is, in the list at the start of its page.
const NODE_OFFSET_BYTES: u64 = 2;
const PAGE_NUMBER_BYTES: u64 = 8;
/// A node without key and value: header, offset, a byte of padding, the page of a long value.
const NODE_BYTES: u64 = NODE_HEADER_BYTES + NODE_OFFSET_BYTES + 1 + PAGE_NUMBER_BYTES;
/// A tree of 2^40 records is less deep than this.
const TREE_DEPTH_MAX: u64 = 12;
/// For the list of tables, new roots and rounding.
const SPARE_PAGES: u64 = 64;
const KEPT_FOR_REMOVALS_BYTES: u64 = 4 << 20;
const STEP_BYTES_MIN: u64 = 12 << 20;
const STEP_BYTES_MAX: u64 = 256 << 20;
const MAP_SLACK_BYTES: u64 = 64 << 20;
/// Half of the address space of a 64-bit process with four-level page tables.
const MAP_BYTES_MAX: u64 = 1 << 46;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Demand, Live};
    use crate::lmdb::header;
    use crate::{Batch, LmdbStorage, Storage, Table};

    const TABLES: [Table; 2] = [Table::new(0), Table::new(1)];

    fn live(storage: &LmdbStorage) -> Live {
        let transaction = storage.environment.begin_ro_txn().unwrap();
        Live::count(&transaction, &storage.tables).unwrap()
    }

    fn operations() -> impl Strategy<Value = Vec<(usize, u8, u8, u32)>> {
        // Table, kind, key, and a length that is often small.
        let length = prop_oneof![
            0..40_u32,
            1_900..2_100_u32,
            4_000..4_200_u32,
            0..200_000_u32
        ];
        prop::collection::vec((0..2_usize, 0..6_u8, any::<u8>(), length), 1..200)
    }

    fn batch(operations: &[(usize, u8, u8, u32)]) -> Batch {
        let mut batch = Batch::new();
        for (table, kind, byte, length) in operations {
            let table = TABLES[*table];
            let key = vec![*byte; 1 + usize::from(*byte) * 2 % 511];
            match kind {
                0..=3 => batch.put(table, key, vec![*byte; *length as usize]),
                4 => batch.remove(table, key),
                _ => batch.remove_range(table, key, vec![byte.saturating_add(20)]),
            };
        }
        batch
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// The estimates are from above: no batch uses more pages than it was admitted for, and
        /// the file is longer than the header says after each of them.
        #[test]
        fn no_batch_exceeds_its_estimate(
            batches in prop::collection::vec(operations(), 1..12)
        ) {
            let place = tempfile::tempdir().unwrap();
            let storage = LmdbStorage::open(place.path()).unwrap();
            for operations in batches {
                let batch = batch(&operations);
                let before = live(&storage);
                let added_pages = Demand::of(&batch, before, storage.page_bytes).added_pages;
                storage.write(&batch).unwrap();
                let after = live(&storage).pages;
                let bound = before.pages + added_pages;
                prop_assert!(after <= bound, "{after} > {bound}, before {before:?}");
                header::read(&place.path().join("data.mdb")).unwrap();
            }
        }
    }
}
