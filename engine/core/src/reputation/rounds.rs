//! What the blocks committed so far say about each round that is not scored yet (R26).
//!
//! ```text
//!   round     gc_round+1 … unscored-2    unscored-1 … highest
//!   kept      who has a block            and which one, and whom of the round below it links
//! ```
//!
//! Blocks are committed parents first, so which blocks of the round below a block links is known when it is committed:
//! one pass over its parents, one bit each. When a round is scored, its votes are in its own links, and who was seen in
//! the links of the round above.

use std::collections::VecDeque;

use crate::block::{BlockRef, Slot};
use crate::committee::{AuthorSet, Committee};
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

/// What a validator has committed in a round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seat {
    /// Its first block.
    pub(crate) digest: Digest,
    /// Whose first block of the round below is a parent of any of its blocks.
    pub(crate) links: AuthorSet,
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
        let links = if needed {
            self.links(block.round.minus(1), parents)
        } else {
            AuthorSet::default()
        };
        let row = self.row_mut(block.round);
        let second = !row.authors.insert(block.author);
        if second {
            row.doubled.insert(block.author);
        }
        if needed {
            row.seats.resize(committee.size(), None);
            let seat = row.seats[block.author.position()].get_or_insert(Seat {
                digest: block.digest,
                links,
            });
            seat.links = seat.links.union(&links);
        }
        second
    }

    /// Whose first committed block of the round `below` is among the parents.
    fn links(&self, below: Round, parents: &[BlockRef]) -> AuthorSet {
        let mut links = AuthorSet::default();
        let seats = self.row(below).map_or(&[][..], |row| &row.seats);
        for parent in parents {
            if parent.round != below {
                continue;
            }
            if let Some(Some(seat)) = seats.get(parent.author.position())
                && seat.digest == parent.digest
            {
                links.insert(parent.author);
            }
        }
        links
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
        let row = self.row(round);
        let row = row.expect("every round up to the leader's is kept until it is scored");
        let above = self.row(round.next()).map_or(&[][..], |row| &row.seats);
        let (all_above, unseen) = unseen(row, above, committee);
        let leaders_weight = committee.weight_of(&leaders);
        let shown = |author: ValidatorIndex| {
            let seat = row.only(author)?;
            let weight = committee.weight(author);
            let own = above.get(author.position()).and_then(Option::as_ref);
            let own = own.is_some_and(|own| own.links.contains(author));
            // Few are missing from a timely block, if any.
            let missing = committee.weight_of(&leaders.difference(&seat.links));
            let seen = all_above - unseen[author.position()];
            Some(Shown {
                weight,
                seen,
                seen_by_others: if own { seen - weight } else { seen },
                leaders_linked: leaders_weight - missing,
                leaders: leaders_weight,
            })
        };
        let mark = |shown| Mark::of(shown, committee.thresholds());
        let marks = committee.indices().map(shown);
        let scored = ScoredRound {
            marks: marks.map(|s| s.map(mark).unwrap_or_default()).collect(),
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
    /// What a validator has committed, if it is one block.
    fn only(&self, author: ValidatorIndex) -> Option<&Seat> {
        let seat = self.seats.get(author.position())?.as_ref()?;
        (!self.doubled.contains(author)).then_some(seat)
    }
}

/// The weight of all authors of the round above, and for each validator of `round` the weight of those who do not link its
/// block: whoever has a block links a quorum, so they are fewer than those who do.
fn unseen(
    round: &CommittedRound,
    above: &[Option<Seat>],
    committee: &Committee,
) -> (u64, Vec<u64>) {
    let mut total = 0;
    let mut unseen = vec![0; committee.size()];
    for (author, seat) in (0..).map(ValidatorIndex).zip(above) {
        let Some(seat) = seat else { continue };
        let weight = committee.weight(author);
        total += weight;
        for missed in round.authors.difference(&seat.links).iter() {
            unseen[missed.position()] += weight;
        }
    }
    (total, unseen)
}
