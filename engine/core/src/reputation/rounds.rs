//! What the blocks committed so far say about each round that is not scored yet (R26).
//!
//! ```text
//!   round     gc_round+1 … unscored-2    unscored-1     unscored … highest
//!   kept      who has a block            and leaders    and who linked it
//! ```
//!
//! Blocks are committed parents first, and a round's leaders before any block above it, so what a block says about the
//! round below is known when it is committed and is counted once, in one pass over its parents.

use std::collections::VecDeque;

use crate::block::{BlockRef, Slot};
use crate::committee::{AuthorSet, Committee, Tally};
use crate::crypto::Digest;
use crate::id::{Round, ValidatorIndex};
use crate::reputation::mark::{Mark, Shown};

/// The committed blocks of the rounds that the sequence can still reach.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CommittedRounds {
    /// The round of the first row.
    pub(crate) base: Round,
    /// The lowest round that is not scored.
    pub(crate) unscored: Round,
    pub(crate) rows: VecDeque<CommittedRound>,
}

/// The committed blocks of one round.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct CommittedRound {
    /// Who has a committed block.
    pub(crate) authors: AuthorSet,
    /// Who has two.
    pub(crate) doubled: AuthorSet,
    /// How the round's slots ended.
    pub(crate) slots: SlotOutcomes,
    /// By validator; empty from when it is no longer needed.
    pub(crate) seats: Vec<Option<Seat>>,
}

/// How the slots of a round ended.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct SlotOutcomes {
    /// Leaders with a committed slot.
    pub(crate) committed: AuthorSet,
    /// Leaders with a skipped slot.
    pub(crate) skipped: AuthorSet,
}

/// A validator's first committed block of a round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seat {
    pub(crate) digest: Digest,
    /// Authors of committed blocks of the next round that have it as a parent.
    pub(crate) seen: Tally,
    /// Weight of the committed leaders of the round before that it has as parents.
    pub(crate) leaders_linked: u64,
}

/// What a scored round leaves behind.
pub(crate) struct ScoredRound {
    pub(crate) marks: Vec<Mark>,
    pub(crate) slots: SlotOutcomes,
}

impl SlotOutcomes {
    /// Whether the validator led a slot of the round.
    pub(crate) fn has(&self, author: ValidatorIndex) -> bool {
        self.committed.contains(author) || self.skipped.contains(author)
    }
}

impl CommittedRounds {
    pub(crate) fn new() -> Self {
        Self {
            base: Round(1),
            unscored: Round(1),
            rows: VecDeque::new(),
        }
    }

    fn row(&self, round: Round) -> Option<&CommittedRound> {
        let above = round.0.checked_sub(self.base.0)?;
        self.rows.get(above as usize)
    }

    fn row_mut(&mut self, round: Round) -> &mut CommittedRound {
        let above = round.0.checked_sub(self.base.0);
        let above = above.expect("blocks at or below the gc round are not committed") as usize;
        while self.rows.len() <= above {
            self.rows.push_back(CommittedRound::default());
        }
        &mut self.rows[above]
    }

    /// Counts a block as committed; whether its author has another one in the round.
    pub(crate) fn add(
        &mut self,
        block: &BlockRef,
        parents: &[BlockRef],
        committee: &Committee,
    ) -> bool {
        let needed = block.round >= self.unscored;
        let leaders_linked = if needed {
            self.count_links(block, parents, committee)
        } else {
            0
        };
        let row = self.row_mut(block.round);
        let second = !row.authors.insert(block.author);
        if second {
            row.doubled.insert(block.author);
        } else if needed {
            row.seats.resize(committee.size(), None);
            row.seats[block.author.position()] = Some(Seat {
                digest: block.digest,
                seen: Tally::default(),
                leaders_linked,
            });
        }
        second
    }

    /// Notes who links the committed blocks of the round below; returns the weight of the leaders among them.
    fn count_links(
        &mut self,
        block: &BlockRef,
        parents: &[BlockRef],
        committee: &Committee,
    ) -> u64 {
        let below = block.round.minus(1);
        if below < self.base {
            return 0; // Nothing committed is kept there: round 0, or a round below all leaders.
        }
        let row = self.row_mut(below);
        let mut leaders_linked = 0;
        for parent in parents.iter().filter(|parent| parent.round == below) {
            let seat = row.seats.get_mut(parent.author.position());
            let Some(Some(seat)) = seat else { continue };
            if seat.digest != parent.digest {
                continue;
            }
            seat.seen.add(block.author, committee);
            if row.slots.committed.contains(parent.author) {
                leaders_linked += committee.weight(parent.author);
            }
        }
        leaders_linked
    }

    /// Counts a slot as committed.
    pub(crate) fn note_committed(&mut self, slot: Slot) {
        self.row_mut(slot.round).slots.committed.insert(slot.author);
    }

    /// Counts a slot as skipped.
    pub(crate) fn note_skipped(&mut self, slot: Slot) {
        self.row_mut(slot.round).slots.skipped.insert(slot.author);
    }

    /// Scores the lowest unscored round if it is at least three below `leader`.
    pub(crate) fn score_next(
        &mut self,
        leader: Round,
        committee: &Committee,
    ) -> Option<ScoredRound> {
        let round = self.unscored;
        if round.plus(3) > leader {
            return None;
        }
        let leaders = self
            .row(round.minus(1))
            .map_or(AuthorSet::default(), |row| row.slots.committed);
        let leaders = committee.weight_of(&leaders);
        let row = self.row(round);
        let row = row.expect("every round up to the leader's is kept until it is scored");
        let mark = |author| row.mark(author, leaders, committee);
        let scored = ScoredRound {
            marks: committee.indices().map(mark).collect(),
            slots: row.slots,
        };
        self.unscored = round.next();
        if round.minus(1) >= self.base {
            self.row_mut(round.minus(1)).seats = Vec::new();
        }
        Some(scored)
    }

    /// Forgets rounds that no further commit can reach and no score needs.
    pub(crate) fn collect(&mut self, gc_round: Round) {
        let kept = gc_round.next().min(self.unscored.minus(1));
        while self.base < kept {
            self.rows.pop_front();
            self.base = self.base.next();
        }
    }
}

impl CommittedRound {
    fn mark(&self, author: ValidatorIndex, leaders: u64, committee: &Committee) -> Mark {
        let seat = self.seats.get(author.position()).copied().flatten();
        let Some(seat) = seat.filter(|_| !self.doubled.contains(author)) else {
            return Mark::default();
        };
        let weight = committee.weight(author);
        let own = if seat.seen.authors().contains(author) {
            weight
        } else {
            0
        };
        let shown = Shown {
            weight,
            seen: seat.seen.weight(),
            seen_by_others: seat.seen.weight() - own,
            leaders_linked: seat.leaders_linked,
            leaders,
        };
        Mark::of(shown, committee.thresholds())
    }
}
