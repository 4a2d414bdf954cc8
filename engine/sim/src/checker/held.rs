//! What one validator holds, as the records tell that it asks to make durable: the rules about its own blocks are
//! asked of this, not of its own notes.
//!
//! An own header is in one write with everything accepted before it, so that when it is looked at, this is exactly
//! what it was made of.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use probity_core::record::{
    Record, RecordSource, RecordTable, epoch_key, read_own_header, round_key,
};
use probity_core::{
    Block, BlockRef, CommitIndex, CommitRecord, Header, Round, Slot, Tally, ValidatorIndex,
};

use super::bound::stored_commit;
use super::reference::{lowest, reference_of};
use super::{Observation, Scene};

/// What one validator holds.
#[derive(Default)]
pub(super) struct Held {
    pub(super) gc_round: Round,
    pub(super) last_commit: CommitIndex,
    /// The round of the last commit's leader.
    pub(super) last_leader: Round,
    /// Accepted blocks, and collected ones that are still known.
    blocks: BTreeMap<BlockRef, Arc<Block>>,
    committed: BTreeSet<BlockRef>,
    grounded: BTreeSet<BlockRef>,
    /// Held blocks that are not known to be grounded.
    open: BTreeSet<BlockRef>,
    /// Slots of which an own block links a block.
    linked: BTreeSet<Slot>,
    /// The own header in the write at hand; what it links counts as linked with the next one.
    making: Option<Header>,
}

/// Records of the epoch before are no part of what is held.
fn is_of_epoch(scene: &Scene<'_>, record: &CommitRecord) -> bool {
    record.epoch == scene.committee.epoch()
}

impl Held {
    /// What a start finds on the disk; blocks above the gc round only with all their parents.
    fn load(scene: &Scene<'_>, last: CommitIndex) -> Self {
        let mut held = Self::default();
        let mut commit = stored_commit(scene, last).filter(|last| is_of_epoch(scene, last));
        if let Some(last) = &commit {
            held.last_commit = last.index;
            held.last_leader = last.leader.round;
            held.gc_round = scene.committee.gc_round(last.leader.round);
        }
        let floor = held.gc_round.minus(4 * scene.committee.gc_depth());
        while let Some(record) = commit.filter(|record| record.leader.round > floor) {
            let blocks = record.blocks.iter().map(|(block, _)| *block);
            held.committed.extend(blocks);
            let before = record.index.0.checked_sub(1).map(CommitIndex);
            commit = before.and_then(|index| stored_commit(scene, index));
            commit = commit.filter(|before| is_of_epoch(scene, before));
        }
        let from = round_key(scene.committee.epoch(), floor.next());
        let visit = &mut |key: &[u8], _: &[u8]| {
            if let Some(block) = reference_of(key).and_then(|r| scene.blocks.get(&r.digest)) {
                let gc_round = held.gc_round;
                let here = |p: &BlockRef| p.round <= gc_round || held.blocks.contains_key(p);
                if block.round() <= gc_round || block.parents().iter().all(here) {
                    held.insert(scene.validator, block);
                }
            }
            true
        };
        let Ok(()) = scene.disk.scan(RecordTable::Headers, &from, visit);
        let Ok(own) = (scene.disk).read(RecordTable::Own, &epoch_key(scene.committee.epoch()));
        if let Some(Ok(own)) = own.map(|own| read_own_header(&own)) {
            held.link(&own.parents);
        }
        held
    }

    fn insert(&mut self, me: ValidatorIndex, block: &Arc<Block>) {
        self.open.insert(block.reference());
        self.blocks.insert(block.reference(), Arc::clone(block));
        if block.author() == me {
            self.link(block.parents());
        }
    }

    fn link(&mut self, parents: &[BlockRef]) {
        self.linked
            .extend(parents.iter().map(|parent| parent.slot()));
    }

    fn take(&mut self, scene: &Scene<'_>, records: &[Record]) {
        if let Some(made) = self.making.take() {
            self.link(&made.parents);
        }
        for record in records {
            match record.table {
                RecordTable::Headers => {
                    let block = reference_of(&record.key);
                    let block = block.and_then(|block| scene.blocks.get(&block.digest));
                    if let Some(block) = block {
                        self.insert(scene.validator, block);
                    }
                }
                RecordTable::Commits => {
                    if let Ok(commit) = CommitRecord::decode(&record.value) {
                        self.last_commit = commit.index;
                        self.last_leader = commit.leader.round;
                        self.gc_round = scene.committee.gc_round(commit.leader.round);
                        self.committed
                            .extend(commit.blocks.iter().map(|(block, _)| *block));
                    }
                }
                RecordTable::Own => self.making = read_own_header(&record.value).ok(),
                RecordTable::Epoch
                | RecordTable::Payloads
                | RecordTable::Tip
                | RecordTable::Reputation
                | RecordTable::Evidence
                | RecordTable::Agenda
                | RecordTable::EpochEnd
                | RecordTable::Certificates
                | RecordTable::Notes => {}
            }
        }
        self.ground(scene);
    }

    /// R6, asked anew of everything that was not grounded before: parents come before their children.
    fn ground(&mut self, scene: &Scene<'_>) {
        let depth = scene.committee.gc_depth();
        let floor = self.gc_round.minus(2 * depth);
        let mut open = std::mem::take(&mut self.open);
        open.retain(|reference| {
            let block = self.blocks.get(reference);
            let stands = |block: &Arc<Block>| block.parents().iter().all(|p| self.counts(p, floor));
            let grounded = self.committed.contains(reference) || block.is_some_and(stands);
            if grounded {
                self.grounded.insert(*reference);
            }
            !grounded
        });
        self.open = open;
        let forgotten = lowest(self.gc_round.minus(4 * depth));
        self.open = self.open.split_off(&forgotten);
        self.blocks = self.blocks.split_off(&forgotten);
        self.committed = self.committed.split_off(&forgotten);
        self.grounded = self.grounded.split_off(&forgotten);
        self.linked = self.linked.split_off(&forgotten.slot());
    }

    fn counts(&self, parent: &BlockRef, floor: Round) -> bool {
        parent.round <= floor || self.committed.contains(parent) || self.grounded.contains(parent)
    }

    pub(super) fn is_grounded(&self, block: &BlockRef) -> bool {
        self.grounded.contains(block)
    }

    pub(super) fn is_linked(&self, slot: Slot) -> bool {
        self.linked.contains(&slot)
    }

    /// Held blocks of a slot.
    pub(super) fn of_slot(&self, slot: Slot) -> impl Iterator<Item = &Arc<Block>> {
        let from = BlockRef {
            author: slot.author,
            ..lowest(slot.round)
        };
        let blocks = self.blocks.range(from..).map(|(_, block)| block);
        blocks.take_while(move |block| block.reference().slot() == slot)
    }

    /// Held blocks of a round.
    pub(super) fn of_round(&self, round: Round) -> impl Iterator<Item = &Arc<Block>> {
        let blocks = self.blocks.range(lowest(round)..).map(|(_, block)| block);
        blocks.take_while(move |block| block.round() == round)
    }

    /// The weight of authors with a held block of a round.
    pub(super) fn weight_of(&self, scene: &Scene<'_>, round: Round) -> u64 {
        let mut tally = Tally::default();
        for block in self.of_round(round) {
            tally.add(block.author(), scene.committee);
        }
        tally.weight()
    }

    /// Own blocks, highest first.
    pub(super) fn own(&self, me: ValidatorIndex) -> impl Iterator<Item = &Arc<Block>> {
        let blocks = self.blocks.values().rev();
        blocks.filter(move |block| block.author() == me)
    }

    pub(super) fn is_committed(&self, block: &BlockRef) -> bool {
        self.committed.contains(block)
    }
}

/// What every process holds, in the eyes of checkers that look one after the other.
#[derive(Default)]
pub(super) struct AllHeld {
    processes: Rc<RefCell<BTreeMap<usize, Held>>>,
    /// A checker that looks before this one keeps it up to date.
    is_kept: bool,
}

impl AllHeld {
    /// The same for a checker that looks later.
    pub(super) fn for_later(&self) -> Self {
        Self {
            processes: Rc::clone(&self.processes),
            is_kept: true,
        }
    }

    /// Follows what was seen. The header of an own block that is about to be made durable, with all it was made of,
    /// is shown to `judge`; only then it counts as made.
    pub(super) fn follow(
        &mut self,
        scene: &Scene<'_>,
        seen: &Observation<'_>,
        judge: impl FnOnce(&Held, &Header) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut processes = self.processes.borrow_mut();
        match seen {
            Observation::Started { last } if !self.is_kept => {
                let held = Held::load(scene, *last);
                processes.insert(scene.process, held);
            }
            Observation::Persisting(records) => {
                let held = processes.entry(scene.process).or_default();
                if !self.is_kept {
                    held.take(scene, records);
                }
                if let Some(own) = &held.making {
                    return judge(held, own);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
