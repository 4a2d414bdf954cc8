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
use crate::reputation::slots::SlotOutcomes;

/// The committed blocks of the rounds that the sequence can still reach.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CommittedRounds {
    /// The round of the first row.
    pub(crate) base: Round,
    /// The lowest round that is not scored.
    pub(crate) unscored: Round,
    pub(crate) rows: VecDeque<CommittedRound>,
    /// The seats of a round that needs them no more, emptied: the next round takes their memory.
    spare: Vec<Option<Seat>>,
    /// For [`Self::count_unseen`]; of no meaning from one round to the next.
    unseen: Vec<u64>,
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

/// What a validator has committed in a round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seat {
    /// Its first block.
    pub(crate) digest: Digest,
    /// Whose first block of the round below is a parent of any of its blocks.
    pub(crate) links: AuthorSet,
}

/// What a scored round leaves behind. One is filled again and again, for its memory.
#[derive(Clone, Default, Debug)]
pub(crate) struct ScoredRound {
    /// By validator.
    pub(crate) marks: Vec<Mark>,
    pub(crate) slots: SlotOutcomes,
}

impl CommittedRounds {
    /// Before the first commit.
    pub(crate) fn new() -> Self {
        Self::restored(Round(1), Round(1), VecDeque::new())
    }

    /// As a snapshot has it.
    pub(crate) fn restored(base: Round, unscored: Round, rows: VecDeque<CommittedRound>) -> Self {
        Self {
            base,
            unscored,
            rows,
            spare: Vec::new(),
            unseen: Vec::new(),
        }
    }

    fn row(&self, round: Round) -> Option<&CommittedRound> {
        let above = round.0.checked_sub(self.base.0)?;
        self.rows.get(above as usize)
    }

    fn row_mut(&mut self, round: Round) -> &mut CommittedRound {
        let above = round.0.checked_sub(self.base.0);
        let above = above.expect("blocks at or below the gc round are not committed") as usize;
        if above >= self.rows.len() {
            self.reach(above);
        }
        &mut self.rows[above]
    }

    /// Makes rows up to that one; once a round.
    #[cold]
    fn reach(&mut self, above: usize) {
        while self.rows.len() <= above {
            self.rows.push_back(CommittedRound {
                seats: std::mem::take(&mut self.spare),
                ..CommittedRound::default()
            });
        }
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
            if row.seats.len() < committee.size() {
                row.seats.resize(committee.size(), None);
            }
            match &mut row.seats[block.author.position()] {
                Some(seat) => seat.links = seat.links.union(&links),
                seat @ None => {
                    *seat = Some(Seat {
                        digest: block.digest,
                        links,
                    });
                }
            }
        }
        second
    }

    /// Whose first committed block of the round `below` is among the parents.
    ///
    /// Unscored rounds are above the gc round (`gc_depth` is at least three), so parents there are committed before: digests
    /// have to be compared only where an author has two blocks.
    fn links(&self, below: Round, parents: &[BlockRef]) -> AuthorSet {
        let Some(row) = self.row(below) else {
            return AuthorSet::default();
        };
        let parents = parents.iter().filter(|parent| parent.round == below);
        let mut links: AuthorSet = parents.clone().map(|parent| parent.author).collect();
        if below >= self.unscored && row.doubled.is_empty() {
            return links;
        }
        for parent in parents {
            if !row.is_first(parent) {
                links.remove(parent.author);
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

    /// Scores the lowest unscored round into `scored` if it is at least three below `leader`; whether it is.
    pub(crate) fn score_next(
        &mut self,
        leader: Round,
        committee: &Committee,
        scored: &mut ScoredRound,
    ) -> bool {
        let round = self.unscored;
        if round.plus(3) > leader {
            return false;
        }
        let all_above = self.count_unseen(round, committee);
        let leaders = self
            .row(round.minus(1))
            .map_or(AuthorSet::default(), |row| row.slots.committed);
        let row = self.row(round);
        let row = row.expect("every round up to the leader's is kept until it is scored");
        let above = self.row(round.next()).map_or(&[][..], |row| &row.seats);
        let leaders_weight = committee.weight_of(&leaders);
        let mark = |(author, unseen): (ValidatorIndex, &u64)| {
            let Some(seat) = row.only(author) else {
                return Mark::default();
            };
            let weight = committee.weight(author);
            let own = above.get(author.position()).and_then(Option::as_ref);
            let own = own.is_some_and(|own| own.links.contains(author));
            let missing = leaders.difference(&seat.links);
            // Mostly none is missing.
            let missing = if missing.is_empty() {
                0
            } else {
                committee.weight_of(&missing)
            };
            let seen = all_above - unseen;
            let shown = Shown {
                weight,
                seen,
                seen_by_others: if own { seen - weight } else { seen },
                leaders_linked: leaders_weight - missing,
                leaders: leaders_weight,
            };
            Mark::of(shown, committee.thresholds())
        };
        scored.marks.clear();
        let marks = committee.indices().zip(&self.unseen).map(mark);
        scored.marks.extend(marks);
        scored.slots = row.slots;
        self.unscored = round.next();
        self.release_seats(round.minus(1));
        true
    }

    /// The weight of all authors of the round above, and in [`Self::unseen`] for each validator of `round` the weight of
    /// those who do not link its block: whoever has a block links a quorum, so they are fewer than those who do.
    fn count_unseen(&mut self, round: Round, committee: &Committee) -> u64 {
        let mut unseen = std::mem::take(&mut self.unseen);
        unseen.clear();
        unseen.resize(committee.size(), 0);
        let mut total = 0;
        let authors = self
            .row(round)
            .map_or(AuthorSet::default(), |row| row.authors);
        let above = self.row(round.next()).map_or(&[][..], |row| &row.seats);
        for (author, seat) in (0..).map(ValidatorIndex).zip(above) {
            let Some(seat) = seat else { continue };
            let weight = committee.weight(author);
            total += weight;
            let missed = authors.difference(&seat.links);
            if missed.is_empty() {
                continue;
            }
            for missed in missed.iter() {
                unseen[missed.position()] += weight;
            }
        }
        self.unseen = unseen;
        total
    }

    /// Takes the seats of a round that no further score needs.
    fn release_seats(&mut self, round: Round) {
        if round < self.base {
            return;
        }
        let mut seats = std::mem::take(&mut self.row_mut(round).seats);
        seats.clear();
        self.spare = seats;
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
    /// Whether it is the first block that its author has committed.
    fn is_first(&self, block: &BlockRef) -> bool {
        let seat = self.seats.get(block.author.position());
        matches!(seat, Some(Some(seat)) if seat.digest == block.digest)
    }

    /// What a validator has committed, if it is one block.
    fn only(&self, author: ValidatorIndex) -> Option<&Seat> {
        let seat = self.seats.get(author.position())?.as_ref()?;
        (!self.doubled.contains(author)).then_some(seat)
    }
}
