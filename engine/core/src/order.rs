//! # Ordering
//!
//! Every eligible validator leads a slot of every round. Slots are decided, committed or skipped, by what later rounds say
//! about them; decided slots are output in slot order, and each committed one brings its whole uncommitted history.
//!
//! ```text
//!   round      r           r+1            r+2             r+3
//!   B ◀── votes / blames ◀── (skip) certificates ◀── anchors
//!         decide at F / S         decide at D             decide what is still open, through their history
//! ```
//!
//! The simple version asks, for every open slot and after every block, all three questions again. Here votes are
//! counted as blocks arrive (`votes`), a slot's direct decision is looked at only when one of the two rounds above it
//! grew, and anchors are consulted only after some slot was newly decided, in one pass from the top down (R18).

use std::collections::BTreeMap;

use crate::block::Slot;
use crate::crypto::Digest;
use crate::dag::{BlockId, Dag};
use crate::id::{Round, ValidatorIndex};
use crate::thresholds::Rule;

pub(crate) mod leaders;
pub(crate) mod linearize;
pub(crate) mod schedule;
pub(crate) mod votes;

use leaders::Leaders;
use schedule::Schedules;
pub use votes::Path;
use votes::{Certifies, Votes, certifies, decide_directly, votes_among};
pub(crate) use votes::{Decided, Decision};

/// Output rounds whose leaders stay known: proposing asks for the primaries of the two rounds below its own (R9).
pub(crate) const ROUNDS_BACK: u32 = 4;

/// A decided slot that is next in the output.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OutputSlot {
    pub(crate) slot: Slot,
    pub(crate) decided: Decided,
    /// R25: no slot of its round is left after it.
    pub(crate) ends_round: bool,
}

/// The commit rule's state: votes, decisions, and how far the output has come.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    votes: Votes,
    /// The first slot that is not output yet: its round, and its place in the round's order.
    cursor: (Round, usize),
    leaders: Leaders,
}

/// The first slot at or above a round that is not skipped (R17).
#[derive(Clone, Copy)]
enum Anchor {
    Undecided,
    Committed(BlockId),
}

impl Order {
    /// Starts at the slot after `last`, the last output slot, or at round 1.
    pub(crate) fn new(schedules: &Schedules, gc_round: Round, last: Option<Slot>) -> Self {
        let first_round = last.map_or(Round(1), |slot| slot.round);
        let mut order = Self {
            votes: Votes::new(gc_round),
            cursor: (first_round, 0),
            leaders: Leaders::new(
                schedules.clone(),
                first_round.minus(ROUNDS_BACK).max(Round(1)),
            ),
        };
        if let Some(last) = last {
            order.leaders.extend(last.round);
            let leaders = order.leaders.of(last.round);
            let at = leaders.iter().position(|leader| *leader == last.author);
            let at = at.expect("the last output slot's author leads its round");
            order.cursor = (last.round, at);
            order.advance();
        }
        order
    }

    /// The first slot of a round within the window; `None` for round 0, whose slots do not exist.
    pub(crate) fn primary(&self, round: Round) -> Option<Slot> {
        let author = *self.leaders.of(round).first()?;
        Some(Slot { round, author })
    }

    /// The leaders of a round within the window, in slot order.
    pub(crate) fn leaders(&self, round: Round) -> &[ValidatorIndex] {
        self.leaders.of(round)
    }

    /// What is known about a slot's votes.
    pub(crate) fn votes(&self) -> &Votes {
        &self.votes
    }

    /// Whether a slot's round lies before the output, or the slot is decided.
    pub(crate) fn is_settled(&self, slot: Slot) -> bool {
        slot.round < self.cursor.0
            || self
                .votes
                .slot(slot)
                .is_some_and(|known| known.decided.is_some())
    }

    /// Counts a newly accepted block and decides what it settles (R16, R17).
    pub(crate) fn handle_accepted(&mut self, dag: &Dag, id: BlockId) {
        self.votes.observe(dag, id);
        self.leaders.extend(dag.highest_round());
        let mut news = false;
        for depth in [1, 2] {
            if id.round.0 > depth {
                news |= self.decide_round_directly(dag, id.round.minus(depth));
            }
        }
        if news {
            self.decide_by_anchors(dag);
        }
    }

    /// R35: counts a newly accepted block and decides nothing; [`Order::decide_again`] has to follow.
    pub(crate) fn handle_installed(&mut self, dag: &Dag, id: BlockId) {
        self.votes.observe(dag, id);
        self.leaders.extend(dag.highest_round());
    }

    /// R35: moves past a slot whose commit is certified, and past all before it. Whether it ends its round; `None` when it
    /// leads none that is left.
    pub(crate) fn pass(&mut self, slot: Slot) -> Option<bool> {
        let leaders = self.leaders.of(slot.round);
        let at = leaders.iter().position(|leader| *leader == slot.author)?;
        if (slot.round, at) < self.cursor {
            return None;
        }
        let ends_round = at + 1 == leaders.len();
        self.cursor = (slot.round, at);
        self.leaders
            .forget_below(slot.round.minus(1).minus(ROUNDS_BACK));
        self.advance();
        Some(ends_round)
    }

    /// R18, R35: drops every decision that is not output and decides anew.
    pub(crate) fn decide_again(&mut self, dag: &Dag) {
        let (first, place) = self.cursor;
        self.leaders.extend(dag.highest_round().max(first));
        let output = self.leaders.of(first).get(..place).unwrap_or_default();
        self.votes.drop_decisions(first, output);
        for round in (first.0..=dag.highest_round().0).map(Round) {
            self.decide_round_directly(dag, round);
        }
        self.decide_by_anchors(dag);
    }

    /// The next decided slot in slot order, if it is decided (R18).
    pub(crate) fn next_output(&self) -> Option<OutputSlot> {
        let (round, at) = self.cursor;
        let leaders = self.leaders.of(round);
        let slot = Slot {
            round,
            author: *leaders.get(at)?,
        };
        let decided = self.votes.slot(slot)?.decided?;
        Some(OutputSlot {
            slot,
            decided,
            ends_round: at + 1 == leaders.len(),
        })
    }

    /// Moves past the slot that [`Order::next_output`] named.
    pub(crate) fn advance(&mut self) {
        let (round, at) = self.cursor;
        if at + 1 < self.leaders.of(round).len() {
            self.cursor = (round, at + 1);
        } else {
            self.cursor = (round.next(), 0);
            self.leaders.forget_below(round.minus(ROUNDS_BACK));
        }
    }

    /// Forgets votes of collected rounds (R22).
    pub(crate) fn collect(&mut self, gc_round: Round) {
        self.votes.collect(gc_round);
    }

    /// R18: after the output of a commit that made the newest of `schedules`, every decision that is not output is
    /// dropped and made again. Who leads from the schedule's start on has changed, and with it the anchors of the slots
    /// below; what is decided by votes alone comes out as before.
    pub(crate) fn install(&mut self, dag: &Dag, schedules: &Schedules) {
        self.leaders.install(schedules);
        self.decide_again(dag);
    }

    /// R16 for every open slot of a round; whether one was decided.
    fn decide_round_directly(&mut self, dag: &Dag, round: Round) -> bool {
        let mut news = false;
        for author in self.leaders.of(round) {
            let slot = Slot {
                round,
                author: *author,
            };
            if self.is_settled(slot) {
                continue;
            }
            if let Some(decided) = decide_directly(&self.votes, dag, slot) {
                news |= self.votes.decide(slot, decided);
            }
        }
        news
    }

    /// R17 for every open slot, from the highest round down: each decision may be an anchor for those below.
    fn decide_by_anchors(&mut self, dag: &Dag) {
        let mut depth = dag.committee().thresholds().rule.anchor_depth();
        depth -= u32::from(planted!(AnchorNear));
        let highest = dag.highest_round();
        let count = (highest.0 + 1).saturating_sub(self.cursor.0.0) as usize;
        // anchors[i]: the first slot not skipped at or above the cursor's round + i.
        let mut anchors = vec![Anchor::Undecided; count + depth as usize];
        let mut histories: BTreeMap<BlockId, History> = BTreeMap::new();
        for above in (0..count).rev() {
            let round = self
                .cursor
                .0
                .plus(u32::try_from(above).expect("the window is bounded"));
            let at = above + depth as usize;
            sometimes!(AnchorUndecided if at < count && matches!(anchors[at], Anchor::Undecided));
            if let Anchor::Committed(anchor) = anchors[at] {
                let history = histories
                    .entry(anchor)
                    .or_insert_with(|| History::of(dag, anchor, self.cursor.0));
                self.decide_round_by_anchor(dag, round, history);
            }
            anchors[above] = self.first_not_skipped(round).unwrap_or(anchors[above + 1]);
        }
    }

    fn decide_round_by_anchor(&mut self, dag: &Dag, round: Round, history: &History) {
        for author in self.leaders.of(round) {
            let slot = Slot {
                round,
                author: *author,
            };
            if self.is_settled(slot) {
                continue;
            }
            let decision = decide_in_history(dag, &self.votes, slot, history);
            let path = Path::Indirect;
            self.votes.decide(slot, Decided { decision, path });
        }
    }

    /// The first slot of `round` that is not skipped and not output; `None` if there is none.
    fn first_not_skipped(&self, round: Round) -> Option<Anchor> {
        for author in self.leaders.of(round) {
            let slot = Slot {
                round,
                author: *author,
            };
            let decided = self.votes.slot(slot).and_then(|known| known.decided);
            match decided.map(|decided| decided.decision) {
                Some(Decision::Skip) => {}
                Some(Decision::Commit(block)) => return Some(Anchor::Committed(block)),
                None if planted!(AnchorOverUndecided) => {}
                None => return Some(Anchor::Undecided),
            }
        }
        sometimes!(AnchorPassedSkips);
        None
    }
}

/// The blocks that one block reaches, itself included, by round.
struct History {
    floor: Round,
    rows: Vec<Vec<BlockId>>,
}

impl History {
    fn of(dag: &Dag, anchor: BlockId, floor: Round) -> Self {
        let count = (anchor.round.0 + 1).saturating_sub(floor.0) as usize;
        let mut rows: Vec<Vec<BlockId>> = vec![Vec::new(); count];
        if let Some(top) = rows.last_mut() {
            top.push(anchor);
        }
        if planted!(IndirectByLocalView) {
            let all = |round| dag.round_ids(Round(round));
            let rounds = rows.iter_mut().zip(floor.0..);
            rounds.for_each(|(row, round)| row.extend(all(round)));
        }
        for at in (0..count).rev() {
            rows[at].sort_unstable();
            rows[at].dedup();
            for child in std::mem::take(&mut rows[at]) {
                for parent in dag
                    .live_parents(child)
                    .filter(|parent| parent.round >= floor)
                {
                    rows[(parent.round.0 - floor.0) as usize].push(parent);
                }
                rows[at].push(child);
            }
        }
        Self { floor, rows }
    }

    fn row(&self, round: Round) -> &[BlockId] {
        let at = round.0.checked_sub(self.floor.0).map(|at| at as usize);
        at.and_then(|at| self.rows.get(at))
            .map_or(&[], Vec::as_slice)
    }
}

/// R17: what an anchor's history says about a slot that is still open.
fn decide_in_history(dag: &Dag, votes: &Votes, slot: Slot, history: &History) -> Decision {
    let thresholds = dag.committee().thresholds();
    let mut skip_certified = false;
    if thresholds.rule != Rule::Fast {
        for id in history.row(slot.round.plus(2)) {
            match certifies(dag, votes, *id, slot) {
                Certifies::Commit(block) => {
                    sometimes!(in thresholds.rule, Classic => CommitAnchorClassic, Dual => CommitAnchorDual);
                    return Decision::Commit(block);
                }
                Certifies::Skip => skip_certified = !planted!(AnchorSkipForgotten),
                Certifies::Nothing => {}
            }
        }
    }
    if (thresholds.rule == Rule::Dual && skip_certified) || thresholds.rule == Rule::Classic {
        sometimes!(in thresholds.rule, Dual => SkipAnchor, Classic => SkipDefaultClassic);
        return Decision::Skip;
    }
    let voters = history.row(slot.round.plus(1));
    let mut best: Option<(Digest, BlockId)> = None;
    for candidate in votes.slot(slot).map_or(&[][..], |known| &known.candidates) {
        if votes_among(dag, voters, candidate.id) >= thresholds.weak {
            let named = (candidate.digest, candidate.id);
            sometimes!(CommitWeakTie if best.is_some());
            best = match best {
                Some(other) if planted!(GreatestDigest) => Some(other.max(named)),
                Some(other) => Some(other.min(named)),
                None => Some(named),
            };
        }
    }
    let Some((_, block)) = best else {
        sometimes!(in thresholds.rule, Dual => SkipDefaultDual, Fast => SkipDefaultFast);
        return Decision::Skip;
    };
    sometimes!(in thresholds.rule, Dual => CommitWeakDual, Fast => CommitWeakFast);
    Decision::Commit(block)
}
