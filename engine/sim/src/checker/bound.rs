//! The commits that processes are bound to: those that left the engine, and those that a start finds on the disk.
//!
//! A commit that was durable when its process died may never have left the engine; whoever goes on from it is bound
//! to it all the same.

use std::collections::BTreeMap;

use probity_core::record::{RecordSource, RecordTable, commit_key, epoch_key};
use probity_core::{CommitIndex, CommitRecord, Round};

use super::{Observation, Scene};

/// How far each process is, in the eyes of one checker.
#[derive(Default)]
pub(super) struct Bound {
    last: BTreeMap<usize, CommitIndex>,
}

impl Bound {
    /// The commits that this observation binds a process to, in order.
    pub(super) fn news(&mut self, scene: &Scene<'_>, seen: &Observation<'_>) -> Vec<CommitRecord> {
        let last = self.last.entry(scene.process).or_insert(scene.origin.index);
        if let Observation::Committed(commit) = seen {
            *last = commit.index();
            return vec![commit.record.clone()];
        }
        let Observation::Started { last: durable } = seen else {
            return Vec::new();
        };
        let first = last.next();
        *last = *durable;
        let indices = (first.0..=durable.0).map(CommitIndex);
        indices
            .filter_map(|index| stored_commit(scene, index))
            .collect()
    }
}

/// A commit record on the validator's disk.
pub(super) fn stored_commit(scene: &Scene<'_>, index: CommitIndex) -> Option<CommitRecord> {
    let Ok(bytes) = scene.disk.read(RecordTable::Commits, &commit_key(index));
    CommitRecord::decode(&bytes?).ok()
}

/// The gc round after the last durable commit.
pub(super) fn durable_gc_round(scene: &Scene<'_>) -> Round {
    let key = epoch_key(scene.committee.epoch());
    let Ok(tip) = scene.disk.read(RecordTable::Tip, &key);
    let tip = tip.and_then(|tip| Some(u64::from_le_bytes(tip.as_ref().try_into().ok()?)));
    let last = tip.and_then(|index| stored_commit(scene, CommitIndex(index)));
    last.map_or(Round::GENESIS, |last| {
        scene.committee.gc_round(last.leader.round)
    })
}
