//! The commit rule asked the obvious way: R14 to R22 word by word, walking parents for every question; scores and
//! schedules are those of `reference_scores`.
//!
//! It takes a causally closed set of accepted blocks and answers what is decided and committed. Nothing is counted
//! ahead or kept from one question to the next. With the real rule it shares only leaders and plain data; even the
//! thresholds of R1 are derived again (`bounds`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::block::{Block, BlockRef, Slot};
use crate::committee::Committee;
use crate::crypto::{Context, Digest, hash};
use crate::id::{Round, ValidatorIndex};
use crate::testing::Verdict;
use crate::testing::reference_scores::{
    PlainBlock, PlainCommit, ReferenceSchedule, initial_schedule, reference_scores, schedule_of,
};
use crate::thresholds::Rule;

mod bounds;

use bounds::Bounds;

/// What the reference says about a set of blocks.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Answer {
    /// Every slot up to the highest round, in slot order, under the schedules made so far (R29).
    pub slots: Vec<Slot>,
    /// Every decided slot, also behind an undecided one.
    pub decisions: BTreeMap<Slot, Verdict>,
    /// The decided prefix in slot order (R18).
    pub output: Vec<(Slot, Verdict)>,
    /// One entry a commit.
    pub commits: Vec<AnswerCommit>,
}

/// One commit in the reference's answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnswerCommit {
    /// The leader.
    pub leader: BlockRef,
    /// The blocks in order; `true` for a void payload.
    pub blocks: Vec<(BlockRef, bool)>,
    /// The timestamp (R20).
    pub timestamp_ms: u64,
    /// Slots skipped since the commit before.
    pub skipped: Vec<Slot>,
    /// The gc round after it.
    pub gc_round: Round,
    /// The number of the schedule in force for the leader's round (R29).
    pub schedule: u64,
}

/// Answers for the accepted blocks; parents that are not among them were collected before (R5).
#[must_use]
pub fn reference_answer(committee: &Committee, accepted: &[Arc<Block>]) -> Answer {
    let view = View::new(committee, accepted);
    let mut schedules = vec![initial_schedule(committee)];
    let mut next_schedule = Round(committee.reputation().schedule_rounds);
    let mut output: Vec<(Slot, Verdict)> = Vec::new();
    loop {
        let ordered = view.slots(&schedules, Round(1));
        let decisions = view.decide(&ordered, &output);
        let mut makes_schedule = false;
        for slot in &ordered[output.len()..] {
            let Some(verdict) = decisions.get(slot) else {
                break;
            };
            output.push((*slot, *verdict));
            makes_schedule = slot.round >= next_schedule && *verdict != Verdict::Skip;
            if makes_schedule {
                break;
            }
        }
        let mut commits = view.sequence(&output);
        if makes_schedule {
            // R18: what is output stays; every other decision is made again.
            let scores = reference_scores(committee, &plain_commits(&commits, accepted));
            schedules = scores.schedules;
            next_schedule = scores.next_schedule;
            continue;
        }
        for commit in &mut commits {
            commit.schedule = schedule_of(&schedules, commit.leader.round) as u64;
        }
        return Answer {
            slots: ordered,
            decisions,
            output,
            commits,
        };
    }
}

/// The decisions about slots of `from` and later under these schedules, out of the accepted blocks of those rounds.
/// Older blocks are not needed: a decision looks at its own round and above (R16, R17).
#[must_use]
pub fn reference_decisions(
    committee: &Committee,
    schedules: &[ReferenceSchedule],
    accepted: &[Arc<Block>],
    from: Round,
) -> BTreeMap<Slot, Verdict> {
    debug_assert!(accepted.iter().all(|block| block.round() >= from));
    let view = View::new(committee, accepted);
    view.decide(&view.slots(schedules, from), &[])
}

/// The commits with what the headers of their blocks say.
///
/// # Panics
/// When a committed block is not among the accepted ones.
#[must_use]
pub fn plain_commits(commits: &[AnswerCommit], accepted: &[Arc<Block>]) -> Vec<PlainCommit> {
    let by_ref: BTreeMap<BlockRef, &Arc<Block>> = accepted
        .iter()
        .map(|block| (block.reference(), block))
        .collect();
    let plain = |(reference, _): &(BlockRef, bool)| {
        let header = by_ref[reference].header();
        PlainBlock {
            reference: *reference,
            parents: header.parents.clone(),
            accused: header.evidence.iter().map(|proof| proof.author).collect(),
        }
    };
    let commits = commits.iter().map(|commit| PlainCommit {
        leader: commit.leader,
        skipped: commit.skipped.clone(),
        blocks: commit.blocks.iter().map(plain).collect(),
    });
    commits.collect()
}

/// A block by its place in the view; places rise with (round, author, digest), so parents come first.
type Place = usize;

/// Which blocks of the view belong to a set.
type Set = Vec<bool>;

struct Known {
    reference: BlockRef,
    timestamp_ms: u64,
    header_parents: Vec<BlockRef>,
    parents: Vec<Place>,
}

struct View<'a> {
    committee: &'a Committee,
    bounds: Bounds,
    blocks: Vec<Known>,
    all: Set,
}

impl<'a> View<'a> {
    fn new(committee: &'a Committee, accepted: &[Arc<Block>]) -> Self {
        let by_ref: BTreeMap<BlockRef, &Arc<Block>> = accepted
            .iter()
            .map(|block| (block.reference(), block))
            .collect();
        let places: BTreeMap<BlockRef, Place> = by_ref.keys().copied().zip(0..).collect();
        let known = |(reference, block): (&BlockRef, &&Arc<Block>)| Known {
            reference: *reference,
            timestamp_ms: block.header().timestamp_ms,
            header_parents: block.parents().to_vec(),
            parents: block
                .parents()
                .iter()
                .filter_map(|p| places.get(p).copied())
                .collect(),
        };
        let blocks: Vec<Known> = by_ref.iter().map(known).collect();
        Self {
            committee,
            bounds: Bounds::of(committee),
            all: vec![true; blocks.len()],
            blocks,
        }
    }

    fn round(&self, place: Place) -> Round {
        self.blocks[place].reference.round
    }

    fn author(&self, place: Place) -> ValidatorIndex {
        self.blocks[place].reference.author
    }

    fn digest(&self, place: Place) -> Digest {
        self.blocks[place].reference.digest
    }

    /// The blocks of a round in a set.
    fn at(&self, round: Round, within: &Set) -> Vec<Place> {
        let places = 0..self.blocks.len();
        places
            .filter(|place| within[*place] && self.round(*place) == round)
            .collect()
    }

    fn candidates(&self, slot: Slot, within: &Set) -> Vec<Place> {
        let mut row = self.at(slot.round, within);
        row.retain(|place| self.author(*place) == slot.author);
        row
    }

    /// A block and everything it reaches.
    fn history(&self, top: Place) -> Set {
        let mut reached = vec![false; self.blocks.len()];
        reached[top] = true;
        for place in (0..=top)
            .rev()
            .filter(|place| self.blocks[*place].reference.round.0 > 0)
        {
            if reached[place] {
                self.blocks[place]
                    .parents
                    .iter()
                    .for_each(|parent| reached[*parent] = true);
            }
        }
        reached
    }

    /// Each author once, also when it equivocated (section 1).
    fn weight(&self, blocks: impl Iterator<Item = Place>) -> u64 {
        let authors: BTreeSet<ValidatorIndex> = blocks.map(|place| self.author(place)).collect();
        authors
            .into_iter()
            .map(|author| self.committee.weight(author))
            .sum()
    }

    /// R14.
    fn votes_for(&self, voter: Place, block: Place) -> bool {
        self.blocks[voter].parents.contains(&block)
    }

    /// R14: weight of the authors with some block in `within` that votes for `block`.
    fn votes(&self, block: Place, within: &Set) -> u64 {
        let voters = self.at(self.round(block).next(), within);
        self.weight(
            voters
                .into_iter()
                .filter(|voter| self.votes_for(*voter, block)),
        )
    }

    /// R14: weight of the authors with some block in `within` that does not.
    fn blames(&self, block: Place, within: &Set) -> u64 {
        let voters = self.at(self.round(block).next(), within);
        self.weight(
            voters
                .into_iter()
                .filter(|voter| !self.votes_for(*voter, block)),
        )
    }

    fn parents_below(&self, place: Place) -> impl Iterator<Item = Place> + '_ {
        let below = move |parent: &Place| self.round(*parent).next() == self.round(place);
        self.blocks[place].parents.iter().copied().filter(below)
    }

    /// R15.
    fn is_certificate(&self, place: Place, block: Place) -> bool {
        let voters = self
            .parents_below(place)
            .filter(|parent| self.votes_for(*parent, block));
        self.weight(voters) >= self.bounds.v
    }

    /// R15.
    fn is_skip_certificate(&self, place: Place, slot: Slot) -> bool {
        let enough = self.bounds.b_q;
        let blamers = |block: Place| {
            self.weight(
                self.parents_below(place)
                    .filter(|p| !self.votes_for(*p, block)),
            )
        };
        self.weight(self.parents_below(place)) >= enough
            && self
                .candidates(slot, &self.history(place))
                .into_iter()
                .all(|block| blamers(block) >= enough)
    }

    /// R16.
    fn direct(&self, slot: Slot) -> Option<Verdict> {
        let t = self.bounds;
        let candidates = self.candidates(slot, &self.all);
        let deciders = self.at(slot.round.plus(2), &self.all);
        for block in &candidates {
            if t.rule != Rule::Classic && self.votes(*block, &self.all) >= t.fast_commit {
                return Some(Verdict::Commit(self.digest(*block)));
            }
            let certificates = deciders
                .iter()
                .copied()
                .filter(|d| self.is_certificate(*d, *block));
            if t.rule != Rule::Fast && self.weight(certificates) >= t.d {
                return Some(Verdict::Commit(self.digest(*block)));
            }
        }
        let authors = self.weight(self.at(slot.round.next(), &self.all).into_iter());
        let blamed = |block: &Place| self.blames(*block, &self.all) >= t.fast_skip;
        if authors >= t.fast_skip && candidates.iter().all(blamed) {
            return Some(Verdict::Skip);
        }
        let certificates = deciders
            .iter()
            .copied()
            .filter(|d| self.is_skip_certificate(*d, slot));
        if t.rule == Rule::Dual && self.weight(certificates) >= t.d {
            return Some(Verdict::Skip);
        }
        None
    }

    /// R17, given the anchor block.
    fn indirect(&self, slot: Slot, anchor: Place) -> Verdict {
        let t = self.bounds;
        let history = self.history(anchor);
        let candidates = self.candidates(slot, &history);
        let deciders = self.at(slot.round.plus(2), &history);
        if t.rule != Rule::Fast {
            for block in &candidates {
                if deciders
                    .iter()
                    .any(|decider| self.is_certificate(*decider, *block))
                {
                    return Verdict::Commit(self.digest(*block));
                }
            }
        }
        if t.rule == Rule::Dual && deciders.iter().any(|d| self.is_skip_certificate(*d, slot)) {
            return Verdict::Skip;
        }
        let weak = |block: &Place| self.votes(*block, &history) >= t.wk;
        if t.rule != Rule::Classic
            && let Some(least) = candidates
                .into_iter()
                .filter(weak)
                .map(|b| self.digest(b))
                .min()
        {
            return Verdict::Commit(least);
        }
        Verdict::Skip
    }

    /// Every slot from a round up to the highest one.
    fn slots(&self, schedules: &[ReferenceSchedule], from: Round) -> Vec<Slot> {
        let highest = self
            .blocks
            .last()
            .map_or(0, |block| block.reference.round.0);
        let leaders = |round| schedules[schedule_of(schedules, round)].slots(self.committee, round);
        (from.0.max(1)..=highest)
            .map(Round)
            .flat_map(|round| {
                let slot = move |author| Slot { round, author };
                leaders(round).into_iter().map(slot)
            })
            .collect()
    }

    /// R18: from the highest round down to the last output slot; what is output stays.
    fn decide(&self, ordered: &[Slot], output: &[(Slot, Verdict)]) -> BTreeMap<Slot, Verdict> {
        let depth = self.bounds.depth;
        let mut decisions: BTreeMap<Slot, Verdict> = output.iter().copied().collect();
        for slot in ordered[output.len()..].iter().rev() {
            let anchor = || {
                let above = ordered.iter().filter(|s| s.round >= slot.round.plus(depth));
                let mut open = above.filter(|s| decisions.get(s) != Some(&Verdict::Skip));
                match decisions.get(open.next()?) {
                    Some(Verdict::Commit(digest)) => self
                        .blocks
                        .iter()
                        .position(|known| known.reference.digest == *digest),
                    _ => None,
                }
            };
            let verdict = self
                .direct(*slot)
                .or_else(|| anchor().map(|anchor| self.indirect(*slot, anchor)));
            if let Some(verdict) = verdict {
                decisions.insert(*slot, verdict);
            }
        }
        decisions
    }

    /// R19, R20, R22 over the decided prefix.
    fn sequence(&self, output: &[(Slot, Verdict)]) -> Vec<AnswerCommit> {
        let mut commits: Vec<AnswerCommit> = Vec::new();
        let mut sequenced: BTreeSet<BlockRef> = BTreeSet::new();
        let mut filled: BTreeSet<Slot> = BTreeSet::new();
        let mut skipped = Vec::new();
        for (slot, verdict) in output {
            let Verdict::Commit(leader) = verdict else {
                skipped.push(*slot);
                continue;
            };
            let gc_round = commits
                .last()
                .map_or(Round::GENESIS, |commit| commit.gc_round);
            let place = self
                .blocks
                .iter()
                .position(|known| known.reference.digest == *leader);
            let place = place.expect("a committed block is accepted");
            let history = self.history(place);
            let mut blocks: Vec<BlockRef> = (0..=place)
                .filter(|at| history[*at] && self.round(*at) > gc_round)
                .map(|at| self.blocks[at].reference)
                .filter(|reference| !sequenced.contains(reference))
                .collect();
            blocks.sort_by_key(|x| {
                (
                    x.round,
                    hash(
                        Context::CommitOrder,
                        &[leader.as_bytes(), x.digest.as_bytes()],
                    ),
                )
            });
            sequenced.extend(&blocks);
            let blocks = blocks
                .into_iter()
                .map(|x| (x, !filled.insert(x.slot())))
                .collect();
            let previous_ms = commits.last().map_or(0, |commit| commit.timestamp_ms);
            commits.push(AnswerCommit {
                leader: self.blocks[place].reference,
                blocks,
                timestamp_ms: previous_ms.max(self.median_ms(place)),
                skipped: std::mem::take(&mut skipped),
                gc_round: Round(slot.round.0.saturating_sub(self.committee.gc_depth())),
                schedule: 0,
            });
        }
        commits
    }

    /// R20: the least timestamp whose cumulative weight times 2 is at least the weight of the parents.
    fn median_ms(&self, leader: Place) -> u64 {
        let parents = self.blocks[leader].header_parents.iter();
        let stamps: Vec<(u64, u64)> = parents
            .filter(|parent| parent.round.next() == self.round(leader))
            .map(|parent| {
                let held = self.blocks.iter().find(|known| known.reference == *parent);
                let stamp = held.map_or(0, |known| known.timestamp_ms);
                (stamp, self.committee.weight(parent.author))
            })
            .collect();
        let up_to = |stamp: u64| {
            stamps
                .iter()
                .filter(|(s, _)| *s <= stamp)
                .map(|(_, w)| w)
                .sum()
        };
        let total: u64 = up_to(u64::MAX);
        let enough = stamps
            .iter()
            .map(|(s, _)| *s)
            .filter(|s| 2 * up_to(*s) >= total);
        enough.min().unwrap_or(0)
    }
}
