//! Who decides in a run: weights, windows, pace, epochs.

use bytes::Bytes;
use probity_core::crypto::Digest;
use probity_core::testing;
use probity_core::{
    Change, Committee, CommitteeConfig, EpochRule, EpochTerms, FaultBounds, Member, Mode, Profile,
    ReputationParams, TransactionCheck, ValidatorIndex, VotedChanges,
};
use serde::{Deserialize, Serialize};

use super::PlanError;

/// A committee and its pace.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommitteePlan {
    /// One weight a validator.
    pub weights: Vec<u64>,
    /// A profile's name; its bounds are scaled to the total weight.
    pub profile: String,
    /// Byzantine weight tolerated, in place of the profile's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub byzantine: Option<u64>,
    /// Rounds below the last leader that can still be ordered.
    pub gc_depth: u32,
    /// Windows of the scores; those of the protocol unless it says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scores: Option<ScoresPlan>,
    /// The only ones that lead, from the start and whatever the scores say: a yardstick for what scores find.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaders: Option<Vec<u16>>,
    /// So many slots a round, not one for everybody who is eligible: a yardstick for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots_per_round: Option<u16>,
    /// Real Ed25519, or a stand-in that costs a hash.
    pub signatures: Signatures,
    /// Shortest time between two own blocks.
    pub min_round_delay_us: u64,
    /// Longest wait while nothing is pending.
    pub idle_round_delay_us: u64,
    /// By validator: how far its wall clock is off, in milliseconds.
    #[serde(default)]
    pub clock_skew_ms: Vec<i64>,
}

/// Short windows, so that a short run sees many schedules (R27, R29).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoresPlan {
    /// Scored rounds in a score.
    pub score_rounds: u32,
    /// Scored rounds whose slots count.
    pub slot_rounds: u32,
    /// Leader rounds from one schedule to the next.
    pub schedule_rounds: u32,
    /// Rounds from a schedule's commit to its start.
    pub schedule_lead_rounds: u32,
}

impl ScoresPlan {
    fn params(self) -> ReputationParams {
        ReputationParams {
            score_rounds: self.score_rounds,
            slot_rounds: self.slot_rounds,
            schedule_rounds: self.schedule_rounds,
            schedule_lead_rounds: self.schedule_lead_rounds,
        }
    }
}

/// Epochs and changes of the committee (R32).
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochsPlan {
    /// Commit time after which an epoch ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length_ms: Option<u64>,
    /// What the operators of all members ask for.
    #[serde(default)]
    pub changes: Vec<ChangePlan>,
}

impl EpochsPlan {
    /// Whether there is one epoch without end.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn terms(&self) -> EpochTerms {
        if self.is_empty() {
            return EpochTerms::default();
        }
        EpochTerms {
            length_ms: self.length_ms,
            rule: VotedChanges.name().to_owned(),
        }
    }
}

/// One change that every member asks for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangePlan {
    /// When.
    pub at_ms: u64,
    /// Whose stake; with no stake named the epoch is to end.
    pub validator: u16,
    /// The new stake; zero lets the validator leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stake: Option<u64>,
}

impl ChangePlan {
    /// The change as validators ask for it.
    #[must_use]
    pub fn change(&self) -> Change {
        let key = testing::keypair(ValidatorIndex(self.validator)).public();
        match self.stake {
            None => Change::EndEpoch,
            Some(stake) => Change::Stake {
                key,
                stake,
                contact: Bytes::new(),
            },
        }
    }
}

/// What signs blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signatures {
    /// The real thing.
    Ed25519,
    /// A hash of the public key and the message; only the simulator's good manners keep it from being forged.
    StandIn,
}

impl CommitteePlan {
    pub(super) fn build(&self, epochs: &EpochsPlan) -> Result<Committee, PlanError> {
        let profile: Profile = self
            .profile
            .parse()
            .map_err(|_| PlanError::Profile(self.profile.clone()))?;
        let total = self
            .weights
            .iter()
            .try_fold(0u64, |sum, weight| sum.checked_add(*weight))
            .ok_or_else(|| PlanError::Committee("the weights overflow".to_owned()))?;
        let member = |(weight, author): (&u64, u16)| Member {
            key: testing::keypair(ValidatorIndex(author)).public(),
            weight: *weight,
        };
        let members = self.weights.iter().zip(0..);
        let members = members.filter(|(weight, _)| **weight > 0 || epochs.is_empty());
        let mut bounds = scaled(profile.bounds(), total);
        bounds.byzantine = self.byzantine.unwrap_or(bounds.byzantine);
        let config = CommitteeConfig {
            epoch: 0,
            previous: Digest::ZERO,
            // Who has no weight at first may join later.
            members: members.map(member).collect(),
            bounds,
            gc_depth: self.gc_depth,
            reputation: self.scores.map(ScoresPlan::params).unwrap_or_default(),
            epochs: epochs.terms(),
            check: testing::VALID_CHECK.name().to_owned(),
        };
        let committee =
            Committee::new(config).map_err(|why| PlanError::Committee(why.to_string()))?;
        let committee = match self.signatures {
            Signatures::Ed25519 => committee,
            Signatures::StandIn => testing::with_stand_in_signatures(committee),
        };
        self.with_yardsticks(committee, epochs)
    }

    fn with_yardsticks(
        &self,
        committee: Committee,
        epochs: &EpochsPlan,
    ) -> Result<Committee, PlanError> {
        let fault = |why: &str| Err(PlanError::Committee(why.to_owned()));
        if (self.leaders.is_some() || self.slots_per_round.is_some()) && !epochs.is_empty() {
            return fault("a yardstick is for one epoch without end");
        }
        let committee = match self.slots_per_round {
            None => committee,
            Some(0) => return fault("a round has a slot"),
            Some(most) => testing::with_slots_per_round(committee, most.into()),
        };
        let Some(leaders) = &self.leaders else {
            return Ok(committee);
        };
        let leaders: Vec<ValidatorIndex> = leaders.iter().copied().map(ValidatorIndex).collect();
        let strange = leaders.iter().any(|l| committee.member(*l).is_none());
        if leaders.is_empty() || strange {
            return fault("the leaders are none, or no members");
        }
        Ok(testing::with_fixed_leaders(committee, &leaders))
    }
}

/// A profile's bounds, stated in millionths, for another total weight.
fn scaled(bounds: FaultBounds, total: u64) -> FaultBounds {
    let share = |of: u64| {
        let scaled = u128::from(of) * u128::from(total) / 1_000_000;
        u64::try_from(scaled).expect("a share of a u64")
    };
    // A third of a small weight: 3f + 1 must still fit.
    let byzantine = match bounds.mode {
        Mode::Classic => share(bounds.byzantine).min(total.saturating_sub(1) / 3),
        Mode::Graded => share(bounds.byzantine),
    };
    FaultBounds {
        byzantine,
        crashed: share(bounds.crashed),
        ..bounds
    }
}
