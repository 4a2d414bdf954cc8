//! What becomes of a frame between two validators.

use std::collections::BTreeSet;

use probity_core::{Time, ValidatorIndex};

use crate::plan::{Delay, NetworkPlan};
use crate::random::Random;
use crate::regions;

/// The network of a run: delays, losses, and who is cut off from whom.
#[derive(Clone, Debug)]
pub struct Network {
    plan: NetworkPlan,
    random: Random,
    /// One-way cuts, counted, because they overlap.
    cuts: Vec<Vec<u32>>,
    /// Chances of loss of the storms that rage.
    storms: Vec<u64>,
    /// When each validator's uplink is free again.
    uplinks: Vec<Time>,
    /// Everything has healed: no loss, no tail, no cut.
    healed: bool,
}

/// One arrival of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// When.
    pub at: Time,
    /// Whether a bit flipped on the way.
    pub corrupt: bool,
}

/// Arrivals of one frame: none, one, or two.
pub type Arrivals = [Option<Arrival>; 2];

/// Most doublings of a heavy tail.
const DOUBLINGS_MAX: u32 = 6;

impl Network {
    /// A network without cuts.
    #[must_use]
    pub fn new(plan: &NetworkPlan, validators: usize, random: Random) -> Self {
        Self {
            plan: plan.clone(),
            random,
            cuts: vec![vec![0; validators]; validators],
            storms: Vec::new(),
            uplinks: vec![Time(0); validators],
            healed: false,
        }
    }

    /// When a frame sent now arrives.
    pub fn send(
        &mut self,
        now: Time,
        way: (ValidatorIndex, ValidatorIndex),
        bytes: usize,
    ) -> Arrivals {
        let (from, to) = way;
        let left_at = self.depart(now, from, bytes);
        if self.is_cut(from, to) || self.is_lost() {
            return [None, None];
        }
        let first = self.arrive(left_at, way);
        let twice = !self.healed && self.random.chance(self.plan.duplicate_ppm);
        let second = twice.then(|| self.arrive(left_at, way));
        [Some(first), second]
    }

    fn depart(&mut self, now: Time, from: ValidatorIndex, bytes: usize) -> Time {
        if self.plan.bytes_per_second == 0 || self.healed {
            return now;
        }
        let uplink = &mut self.uplinks[from.position()];
        let takes_us = bytes as u64 * 1_000_000 / self.plan.bytes_per_second;
        *uplink = (*uplink).max(now).plus_us(takes_us);
        *uplink
    }

    fn is_lost(&mut self) -> bool {
        if self.healed {
            return false;
        }
        let storm = self.storms.iter().copied().max().unwrap_or(0);
        self.random.chance(self.plan.loss_ppm.max(storm))
    }

    fn arrive(&mut self, left_at: Time, (from, to): (ValidatorIndex, ValidatorIndex)) -> Arrival {
        let mut delay_us = self.delay_us(from, to);
        if !self.healed && self.random.chance(self.plan.reorder_ppm) {
            delay_us *= self.random.between(2, 8);
        }
        let corrupt = !self.healed && self.random.chance(self.plan.corrupt_ppm);
        Arrival {
            at: left_at.plus_us(delay_us),
            corrupt,
        }
    }

    fn delay_us(&mut self, from: ValidatorIndex, to: ValidatorIndex) -> u64 {
        match &self.plan.delay {
            Delay::Range { least_us, most_us } => self.random.between(*least_us, *most_us),
            Delay::Regions { of } => {
                let one_way = regions::one_way_us(of[from.position()], of[to.position()]);
                one_way + self.random.below(one_way / 10 + 1)
            }
            Delay::HeavyTail {
                base_us,
                doubling_ppm,
            } => {
                let (mut delay, mut doublings) = (*base_us, 0);
                while !self.healed && doublings < DOUBLINGS_MAX && self.random.chance(*doubling_ppm)
                {
                    delay *= 2;
                    doublings += 1;
                }
                delay
            }
        }
    }

    /// The longest delay once everything has healed, in microseconds.
    #[must_use]
    pub fn settled_delay_us(&self) -> u64 {
        match &self.plan.delay {
            Delay::Range { most_us, .. } => *most_us,
            Delay::Regions { of } => {
                let pairs = of.iter().flat_map(|a| of.iter().map(move |b| (*a, *b)));
                let slowest = pairs.map(|(a, b)| regions::one_way_us(a, b)).max();
                slowest.unwrap_or(0) * 11 / 10
            }
            Delay::HeavyTail { base_us, .. } => *base_us,
        }
    }

    /// Whether nothing gets from one to the other.
    #[must_use]
    pub fn is_cut(&self, from: ValidatorIndex, to: ValidatorIndex) -> bool {
        self.cuts[from.position()][to.position()] > 0
    }

    /// Cuts every way for which `apart` holds.
    pub fn cut(&mut self, apart: impl Fn(u16, u16) -> bool) {
        self.change_cuts(apart, |count| count + 1);
    }

    /// Takes such a cut back.
    pub fn mend(&mut self, apart: impl Fn(u16, u16) -> bool) {
        self.change_cuts(apart, |count| count.saturating_sub(1));
    }

    fn change_cuts(&mut self, apart: impl Fn(u16, u16) -> bool, change: impl Fn(u32) -> u32) {
        for (row, from) in self.cuts.iter_mut().zip(0..) {
            for (count, to) in row.iter_mut().zip(0..) {
                if from != to && apart(from, to) {
                    *count = change(*count);
                }
            }
        }
    }

    /// Frames are lost with this chance until [`Network::end_storm`].
    pub fn begin_storm(&mut self, loss_ppm: u64) {
        self.storms.push(loss_ppm);
    }

    /// Ends such a storm.
    pub fn end_storm(&mut self, loss_ppm: u64) {
        if let Some(at) = self.storms.iter().position(|storm| *storm == loss_ppm) {
            self.storms.remove(at);
        }
    }

    /// From now on every frame arrives once, whole, and within [`Network::settled_delay_us`].
    pub fn heal(&mut self) {
        self.healed = true;
        self.storms.clear();
        self.cuts.iter_mut().flatten().for_each(|count| *count = 0);
    }

    /// The cuts' groups, for symmetric splits.
    pub fn across(left: &[u16]) -> impl Fn(u16, u16) -> bool + use<> {
        let left: BTreeSet<u16> = left.iter().copied().collect();
        move |from, to| left.contains(&from) != left.contains(&to)
    }
}
