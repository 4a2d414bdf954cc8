//! Every threshold of the commit rule, derived once from the weight and the fault bounds (R1).
//!
//! ```
//! use probity_core::{Profile, Thresholds};
//! let t = Profile::Dual30.thresholds(1_000_000).unwrap();
//! assert_eq!((t.quorum, t.certificate, t.fast_commit), (700_000, 650_001, 950_001));
//! ```

use std::fmt;
use std::str::FromStr;

use crate::limits::{NORMAL_WEIGHT, TOTAL_WEIGHT_MAX};

/// Which family of commit rules a profile asks for (R1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Mode {
    /// Fast path with graded fall-backs; becomes [`Rule::Fast`] when the weight allows it.
    Graded,
    /// Mysticeti's rule: no fast path, no weak rung.
    Classic,
}

/// The commit rule that the mode and the weights lead to (R1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// Direct commits at three delays only.
    Classic,
    /// Direct commits at two and at three delays.
    Dual,
    /// Direct commits at two delays only; needs `W >= 5f + 3c + 1`.
    Fast,
}

impl Rule {
    /// Rounds between a slot and the first slot that may be its anchor (R17).
    #[must_use]
    pub const fn anchor_depth(self) -> u32 {
        match self {
            Self::Classic | Self::Dual => 3,
            Self::Fast => 2,
        }
    }
}

/// A named choice of mode and fault bounds, in millionths of the total weight (R1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Profile {
    /// Byzantine weight up to 30 %; commits in two delays when all are prompt. The default.
    #[default]
    Dual30,
    /// The classic third, three delays.
    Classic33,
    /// Byzantine up to 25 % and crashed up to 5 %.
    Dual25,
    /// Byzantine up to 20 % and crashed up to 10 %.
    Dual20c,
    /// Byzantine below 20 %; commits in two delays even with that weight silent.
    Fast20,
}

impl Profile {
    /// Every profile, in the order of the documentation.
    pub const ALL: [Self; 5] = [
        Self::Classic33,
        Self::Dual30,
        Self::Dual25,
        Self::Dual20c,
        Self::Fast20,
    ];

    /// The name used in configurations and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dual30 => "dual30",
            Self::Classic33 => "classic33",
            Self::Dual25 => "dual25",
            Self::Dual20c => "dual20c",
            Self::Fast20 => "fast20",
        }
    }

    /// Mode, `f` and `c`, the last two in millionths of the total weight.
    #[must_use]
    pub const fn bounds(self) -> FaultBounds {
        let (mode, f, c) = match self {
            Self::Dual30 => (Mode::Graded, 300_000, 0),
            Self::Classic33 => (Mode::Classic, 333_333, 0),
            Self::Dual25 => (Mode::Graded, 250_000, 50_000),
            Self::Dual20c => (Mode::Graded, 200_000, 100_000),
            Self::Fast20 => (Mode::Graded, 199_999, 0),
        };
        FaultBounds {
            mode,
            byzantine: f,
            crashed: c,
        }
    }

    /// The thresholds of this profile for a total weight of 1,000,000.
    ///
    /// # Errors
    /// When `total` is not 1,000,000: the bounds of a profile are stated in millionths.
    pub fn thresholds(self, total: u64) -> Result<Thresholds, ThresholdError> {
        if total != NORMAL_WEIGHT {
            return Err(ThresholdError::TotalWeight { total });
        }
        Thresholds::derive(self.bounds(), total)
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(name: &str) -> Result<Self, UnknownProfile> {
        Self::ALL
            .into_iter()
            .find(|p| p.name() == name)
            .ok_or(UnknownProfile)
    }
}

/// The name is not that of a profile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownProfile;

impl fmt::Display for UnknownProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown profile; allowed: dual30, classic33, dual25, dual20c, fast20")
    }
}

impl std::error::Error for UnknownProfile {}

/// Mode and tolerated faults, as weights.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct FaultBounds {
    /// The family of commit rules.
    pub mode: Mode,
    /// `f`: Byzantine weight under which safety and liveness hold.
    pub byzantine: u64,
    /// `c`: further crashed weight under which liveness holds.
    pub crashed: u64,
}

/// The derived thresholds; every test is `weight >= threshold` (R1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Thresholds {
    /// The commit rule in force.
    pub rule: Rule,
    /// `W`: the total weight.
    pub total: u64,
    /// `f`: Byzantine weight tolerated.
    pub byzantine: u64,
    /// `c`: crashed weight tolerated on top.
    pub crashed: u64,
    /// `Q`: parents of a block, round advance, availability.
    pub quorum: u64,
    /// `V`: votes among the parents of one round r+2 block that make it a certificate.
    pub certificate: u64,
    /// `B_q`: blames among the parents of one round r+2 block that make it a skip certificate.
    pub skip_certificate: u64,
    /// `D`: weight of (skip) certificates for a slow direct decision.
    pub slow: u64,
    /// `F`: votes at r+1 for a fast commit; in classic mode only the scores use it.
    pub fast_commit: u64,
    /// `S`: blames at r+1 for a fast skip.
    pub fast_skip: u64,
    /// `wk`: votes linked to an anchor that commit indirectly; not used in classic mode.
    pub weak: u64,
}

impl Thresholds {
    /// Derives every threshold from the fault bounds and the total weight (R1).
    ///
    /// # Errors
    /// When `W >= 3f + 2c + 1` does not hold, or the total is zero or above its limit.
    ///
    /// # Panics
    /// When a derived inequality that the safety proof needs does not hold: a defect of this function.
    pub fn derive(bounds: FaultBounds, total: u64) -> Result<Self, ThresholdError> {
        if total == 0 || total > TOTAL_WEIGHT_MAX {
            return Err(ThresholdError::TotalWeight { total });
        }
        let FaultBounds {
            mode,
            byzantine: f,
            crashed: c,
        } = bounds;
        let needed = 3 * u128::from(f) + 2 * u128::from(c) + 1;
        if u128::from(total) < needed {
            return Err(ThresholdError::TooManyFaults { total, needed });
        }
        let slack = total - 1 - 3 * f - 2 * c;
        let prompt = u64::midpoint(c, slack); // p = (c + k) / 2, rounded down
        let quorum = total - f - c;
        let fast = total - prompt;
        let rule = match mode {
            Mode::Classic => Rule::Classic,
            Mode::Graded if fast <= quorum => Rule::Fast,
            Mode::Graded => Rule::Dual,
        };
        let majority = (total + f) / 2 + 1;
        let (certificate, slow, fast_commit, fast_skip, weak) = match rule {
            Rule::Classic => (quorum, quorum, fast, quorum, f + prompt + 1),
            Rule::Dual => (majority, 2 * f + c + 1, fast, fast, f + prompt + 1),
            Rule::Fast => (majority, 2 * f + c + 1, quorum, quorum, 2 * f + c + 1),
        };
        let skip_certificate = total + f + 1 - certificate;
        let thresholds = Self {
            rule,
            total,
            byzantine: f,
            crashed: c,
            quorum,
            certificate,
            skip_certificate,
            slow,
            fast_commit,
            fast_skip,
            weak,
        };
        thresholds.assert_sound();
        Ok(thresholds.with_planted())
    }

    /// The thresholds with the planted error of the day, which the assertions above have not seen.
    fn with_planted(mut self) -> Self {
        self.quorum -= u64::from(planted!(QuorumLow));
        self.certificate -= u64::from(planted!(CertificateLow));
        self.skip_certificate -= u64::from(planted!(SkipCertificateLow));
        self.slow -= u64::from(planted!(SlowLow));
        self.fast_commit -= u64::from(planted!(FastCommitLow));
        self.fast_skip -= u64::from(planted!(FastSkipLow));
        self.weak -= u64::from(planted!(WeakLow));
        self.weak += u64::from(planted!(WeakHigh));
        self
    }

    /// The inequalities that the safety sketch of section 5 uses.
    fn assert_sound(&self) {
        let (w, f, q) = (self.total, self.byzantine, self.quorum);
        assert!(f < q, "R26: what is seen is capped above zero");
        assert!(self.certificate <= q, "V <= Q");
        assert!(self.slow <= q, "D <= Q");
        assert!(self.skip_certificate <= q, "B_q <= Q");
        assert!(
            2 * self.certificate > w + f,
            "two certificates of a slot share an honest voter"
        );
        match self.rule {
            Rule::Dual => assert!(self.fast_commit + q - w - f >= self.weak, "dual: weak rung"),
            Rule::Fast => assert!(2 * q - w - f >= self.weak, "fast: weak rung"),
            Rule::Classic => {}
        }
    }
}

/// Why no thresholds could be derived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ThresholdError {
    /// The total weight is zero, above its limit, or not the one that the profile is stated for.
    TotalWeight {
        /// The total given.
        total: u64,
    },
    /// `W >= 3f + 2c + 1` does not hold.
    TooManyFaults {
        /// The total weight given.
        total: u64,
        /// The least total weight for these fault bounds.
        needed: u128,
    },
}

impl fmt::Display for ThresholdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TotalWeight { total } => write!(
                f,
                "total weight {total} is not allowed here; it must be 1..=2^48, \
                 and 1000000 for a named profile"
            ),
            Self::TooManyFaults { total, needed } => {
                write!(f, "total weight {total} is below 3f + 2c + 1 = {needed}")
            }
        }
    }
}

impl std::error::Error for ThresholdError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// `[Q, V, B_q, D, F, S, wk]`, as printed in the protocol's table (R1). Zero: the rule does not use it.
    fn used(t: &Thresholds) -> [u64; 7] {
        let Thresholds {
            quorum: q,
            certificate: v,
            skip_certificate: b,
            slow: d,
            ..
        } = *t;
        match t.rule {
            Rule::Classic => [q, v, b, d, 0, t.fast_skip, 0],
            Rule::Dual => [q, v, b, d, t.fast_commit, t.fast_skip, t.weak],
            Rule::Fast => [q, 0, 0, 0, t.fast_commit, t.fast_skip, t.weak],
        }
    }

    #[test]
    fn the_profiles_have_the_thresholds_of_the_table() {
        let rows = [
            (
                Profile::Classic33,
                [666_667, 666_667, 666_667, 666_667, 0, 666_667, 0],
            ),
            (
                Profile::Dual30,
                [
                    700_000, 650_001, 650_000, 600_001, 950_001, 950_001, 350_000,
                ],
            ),
            (
                Profile::Dual25,
                [
                    700_000, 625_001, 625_000, 550_001, 900_001, 900_001, 350_000,
                ],
            ),
            (
                Profile::Dual20c,
                [
                    700_000, 600_001, 600_000, 500_001, 850_001, 850_001, 350_000,
                ],
            ),
            (
                Profile::Fast20,
                [800_001, 0, 0, 0, 800_001, 800_001, 399_999],
            ),
        ];
        for (profile, row) in rows {
            assert_eq!(
                used(&profile.thresholds(NORMAL_WEIGHT).unwrap()),
                row,
                "{profile}"
            );
        }
    }

    #[test]
    fn every_small_weight_gives_sound_thresholds_or_an_error() {
        for total in 1..=40 {
            for f in 0..=14 {
                for c in 0..=14 {
                    for mode in [Mode::Graded, Mode::Classic] {
                        let bounds = FaultBounds {
                            mode,
                            byzantine: f,
                            crashed: c,
                        };
                        let derived = Thresholds::derive(bounds, total);
                        assert_eq!(derived.is_ok(), total > 3 * f + 2 * c, "{total} {bounds:?}");
                        if let Ok(t) = derived {
                            let fast = mode == Mode::Graded && total > 5 * f + 3 * c;
                            assert_eq!(t.rule == Rule::Fast, fast, "{total} {bounds:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn overflowing_bounds_are_an_error() {
        let bounds = FaultBounds {
            mode: Mode::Graded,
            byzantine: u64::MAX,
            crashed: u64::MAX,
        };
        assert!(matches!(
            Thresholds::derive(bounds, 100),
            Err(ThresholdError::TooManyFaults { .. })
        ));
        let none = FaultBounds {
            mode: Mode::Graded,
            byzantine: 0,
            crashed: 0,
        };
        assert!(Thresholds::derive(none, 0).is_err());
        assert!(Thresholds::derive(none, u64::MAX).is_err());
    }

    #[test]
    fn names_round_trip() {
        for profile in Profile::ALL {
            assert_eq!(profile.name().parse(), Ok(profile));
        }
        assert!("dual31".parse::<Profile>().is_err());
    }
}
