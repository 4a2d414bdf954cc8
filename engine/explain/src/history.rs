//! What is kept of a run's commits: scores by leader round, schedules, and who was slashed by what.

use std::collections::BTreeMap;

use probity_core::{
    BlockRef, CommitIndex, CommitRecord, Header, ReplayedCommit, Round, Slot, Standing,
    ValidatorIndex,
};

/// The scores of an epoch over its rounds, and everybody's standing at the end.
#[derive(Clone, Default, Debug)]
pub struct History {
    /// Scores by index after the last commit of each leader round, by ascending round.
    pub(crate) samples: Vec<(Round, Vec<u64>)>,
    /// The schedules with their first rounds, by ascending number.
    pub(crate) schedules: Vec<(u64, Round)>,
    slashings: BTreeMap<ValidatorIndex, Slashing>,
    last: Option<(CommitIndex, Round)>,
    standings: Vec<Standing>,
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
    /// Takes the next commit, with the scores after it.
    pub fn note(&mut self, commit: ReplayedCommit<'_>) {
        let ReplayedCommit {
            record,
            blocks,
            scores,
        } = commit;
        let round = record.leader.round;
        if self.samples.last().is_some_and(|(last, _)| *last == round) {
            self.samples.pop();
        }
        self.samples.push((round, scores.scores()));
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
        self.last = Some((record.index, round));
    }

    /// Keeps everybody's standing after the last commit, by index.
    pub fn end(&mut self, standings: Vec<Standing>) {
        self.standings = standings;
    }

    /// Everybody's standing at the end, by index.
    #[must_use]
    pub fn standings(&self) -> &[Standing] {
        &self.standings
    }

    /// The last commit and its leader round.
    #[must_use]
    pub fn last(&self) -> Option<(CommitIndex, Round)> {
        self.last
    }

    /// What a validator is slashed for.
    #[must_use]
    pub fn slashing(&self, validator: ValidatorIndex) -> Option<Slashing> {
        self.slashings.get(&validator).copied()
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
