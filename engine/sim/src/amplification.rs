//! How much more the sinners of a run weigh than their stake is worth (R30).

use probity_core::Committee;
use probity_core::crypto::PublicKey;

/// The highest of one run, or of many.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct Amplification {
    /// Epochs after the first in which somebody with stake sins.
    pub epochs: u64,
    /// The highest share of all weight, as a multiple of the share of all stake.
    pub weight: f64,
    /// The same before weights were rounded to whole numbers: what R30 bounds by `10 / 9`.
    pub exact: f64,
}

impl Amplification {
    /// Of one epoch.
    #[must_use]
    pub fn of(committee: &Committee, sins: impl Fn(&PublicKey) -> bool) -> Self {
        let mut stake = Share::default();
        let mut exact = Share::default();
        let mut weight = Share::default();
        for seat in committee.roster().seats() {
            let sins = sins(&seat.key);
            let index = committee.index_of(&seat.key);
            stake.add(sins, u128::from(seat.stake));
            if let Some(index) = index {
                exact.add(
                    sins,
                    u128::from(seat.stake) * u128::from(committee.rho(index)),
                );
                weight.add(sins, u128::from(committee.weight(index)));
            }
        }
        if stake.bad == 0 || committee.epoch() == 0 {
            return Self::default();
        }
        Self {
            epochs: 1,
            weight: weight.over(&stake),
            exact: exact.over(&stake),
        }
    }

    /// The higher of two, of all their epochs.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        Self {
            epochs: self.epochs + other.epochs,
            weight: self.weight.max(other.weight),
            exact: self.exact.max(other.exact),
        }
    }
}

/// What the sinners have of something.
#[derive(Default)]
struct Share {
    bad: u128,
    all: u128,
}

impl Share {
    fn add(&mut self, sins: bool, amount: u128) {
        self.all += amount;
        if sins {
            self.bad += amount;
        }
    }

    /// This share as a multiple of the other.
    fn over(&self, other: &Self) -> f64 {
        let of = |share: &Self| share.bad as f64 / share.all.max(1) as f64;
        of(self) / of(other)
    }
}

#[cfg(test)]
mod tests {
    use probity_core::crypto::Digest;
    use probity_core::testing;
    use probity_core::{Charter, Committee, FaultBounds, Mode, Roster, ValidatorIndex};

    use super::Amplification;

    fn four() -> Committee {
        let bounds = FaultBounds {
            byzantine: 300,
            crashed: 0,
            mode: Mode::Graded,
        };
        testing::committee(&[250; 4], bounds, 8)
    }

    #[test]
    fn the_first_epoch_amplifies_nothing() {
        let committee = four();
        let all = Amplification::of(&committee, |_| true);
        assert_eq!(all, Amplification::default());
    }

    #[test]
    fn demoted_stake_lifts_the_share_of_the_others() {
        let committee = four();
        let mut seats = committee.roster().seats().to_vec();
        seats[3].rho /= 2;
        let charter = Charter {
            roster: Roster::new(seats).unwrap(),
            bounds: committee.bounds(),
            total: 7_000,
        };
        let next = committee.next(Digest([1; 32]), &charter).unwrap();
        let first = next.member(ValidatorIndex(0)).unwrap().key;
        // Two sevenths of the weight for a quarter of the stake.
        let found = Amplification::of(&next, |key| *key == first);
        assert!((found.exact - 8.0 / 7.0).abs() < 1e-9, "{found:?}");
        assert!((found.weight - 8.0 / 7.0).abs() < 1e-3, "{found:?}");
        assert_eq!(found.merged(Amplification::default()), found);
    }
}
