//! # Reputation
//!
//! Scores from the committed prefix, in integers, and the leader schedules that follow from them (R26 to R29, R31).
//!
//! ```text
//!   commit ──▶ rounds: who linked whom ──▶ table: marks, sums ──▶ schedule, every 128 rounds
//!              until three rounds below     the last 512 rounds    in force 11 rounds later
//! ```
//!
//! Idea: after every commit, look at all blocks committed so far, score every round anew and add up the last ones.
//! That is what the reference in `testing` does. Here each block is looked at once, when it is committed, in one pass
//! over its parents, and each round once, when the leaders have come three rounds further. Everything is a function of
//! the commits and the headers in them, so a validator that replays them has the same table (R23), and every commit
//! record carries the table's digest to show it.
//!
//! Weights at an epoch's end (R30) will follow from [`Table::merits`] and [`Table::healthy`].

use std::sync::Arc;

use crate::block::{BlockRef, Header, Slot};
use crate::commit::CommitRecord;
use crate::committee::Committee;
use crate::crypto::Digest;
use crate::id::{CommitIndex, Round, ValidatorIndex};
use crate::order::ROUNDS_BACK;
use crate::order::schedule::{Schedule, Schedules};

mod eligible;
mod explain;
mod mark;
mod params;
mod rounds;
mod scoring;
mod slots;
mod snapshot;
mod table;
mod weights;
mod window;

pub use explain::{Eligibility, Leading, RoundStanding, SlotOutcome, SlotStanding, Standing};
pub use mark::{Mark, ONE};
pub use params::ReputationParams;
pub use scoring::{ReplayedCommit, Scoring};

pub(crate) use eligible::{fixed_pool, pool};
pub(crate) use weights::reweigh;

use rounds::{CommittedRounds, ScoredRound};
use table::Table;

/// Scores and schedules after a commit.
#[derive(Clone, Debug)]
pub(crate) struct Reputation {
    committee: Arc<Committee>,
    rounds: CommittedRounds,
    table: Table,
    /// Of the table; it changes with scored rounds and slashings only.
    digest: Digest,
    schedules: Schedules,
    /// R29: the leader round from which on a commit makes the next schedule.
    next_schedule: Round,
    /// The leader round of the last snapshot.
    saved: Round,
    scratch: Scratch,
}

/// What is due once a round, kept for its memory: of no meaning from one commit to the next.
#[derive(Clone, Default, Debug)]
struct Scratch {
    scored: ScoredRound,
    bytes: Vec<u8>,
}

/// What a commit means for scores: its leader, the slots skipped before it, and its blocks in order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scored<'a, Blocks> {
    pub(crate) leader: BlockRef,
    pub(crate) skipped: &'a [Slot],
    pub(crate) blocks: Blocks,
}

/// Whether a commit changed who leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Leadership {
    Unchanged,
    /// R29: a schedule was made, the newest of [`Reputation::schedules`].
    Scheduled,
}

impl Reputation {
    /// Before an epoch's first commit: no scores, everybody leads.
    pub(crate) fn new(committee: Arc<Committee>) -> Self {
        let table = Table::new(&committee);
        let mut scratch = Scratch::default();
        Self {
            rounds: CommittedRounds::new(),
            digest: table.digest(&mut scratch.bytes),
            table,
            schedules: Schedules::initial(&committee),
            next_schedule: Round(committee.reputation().schedule_rounds),
            saved: Round::GENESIS,
            scratch,
            committee,
        }
    }

    /// The digest of the table, for the commit's record (R21).
    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }

    /// The marks and sums of the epoch so far.
    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// The schedules that rounds from a few below the last leader on need.
    pub(crate) fn schedules(&self) -> &Schedules {
        &self.schedules
    }

    /// R19: takes the next commit: scores what it settles, then makes a schedule if it is time.
    pub(crate) fn handle_commit<'a>(
        &mut self,
        commit: Scored<'_, impl Iterator<Item = (BlockRef, &'a Header)>>,
    ) -> Leadership {
        let Scored { leader, .. } = commit;
        let slashed = self.count(commit);
        let mut scored = false;
        let Scratch {
            scored: round,
            bytes,
        } = &mut self.scratch;
        while self.rounds.score_next(leader.round, &self.committee, round) {
            self.table.add(round, &self.committee);
            scored = true;
        }
        if scored || slashed {
            self.digest = self.table.digest(bytes);
        }
        self.rounds.collect(self.committee.gc_round(leader.round));
        if leader.round < self.next_schedule {
            return Leadership::Unchanged;
        }
        self.make_schedule(leader.round);
        Leadership::Scheduled
    }

    /// R26: counts blocks, slots and evidence; whether somebody was slashed.
    fn count<'a>(
        &mut self,
        commit: Scored<'_, impl Iterator<Item = (BlockRef, &'a Header)>>,
    ) -> bool {
        let mut slashed = false;
        for (block, header) in commit.blocks {
            if self.rounds.add(&block, &header.parents, &self.committee) {
                slashed |= self.table.slashed.insert(block.author);
            }
            for proof in &header.evidence {
                slashed |= self.table.slashed.insert(proof.author);
            }
        }
        for slot in commit.skipped {
            self.rounds.note_skipped(*slot);
        }
        self.rounds.note_committed(commit.leader.slot());
        slashed
    }

    /// R29.
    fn make_schedule(&mut self, leader: Round) {
        let params = *self.committee.reputation();
        let pool = pool(&self.committee, &self.table.scores(), &self.table.slashed);
        let id = self.schedules.newest().id() + 1;
        let start = leader.plus(params.schedule_lead_rounds);
        let schedule = Schedule::new(id, start, &self.committee, pool);
        self.schedules.push(Arc::new(schedule));
        self.schedules.forget_below(leader.minus(ROUNDS_BACK));
        let passed = leader.0 / params.schedule_rounds;
        self.next_schedule = Round(
            passed
                .saturating_add(1)
                .saturating_mul(params.schedule_rounds),
        );
    }

    /// What to write with the commit that was just taken, if enough rounds have passed since the last time. Recovery
    /// replays the commits after it, so the rounds between are fewer than retention keeps.
    pub(crate) fn snapshot(&mut self, index: CommitIndex, leader: Round) -> Option<bytes::Bytes> {
        let params = self.committee.reputation();
        let pause = params.schedule_rounds.min(2 * self.committee.gc_depth());
        if leader < self.saved.plus(pause) {
            return None;
        }
        self.saved = leader;
        Some(self.encode(index))
    }

    /// Scores and schedules as bytes.
    pub(crate) fn encode(&self, index: CommitIndex) -> bytes::Bytes {
        snapshot::encode(self, index)
    }

    /// Reads a snapshot back, with the index of the commit after which it was taken.
    pub(crate) fn restore(
        bytes: &bytes::Bytes,
        committee: &Arc<Committee>,
    ) -> Result<(CommitIndex, Self), crate::codec::DecodeError> {
        snapshot::decode(bytes, committee)
    }

    /// Whether the sequence holds two blocks of one slot of this validator, or a proof about it.
    pub(crate) fn is_slashed(&self, validator: ValidatorIndex) -> bool {
        self.table.slashed.contains(validator)
    }

    /// Whether a commit's record names these scores and the schedule in force for its leader (R21).
    pub(crate) fn matches(&self, record: &CommitRecord) -> bool {
        record.reputation == self.digest
            && record.schedule == self.schedules.of(record.leader.round).id()
    }
}

#[cfg(test)]
mod tests;
