//! What is drawn: the blocks of some rounds, their links, and what correct validators decided about them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use probity_core::{Block, BlockRef, Commit, CommitIndex, Path, Round, Slot, ValidatorIndex};
use probity_sim::checker::{Checker, Observation, Scene};
use probity_sim::plan::Plan;

/// Rounds of a DAG with decisions.
pub(super) struct Picture {
    pub(super) validators: u16,
    pub(super) rounds: Range<u32>,
    /// Who sins.
    pub(super) sinners: BTreeSet<ValidatorIndex>,
    blocks: BTreeMap<BlockRef, Arc<Block>>,
    fates: BTreeMap<BlockRef, Fate>,
    skipped: BTreeSet<Slot>,
    /// Slots that a proof says are equivocated; not every block of them may be known.
    accused: BTreeSet<Slot>,
}

/// What became of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// It led this commit, decided by this rule, if anybody remembers.
    Led(CommitIndex, Option<Path>),
    /// Another one's commit ordered it.
    Ordered(CommitIndex),
    /// It was ordered, but another block of its slot came before: its payload is void.
    Void(CommitIndex),
    /// No commit holds it.
    Open,
}

/// One slot of the drawing.
pub(super) struct Cell<'a> {
    pub(super) blocks: Vec<(&'a Arc<Block>, Fate)>,
    pub(super) skipped: bool,
    pub(super) equivocated: bool,
}

impl Picture {
    /// The validators, in column order.
    pub(super) fn authors(&self) -> impl Iterator<Item = ValidatorIndex> + use<> {
        (0..self.validators).map(ValidatorIndex)
    }

    /// What is known about a slot.
    pub(super) fn cell(&self, slot: Slot) -> Cell<'_> {
        let of_slot = |(reference, _): &(&BlockRef, _)| reference.slot() == slot;
        let from = BlockRef {
            round: slot.round,
            author: slot.author,
            digest: probity_core::crypto::Digest::ZERO,
        };
        let blocks = self.blocks.range(from..).take_while(of_slot);
        let fate = |reference| self.fates.get(reference).copied().unwrap_or(Fate::Open);
        let blocks: Vec<_> = blocks
            .map(|(reference, block)| (block, fate(reference)))
            .collect();
        Cell {
            equivocated: blocks.len() > 1 || self.accused.contains(&slot),
            skipped: self.skipped.contains(&slot),
            blocks,
        }
    }

    /// The authors whose blocks of the round before a block does not link.
    pub(super) fn not_linked(&self, block: &Block) -> Vec<ValidatorIndex> {
        let before = |parent: &&BlockRef| parent.round.next() == block.round();
        let linked: BTreeSet<_> = block
            .parents()
            .iter()
            .filter(before)
            .map(|p| p.author)
            .collect();
        self.authors()
            .filter(|author| !linked.contains(author))
            .collect()
    }

    fn shows(&self, round: Round) -> bool {
        self.rounds.contains(&round.0)
    }

    /// Adds a block and whatever it links, as far as it is shown.
    fn add(&mut self, scene: &Scene<'_>, block: &Arc<Block>) {
        let mut todo = vec![Arc::clone(block)];
        while let Some(block) = todo.pop() {
            let reference = block.reference();
            // What is above the drawing may be the only one to link into it.
            let below = reference.round.0 < self.rounds.start;
            if below || self.blocks.contains_key(&reference) {
                continue;
            }
            if self.shows(reference.round) {
                self.blocks.insert(reference, Arc::clone(&block));
            }
            let shown = |parent: &&BlockRef| self.shows(parent.round);
            let parents = block.parents().iter().filter(shown);
            todo.extend(parents.filter_map(|p| scene.blocks.get(&p.digest).cloned()));
        }
    }

    fn note_commit(&mut self, scene: &Scene<'_>, commit: &Commit) {
        let index = commit.index();
        for committed in &commit.blocks {
            self.add(scene, &committed.block);
            let reference = committed.block.reference();
            let fate = match (committed.void, reference == commit.record.leader) {
                (true, _) => Fate::Void(index),
                (false, true) => Fate::Led(index, commit.path),
                (false, false) => Fate::Ordered(index),
            };
            if self.shows(reference.round) {
                self.fates.entry(reference).or_insert(fate);
            }
        }
        let skipped = commit.record.skipped.iter();
        let shown = skipped.filter(|slot| self.rounds.contains(&slot.round.0));
        self.skipped.extend(shown);
    }
}

/// Fills a picture, which it shares with whoever started the world, in the same thread.
pub(super) struct Watcher {
    picture: Rc<RefCell<Picture>>,
}

impl Watcher {
    /// A watcher and its picture, empty as yet.
    pub(super) fn new(plan: &Plan, rounds: Range<u32>) -> (Self, Rc<RefCell<Picture>>) {
        let sinners = plan
            .sinners
            .iter()
            .map(|sinner| ValidatorIndex(sinner.validator));
        let picture = Picture {
            validators: u16::try_from(plan.validators()).expect("at most 256 validators"),
            rounds,
            sinners: sinners.collect(),
            blocks: BTreeMap::new(),
            fates: BTreeMap::new(),
            skipped: BTreeSet::new(),
            accused: BTreeSet::new(),
        };
        let picture = Rc::new(RefCell::new(picture));
        let watcher = Self {
            picture: Rc::clone(&picture),
        };
        (watcher, picture)
    }
}

impl Checker for Watcher {
    fn promise(&self) -> &'static str {
        "looking breaks nothing"
    }

    fn look(&mut self, scene: &Scene<'_>, seen: &Observation<'_>) -> Result<(), String> {
        let mut picture = self.picture.borrow_mut();
        // Nothing else that may be seen is drawn.
        if let Observation::Sending(block) = seen {
            picture.add(scene, block);
        } else if let Observation::Committed(commit) = seen {
            picture.note_commit(scene, commit);
        } else if let Observation::Accused(proof) = seen {
            picture.accused.insert(Slot {
                round: proof.round,
                author: proof.author,
            });
        }
        Ok(())
    }
}
