//! Who leads a round, and in which order (R29).
//!
//! Every eligible validator is a leader of every round; the order is a weighted permutation drawn from the epoch's
//! seed and the round, by an algorithm of our own with frozen vectors, so no library upgrade can change it.

use std::collections::VecDeque;

use crate::committee::Committee;
use crate::crypto::{Context, Digest, hash, hasher};
use crate::id::{Round, ValidatorIndex};

/// The leaders of a span of rounds. Until scores exist there is one schedule, number 0, with everybody eligible.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    id: u64,
    epoch_seed: Digest,
    /// Eligible validators by index, with their keys for the draw.
    pool: Vec<(ValidatorIndex, u128)>,
}

/// Part of a validator's key that does not depend on its score (R29).
const BASE_SHARE: u128 = 16;

impl Schedule {
    /// The schedule of an epoch's start: no scores yet, all eligible (R28).
    pub(crate) fn initial(committee: &Committee) -> Self {
        let epoch = committee.epoch().to_le_bytes();
        let epoch_seed = hash(Context::EpochSeed, &[committee.chain().as_bytes(), &epoch]);
        // With no score above zero the score's quotient is zero.
        let key = |author| (author, u128::from(committee.weight(author)) * BASE_SHARE);
        Self {
            id: 0,
            epoch_seed,
            pool: committee.indices().map(key).collect(),
        }
    }

    /// Its number, as written into commit records.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// The leaders of `round` in slot order; the first one is the primary (section 5).
    pub(crate) fn slots(&self, round: Round) -> Vec<ValidatorIndex> {
        let mut stream = vec![0u8; self.pool.len() * 16];
        let mut prf = hasher(Context::LeaderDraw);
        prf.update(self.epoch_seed.as_bytes());
        prf.update(&round.0.to_le_bytes());
        prf.finish_xof(&mut stream);
        let mut pool = self.pool.clone();
        let mut sum: u128 = pool.iter().map(|(_, key)| key).sum();
        let mut order = Vec::with_capacity(pool.len());
        for draw in stream.chunks_exact(16) {
            let draw = u128::from_le_bytes(draw.try_into().expect("chunks of 16 bytes"));
            let mut left = draw % sum;
            let drawn = pool
                .iter()
                .position(|(_, key)| match left.checked_sub(*key) {
                    Some(rest) => {
                        left = rest;
                        false
                    }
                    None => true,
                });
            let (author, key) = pool.remove(drawn.expect("the draw is below the sum of the keys"));
            sum -= key;
            order.push(author);
        }
        order
    }
}

/// The leaders of the rounds of the window, drawn once.
#[derive(Clone, Debug)]
pub(crate) struct Leaders {
    schedule: Schedule,
    lowest: Round,
    rows: VecDeque<Vec<ValidatorIndex>>,
}

impl Leaders {
    pub(crate) fn new(schedule: Schedule, lowest: Round) -> Self {
        Self {
            schedule,
            lowest,
            rows: VecDeque::new(),
        }
    }

    pub(crate) fn schedule(&self) -> &Schedule {
        &self.schedule
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
        let known = u32::try_from(self.rows.len()).expect("the window is bounded");
        for round in (self.lowest.plus(known).0..=highest.0).map(Round) {
            let mut leaders = self.schedule.slots(round);
            if planted!(LeadersByWindow) {
                let held = self.rows.len() % leaders.len();
                leaders.rotate_left(held);
            }
            self.rows.push_back(leaders);
        }
    }

    pub(crate) fn forget_below(&mut self, round: Round) {
        while self.lowest < round && self.rows.pop_front().is_some() {
            self.lowest = self.lowest.next();
        }
    }
}
