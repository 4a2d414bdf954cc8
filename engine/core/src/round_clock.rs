//! When a quorum allows the next round, and how long to wait beyond it (R9).

use crate::id::{Round, Time, ValidatorIndex};
use crate::limits::{LEADER_TIMEOUT_BASE_MAX_US, LEADER_TIMEOUT_MAX_US, LEADER_TIMEOUT_MIN_US};

/// Rounds of a primary that decide whether it is waited for.
const WAIVER_ROUNDS: u32 = 16;

/// The measured pace of rounds and the waits derived from it.
#[derive(Clone, Debug)]
pub(crate) struct RoundClock {
    /// `T`: grounded blocks of the round before weigh a quorum.
    frontier: Round,
    /// Since when.
    reached_at: Time,
    proposed_at: Option<Time>,
    /// Mean time between own frontier blocks.
    round_us: u64,
    /// Mean time from own block to quorum.
    quorum_us: u64,
    /// The current round waited because nothing was to do; it says nothing about pace.
    idled: bool,
    /// Leader timeouts fired since the last commit.
    fired: u32,
    /// By validator: bit 0 is its last primary round; 1 means it kept us beyond the soft hold.
    late: Vec<u16>,
    /// The primary of the round now ending keeps us beyond the soft hold.
    keeps_us: bool,
}

impl RoundClock {
    pub(crate) fn new(validators: usize, now: Time) -> Self {
        Self {
            frontier: Round(1),
            reached_at: now,
            proposed_at: None,
            round_us: LEADER_TIMEOUT_MIN_US,
            quorum_us: LEADER_TIMEOUT_MIN_US,
            idled: false,
            fired: 0,
            late: vec![0; validators],
            keeps_us: false,
        }
    }

    /// `T` (section 4).
    pub(crate) fn frontier(&self) -> Round {
        self.frontier
    }

    pub(crate) fn reached_at(&self) -> Time {
        self.reached_at
    }

    pub(crate) fn proposed_at(&self) -> Option<Time> {
        self.proposed_at
    }

    /// A quorum of grounded blocks stands below `frontier`.
    pub(crate) fn handle_quorum(&mut self, now: Time, frontier: Round, own: Round) {
        if frontier <= self.frontier {
            return;
        }
        self.frontier = frontier;
        self.reached_at = now;
        self.keeps_us = false;
        let measured = own.next() == frontier && !self.idled;
        if let (Some(proposed_at), true) = (self.proposed_at, measured) {
            mean(&mut self.quorum_us, now.since_us(proposed_at));
        }
    }

    /// An own block was proposed; `primary` led the round below.
    pub(crate) fn handle_proposed(&mut self, now: Time, primary: Option<ValidatorIndex>) {
        if let (Some(before), false) = (self.proposed_at, self.idled) {
            mean(&mut self.round_us, now.since_us(before));
        }
        if let Some(primary) = primary {
            let history = &mut self.late[primary.position()];
            *history = *history << 1 | u16::from(self.keeps_us);
        }
        self.proposed_at = Some(now);
        self.idled = false;
        self.keeps_us = false;
    }

    /// The round waits although it could go on, because nothing is pending.
    pub(crate) fn note_idle(&mut self) {
        self.idled = true;
    }

    /// The soft hold passed and the primary's block is not here.
    pub(crate) fn note_late_primary(&mut self) {
        self.keeps_us = true;
    }

    /// The leader timeout fired: the next one is twice as long.
    pub(crate) fn note_timeout(&mut self) {
        self.fired = self.fired.saturating_add(1);
    }

    pub(crate) fn handle_commit(&mut self) {
        if !planted!(TimeoutNotReset) {
            self.fired = 0;
        }
    }

    /// A quarter of the mean round time.
    pub(crate) fn soft_hold_us(&self) -> u64 {
        self.round_us / 4
    }

    pub(crate) fn leader_timeout_us(&self) -> u64 {
        if planted!(TimeoutNever) {
            return u64::MAX;
        }
        let base = self
            .quorum_us
            .clamp(LEADER_TIMEOUT_MIN_US, LEADER_TIMEOUT_BASE_MAX_US);
        base.saturating_mul(1 << self.fired.min(16))
            .min(LEADER_TIMEOUT_MAX_US)
    }

    /// R9, waiver: this primary kept us waiting in more than half of its last 16 rounds.
    pub(crate) fn is_habitually_late(&self, primary: ValidatorIndex) -> bool {
        self.late[primary.position()].count_ones() * 2 > WAIVER_ROUNDS
    }
}

/// Moves a running mean an eighth of the way.
fn mean(mean: &mut u64, sample: u64) {
    let sample = sample.min(4 * LEADER_TIMEOUT_MAX_US);
    *mean = (*mean * 7 + sample) / 8;
}
