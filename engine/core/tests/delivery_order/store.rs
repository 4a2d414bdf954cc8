//! The records that a replica asked to make durable.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use probity_core::crypto::Digest;
use probity_core::record::{
    Record, RecordSource, RecordTable, commit_key, epoch_key, header_key, read_block,
};
use probity_core::{
    Block, BlockRef, CommitIndex, Committee, Round, ValidatorIndex, VerifiedBlock, digest_of,
};

/// A disk that forgets nothing.
#[derive(Clone, Default)]
pub(crate) struct Store {
    records: BTreeMap<(u8, Bytes), Bytes>,
    /// Every snapshot of the scores, by the commit after which it was taken.
    snapshots: BTreeMap<CommitIndex, Bytes>,
}

impl Store {
    /// Every block, as a replica that accepted all of them would have stored it.
    pub(crate) fn of_blocks(committee: &Committee, blocks: &[Arc<Block>]) -> Self {
        let mut store = Self::default();
        let chain = Bytes::copy_from_slice(committee.chain().as_bytes());
        store.put(RecordTable::Epoch, epoch_key(committee.epoch()), chain);
        for block in blocks {
            store.put(
                RecordTable::Headers,
                header_key(block.header().epoch, &block.reference()),
                block.signed_header().clone(),
            );
        }
        store
    }

    fn put(&mut self, table: RecordTable, key: Bytes, value: Bytes) {
        self.records.insert((table as u8, key), value);
    }

    pub(crate) fn write(&mut self, records: Vec<Record>) {
        for Record { table, key, value } in records {
            if table == RecordTable::Reputation {
                self.snapshots.insert(taken_after(&value), value.clone());
            }
            self.put(table, key, value);
        }
    }

    /// The digests of the stored commits, from the first one on.
    pub(crate) fn commits(&self) -> Vec<Digest> {
        let stored = |index| self.read(RecordTable::Commits, &commit_key(CommitIndex(index)));
        (1..)
            .map_while(|index| stored(index).expect("reading cannot fail"))
            .map(|record| digest_of(&record))
            .collect()
    }

    /// The store as it was when commit `last` had just been written.
    pub(crate) fn cut_after(&self, last: CommitIndex) -> Self {
        let mut cut = self.clone();
        let commits = RecordTable::Commits as u8;
        cut.records
            .retain(|(table, key), _| *table != commits || *key <= commit_key(last));
        let tip = Bytes::copy_from_slice(&last.0.to_le_bytes());
        cut.put(RecordTable::Tip, epoch_key(0), tip);
        cut.records
            .retain(|(table, _), _| *table != RecordTable::Reputation as u8);
        if let Some((_, snapshot)) = self.snapshots.range(..=last).next_back() {
            cut.put(RecordTable::Reputation, epoch_key(0), snapshot.clone());
        }
        cut
    }

    /// The stored blocks, by ascending round.
    pub(crate) fn blocks(&self) -> Vec<VerifiedBlock> {
        let mut keys = Vec::new();
        let visit = &mut |key: &[u8], _: &[u8]| {
            keys.push(Bytes::copy_from_slice(key));
            true
        };
        self.scan(RecordTable::Headers, &[], visit)
            .expect("reading cannot fail");
        keys.iter()
            .map(|key| self.block(&reference_of(key)))
            .collect()
    }

    /// A block that is stored.
    pub(crate) fn block(&self, reference: &BlockRef) -> VerifiedBlock {
        read_block(self, 0, reference)
            .expect("a stored block is sound")
            .expect("the block is stored")
    }
}

/// The index that a snapshot of the scores names, after its version.
fn taken_after(snapshot: &[u8]) -> CommitIndex {
    CommitIndex(u64::from_le_bytes(
        snapshot[2..10].try_into().expect("eight bytes"),
    ))
}

/// The reference that a header's key is made of.
fn reference_of(key: &[u8]) -> BlockRef {
    let round = u32::from_be_bytes(key[8..12].try_into().expect("four bytes"));
    let author = u16::from_be_bytes(key[12..14].try_into().expect("two bytes"));
    BlockRef {
        round: Round(round),
        author: ValidatorIndex(author),
        digest: Digest(key[14..46].try_into().expect("32 bytes")),
    }
}

impl RecordSource for Store {
    type Error = Infallible;

    fn read(&self, table: RecordTable, key: &[u8]) -> Result<Option<Bytes>, Infallible> {
        let key = (table as u8, Bytes::copy_from_slice(key));
        Ok(self.records.get(&key).cloned())
    }

    fn scan(
        &self,
        table: RecordTable,
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Infallible> {
        let from = (table as u8, Bytes::copy_from_slice(from));
        for ((found, key), value) in self.records.range(from..) {
            if *found != table as u8 || !visit(key, value) {
                break;
            }
        }
        Ok(())
    }
}
