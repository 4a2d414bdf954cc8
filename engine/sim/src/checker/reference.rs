//! The slow reference committer repeats every decision, on the very blocks that the validator had accepted.
//!
//! Accepted blocks are in the records that a validator asks to make durable, before or with the commits they decide.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use probity_core::crypto::Digest;
use probity_core::record::{Record, RecordSource, RecordTable, round_key};
use probity_core::testing::reference_decisions;
use probity_core::{Block, BlockRef, CommitIndex, CommitRecord, Round, ValidatorIndex};

use super::bound::{durable_gc_round, stored_commit};
use super::decisions::decided;
use super::ledger::{Ledger, SharedLedger};
use super::{Checker, Observation, Scene};

pub(super) struct Reference {
    ledger: SharedLedger,
    processes: BTreeMap<usize, Accepted>,
}

impl Reference {
    pub(super) fn new(ledger: SharedLedger) -> Self {
        Self {
            ledger,
            processes: BTreeMap::new(),
        }
    }
}

/// What one process has accepted, from the lowest round with an undecided slot.
#[derive(Default)]
struct Accepted {
    from: Round,
    blocks: BTreeSet<BlockRef>,
    /// Commits with a slot that the reference leaves open: they must have been certified (R35).
    open: BTreeMap<CommitIndex, String>,
}

impl Checker for Reference {
    fn promise(&self) -> &'static str {
        "the slow reference committer repeats every decision"
    }

    fn look(&mut self, scene: &Scene<'_>, seen: &Observation<'_>) -> Result<(), String> {
        match seen {
            Observation::Started { .. } => {
                self.processes
                    .insert(scene.process, Accepted::load(scene, seen));
                Ok(())
            }
            Observation::Persisting(records) => {
                let accepted = self.processes.entry(scene.process).or_default();
                accepted.persist(scene, &mut self.ledger.borrow_mut(), records)
            }
            Observation::Committed(commit) => {
                let accepted = self.processes.entry(scene.process).or_default();
                match accepted.open.remove(&commit.index()) {
                    Some(how) if commit.path.is_some() => Err(how),
                    Some(_) | None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

impl Accepted {
    /// What a start finds on its disk: all but blocks whose parents never got there.
    fn load(scene: &Scene<'_>, seen: &Observation<'_>) -> Self {
        let mut accepted = Self::default();
        if let Observation::Started { last } = seen
            && let Some(last) = stored_commit(scene, *last)
            && last.epoch == scene.committee.epoch()
        {
            accepted.from = last.leader.round;
        }
        let gc_round = durable_gc_round(scene);
        let mut closed: BTreeSet<BlockRef> = BTreeSet::new();
        let from = round_key(scene.committee.epoch(), gc_round.next());
        let visit = &mut |key: &[u8], _: &[u8]| {
            let block = reference_of(key).and_then(|reference| scene.blocks.get(&reference.digest));
            if let Some(block) = block {
                let held = |parent: &BlockRef| parent.round <= gc_round || closed.contains(parent);
                if block.parents().iter().all(held) {
                    closed.insert(block.reference());
                }
            }
            true
        };
        let Ok(()) = scene.disk.scan(RecordTable::Headers, &from, visit);
        accepted.blocks = closed.split_off(&lowest(accepted.from));
        accepted
    }

    fn persist(
        &mut self,
        scene: &Scene<'_>,
        ledger: &mut Ledger,
        records: &[Record],
    ) -> Result<(), String> {
        let of = |table: RecordTable| records.iter().filter(move |record| record.table == table);
        let headers = of(RecordTable::Headers).filter_map(|record| reference_of(&record.key));
        let from = self.from;
        self.blocks
            .extend(headers.filter(|block| block.round >= from));
        let commits: Vec<CommitRecord> = of(RecordTable::Commits)
            .filter_map(|record| CommitRecord::decode(&record.value).ok())
            .collect();
        let Some(last) = commits.last() else {
            return Ok(());
        };
        let blocks: Vec<Arc<Block>> = self
            .blocks
            .iter()
            .filter_map(|block| scene.blocks.get(&block.digest).cloned())
            .collect();
        let decide =
            |schedules: &[_]| reference_decisions(scene.committee, schedules, &blocks, self.from);
        let Some(first) = commits.first() else {
            return Ok(());
        };
        let mut repeated = decide(ledger.schedules(scene, CommitIndex(first.index.0 - 1)));
        for commit in &commits {
            for (slot, verdict) in decided(commit) {
                let reference = repeated.get(&slot);
                if reference == Some(&verdict) {
                    continue;
                }
                let how =
                    format!("{slot:?} is decided {verdict:?}, the reference says {reference:?}");
                if reference.is_some() {
                    return Err(how);
                }
                self.open.insert(commit.index, how);
            }
            ledger.note(scene, commit)?;
            if ledger.made_schedule(commit.index) {
                repeated = decide(ledger.schedules(scene, commit.index));
            }
        }
        self.from = last.leader.round;
        self.blocks = self.blocks.split_off(&lowest(self.from));
        Ok(())
    }
}

fn lowest(round: Round) -> BlockRef {
    BlockRef {
        round,
        author: ValidatorIndex(0),
        digest: Digest::ZERO,
    }
}

/// The block that a key of [`RecordTable::Headers`] names: epoch, round, author, digest.
fn reference_of(key: &[u8]) -> Option<BlockRef> {
    Some(BlockRef {
        round: Round(u32::from_be_bytes(key.get(8..12)?.try_into().ok()?)),
        author: ValidatorIndex(u16::from_be_bytes(key.get(12..14)?.try_into().ok()?)),
        digest: Digest(key.get(14..46)?.try_into().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use probity_core::CommitRecord;
    use probity_core::record::Record;

    use super::Reference;
    use crate::checker::Observation;
    use crate::checker::ledger::SharedLedger;
    use crate::checker::stage::{Stage, commit_records, header_record};

    fn records(stage: &Stage, rounds: u32, commits: &[CommitRecord]) -> Vec<Record> {
        let blocks = stage.dag.iter().filter(|block| block.round().0 <= rounds);
        let mut records: Vec<Record> = blocks.map(|block| header_record(block)).collect();
        records.extend(commits.iter().flat_map(commit_records));
        records
    }

    fn look(stage: &Stage, records: &[Record]) -> Result<(), String> {
        let seen = Observation::Persisting(records);
        stage.look(&mut Reference::new(SharedLedger::default()), 0, &seen)
    }

    #[test]
    fn a_decision_without_the_votes_is_seen() {
        let stage = Stage::full_dag(4);
        let commits: Vec<CommitRecord> = stage.commits().into_iter().map(|c| c.record).collect();
        // Full rounds commit after two: the leaders of round 1 by the blocks of round 2.
        assert_eq!(look(&stage, &records(&stage, 2, &commits[..4])), Ok(()));
        assert_eq!(look(&stage, &records(&stage, 4, &commits)), Ok(()));
        let early = look(&stage, &records(&stage, 1, &commits[..1]));
        assert!(early.unwrap_err().contains("the reference says None"));
    }

    #[test]
    fn true_decisions_pass() {
        for stage in (0..100).map(Stage::drawn) {
            let commits: Vec<CommitRecord> =
                stage.commits().into_iter().map(|c| c.record).collect();
            assert_eq!(look(&stage, &records(&stage, u32::MAX, &commits)), Ok(()));
        }
    }

    #[test]
    fn another_decision_is_seen() {
        let stage = Stage::full_dag(4);
        let mut record = stage.commits()[1].record.clone();
        // It skips the slot that is to be committed first.
        record.skipped = vec![stage.commits()[0].record.leader.slot()];
        assert!(look(&stage, &records(&stage, 4, &[record])).is_err());
    }
}
