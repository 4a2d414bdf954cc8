//! The window of accepted blocks above the collected rounds.
//!
//! ```text
//!   gc_round │ row          row          row
//!   ─────────┼───────────────────────────────────▶ rounds
//!   collected│ by author    by author    by author       an entry: block, parents in the window, marks
//! ```
//!
//! A block is named inside the window by its round and its position in that round's row, so a name of a collected
//! block can be recognised by its round alone and is never mistaken for another block.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::block::{Block, BlockRef};
use crate::committee::{AuthorSet, Committee, Tally};
use crate::crypto::Digest;
use crate::id::{IdMap, Round, ValidatorIndex};

/// The name of an accepted block inside the window.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct BlockId {
    pub(crate) round: Round,
    pub(crate) position: u16,
}

/// An accepted block with what the protocol has noted about it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) block: Arc<Block>,
    /// Its parents above the gc round of the moment it was accepted, in header order.
    pub(crate) parents: Vec<BlockId>,
    /// R6: every parent is held and grounded, so any correct validator can accept it.
    pub(crate) grounded: bool,
    /// Part of the committed sequence.
    pub(crate) committed: bool,
    /// R10: a parent of an own block.
    pub(crate) linked: bool,
}

/// One round of the window.
#[derive(Clone, Debug)]
struct Row {
    entries: Vec<Entry>,
    /// Each author's first accepted block.
    first: Vec<Option<First>>,
    authors: Tally,
    grounded: Tally,
    /// R19: authors with a committed block in this round; a later one of theirs is void.
    ordered: AuthorSet,
}

/// The first accepted block of a slot. Nearly every block is one, so by name it is found here, next to those that the
/// same header names, and not in a map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct First {
    position: u16,
    digest: Digest,
}

/// The accepted blocks above `gc_round`.
#[derive(Clone, Debug)]
pub(crate) struct Dag {
    committee: Arc<Committee>,
    gc_round: Round,
    rows: VecDeque<Row>,
    /// How many blocks are in the rows.
    len: usize,
    /// Those that are not the first of their slot.
    others: IdMap<Digest, BlockId>,
}

impl Dag {
    pub(crate) fn new(committee: Arc<Committee>, gc_round: Round) -> Self {
        Self {
            committee,
            gc_round,
            rows: VecDeque::new(),
            len: 0,
            others: IdMap::default(),
        }
    }

    pub(crate) fn committee(&self) -> &Arc<Committee> {
        &self.committee
    }

    /// The highest collected round (R22).
    pub(crate) fn gc_round(&self) -> Round {
        self.gc_round
    }

    /// The highest round with an accepted block, at least the gc round.
    pub(crate) fn highest_round(&self) -> Round {
        self.gc_round
            .plus(u32::try_from(self.rows.len()).expect("the window is bounded"))
    }

    /// How many blocks are in the window.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    fn row(&self, round: Round) -> Option<&Row> {
        let above = round.0.checked_sub(self.gc_round.0)?.checked_sub(1)?;
        self.rows.get(above as usize)
    }

    fn row_mut(&mut self, round: Round) -> Option<&mut Row> {
        let above = round.0.checked_sub(self.gc_round.0)?.checked_sub(1)?;
        self.rows.get_mut(above as usize)
    }

    /// The block of this name, if it is in the window. A parent is named by round, author and digest, and whoever names
    /// it may lie: a digest that stands elsewhere is not the block (R5).
    pub(crate) fn id_of(&self, reference: &BlockRef) -> Option<BlockId> {
        let BlockRef { round, author, .. } = *reference;
        let first = (*self.row(round)?.first.get(author.position())?)?;
        if first.digest == reference.digest {
            let position = first.position;
            return Some(BlockId { round, position });
        }
        let id = self.others.get(&reference.digest).copied()?;
        let named = id.round == round && self.entry(id).block.author() == author;
        named.then_some(id)
    }

    pub(crate) fn contains(&self, reference: &BlockRef) -> bool {
        self.id_of(reference).is_some()
    }

    /// The entry of a block that is known to be in the window.
    ///
    /// # Panics
    /// When it is not: ids are only kept for rounds above the gc round.
    pub(crate) fn entry(&self, id: BlockId) -> &Entry {
        let row = self.row(id.round).expect("the round is in the window");
        &row.entries[usize::from(id.position)]
    }

    pub(crate) fn entry_mut(&mut self, id: BlockId) -> &mut Entry {
        let row = self.row_mut(id.round).expect("the round is in the window");
        &mut row.entries[usize::from(id.position)]
    }

    /// The block of this name, if it is in the window.
    pub(crate) fn block(&self, reference: &BlockRef) -> Option<&Arc<Block>> {
        self.id_of(reference).map(|id| &self.entry(id).block)
    }

    /// Every block of a round, in the order of acceptance.
    pub(crate) fn round_ids(&self, round: Round) -> impl Iterator<Item = BlockId> + use<> {
        let count = self.row(round).map_or(0, |row| row.entries.len());
        let count = u16::try_from(count).expect("positions are 16 bits");
        (0..count).map(move |position| BlockId { round, position })
    }

    /// The first accepted block of a slot.
    pub(crate) fn first_of(&self, round: Round, author: ValidatorIndex) -> Option<BlockId> {
        let first = (*self.row(round)?.first.get(author.position())?)?;
        let position = first.position;
        Some(BlockId { round, position })
    }

    /// Who has an accepted block in this round; everybody has one in round 0.
    pub(crate) fn authors(&self, round: Round) -> Tally {
        self.row(round).map(|row| row.authors).unwrap_or_default()
    }

    /// Weight of the authors with a grounded block in this round.
    pub(crate) fn grounded_weight(&self, round: Round) -> u64 {
        if round == Round::GENESIS {
            return self.committee.thresholds().total;
        }
        self.row(round).map_or(0, |row| row.grounded.weight())
    }

    /// Whether `parent` is one of the parents of `child`.
    pub(crate) fn links(&self, child: BlockId, parent: BlockId) -> bool {
        self.entry(child).parents.contains(&parent)
    }

    /// The parents of `block` that this DAG neither holds nor may do without (R5).
    pub(crate) fn missing_parents(&self, block: &Block) -> Vec<BlockRef> {
        let missing = |parent: &&BlockRef| parent.round > self.gc_round && !self.contains(parent);
        block.parents().iter().filter(missing).copied().collect()
    }

    /// Adds a block whose parents are all here or collected; it is not grounded yet.
    ///
    /// # Panics
    /// When the block is known, collected, or lacks a parent: the caller has checked (R5).
    pub(crate) fn insert(&mut self, block: Arc<Block>) -> BlockId {
        let reference = block.reference();
        assert!(
            reference.round > self.gc_round,
            "a collected block is not accepted"
        );
        assert!(!self.contains(&reference), "a block is accepted once");
        let parents: Vec<BlockId> = block
            .parents()
            .iter()
            .filter_map(|parent| self.id_of(parent))
            .collect();
        let live = block
            .parents()
            .iter()
            .filter(|parent| parent.round > self.gc_round)
            .count();
        assert!(parents.len() == live, "every live parent is accepted");
        let above = (reference.round.0 - self.gc_round.0) as usize;
        while self.rows.len() < above {
            self.rows.push_back(Row::new(self.committee.size()));
        }
        let committee = Arc::clone(&self.committee);
        let row = self
            .row_mut(reference.round)
            .expect("the row was just made");
        let position = u16::try_from(row.entries.len()).expect("extra blocks are capped by bytes");
        let digest = reference.digest;
        let first = First { position, digest };
        let is_first = *row.first[reference.author.position()].get_or_insert(first) == first;
        row.authors.add(reference.author, &committee);
        let entry = Entry {
            block,
            parents,
            grounded: false,
            committed: false,
            linked: false,
        };
        row.entries.push(entry);
        let id = BlockId {
            round: reference.round,
            position,
        };
        self.len += 1;
        if !is_first {
            self.others.insert(digest, id);
        }
        id
    }

    /// Marks a block as grounded; whether it was not before.
    pub(crate) fn set_grounded(&mut self, id: BlockId) -> bool {
        let committee = Arc::clone(&self.committee);
        let row = self.row_mut(id.round).expect("the round is in the window");
        let entry = &mut row.entries[usize::from(id.position)];
        if entry.grounded {
            return false;
        }
        entry.grounded = true;
        let author = entry.block.author();
        row.grounded.add(author, &committee);
        true
    }

    /// Marks a block as committed; whether a block of its slot was committed before, which voids its payload (R12).
    pub(crate) fn set_committed(&mut self, id: BlockId) -> bool {
        let row = self.row_mut(id.round).expect("the round is in the window");
        let entry = &mut row.entries[usize::from(id.position)];
        assert!(!entry.committed, "a block is committed once");
        let author = entry.block.author();
        let first = row.first[author.position()];
        let is_first = first.is_some_and(|first| first.position == id.position);
        entry.committed = is_first || !planted!(SecondUncommitted);
        if planted!(VoidByArrival) {
            return !is_first;
        }
        !row.ordered.insert(author) && !planted!(VoidDropped)
    }

    /// A block and all its uncommitted ancestors in the window (R19), in no useful order.
    pub(crate) fn uncommitted_history(&self, id: BlockId) -> Vec<BlockId> {
        let mut seen: IdMap<BlockId, ()> = IdMap::default();
        let mut found = vec![id];
        seen.insert(id, ());
        let mut at = 0;
        while let Some(next) = found.get(at).copied() {
            at += 1;
            for parent in self.live_parents(next) {
                if planted!(StopAtLastCommitted) && self.is_passed(parent) {
                    continue;
                }
                if !self.entry(parent).committed && seen.insert(parent, ()).is_none() {
                    found.push(parent);
                }
            }
        }
        found
    }

    /// Whether a block of its author was committed in its round or later; the order must not ask (R19).
    fn is_passed(&self, id: BlockId) -> bool {
        let author = self.entry(id).block.author();
        let rows = self.rows.iter();
        rows.skip((id.round.0 - self.gc_round.0 - 1) as usize)
            .any(|row| row.ordered.contains(author))
    }

    /// The parents of a block that are still above the gc round.
    pub(crate) fn live_parents(&self, id: BlockId) -> impl Iterator<Item = BlockId> + '_ {
        let live = |parent: &BlockId| parent.round > self.gc_round;
        self.entry(id).parents.iter().copied().filter(live)
    }

    /// Raises the gc round and returns the entries that leave the window, lowest round first (R22).
    pub(crate) fn collect(&mut self, gc_round: Round) -> Vec<Entry> {
        let mut gone = Vec::new();
        while self.gc_round < gc_round {
            self.gc_round = self.gc_round.next();
            let Some(row) = self.rows.pop_front() else {
                continue;
            };
            for entry in row.entries {
                let block = entry.block.reference();
                let first = row.first[block.author.position()];
                if first.is_none_or(|first| first.digest != block.digest) {
                    self.others.remove(&block.digest);
                }
                self.len -= 1;
                gone.push(entry);
            }
        }
        gone
    }
}

impl Row {
    fn new(validators: usize) -> Self {
        Self {
            entries: Vec::new(),
            first: vec![None; validators],
            authors: Tally::default(),
            grounded: Tally::default(),
            ordered: AuthorSet::default(),
        }
    }
}
