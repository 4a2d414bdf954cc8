//! The slow reference committer repeats every decision, on the very blocks that the validator had accepted.
//!
//! Accepted blocks are in the records that a validator asks to make durable, before or with the commits they decide.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use probity_core::crypto::Digest;
use probity_core::record::{Record, RecordSource, RecordTable, round_key};
use probity_core::testing::{ReferenceSchedule, Verdict, reference_decisions, schedule_of};
use probity_core::{Block, BlockRef, CommitIndex, CommitRecord, Round, Slot, ValidatorIndex};

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
    /// The last commit and its slot.
    index: CommitIndex,
    last: Option<Slot>,
    blocks: BTreeSet<BlockRef>,
    own_blocks: u64,
    /// The last commit ends the epoch.
    ended: bool,
    /// What is wrong with a commit unless it was certified (R35): a slot that the reference leaves open, or one after it
    /// that the reference could commit, while who catches up decides nothing.
    unless_certified: BTreeMap<CommitIndex, String>,
}

impl Checker for Reference {
    fn promise(&self) -> &'static str {
        "the slow reference committer repeats every decision, and makes none that was missed"
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
                match accepted.unless_certified.remove(&commit.index()) {
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
            accepted.ended = last.ends_epoch();
            accepted.index = last.index;
            accepted.last = Some(last.leader.slot());
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
        // Everything accepted before an own header is in its write, and what that decides too.
        let own = of(RecordTable::Own).next().is_some();
        self.own_blocks += u64::from(own);
        let looks = own && self.own_blocks.is_multiple_of(OWN_BLOCKS_A_LOOK);
        if commits.is_empty() && !looks {
            return Ok(());
        }
        let blocks: Vec<Arc<Block>> = self
            .blocks
            .iter()
            .filter_map(|block| scene.blocks.get(&block.digest).cloned())
            .collect();
        let decide =
            |schedules: &[_]| reference_decisions(scene.committee, schedules, &blocks, self.from);
        let mut repeated = decide(ledger.schedules(scene, self.index));
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
                self.unless_certified.insert(commit.index, how);
            }
            ledger.note(scene, commit)?;
            if ledger.made_schedule(commit.index) {
                repeated = decide(ledger.schedules(scene, commit.index));
            }
        }
        if let Some(last) = commits.last() {
            self.from = last.leader.round;
            self.index = last.index;
            self.last = Some(last.leader.slot());
            self.blocks = self.blocks.split_off(&lowest(self.from));
        }
        let schedules = ledger.schedules(scene, self.index);
        // R32: nothing after the last commit of an epoch is output.
        let ends = commits.last().is_some_and(CommitRecord::ends_epoch);
        self.ended |= ends;
        if self.ended {
            return Ok(());
        }
        let Some(slot) = self.missed(scene, schedules, &repeated) else {
            return Ok(());
        };
        let how = format!("{slot:?} could be committed, and was not");
        match commits.last() {
            Some(last) => {
                self.unless_certified.entry(last.index).or_insert(how);
                Ok(())
            }
            None => Err(how),
        }
    }

    /// R18: the first leader after the last commit that could be committed too.
    fn missed(
        &self,
        scene: &Scene<'_>,
        schedules: &[ReferenceSchedule],
        repeated: &BTreeMap<Slot, Verdict>,
    ) -> Option<Slot> {
        let mut passed = self.last.is_none();
        for round in (self.from.0.max(1)..).map(Round) {
            let schedule = &schedules[schedule_of(schedules, round)];
            for author in schedule.slots(scene.committee, round) {
                let slot = Slot { round, author };
                if !passed {
                    passed = Some(slot) == self.last;
                    continue;
                }
                match repeated.get(&slot)? {
                    Verdict::Skip => {}
                    Verdict::Commit(_) => return Some(slot),
                }
            }
        }
        None
    }
}

/// One own block in so many is looked at: has nothing been missed?
const OWN_BLOCKS_A_LOOK: u64 = 4;

/// The least reference of a round.
pub(super) fn lowest(round: Round) -> BlockRef {
    BlockRef {
        round,
        author: ValidatorIndex(0),
        digest: Digest::ZERO,
    }
}

/// The block that a key of [`RecordTable::Headers`] names: epoch, round, author, digest.
pub(super) fn reference_of(key: &[u8]) -> Option<BlockRef> {
    Some(BlockRef {
        round: Round(u32::from_be_bytes(key.get(8..12)?.try_into().ok()?)),
        author: ValidatorIndex(u16::from_be_bytes(key.get(12..14)?.try_into().ok()?)),
        digest: Digest(key.get(14..46)?.try_into().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use probity_core::record::{Record, RecordTable};
    use probity_core::{Commit, CommitRecord, Path};

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

    /// Commits reach the checker again once they are durable, and tell by then what decided them.
    fn look(stage: &Stage, records: &[Record], path: Option<Path>) -> Result<(), String> {
        let mut checker = Reference::new(SharedLedger::default());
        stage.look(&mut checker, 0, &Observation::Persisting(records))?;
        for record in records {
            if record.table == RecordTable::Commits {
                let record = CommitRecord::decode(&record.value).unwrap();
                let commit = Commit {
                    digest: record.digest(),
                    record,
                    blocks: Vec::new(),
                    path,
                };
                stage.look(&mut checker, 0, &Observation::Committed(&commit))?;
            }
        }
        Ok(())
    }

    #[test]
    fn a_decision_without_the_votes_is_seen() {
        let stage = Stage::full_dag(4);
        let commits: Vec<CommitRecord> = stage.commits().into_iter().map(|c| c.record).collect();
        let fast = Some(Path::Fast);
        // Full rounds commit after two: the leaders of round 1 by the blocks of round 2.
        let [all, but_one] = [&commits[..4], &commits[..3]];
        assert_eq!(look(&stage, &records(&stage, 2, all), fast), Ok(()));
        let missed = look(&stage, &records(&stage, 2, but_one), fast);
        assert!(missed.unwrap_err().contains("could be committed"));
        assert_eq!(look(&stage, &records(&stage, 4, &commits), fast), Ok(()));
        let early = look(&stage, &records(&stage, 1, &commits[..1]), fast);
        assert!(early.unwrap_err().contains("the reference says None"));
        // R35: who installs what is certified decides nothing.
        assert_eq!(look(&stage, &records(&stage, 2, but_one), None), Ok(()));
        assert_eq!(look(&stage, &records(&stage, 1, but_one), None), Ok(()));
    }

    #[test]
    fn true_decisions_pass() {
        for stage in (0..100).map(Stage::drawn) {
            let commits: Vec<CommitRecord> =
                stage.commits().into_iter().map(|c| c.record).collect();
            let all = records(&stage, u32::MAX, &commits);
            assert_eq!(look(&stage, &all, Some(Path::Slow)), Ok(()));
        }
    }

    #[test]
    fn another_decision_is_seen() {
        let stage = Stage::full_dag(4);
        let mut record = stage.commits()[1].record.clone();
        // It skips the slot that is to be committed first.
        record.skipped = vec![stage.commits()[0].record.leader.slot()];
        assert!(look(&stage, &records(&stage, 4, &[record]), None).is_err());
    }
}
