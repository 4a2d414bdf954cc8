//! What an application hears beside commits: that an epoch has ended, and what begins (R32).

use std::sync::Arc;

use probity_core::{Commit, CommitIndex, Committee, DecidedChange, EpochEnd, Seat};

/// What comes next in the sequence of an application.
#[derive(Clone, Debug)]
pub enum StreamEvent {
    /// A commit.
    Commit(Arc<Commit>),
    /// The epoch has ended with the commit before this.
    Epoch(Arc<EpochEvent>),
}

/// The end of an epoch, as every validator sees it at the same place: behind its last commit.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EpochEvent {
    /// The epoch that ended; the next one has the number after.
    pub epoch: u64,
    /// Its last commit.
    pub last_commit: CommitIndex,
    /// Everybody with stake, in order, with the voting weight in the next epoch.
    pub roster: Vec<Seated>,
    /// Changes that enough asked for, in the order of the sequence: effective from the next epoch on, or refused and why.
    /// Empty where this node did not see all of the epoch's commits.
    pub changes: Vec<DecidedChange>,
    /// More stake is shown to have equivocated than may be Byzantine: nobody was slashed for it, and operators must act
    /// (R30).
    pub slashing_alarm: bool,
    /// The next epoch's committee.
    pub next: Arc<Committee>,
    /// The proof, for anybody who knows the committee of the epoch that ended.
    pub end: Arc<EpochEnd>,
}

/// A seat and the weight that follows from it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seated {
    /// Key, base stake, and what part of it counts.
    pub seat: Seat,
    /// Voting weight; with zero it is no member of the committee.
    pub weight: u64,
}

impl Seated {
    pub(crate) fn all(committee: &Committee) -> Vec<Self> {
        let weight = |seat: &Seat| {
            let index = committee.index_of(&seat.key);
            index.map_or(0, |index| committee.weight(index))
        };
        let seats = committee.roster().seats().iter().cloned();
        seats
            .map(|seat| Self {
                weight: weight(&seat),
                seat,
            })
            .collect()
    }
}
