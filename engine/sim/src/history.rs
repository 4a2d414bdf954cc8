//! The durable sequence of a validator, read back from its disk.

use probity_core::record::{RecordSource, RecordTable, commit_key, read_block};
use probity_core::{Commit, CommitIndex, CommitRecord, CommittedBlock, digest_of};

use crate::disk::Disk;

/// Every durable commit, from the first.
pub(crate) fn commits(disk: &Disk) -> Vec<Commit> {
    let mut commits = Vec::new();
    let mut index = CommitIndex::GENESIS.next();
    while let Some(commit) = commit(disk, index) {
        commits.push(commit);
        index = index.next();
    }
    commits
}

fn commit(disk: &Disk, index: CommitIndex) -> Option<Commit> {
    let Ok(bytes) = disk.read(RecordTable::Commits, &commit_key(index));
    let bytes = bytes?;
    let record = CommitRecord::decode(&bytes).ok()?;
    let block = |(reference, void): &(_, bool)| {
        let block = read_block(disk, record.epoch, reference).ok()??;
        Some(CommittedBlock {
            block: block.block().clone(),
            void: *void,
        })
    };
    let blocks = record.blocks.iter().map(block).collect::<Option<_>>()?;
    Some(Commit {
        digest: digest_of(&bytes),
        record,
        blocks,
        path: None,
    })
}
