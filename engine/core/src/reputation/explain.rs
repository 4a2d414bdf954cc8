//! Why a validator's score is what it is (R31).

use crate::block::Slot;
use crate::id::{Round, ValidatorIndex};
use crate::order::schedule::Schedule;
use crate::reputation::Reputation;
use crate::reputation::eligible::median;
use crate::reputation::mark::Mark;
use crate::reputation::slots::outcome_of;

/// A validator's reputation after the last commit, with everything that made its score.
///
/// The lists hold what the windows of R27 hold: [`Standing::points`] is the sum of the rounds' points, and
/// [`Standing::skipped`] of [`Standing::slots`] decide whether it is divided by four.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Who.
    pub validator: ValidatorIndex,
    /// Its voting weight in this epoch.
    pub weight: u64,
    /// Which share of its base stake that weight stands for, in units of [`ONE`](crate::ONE) (R30). An epoch that follows no other
    /// starts from [`ONE`](crate::ONE).
    pub rho: u32,
    /// The score that the next schedule would use (R27).
    pub score: u64,
    /// The score before slots counted: the points of the rounds listed.
    pub points: u64,
    /// The score that half of the weight does not exceed; who falls below five eighths of it may be dropped (R28).
    pub median: u64,
    /// Sum of `prop + vote` over all scored rounds of the epoch (R30).
    pub merit: u64,
    /// That sum as a share of what a faultless validator has, at most [`ONE`](crate::ONE): `u` of R30. `None` before a round is
    /// scored.
    pub merit_share: Option<u32>,
    /// How many rounds are scored.
    pub scored_rounds: u32,
    /// Two committed blocks of its in one slot, or committed evidence of them.
    pub slashed: bool,
    /// What the schedule in force says about it. That is the one of the round three above the last scored one, where
    /// the last commit's leader stands.
    pub in_force: Leading,
    /// What the newest schedule says, which may begin later.
    pub newest: Leading,
    /// How many of its slots are listed.
    pub slots: u32,
    /// How many of them were skipped.
    pub skipped: u32,
    /// The scored rounds whose points make the score, oldest first.
    pub rounds: Vec<RoundStanding>,
    /// The slots that it led, oldest first.
    pub slots_led: Vec<SlotStanding>,
}

/// A validator's place in a leader schedule (R28).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leading {
    /// The schedule's number.
    pub schedule: u64,
    /// The first round that it is in force for.
    pub start: Round,
    /// Whether the validator leads slots under it.
    pub eligibility: Eligibility,
}

/// Whether a validator leads slots, and why not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Eligibility {
    /// It leads a slot of every round.
    Eligible,
    /// It leads none: it was dropped from the schedule, and it is slashed.
    Slashed,
    /// It leads none: its score was below five eighths of the median when the schedule was made.
    LowScore,
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
        let merit = self.table.merits[validator.position()];
        Some(Standing {
            validator,
            weight: self.committee.weight(validator),
            rho: self.committee.rho(validator),
            score: sums.score(),
            points: sums.points,
            median: median(&self.committee, &self.table.scores()),
            merit,
            merit_share: crate::reputation::weights::merit(merit, self.table.scored.0),
            scored_rounds: self.table.scored.0,
            slashed: self.table.slashed.contains(validator),
            in_force: self.leading(validator, self.schedules.of(self.table.scored.plus(3))),
            newest: self.leading(validator, self.schedules.newest()),
            slots: sums.slots,
            skipped: sums.skipped,
            rounds: self.rounds_of(validator),
            slots_led: self.slots_of(validator),
        })
    }

    fn leading(&self, validator: ValidatorIndex, schedule: &Schedule) -> Leading {
        let eligibility = if schedule.is_eligible(validator) {
            Eligibility::Eligible
        } else if self.table.slashed.contains(validator) {
            Eligibility::Slashed
        } else {
            Eligibility::LowScore
        };
        Leading {
            schedule: schedule.id(),
            start: schedule.start(),
            eligibility,
        }
    }

    fn rounds_of(&self, validator: ValidatorIndex) -> Vec<RoundStanding> {
        let marks = self.table.marks.rows();
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
            .zip(self.table.slots.rows())
            .filter_map(|(round, row)| {
                let slot = Slot { round, author };
                let outcome = outcome_of(author, row)?;
                Some(SlotStanding { slot, outcome })
            })
            .collect()
    }
}

/// The last `count` rounds up to `last`.
fn rounds_up_to(last: Round, count: usize) -> impl Iterator<Item = Round> {
    let count = u32::try_from(count).expect("the windows are bounded");
    (last.minus(count).next().0..=last.0).map(Round)
}
