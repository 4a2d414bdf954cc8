//! Who may lead, and in which order they are drawn for a round (R29).
//!
//! Every eligible validator leads a slot of every round; their order is a weighted permutation drawn from the epoch's
//! seed and the round, by an algorithm of our own with frozen vectors, so no library upgrade can change it.

use std::sync::Arc;

use crate::committee::Committee;
use crate::crypto::{Context, Digest, hash, hasher};
use crate::id::{Round, ValidatorIndex};
use crate::reputation::fixed_pool;

/// Part of a validator's key that does not depend on its score (R29).
pub(crate) const BASE_SHARE: u128 = 16;

/// The leaders of the rounds from its start to the start of the next one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Schedule {
    id: u64,
    start: Round,
    epoch_seed: Digest,
    /// Eligible validators by index, with their keys for the draw.
    pool: Vec<(ValidatorIndex, u128)>,
    /// Slots of a round at most.
    slots_max: usize,
}

/// R29: the seed of an epoch's draws.
pub(crate) fn epoch_seed(committee: &Committee) -> Digest {
    let epoch = committee.epoch().to_le_bytes();
    hash(Context::EpochSeed, &[committee.chain().as_bytes(), &epoch])
}

impl Schedule {
    /// The schedule of an epoch's start: no scores yet, all eligible (R28).
    pub(crate) fn initial(committee: &Committee) -> Self {
        if let Some(leaders) = committee.fixed_leaders() {
            let pool = fixed_pool(committee, leaders);
            return Self::new(0, Round::GENESIS, committee, pool);
        }
        // With no score above zero the score's quotient is zero.
        let key = |author| (author, u128::from(committee.weight(author)) * BASE_SHARE);
        let pool = committee.indices().map(key).collect();
        Self::new(0, Round::GENESIS, committee, pool)
    }

    /// Number `id`, in force from `start` on, with these keys by ascending index.
    pub(crate) fn new(
        id: u64,
        start: Round,
        committee: &Committee,
        pool: Vec<(ValidatorIndex, u128)>,
    ) -> Self {
        assert!(!pool.is_empty(), "R28: somebody stays eligible");
        Self {
            id,
            start,
            epoch_seed: epoch_seed(committee),
            pool,
            slots_max: committee.slots_per_round(),
        }
    }

    /// Its number, as written into commit records.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// The first round it is in force for.
    pub(crate) fn start(&self) -> Round {
        self.start
    }

    /// The eligible validators with their keys.
    pub(crate) fn pool(&self) -> &[(ValidatorIndex, u128)] {
        &self.pool
    }

    /// Whether a validator leads slots.
    pub(crate) fn is_eligible(&self, validator: ValidatorIndex) -> bool {
        self.pool.iter().any(|(eligible, _)| *eligible == validator)
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
        for draw in stream.chunks_exact(16).take(self.slots_max) {
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

/// The schedules that are still needed, by ascending start; never empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Schedules {
    list: Vec<Arc<Schedule>>,
}

impl Schedules {
    /// Those of an epoch's start.
    pub(crate) fn initial(committee: &Committee) -> Self {
        Self {
            list: vec![Arc::new(Schedule::initial(committee))],
        }
    }

    /// Read back from a snapshot; `None` unless ids and starts rise and there is one.
    pub(crate) fn restored(list: Vec<Schedule>) -> Option<Self> {
        let rising = |pair: &[Schedule]| pair[0].id < pair[1].id && pair[0].start < pair[1].start;
        let sound = !list.is_empty() && list.windows(2).all(rising);
        let list = list.into_iter().map(Arc::new).collect();
        sound.then_some(Self { list })
    }

    /// R29: the one with the greatest start at or below the round.
    ///
    /// # Panics
    /// When it was forgotten.
    pub(crate) fn of(&self, round: Round) -> &Arc<Schedule> {
        let mut newest = self.list.iter().rev();
        let found = newest.find(|schedule| schedule.start <= round);
        found.expect("the schedules of the window are kept")
    }

    /// The newest one, which may not be in force yet.
    pub(crate) fn newest(&self) -> &Arc<Schedule> {
        self.list.last().expect("there is always a schedule")
    }

    /// Adds the next one.
    ///
    /// # Panics
    /// When it does not begin after the newest one.
    pub(crate) fn push(&mut self, schedule: Arc<Schedule>) {
        let newest = self.newest();
        assert!(newest.start < schedule.start, "R29: starts rise");
        assert!(newest.id + 1 == schedule.id, "schedules are numbered");
        self.list.push(schedule);
    }

    /// Forgets those that are in force only for rounds below `round`.
    pub(crate) fn forget_below(&mut self, round: Round) {
        while self.list.get(1).is_some_and(|next| next.start <= round) {
            self.list.remove(0);
        }
    }

    /// All of them, by ascending start.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Schedule>> {
        self.list.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{committee, with_slots_per_round};
    use crate::thresholds::{FaultBounds, Mode};

    fn schedules(starts: &[u32]) -> Schedules {
        let bounds = FaultBounds {
            mode: Mode::Graded,
            byzantine: 1,
            crashed: 0,
        };
        let committee = committee(&[1; 4], bounds, 8);
        let mut schedules = Schedules::initial(&committee);
        for (id, start) in (1..).zip(starts) {
            let pool = vec![(ValidatorIndex(2), 16)];
            let schedule = Schedule::new(id, Round(*start), &committee, pool);
            schedules.push(Arc::new(schedule));
        }
        schedules
    }

    #[test]
    fn a_schedule_is_in_force_from_its_start_to_the_next_ones() {
        let schedules = schedules(&[139, 267]);
        let ids = [0, 1, 138, 139, 140, 266, 267, 9_999].map(|r| schedules.of(Round(r)).id());
        assert_eq!(ids, [0, 0, 0, 1, 1, 1, 2, 2]);
        assert_eq!(schedules.of(Round(138)).slots(Round(138)).len(), 4);
        assert_eq!(
            schedules.of(Round(139)).slots(Round(139)),
            [ValidatorIndex(2)]
        );
    }

    #[test]
    fn superseded_schedules_are_forgotten_when_no_round_needs_them() {
        let mut schedules = schedules(&[10, 20, 30]);
        let mut left = |round| {
            schedules.forget_below(Round(round));
            schedules.iter().map(|s| s.id()).collect::<Vec<_>>()
        };
        assert_eq!(left(9), [0, 1, 2, 3]);
        assert_eq!(left(10), [1, 2, 3]);
        assert_eq!(left(29), [2, 3]);
        assert_eq!(left(99), [3]);
    }

    #[test]
    fn a_yardstick_has_the_first_slots_of_the_draw() {
        let bounds = FaultBounds {
            mode: Mode::Graded,
            byzantine: 1,
            crashed: 0,
        };
        let all = committee(&[3, 1, 4, 1, 5], bounds, 8);
        let two = with_slots_per_round(all.clone(), 2);
        let (all, two) = (Schedule::initial(&all), Schedule::initial(&two));
        for round in (1..50).map(Round) {
            assert_eq!(all.slots(round)[..2], two.slots(round));
            assert_eq!(all.slots(round).len(), 5);
        }
    }

    #[test]
    #[should_panic(expected = "starts rise")]
    fn a_schedule_cannot_begin_before_the_one_before() {
        schedules(&[20, 20]);
    }
}
