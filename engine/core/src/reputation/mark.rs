//! What one round says about one validator (R26): the formulas, without where their inputs come from.

use crate::thresholds::Thresholds;

/// Full credit: scores are fixed-point numbers of 20 binary digits.
pub const ONE: u32 = 1 << 20;

/// How one validator did in one round. All zero when it has no committed block there, or two.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Mark {
    /// Weight of the authors of the next round that linked its block: was it seen in time?
    pub seen: u64,
    /// Which share of the committed leaders of the round before it linked, by weight; at most [`ONE`].
    pub vote: u32,
    /// [`Mark::seen`] as a share of what a minority cannot take away; at most [`ONE`].
    pub prop: u32,
    /// [`Mark::seen`] without its own, as a share of what a fast commit needs from others; at most [`ONE`].
    pub fast: u32,
}

/// What the committed blocks show about a validator's one block in a round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown {
    /// The validator's weight.
    pub(crate) weight: u64,
    /// Weight of the authors of the next round that link the block.
    pub(crate) seen: u64,
    /// The same without the validator itself.
    pub(crate) seen_by_others: u64,
    /// Weight of the committed leaders of the round before that the block links.
    pub(crate) leaders_linked: u64,
    /// Weight of all committed leaders of the round before.
    pub(crate) leaders: u64,
}

impl Mark {
    /// R26. Capping `seen` at `Q - f` is what defeats griefing: every commit that settles the round holds blocks of at
    /// least that weight by correct authors of the next round, and a timely block is linked by all of them.
    pub(crate) fn of(shown: Shown, thresholds: &Thresholds) -> Self {
        let timely = thresholds.quorum - thresholds.byzantine;
        let others = thresholds.fast_commit.saturating_sub(shown.weight);
        Self {
            seen: shown.seen,
            vote: share(shown.leaders_linked, shown.leaders),
            prop: share(shown.seen, timely),
            fast: share(shown.seen_by_others, others),
        }
    }

    /// R27: what the round adds to the score.
    pub(crate) fn points(&self) -> u32 {
        let (one, fast, vote) = (u64::from(ONE), u64::from(self.fast), u64::from(self.vote));
        narrow(u128::from(fast * (one + vote) / (2 * one)))
    }

    /// Whether the formulas can give it.
    pub(crate) fn is_possible(&self) -> bool {
        self.vote <= ONE && self.prop <= ONE && self.fast <= ONE
    }

    /// R30: what the round adds to the merit that voting weights are to follow.
    pub(crate) fn merit(&self) -> u64 {
        u64::from(self.prop) + u64::from(self.vote)
    }
}

/// `min(part, whole) / whole`, rounded down; all of nothing.
fn share(part: u64, whole: u64) -> u32 {
    // Nearly all of them, and a wide division is dear.
    if part >= whole {
        return ONE;
    }
    narrow(u128::from(part) * u128::from(ONE) / u128::from(whole))
}

fn narrow(share: u128) -> u32 {
    u32::try_from(share).expect("a share is at most ONE")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thresholds::{FaultBounds, Mode, Profile};

    fn thresholds(total: u64, byzantine: u64, crashed: u64) -> Thresholds {
        let bounds = FaultBounds {
            mode: Mode::Graded,
            byzantine,
            crashed,
        };
        Thresholds::derive(bounds, total).unwrap()
    }

    const SHOWN: Shown = Shown {
        weight: 1,
        seen: 0,
        seen_by_others: 0,
        leaders_linked: 0,
        leaders: 0,
    };

    /// n = 7, f = 2, c = 0: Q = 5, k = 0, p = 0, F = 7, so Q - f = 3 and F - w = 6.
    #[test]
    fn the_shares_are_those_of_the_formulas() {
        let t = thresholds(7, 2, 0);
        assert_eq!((t.quorum, t.fast_commit), (5, 7));
        let mark = Mark::of(
            Shown {
                seen: 2,
                seen_by_others: 1,
                leaders_linked: 3,
                leaders: 4,
                ..SHOWN
            },
            &t,
        );
        let expected = Mark {
            seen: 2,
            vote: 786_432, // 3/4
            prop: 699_050, // 2/3, rounded down
            fast: 174_762, // 1/6, rounded down
        };
        assert_eq!(mark, expected);
        // 174762 * (1048576 + 786432) / 2097152 = 152916.75
        assert_eq!(mark.points(), 152_916);
        assert_eq!(mark.merit(), 699_050 + 786_432);
    }

    #[test]
    fn what_is_seen_counts_up_to_its_cap() {
        let t = thresholds(7, 2, 0);
        for (seen, prop) in [(0, 0), (1, 349_525), (3, ONE), (4, ONE), (7, ONE)] {
            assert_eq!(Mark::of(Shown { seen, ..SHOWN }, &t).prop, prop, "{seen}");
        }
        for (seen_by_others, fast) in [(0, 0), (3, ONE / 2), (6, ONE)] {
            let shown = Shown {
                seen_by_others,
                ..SHOWN
            };
            assert_eq!(Mark::of(shown, &t).fast, fast, "{seen_by_others}");
        }
    }

    /// Weights 6, 1, 1, 1, 1 with f = 1: F = 10 - p with p = 6 / 2 = 3... in fast mode F = Q = 9.
    #[test]
    fn who_weighs_more_than_the_fast_path_needs_has_full_credit_for_it() {
        let t = thresholds(10, 1, 0);
        assert_eq!(t.fast_commit, 9);
        let heavy = Shown { weight: 9, ..SHOWN };
        assert_eq!(Mark::of(heavy, &t).fast, ONE);
        let lighter = Shown { weight: 8, ..SHOWN };
        assert_eq!(Mark::of(lighter, &t).fast, 0);
    }

    #[test]
    fn without_leaders_below_every_vote_is_full() {
        let t = thresholds(4, 1, 0);
        assert_eq!(Mark::of(SHOWN, &t).vote, ONE);
        let some = Shown {
            leaders: 3,
            ..SHOWN
        };
        assert_eq!(Mark::of(some, &t).vote, 0);
    }

    /// R28 drops nobody above five eighths of the median. What a coalition of `f` beside `c` crashed leaves to a victim
    /// is the links of `Q - w`; docs/reputation.md has the table.
    #[test]
    fn a_victim_keeps_five_eighths_of_its_points_up_to_some_weight() {
        let keeps = |profile: Profile, weight| {
            let t = profile.thresholds(1_000_000).unwrap();
            let mark = Mark::of(
                Shown {
                    weight,
                    seen: t.quorum,
                    seen_by_others: t.quorum - weight,
                    ..SHOWN
                },
                &t,
            );
            assert_eq!(mark.prop, ONE, "merit is not touched");
            8 * u64::from(mark.points()) >= 5 * u64::from(ONE)
        };
        // Nobody above f + c can be dropped at all.
        let rows = [
            (Profile::Classic33, 111_000, Some(112_000)),
            (Profile::Dual30, 283_000, Some(284_000)),
            (Profile::Dual25, 300_000, None),
            (Profile::Dual20c, 300_000, None),
            (Profile::Fast20, 199_999, None),
        ];
        for (profile, kept, lost) in rows {
            assert!(keeps(profile, 1), "{profile}");
            assert!(keeps(profile, kept), "{profile}");
            assert!(!lost.is_some_and(|lost| keeps(profile, lost)), "{profile}");
        }
    }

    #[test]
    fn the_greatest_weights_do_not_overflow() {
        let t = thresholds(1 << 48, 1 << 46, 0);
        let all = Shown {
            weight: 1,
            seen: 1 << 48,
            seen_by_others: (1 << 48) - 1,
            leaders_linked: 1 << 48,
            leaders: 1 << 48,
        };
        let mark = Mark::of(all, &t);
        assert_eq!((mark.vote, mark.prop, mark.fast), (ONE, ONE, ONE));
        assert_eq!(mark.points(), ONE);
    }
}
