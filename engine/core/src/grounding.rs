//! Which blocks every correct validator can accept: grounding (R6).
//!
//! A Byzantine author can invent parents at the gc round; a validator whose gc round is higher accepts such a block,
//! others never can. So only *grounded* blocks are linked: genesis, committed, far below the gc round, or with every
//! parent held and grounded. Collected parents of an ungrounded block are fetched for this alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::block::BlockRef;
use crate::committee::Committee;
use crate::dag::{Dag, Entry};
use crate::id::{IdMap, Round, ValidatorIndex};
use crate::limits::HISTORY_BLOCKS_MAX;

/// What is remembered of collected blocks, and who waits to be grounded.
#[derive(Clone, Debug)]
pub(crate) struct Grounding {
    committee: Arc<Committee>,
    gc_round: Round,
    /// Collected blocks that are held.
    collected: IdMap<BlockRef, Standing>,
    /// The parents of uncommitted collected blocks that are not committed either: what others need to ground them.
    uncommitted: IdMap<BlockRef, Vec<BlockRef>>,
    collected_rounds: BTreeMap<Round, Vec<BlockRef>>,
    /// Ungrounded parents with the children that wait for them.
    waiting: BTreeMap<BlockRef, Vec<BlockRef>>,
    /// The parents that a waiting child still lacks.
    lacking: IdMap<BlockRef, Vec<BlockRef>>,
    /// Parents asked for, by the author of the child that named them.
    asked: BTreeMap<BlockRef, ValidatorIndex>,
    asked_by_author: Vec<usize>,
    /// Held blocks with something beneath them that their author's budget did not pay for.
    unpaid: BTreeSet<BlockRef>,
    /// A budget has room again, or more is to be paid for.
    retry: bool,
}

/// What is known of a collected block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Standing {
    /// Not grounded yet.
    Open,
    Grounded,
    /// In the sequence, so everybody who collected its round has it.
    Committed,
}

/// Waiting blocks looked at beneath one block.
const WALK_MAX: usize = 4096;

impl Grounding {
    pub(crate) fn new(committee: Arc<Committee>, gc_round: Round) -> Self {
        let asked_by_author = vec![0; committee.size()];
        Self {
            committee,
            gc_round,
            collected: IdMap::default(),
            uncommitted: IdMap::default(),
            collected_rounds: BTreeMap::new(),
            waiting: BTreeMap::new(),
            lacking: IdMap::default(),
            asked: BTreeMap::new(),
            asked_by_author,
            unpaid: BTreeSet::new(),
            retry: false,
        }
    }

    /// How many collected blocks are known.
    pub(crate) fn remembered(&self) -> usize {
        self.collected.len()
    }

    /// R6: at or below this round everything counts as grounded; it bounds the recursion.
    pub(crate) fn floor(&self) -> Round {
        if planted!(GroundingFloorDropped) {
            return Round::GENESIS;
        }
        self.gc_round.minus(2 * self.committee.gc_depth())
    }

    fn is_grounded(&self, dag: &Dag, reference: &BlockRef) -> bool {
        if reference.round == Round::GENESIS || reference.round <= self.floor() {
            return true;
        }
        match dag.id_of(reference) {
            Some(id) => dag.entry(id).grounded,
            None => self.is_collected_grounded(reference),
        }
    }

    /// Whether a collected block is held and grounded.
    pub(crate) fn is_collected_grounded(&self, reference: &BlockRef) -> bool {
        let standing = self.collected.get(reference);
        standing.is_some_and(|standing| *standing != Standing::Open)
    }

    /// Whether a collected block is asked for, to ground others.
    pub(crate) fn wants(&self, reference: &BlockRef) -> bool {
        self.asked.contains_key(reference)
    }

    /// Looks at the parents of a block just accepted or held; returns all that are grounded by it, and the collected
    /// parents to fetch.
    pub(crate) fn handle_held(
        &mut self,
        dag: &mut Dag,
        child: BlockRef,
        parents: &[BlockRef],
    ) -> Grounded {
        let ungrounded = |parent: &&BlockRef| !self.is_grounded(dag, parent);
        let lacking: Vec<BlockRef> = parents.iter().filter(ungrounded).copied().collect();
        if lacking.is_empty() || planted!(GroundingDropped) {
            let blocks = self.spread(dag, child);
            let fetch = Vec::new();
            return Grounded { blocks, fetch };
        }
        sometimes!(UngroundedAccepted if dag.contains(&child));
        for parent in &lacking {
            self.waiting.entry(*parent).or_default().push(child);
        }
        self.lacking.insert(child, lacking);
        Grounded {
            blocks: Vec::new(),
            fetch: self.ask_beneath(dag, child),
        }
    }

    /// R6: whatever is missing beneath a held block is asked for out of its author's budget, or out of that of an author
    /// whose block stands on it, however many blocks of others lie between. A Byzantine author can spend its own budget
    /// on inventions; what a correct author's block stands on exists, so that author's budget comes back.
    fn ask_beneath(&mut self, dag: &Dag, top: BlockRef) -> Vec<(ValidatorIndex, BlockRef)> {
        let mut fetch = Vec::new();
        let mut seen = BTreeSet::from([top]);
        let mut walk = vec![top];
        let mut unpaid = false;
        while let Some(block) = walk.pop() {
            for parent in self.lacking.get(&block).cloned().unwrap_or_default() {
                if self.is_grounded(dag, &parent) || self.asked.contains_key(&parent) {
                    continue;
                }
                let held = dag.contains(&parent) || self.collected.contains(&parent);
                if !held {
                    let payer = self.payer(top);
                    sometimes!(GroundingBudgetSpent if payer.is_none());
                    let payer = payer.filter(|_| !planted!(CollectedNotFetched));
                    unpaid |= payer.is_none();
                    fetch.extend(payer.map(|payer| self.ask(parent, payer)));
                } else if seen.len() < WALK_MAX && seen.insert(parent) {
                    walk.push(parent);
                }
            }
        }
        if unpaid {
            self.unpaid.insert(top);
        }
        fetch
    }

    /// What can be asked for now that budgets have room again, with who pays for it.
    pub(crate) fn retry(&mut self, dag: &Dag) -> Vec<(ValidatorIndex, BlockRef)> {
        if !std::mem::take(&mut self.retry) {
            return Vec::new();
        }
        let mut fetch = Vec::new();
        for block in std::mem::take(&mut self.unpaid) {
            if self.lacking.contains(&block) {
                fetch.extend(self.ask_beneath(dag, block));
            }
        }
        fetch
    }

    /// An author with room in its budget: that of the block, or of one that stands on it and waits for it.
    fn payer(&self, block: BlockRef) -> Option<ValidatorIndex> {
        let mut seen = BTreeSet::from([block]);
        let mut walk = VecDeque::from([block]);
        while let Some(block) = walk.pop_front() {
            if self.asked_by_author[block.author.position()] < self.budget() {
                return Some(block.author);
            }
            for child in self.waiting.get(&block).map_or(&[][..], Vec::as_slice) {
                if seen.len() < WALK_MAX && seen.insert(*child) {
                    walk.push_back(*child);
                }
            }
        }
        None
    }

    /// R6: at least `2 * gc_depth * n` blocks for each author.
    fn budget(&self) -> usize {
        2 * self.committee.gc_depth() as usize * self.committee.size()
    }

    fn ask(&mut self, parent: BlockRef, payer: ValidatorIndex) -> (ValidatorIndex, BlockRef) {
        self.asked_by_author[payer.position()] += 1;
        self.asked.insert(parent, payer);
        (payer, parent)
    }

    fn answered(&mut self, reference: &BlockRef) {
        if let Some(author) = self.asked.remove(reference) {
            self.asked_by_author[author.position()] -= 1;
            self.retry = !self.unpaid.is_empty();
        }
    }

    /// Takes a collected block that was fetched for grounding.
    pub(crate) fn handle_fetched(
        &mut self,
        dag: &mut Dag,
        reference: BlockRef,
        parents: &[BlockRef],
    ) -> Grounded {
        self.answered(&reference);
        self.remember(reference, Standing::Open);
        self.keep_uncommitted(reference, parents);
        let grounded = self.handle_held(dag, reference, parents);
        sometimes!(GroundedByFetch if grounded.blocks.len() > 1);
        grounded
    }

    /// Takes a collected block out of the store, parents before children.
    pub(crate) fn handle_stored(
        &mut self,
        dag: &mut Dag,
        (reference, committed): (BlockRef, bool),
        parents: &[BlockRef],
    ) -> Grounded {
        if committed {
            self.remember(reference, Standing::Committed);
        } else {
            self.remember(reference, Standing::Open);
            self.keep_uncommitted(reference, parents);
        }
        self.handle_held(dag, reference, parents)
    }

    /// Notes what stands beneath an uncommitted collected block; of blocks as old as that it is settled whether they
    /// are committed.
    fn keep_uncommitted(&mut self, reference: BlockRef, parents: &[BlockRef]) {
        let needed = |parent: &&BlockRef| {
            parent.round > Round::GENESIS
                && self.collected.get(parent) != Some(&Standing::Committed)
        };
        let parents: Vec<BlockRef> = parents.iter().filter(needed).copied().collect();
        if !parents.is_empty() {
            self.uncommitted.insert(reference, parents);
        }
    }

    /// What stands beneath these blocks above a round, is held and not committed: the highest rounds first, so children
    /// before parents, and no more than one answer takes (R33).
    pub(crate) fn beneath(&self, dag: &Dag, tops: &[BlockRef], above: Round) -> Vec<BlockRef> {
        let mut found = Vec::new();
        let mut walk: BTreeSet<BlockRef> = tops.iter().copied().collect();
        let mut steps = 0;
        while let Some(block) = walk.pop_last() {
            steps += 1;
            if steps > HISTORY_BLOCKS_MAX + tops.len() {
                break;
            }
            if !tops.contains(&block) {
                found.push(block);
            }
            let parents = match dag.block(&block) {
                Some(block) => block.parents(),
                None => self.uncommitted.get(&block).map_or(&[][..], Vec::as_slice),
            };
            let needed = |parent: &&BlockRef| match dag.id_of(parent) {
                Some(id) => !dag.entry(id).committed,
                None => self
                    .collected
                    .get(parent)
                    .is_some_and(|standing| *standing != Standing::Committed),
            };
            let parents = parents.iter().filter(|parent| parent.round > above);
            walk.extend(parents.filter(needed));
        }
        found
    }

    /// Remembers a collected block without looking at its parents.
    fn remember(&mut self, reference: BlockRef, standing: Standing) {
        if self.collected.insert(reference, standing).is_none() {
            self.collected_rounds
                .entry(reference.round)
                .or_default()
                .push(reference);
        }
    }

    /// A block was committed: it is grounded whatever its parents are.
    pub(crate) fn handle_committed(&mut self, dag: &mut Dag, block: BlockRef) -> Vec<BlockRef> {
        if self.is_grounded(dag, &block) {
            return Vec::new();
        }
        sometimes!(GroundedByCommit);
        self.lacking.remove(&block);
        self.spread(dag, block)
    }

    /// Marks `start` grounded, and every waiting block that lacked nothing else.
    fn spread(&mut self, dag: &mut Dag, start: BlockRef) -> Vec<BlockRef> {
        let mut found = vec![start];
        let mut at = 0;
        while let Some(block) = found.get(at).copied() {
            at += 1;
            match dag.id_of(&block) {
                Some(id) => {
                    dag.set_grounded(id);
                }
                None => {
                    if let Some(standing @ Standing::Open) = self.collected.get_mut(&block) {
                        *standing = Standing::Grounded;
                    }
                }
            }
            self.answered(&block);
            for child in self.waiting.remove(&block).unwrap_or_default() {
                let Some(lacking) = self.lacking.get_mut(&child) else {
                    continue;
                };
                lacking.retain(|parent| *parent != block);
                if lacking.is_empty() {
                    self.lacking.remove(&child);
                    sometimes!(GroundedByParent);
                    found.push(child);
                }
            }
        }
        found
    }

    /// The gc round rose: the entries that left the window are remembered, what lies below the floor is grounded, and
    /// what lies below three windows is forgotten.
    pub(crate) fn collect(
        &mut self,
        dag: &mut Dag,
        gc_round: Round,
        gone: &[Entry],
    ) -> Vec<BlockRef> {
        self.gc_round = gc_round;
        for entry in gone {
            let standing = match (entry.committed, entry.grounded) {
                (true, _) => Standing::Committed,
                (false, true) => Standing::Grounded,
                (false, false) => Standing::Open,
            };
            self.remember(entry.block.reference(), standing);
        }
        for entry in gone.iter().filter(|entry| !entry.committed) {
            self.keep_uncommitted(entry.block.reference(), entry.block.parents());
        }
        // What was collected is of use only to what stands on it, which pays for itself.
        self.unpaid.retain(|block| block.round > gc_round);
        let mut found = Vec::new();
        let floor = self.floor();
        while let Some((parent, _)) = self.waiting.first_key_value() {
            if parent.round > floor {
                break;
            }
            let parent = *parent;
            sometimes!(GroundedByFloor);
            found.extend(self.spread(dag, parent));
        }
        let forgotten = gc_round.minus(3 * self.committee.gc_depth());
        while let Some(oldest) = self.collected_rounds.first_entry() {
            if *oldest.key() > forgotten {
                break;
            }
            for block in oldest.remove() {
                self.collected.remove(&block);
                self.uncommitted.remove(&block);
                self.lacking.remove(&block);
            }
        }
        found
    }
}

/// What a newly held block changed.
#[derive(Debug, Default)]
pub(crate) struct Grounded {
    /// Blocks that are grounded now.
    pub(crate) blocks: Vec<BlockRef>,
    /// Collected parents to fetch, at the lowest priority, with the author who should have them.
    pub(crate) fetch: Vec<(ValidatorIndex, BlockRef)>,
}
