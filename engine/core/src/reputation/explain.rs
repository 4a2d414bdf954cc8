//! Why a validator's score is what it is (R31).

use crate::block::Slot;
use crate::id::{Round, ValidatorIndex};
use crate::reputation::Reputation;
use crate::reputation::mark::Mark;

/// A validator's reputation after the last commit, with everything that made its score.
///
/// The lists hold what the windows of R27 hold: [`Standing::points`] is the sum of the rounds' points, and
/// [`Standing::skipped`] of [`Standing::slots`] decide whether it is divided by four.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Who.
    pub validator: ValidatorIndex,
    /// The score that the next schedule would use (R27).
    pub score: u64,
    /// The score before slots counted: the points of the rounds listed.
    pub points: u64,
    /// Sum of `prop + vote` over all scored rounds of the epoch (R30).
    pub merit: u64,
    /// How many rounds are scored.
    pub scored_rounds: u32,
    /// Two committed blocks of its in one slot, or committed evidence of them.
    pub slashed: bool,
    /// Whether it leads slots under the newest schedule (R28).
    pub eligible: bool,
    /// The number of that schedule.
    pub schedule: u64,
    /// The first round that it is in force for.
    pub schedule_start: Round,
    /// How many of its slots are listed.
    pub slots: u32,
    /// How many of them were skipped.
    pub skipped: u32,
    /// The scored rounds whose points make the score, oldest first.
    pub rounds: Vec<RoundStanding>,
    /// The slots that it led, oldest first.
    pub slots_led: Vec<SlotStanding>,
}

/// What one round added to a score.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RoundStanding {
    /// The round.
    pub round: Round,
    /// How the validator did.
    pub mark: Mark,
    /// What it earned; at most [`crate::ONE`].
    pub points: u32,
}

/// How one slot ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlotStanding {
    /// The slot.
    pub slot: Slot,
    /// Its end.
    pub outcome: SlotOutcome,
}

/// How a slot ended (R26).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SlotOutcome {
    /// A block of it leads a commit.
    Committed,
    /// No block of it does.
    Skipped,
}

impl Reputation {
    /// R31: what moved a validator's score; `None` if there is no such validator.
    pub(crate) fn standing(&self, validator: ValidatorIndex) -> Option<Standing> {
        self.committee.member(validator)?;
        let sums = self.table.sums(validator);
        let newest = self.schedules.newest();
        Some(Standing {
            validator,
            score: sums.score(),
            points: sums.points,
            merit: self.table.merits[validator.position()],
            scored_rounds: self.table.scored.0,
            slashed: self.table.slashed.contains(validator),
            eligible: newest.is_eligible(validator),
            schedule: newest.id(),
            schedule_start: newest.start(),
            slots: sums.slots,
            skipped: sums.skipped,
            rounds: self.rounds_of(validator),
            slots_led: self.slots_of(validator),
        })
    }

    fn rounds_of(&self, validator: ValidatorIndex) -> Vec<RoundStanding> {
        let marks = self.table.marks.iter();
        let marks = marks.map(|marks| marks[validator.position()]);
        rounds_up_to(self.table.scored, self.table.marks.len())
            .zip(marks)
            .map(|(round, mark)| RoundStanding {
                round,
                mark,
                points: mark.points(),
            })
            .collect()
    }

    fn slots_of(&self, author: ValidatorIndex) -> Vec<SlotStanding> {
        rounds_up_to(self.table.scored, self.table.slots.len())
            .zip(&self.table.slots)
            .filter(|(_, slots)| slots.has(author))
            .map(|(round, slots)| SlotStanding {
                slot: Slot { round, author },
                outcome: if slots.skipped.contains(author) {
                    SlotOutcome::Skipped
                } else {
                    SlotOutcome::Committed
                },
            })
            .collect()
    }
}

/// The last `count` rounds up to `last`.
fn rounds_up_to(last: Round, count: usize) -> impl Iterator<Item = Round> {
    let count = u32::try_from(count).expect("the windows are bounded");
    (last.minus(count).next().0..=last.0).map(Round)
}
