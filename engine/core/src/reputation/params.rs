//! The windows of R26 to R29.

use crate::limits::{
    REPUTATION_ROUNDS_MAX, SCHEDULE_LEAD_ROUNDS, SCHEDULE_ROUNDS, SCORE_ROUNDS, SLOT_ROUNDS,
};

/// Over how many rounds scores look back, and how often they make a schedule.
///
/// All validators of an epoch must use the same numbers, or they would order differently from the first schedule
/// on; so the chain id binds them (R32). The protocol fixes them at the default; tests take smaller ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReputationParams {
    /// Scored rounds that a score is the sum of (R27).
    pub score_rounds: u32,
    /// Scored rounds whose leader slots count (R27).
    pub slot_rounds: u32,
    /// Leader rounds from one schedule to the next (R29).
    pub schedule_rounds: u32,
    /// From the leader of the commit that makes a schedule to the first round that it is in force for (R29).
    pub schedule_lead_rounds: u32,
}

impl Default for ReputationParams {
    fn default() -> Self {
        Self {
            score_rounds: SCORE_ROUNDS,
            slot_rounds: SLOT_ROUNDS,
            schedule_rounds: SCHEDULE_ROUNDS,
            schedule_lead_rounds: SCHEDULE_LEAD_ROUNDS,
        }
    }
}

impl ReputationParams {
    /// The numbers in the order in which the chain id binds them.
    pub(crate) fn numbers(&self) -> [u32; 4] {
        [
            self.score_rounds,
            self.slot_rounds,
            self.schedule_rounds,
            self.schedule_lead_rounds,
        ]
    }

    /// Whether every window is at least one round and small enough to be kept in memory. A schedule that began in the
    /// round of its own commit would change slots that are output already.
    pub(crate) fn are_sound(&self) -> bool {
        let allowed = 1..=REPUTATION_ROUNDS_MAX;
        self.numbers().iter().all(|rounds| allowed.contains(rounds))
    }
}
