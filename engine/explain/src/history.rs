//! What is kept of one epoch: scores by leader round, schedules, and who was slashed by what.

use std::collections::BTreeMap;

use probity_core::crypto::PublicKey;
use probity_core::{
    BlockRef, CommitIndex, CommitRecord, Committee, EpochEnd, Header, ReplayedCommit, Round,
    Scoring, Slot, Standing, ValidatorIndex,
};

/// The scores of an epoch over its rounds, and everybody's standing at the end.
#[derive(Clone, Debug)]
pub struct History {
    pub(crate) epoch: u64,
    /// The keys of the members, by index.
    pub(crate) members: Vec<PublicKey>,
    /// Everybody with stake, and its voting weight; with none it is no member.
    pub(crate) seats: Vec<(PublicKey, u64)>,
    /// The scores after the last commit of each leader round, by ascending round.
    pub(crate) samples: Vec<Sample>,
    /// The schedules with their first rounds, by ascending number.
    pub(crate) schedules: Vec<(u64, Round)>,
    /// The first commit that was looked at.
    pub(crate) first: Option<CommitIndex>,
    /// How it ended, if it has.
    pub(crate) ended: Option<Ended>,
    /// How many rounds are scored.
    pub(crate) scored_rounds: u32,
    slashings: BTreeMap<ValidatorIndex, Slashing>,
    last: Option<(CommitIndex, Round)>,
    standings: Vec<Standing>,
}

/// The scores at one time.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// The leader round.
    pub(crate) round: Round,
    /// The commit's time; zero before anybody had one to tell.
    pub(crate) time_ms: u64,
    /// By index.
    pub(crate) scores: Vec<u64>,
}

/// The last commit of an epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) index: CommitIndex,
    pub(crate) time_ms: u64,
}

/// What a validator is slashed for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slashing {
    /// The commit that showed it.
    pub commit: CommitIndex,
    /// That commit's leader round.
    pub leader: Round,
    /// How it showed it.
    pub crime: Crime,
}

/// How a commit shows that a validator signed two blocks of one slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Crime {
    /// It orders the second block of the slot.
    TwoBlocks(Slot),
    /// A block in it carries evidence about the slot.
    Evidence(Slot),
    /// It came before the first commit that was looked at.
    Earlier,
}

impl History {
    /// Of an epoch that begins.
    pub(crate) fn new(committee: &Committee) -> Self {
        let key_of = |index| committee.member(index).map(|member| member.key);
        let weight = |key: &PublicKey| committee.index_of(key).map_or(0, |i| committee.weight(i));
        let seats = committee.roster().seats().iter();
        Self {
            epoch: committee.epoch(),
            members: committee.indices().filter_map(key_of).collect(),
            seats: seats.map(|seat| (seat.key, weight(&seat.key))).collect(),
            samples: Vec::new(),
            schedules: Vec::new(),
            first: None,
            ended: None,
            scored_rounds: 0,
            slashings: BTreeMap::new(),
            last: None,
            standings: Vec::new(),
        }
    }

    /// Takes the next commit, with the scores after it.
    pub fn note(&mut self, commit: ReplayedCommit<'_>) {
        let ReplayedCommit {
            record,
            blocks,
            scores,
        } = commit;
        let round = record.leader.round;
        if self.samples.last().is_some_and(|last| last.round == round) {
            self.samples.pop();
        }
        self.samples.push(Sample {
            round,
            time_ms: record.timestamp_ms,
            scores: scores.scores(),
        });
        let newest = scores.newest_schedule();
        if self.schedules.last() != Some(&newest) {
            self.schedules.push(newest);
        }
        for validator in scores.committee().indices() {
            if scores.is_slashed(validator) {
                let slashing = || Slashing {
                    commit: record.index,
                    leader: round,
                    crime: crime(validator, record, blocks),
                };
                self.slashings.entry(validator).or_insert_with(slashing);
            }
        }
        self.first.get_or_insert(record.index);
        self.last = Some((record.index, round));
        if record.ends_epoch() {
            self.ended = Some(Ended {
                index: record.index,
                time_ms: record.timestamp_ms,
            });
        }
    }

    /// Takes how the epoch ended, also if its commits are not here.
    pub fn end(&mut self, end: &EpochEnd) {
        self.ended = Some(Ended {
            index: end.record.index,
            time_ms: end.record.timestamp_ms,
        });
    }

    /// Takes the scores after the last commit.
    pub fn close(&mut self, scores: &Scoring) {
        let mut any = scores.committee().indices();
        let standing = any.next().and_then(|validator| scores.standing(validator));
        self.scored_rounds = standing.map_or(0, |standing| standing.scored_rounds);
    }

    /// Takes everybody's standing from the scores after the last commit. That is much, and needed of epochs that are explained only.
    pub fn explain(&mut self, scores: &Scoring) {
        self.close(scores);
        self.standings = scores.standings();
    }

    /// The epoch.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How many validators its committee has.
    #[must_use]
    pub fn validators(&self) -> usize {
        self.members.len()
    }

    /// Everybody's standing at the end, by index; empty unless it was explained.
    #[must_use]
    pub fn standings(&self) -> &[Standing] {
        &self.standings
    }

    /// The last commit that was looked at and its leader round.
    #[must_use]
    pub fn last(&self) -> Option<(CommitIndex, Round)> {
        self.last
    }

    /// What a validator is slashed for.
    #[must_use]
    pub fn slashing(&self, validator: ValidatorIndex) -> Option<Slashing> {
        self.slashings.get(&validator).copied()
    }

    /// A seat's voting weight; `None` without a seat.
    pub(crate) fn weight(&self, key: &PublicKey) -> Option<u64> {
        let seat = self.seats.iter().find(|(of, _)| of == key);
        seat.map(|(_, weight)| *weight)
    }

    /// Whether a commit of this epoch shows that the owner of a key has equivocated.
    pub(crate) fn slashes(&self, key: &PublicKey) -> bool {
        let member = |index: &ValidatorIndex| self.members.get(index.position());
        self.slashings
            .keys()
            .any(|index| member(index) == Some(key))
    }
}

/// What in a commit shows that a validator signed two blocks of one slot.
fn crime(
    validator: ValidatorIndex,
    record: &CommitRecord,
    blocks: &[(BlockRef, &Header)],
) -> Crime {
    let mut second = record.blocks.iter().filter(|(_, void)| *void);
    if let Some((block, _)) = second.find(|(block, _)| block.author == validator) {
        return Crime::TwoBlocks(block.slot());
    }
    let mut proofs = blocks.iter().flat_map(|(_, header)| &header.evidence);
    let proof = proofs.find(|proof| proof.author == validator);
    proof.map_or(Crime::Earlier, |proof| {
        Crime::Evidence(Slot {
            round: proof.round,
            author: validator,
        })
    })
}
