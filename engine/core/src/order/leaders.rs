//! The leaders of the rounds of the window, drawn once.

use std::collections::VecDeque;

use crate::id::{Round, ValidatorIndex};
use crate::order::schedule::Schedules;

/// Who leads the slots of each round of the window, in slot order.
#[derive(Clone, Debug)]
pub(crate) struct Leaders {
    schedules: Schedules,
    lowest: Round,
    rows: VecDeque<Vec<ValidatorIndex>>,
}

impl Leaders {
    pub(crate) fn new(schedules: Schedules, lowest: Round) -> Self {
        Self {
            schedules,
            lowest,
            rows: VecDeque::new(),
        }
    }

    /// The leaders of a round in slot order; empty outside the window.
    pub(crate) fn of(&self, round: Round) -> &[ValidatorIndex] {
        let above = round
            .0
            .checked_sub(self.lowest.0)
            .map(|above| above as usize);
        above
            .and_then(|at| self.rows.get(at))
            .map_or(&[], Vec::as_slice)
    }

    /// Draws the leaders of all rounds up to `highest`.
    pub(crate) fn extend(&mut self, highest: Round) {
        for round in (self.end().0..=highest.0).map(Round) {
            let mut leaders = self.schedules.of(round).slots(round);
            if planted!(LeadersByWindow) {
                let held = self.rows.len() % leaders.len();
                leaders.rotate_left(held);
            }
            self.rows.push_back(leaders);
        }
    }

    /// R29: from the newest schedule's start on, its leaders take the place of those drawn before.
    pub(crate) fn install(&mut self, schedules: &Schedules) {
        let end = self.end();
        let start = schedules.newest().start();
        assert!(
            self.lowest < start,
            "R29: a schedule begins after what is output"
        );
        self.rows.truncate((start.0 - self.lowest.0) as usize);
        self.schedules = schedules.clone();
        self.extend(end.minus(1));
    }

    pub(crate) fn forget_below(&mut self, round: Round) {
        while self.lowest < round && self.rows.pop_front().is_some() {
            self.lowest = self.lowest.next();
        }
    }

    /// The first round above the window.
    fn end(&self) -> Round {
        let known = u32::try_from(self.rows.len()).expect("the window is bounded");
        self.lowest.plus(known)
    }
}
