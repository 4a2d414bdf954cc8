//! The real window and commit rule without the rest of a replica: blocks in, decisions and commits out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::block::{Block, BlockRef, Slot};
use crate::commit::{COMMIT_RECORD_VERSION, CommitRecord};
use crate::committee::Committee;
use crate::crypto::Digest;
use crate::dag::{BlockId, Dag};
use crate::id::{CommitIndex, Round, ValidatorIndex};
use crate::order::linearize::{linearize, timestamp_ms};
use crate::order::{Decision, Order, OutputSlot, Path};
use crate::reputation::{Leadership, Reputation, Scored, Standing};

use super::{Answer, AnswerCommit};

/// What became of a slot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Verdict {
    /// This block of it was committed.
    Commit(Digest),
    /// No block of it was.
    Skip,
}

/// A decided slot. Validators agree on the verdict; the path is their own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DecidedSlot {
    /// The slot.
    pub slot: Slot,
    /// What was decided.
    pub verdict: Verdict,
    /// By which rule.
    pub path: Path,
}

/// One commit with the gc round that it leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Committed {
    /// The record.
    pub record: CommitRecord,
    /// Its digest.
    pub digest: Digest,
    /// The gc round after it (R22).
    pub gc_round: Round,
}

/// What a validator knows after a restart: the end of the sequence, and which blocks above gc are in it (R36).
#[derive(Clone, Debug)]
pub struct Checkpoint {
    last: Committed,
    /// Scores and schedules, as they are stored.
    reputation: bytes::Bytes,
    committed: BTreeSet<BlockRef>,
}

/// Accepts blocks in any order and outputs commits, step by step as R19 says.
pub struct Committer {
    dag: Dag,
    order: Order,
    reputation: Reputation,
    /// Blocks that wait for a parent (R5).
    suspended: BTreeMap<BlockRef, Arc<Block>>,
    /// After a restart: blocks that are in the sequence already.
    restored: BTreeSet<BlockRef>,
    index: CommitIndex,
    previous: Digest,
    timestamp_ms: u64,
    skipped: Vec<Slot>,
    /// The last commit made a schedule that is not installed yet.
    scheduled: bool,
    accepted: Vec<Arc<Block>>,
    slots: Vec<DecidedSlot>,
    commits: Vec<Committed>,
}

impl Committer {
    /// Before the first round.
    #[must_use]
    pub fn new(committee: Arc<Committee>) -> Self {
        let reputation = Reputation::new(Arc::clone(&committee));
        Self {
            order: Order::new(reputation.schedules(), Round::GENESIS, None),
            reputation,
            suspended: BTreeMap::new(),
            restored: BTreeSet::new(),
            index: CommitIndex::GENESIS,
            previous: *committee.chain(),
            timestamp_ms: 0,
            skipped: Vec::new(),
            scheduled: false,
            accepted: Vec::new(),
            slots: Vec::new(),
            commits: Vec::new(),
            dag: Dag::new(committee, Round::GENESIS),
        }
    }

    /// After a restart; the blocks above the checkpoint's gc round are to be inserted again.
    ///
    /// # Panics
    /// When the checkpoint is of another committee.
    #[must_use]
    pub fn resume(committee: Arc<Committee>, checkpoint: Checkpoint) -> Self {
        let Checkpoint {
            last,
            reputation,
            committed,
        } = checkpoint;
        let mut resumed = Self::new(Arc::clone(&committee));
        let restored = Reputation::restore(&reputation, &committee);
        (_, resumed.reputation) = restored.expect("a checkpoint can be read back");
        let schedules = resumed.reputation.schedules();
        let last_slot = Some(last.record.leader.slot());
        resumed.order = Order::new(schedules, last.gc_round, last_slot);
        resumed.dag = Dag::new(committee, last.gc_round);
        resumed.restored = committed;
        resumed.index = last.record.index;
        resumed.previous = last.digest;
        resumed.timestamp_ms = last.record.timestamp_ms;
        resumed
    }

    /// What has come out so far, in the words of the reference: the two must be equal for the same accepted blocks.
    #[must_use]
    pub fn answer(&self) -> Answer {
        let plain = |committed: &Committed| AnswerCommit {
            leader: committed.record.leader,
            blocks: committed.record.blocks.clone(),
            timestamp_ms: committed.record.timestamp_ms,
            skipped: committed.record.skipped.clone(),
            gc_round: committed.gc_round,
            schedule: committed.record.schedule,
        };
        let output = self.slots.iter().map(|slot| (slot.slot, slot.verdict));
        Answer {
            slots: self.ordered_slots(),
            decisions: self.decisions(),
            output: output.collect(),
            commits: self.commits.iter().map(plain).collect(),
        }
    }

    /// What a restart after the last commit would know; `None` before this life's first one.
    #[must_use]
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        let last = self.commits.last()?.clone();
        let refs = self.commits.iter().flat_map(|commit| &commit.record.blocks);
        let refs = refs.map(|(block, _)| block).chain(&self.restored);
        let live = refs.filter(|block| block.round > last.gc_round);
        Some(Checkpoint {
            committed: live.copied().collect(),
            reputation: self.reputation.encode(last.record.index),
            last,
        })
    }

    /// Takes a block: drops it if it is known or collected, suspends it if it lacks a parent, else accepts it and
    /// whatever waited for it (R5).
    pub fn insert(&mut self, block: Arc<Block>) {
        let reference = block.reference();
        if self.dag.contains(&reference) {
            return;
        }
        self.suspended.insert(reference, block);
        self.accept_suspended();
    }

    fn accept_suspended(&mut self) {
        while let Some(block) = self.take_acceptable() {
            let reference = block.reference();
            self.accepted.push(Arc::clone(&block));
            let id = self.dag.insert(block);
            self.dag.set_grounded(id);
            if self.restored.contains(&reference) {
                self.dag.set_committed(id);
            }
            self.order.handle_accepted(&self.dag, id);
            self.output();
        }
    }

    fn take_acceptable(&mut self) -> Option<Arc<Block>> {
        let gc_round = self.dag.gc_round();
        self.suspended
            .retain(|reference, _| reference.round > gc_round);
        let ready = |block: &&Arc<Block>| self.dag.missing_parents(block).is_empty();
        let reference = self.suspended.values().find(ready)?.reference();
        self.suspended.remove(&reference)
    }

    fn output(&mut self) {
        while let Some(next) = self.order.next_output() {
            let verdict = match next.decided.decision {
                Decision::Commit(leader) => self.commit(leader),
                Decision::Skip => {
                    self.skipped.push(next.slot);
                    Verdict::Skip
                }
            };
            let OutputSlot { slot, decided, .. } = next;
            self.slots.push(DecidedSlot {
                slot,
                verdict,
                path: decided.path,
            });
            self.order.advance();
            if std::mem::take(&mut self.scheduled) {
                self.order.install(&self.dag, self.reputation.schedules());
            }
            if let Some(last) = self.commits.last() {
                self.dag.collect(last.gc_round);
                self.order.collect(last.gc_round);
            }
        }
    }

    /// R19: linearise, void flags, timestamp, score, schedule, record.
    fn commit(&mut self, leader: BlockId) -> Verdict {
        let reference = self.dag.entry(leader).block.reference();
        self.timestamp_ms = timestamp_ms(&self.dag, leader, self.timestamp_ms);
        let blocks = linearize(&mut self.dag, leader);
        self.index = self.index.next();
        let skipped = std::mem::take(&mut self.skipped);
        let header = |id: BlockId| self.dag.entry(id).block.header();
        let scored = Scored {
            leader: reference,
            skipped: &skipped,
            blocks: blocks.iter().map(|(id, of, _)| (*of, header(*id))),
        };
        self.scheduled = self.reputation.handle_commit(scored) == Leadership::Scheduled;
        let record = CommitRecord {
            version: COMMIT_RECORD_VERSION,
            epoch: self.dag.committee().epoch(),
            index: self.index,
            previous: self.previous,
            leader: reference,
            blocks: blocks
                .into_iter()
                .map(|(_, block, void)| (block, void))
                .collect(),
            timestamp_ms: self.timestamp_ms,
            skipped,
            schedule: self.reputation.schedules().of(reference.round).id(),
            reputation: self.reputation.digest(),
            next: Digest::ZERO,
        };
        self.previous = record.digest();
        let gc_round = self.dag.committee().gc_round(reference.round);
        self.commits.push(Committed {
            record,
            digest: self.previous,
            gc_round,
        });
        Verdict::Commit(reference.digest)
    }

    /// Every slot up to the highest round: those output as they were, the others under the schedules made so far.
    fn ordered_slots(&self) -> Vec<Slot> {
        let mut slots: Vec<Slot> = self.slots.iter().map(|decided| decided.slot).collect();
        let output: BTreeSet<Slot> = slots.iter().copied().collect();
        let first = slots.last().map_or(Round(1), |last| last.round);
        for round in (first.0..=self.dag.highest_round().0).map(Round) {
            let leaders = self.order.leaders(round).iter();
            let of_round = leaders.map(|author| Slot {
                round,
                author: *author,
            });
            slots.extend(of_round.filter(|slot| !output.contains(slot)));
        }
        slots
    }

    /// The slots output so far, in slot order.
    #[must_use]
    pub fn slots(&self) -> &[DecidedSlot] {
        &self.slots
    }

    /// Every decided slot, also those that wait for an undecided one before them.
    #[must_use]
    pub fn decisions(&self) -> BTreeMap<Slot, Verdict> {
        let mut decisions: BTreeMap<Slot, Verdict> = self
            .slots
            .iter()
            .map(|decided| (decided.slot, decided.verdict))
            .collect();
        let first = self.dag.gc_round().next();
        for round in (first.0..=self.dag.highest_round().0).map(Round) {
            for author in self.order.leaders(round) {
                let slot = Slot {
                    round,
                    author: *author,
                };
                let known = self
                    .order
                    .votes()
                    .slot(slot)
                    .and_then(|known| known.decided);
                let verdict = match known.map(|decided| decided.decision) {
                    None => continue,
                    Some(Decision::Skip) => Verdict::Skip,
                    Some(Decision::Commit(id)) => {
                        Verdict::Commit(self.dag.entry(id).block.reference().digest)
                    }
                };
                decisions.insert(slot, verdict);
            }
        }
        decisions
    }

    /// The commits so far.
    #[must_use]
    pub fn commits(&self) -> &[Committed] {
        &self.commits
    }

    /// Every block ever accepted, in the order of acceptance.
    #[must_use]
    pub fn accepted(&self) -> &[Arc<Block>] {
        &self.accepted
    }

    /// How many blocks wait for a parent.
    #[must_use]
    pub fn suspended(&self) -> usize {
        self.suspended.len()
    }

    /// R31: a validator's score with what moved it.
    #[must_use]
    pub fn reputation(&self, validator: ValidatorIndex) -> Option<Standing> {
        self.reputation.standing(validator)
    }

    /// The highest collected round.
    #[must_use]
    pub fn gc_round(&self) -> Round {
        self.dag.gc_round()
    }
}
