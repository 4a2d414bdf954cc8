//! Who decides: the members of one epoch, their weights, and sets of them.
//!
//! A [`Committee`] is fixed for an epoch. It carries the chain id that every signature of the epoch binds (R32),
//! so a validator with other keys, weights or limits cannot produce or accept a single block.

use std::fmt;

use crate::crypto::{Digest, PublicKey, Signature, verify};
use crate::epoch::{Charter, EpochTerms, Roster, Seat, apportion};
use crate::id::{Round, ValidatorIndex};
use crate::limits::{GC_DEPTH_ROUNDS, GC_DEPTH_ROUNDS_MAX, NORMAL_WEIGHT, VALIDATORS_MAX};
use crate::reputation::ReputationParams;
use crate::thresholds::{FaultBounds, Profile, Thresholds};

mod author_set;
mod chain;
mod error;

pub use author_set::{AuthorSet, Tally};
pub use error::CommitteeError;

use chain::{chain_id, genesis_digest};

/// The version of the protocol and of every encoding in it.
pub const PROTOCOL_VERSION: u16 = 1;

/// One validator of a committee.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member {
    /// The key that signs its blocks.
    pub key: PublicKey,
    /// Its voting weight, above zero.
    pub weight: u64,
}

/// What fixes an epoch; [`Committee::new`] checks it.
#[derive(Clone, Debug)]
pub struct CommitteeConfig {
    /// The epoch's number, 0 for the first.
    pub epoch: u64,
    /// Digest of the last commit of the epoch before; zero for the first epoch (R32).
    pub previous: Digest,
    /// The members, by index.
    pub members: Vec<Member>,
    /// Mode, `f` and `c`, as weights.
    pub bounds: FaultBounds,
    /// Rounds below the last leader that can still be ordered (R22).
    pub gc_depth: u32,
    /// The windows of the scores.
    pub reputation: ReputationParams,
    /// When an epoch ends.
    pub epochs: EpochTerms,
    /// Name and version of the transaction check, which decides validity.
    pub check: String,
}

/// The validators of one epoch with everything that is derived from them.
#[derive(Clone)]
pub struct Committee {
    epoch: u64,
    chain: Digest,
    check: String,
    members: Vec<Member>,
    bounds: FaultBounds,
    roster: Roster,
    epochs: EpochTerms,
    thresholds: Thresholds,
    gc_depth: u32,
    reputation: ReputationParams,
    genesis: Vec<Digest>,
    /// `weight_of_byte[i][b]`: weight of the members named by the bits of `b`, from member `8 * i` on.
    weight_of_byte: Vec<[u64; 256]>,
    /// Signatures are the stand-ins of `testing`.
    #[cfg(any(test, feature = "testing"))]
    stand_in: bool,
    /// Who leads, whatever the scores say: a yardstick of `testing`.
    #[cfg(any(test, feature = "testing"))]
    fixed_leaders: Option<AuthorSet>,
    /// How many of a round's leaders have a slot: a yardstick of `testing`.
    #[cfg(any(test, feature = "testing"))]
    slots_per_round: Option<usize>,
}

impl Committee {
    /// Checks the members and derives thresholds and chain id (R1, R32).
    ///
    /// # Errors
    /// When there is no member or too many, a weight is zero, a key appears twice, the weights do not carry the fault
    /// bounds, or `gc_depth` or a window of the scores is out of range.
    pub fn new(config: CommitteeConfig) -> Result<Self, CommitteeError> {
        let count = config.members.len();
        if count == 0 || count > VALIDATORS_MAX {
            return Err(CommitteeError::Size { validators: count });
        }
        let mut total = 0u64;
        for (index, member) in config.members.iter().enumerate() {
            if member.weight == 0 {
                return Err(CommitteeError::ZeroWeight { index });
            }
            total = total
                .checked_add(member.weight)
                .ok_or(CommitteeError::WeightOverflow)?;
            let earlier = config.members.iter().take(index);
            if let Some(first) = earlier.clone().position(|m| m.key == member.key) {
                return Err(CommitteeError::DuplicateKey {
                    first,
                    second: index,
                });
            }
        }
        let thresholds =
            Thresholds::derive(config.bounds, total).map_err(CommitteeError::Thresholds)?;
        // R2: an anchor's history must still be held when it decides.
        let least = thresholds.rule.anchor_depth() + 1;
        if !(least..=GC_DEPTH_ROUNDS_MAX).contains(&config.gc_depth) {
            return Err(CommitteeError::GcDepth {
                rounds: config.gc_depth,
                least,
            });
        }
        if !config.reputation.are_sound() {
            return Err(CommitteeError::ReputationWindow);
        }
        let seat = |member: &Member| Seat::newcomer(member.key, member.weight);
        let roster = Roster::new(config.members.iter().map(seat).collect());
        let roster = roster.map_err(CommitteeError::Roster)?;
        let chain = chain_id(&config);
        let genesis = (0..count)
            .map(|a| genesis_digest(&chain, config.epoch, a))
            .collect();
        let weight_of_byte = weight_tables(&config.members);
        Ok(Self {
            epoch: config.epoch,
            chain,
            check: config.check,
            members: config.members,
            bounds: config.bounds,
            roster,
            epochs: config.epochs,
            thresholds,
            gc_depth: config.gc_depth,
            reputation: config.reputation,
            genesis,
            weight_of_byte,
            #[cfg(any(test, feature = "testing"))]
            stand_in: false,
            #[cfg(any(test, feature = "testing"))]
            fixed_leaders: None,
            #[cfg(any(test, feature = "testing"))]
            slots_per_round: None,
        })
    }

    /// A first-epoch committee: stakes normalised by largest remainder to a total weight of 1,000,000, with a
    /// profile's bounds and the default `gc_depth`.
    ///
    /// # Errors
    /// As [`Committee::new`]; also when a stake is so small that its weight would be zero.
    pub fn from_stakes(
        stakes: &[(PublicKey, u64)],
        profile: Profile,
        check: &str,
    ) -> Result<Self, CommitteeError> {
        Self::from_stakes_with(stakes, profile, EpochTerms::default(), check)
    }

    /// The same with terms for its epochs.
    ///
    /// # Errors
    /// As [`Committee::from_stakes`].
    pub fn from_stakes_with(
        stakes: &[(PublicKey, u64)],
        profile: Profile,
        epochs: EpochTerms,
        check: &str,
    ) -> Result<Self, CommitteeError> {
        let amounts: Vec<u64> = stakes.iter().map(|(_, stake)| *stake).collect();
        let weights = normalise(&amounts)?;
        let members = stakes
            .iter()
            .zip(weights)
            .map(|((key, _), weight)| Member { key: *key, weight });
        let mut committee = Self::new(CommitteeConfig {
            epoch: 0,
            previous: Digest::ZERO,
            members: members.collect(),
            bounds: profile.bounds(),
            gc_depth: GC_DEPTH_ROUNDS,
            reputation: ReputationParams::default(),
            epochs,
            check: check.to_owned(),
        })?;
        let seats = stakes
            .iter()
            .map(|(key, stake)| Seat::newcomer(*key, *stake));
        committee.roster = Roster::new(seats.collect()).map_err(CommitteeError::Roster)?;
        Ok(committee)
    }

    /// The committee of the next epoch (R30, R32): whoever has weight under `charter`, in the order of its seats.
    ///
    /// `last` is the digest of this epoch's last commit.
    ///
    /// # Errors
    /// When nobody has weight, or the charter's total carries other bounds: charters of this epoch's sequence are
    /// checked before they become effective, so it is not one of them.
    pub fn next(&self, last: Digest, charter: &Charter) -> Result<Self, CommitteeError> {
        let weights = charter.roster.weights(charter.total);
        let weights = weights.map_err(CommitteeError::Roster)?;
        let member = |(seat, weight): (&Seat, u64)| Member {
            key: seat.key,
            weight,
        };
        let members = charter.roster.seats().iter().zip(weights).map(member);
        let mut next = Self::new(CommitteeConfig {
            epoch: self.epoch + 1,
            previous: last,
            members: members.filter(|member| member.weight > 0).collect(),
            bounds: charter.bounds,
            gc_depth: self.gc_depth,
            reputation: self.reputation,
            epochs: self.epochs.clone(),
            check: self.check.clone(),
        })?;
        next.roster = charter.roster.clone();
        #[cfg(any(test, feature = "testing"))]
        {
            next.stand_in = self.stand_in;
        }
        Ok(next)
    }

    /// The same committee under other thresholds, so that a test can break one of them.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub(crate) fn with_thresholds(mut self, thresholds: Thresholds) -> Self {
        self.thresholds = thresholds;
        self
    }

    /// The same committee, whose members sign with `testing::stand_in_signature`: for simulations of many hours.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub(crate) fn with_stand_in_signatures(mut self) -> Self {
        self.stand_in = true;
        self
    }

    /// The same committee, in which these lead and no others, with keys that scores do not change.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub(crate) fn with_fixed_leaders(mut self, leaders: AuthorSet) -> Self {
        self.fixed_leaders = Some(leaders);
        self
    }

    /// The same committee, in which only so many leaders of a round have a slot.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub(crate) fn with_slots_per_round(mut self, most: usize) -> Self {
        self.slots_per_round = Some(most);
        self
    }

    /// How many slots a round has at most; all eligible validators have one outside of simulations that ask for less.
    pub(crate) fn slots_per_round(&self) -> usize {
        #[cfg(any(test, feature = "testing"))]
        return self.slots_per_round.unwrap_or(VALIDATORS_MAX);
        #[cfg(not(any(test, feature = "testing")))]
        VALIDATORS_MAX
    }

    /// Who leads in place of R28's choice; `None` outside of simulations that ask for it.
    pub(crate) fn fixed_leaders(&self) -> Option<&AuthorSet> {
        #[cfg(any(test, feature = "testing"))]
        return self.fixed_leaders.as_ref();
        #[cfg(not(any(test, feature = "testing")))]
        None
    }

    /// Whether `author` signed `message` (R3, R4.7): every signature of the protocol is checked here.
    pub(crate) fn verifies(
        &self,
        author: ValidatorIndex,
        message: &[u8],
        signature: &Signature,
    ) -> bool {
        let Some(member) = self.member(author) else {
            return false;
        };
        #[cfg(any(test, feature = "testing"))]
        if self.stand_in {
            let first = crate::testing::stand_in_signature(&member.key, message);
            return first == *signature
                || crate::testing::stand_in_variant(&member.key, message) == *signature;
        }
        verify(&member.key, message, signature)
    }

    /// The epoch's number.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The chain id of the epoch, which every signature binds.
    #[must_use]
    pub fn chain(&self) -> &Digest {
        &self.chain
    }

    /// How many validators there are.
    #[must_use]
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// Every index, ascending.
    pub fn indices(&self) -> impl Iterator<Item = ValidatorIndex> + use<> {
        let count = u16::try_from(self.members.len()).expect("a committee has at most 256 members");
        (0..count).map(ValidatorIndex)
    }

    /// The member at `index`.
    #[must_use]
    pub fn member(&self, index: ValidatorIndex) -> Option<&Member> {
        self.members.get(index.position())
    }

    /// The index of a key; `None` if it is no member's.
    #[must_use]
    pub fn index_of(&self, key: &PublicKey) -> Option<ValidatorIndex> {
        let at = self.members.iter().position(|member| member.key == *key)?;
        u16::try_from(at).ok().map(ValidatorIndex)
    }

    /// Base stakes of the members and of others (R30).
    #[must_use]
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// What part of its base stake counts for a member, in units of [`crate::ONE`] (R30).
    #[must_use]
    pub fn rho(&self, index: ValidatorIndex) -> u32 {
        let seat = self.member(index).and_then(|m| self.roster.seat(&m.key));
        seat.map_or(0, |seat| seat.rho)
    }

    /// Mode, `f` and `c`.
    #[must_use]
    pub fn bounds(&self) -> FaultBounds {
        self.bounds
    }

    /// When its epochs end.
    #[must_use]
    pub fn epochs(&self) -> &EpochTerms {
        &self.epochs
    }

    /// The weight of one validator; zero if the index names none.
    #[must_use]
    pub fn weight(&self, index: ValidatorIndex) -> u64 {
        self.member(index).map_or(0, |m| m.weight)
    }

    /// How many bytes a set of members takes, one bit each.
    pub(crate) fn set_bytes(&self) -> usize {
        self.size().div_ceil(8)
    }

    /// The weight of a set: each member once.
    #[must_use]
    pub fn weight_of(&self, set: &AuthorSet) -> u64 {
        let bytes = set.bytes(self.weight_of_byte.len());
        self.weight_of_byte
            .iter()
            .zip(bytes)
            .map(|(table, byte)| table[usize::from(byte)])
            .sum()
    }

    /// Name and version of the transaction check; part of the chain id (R32).
    #[must_use]
    pub fn check(&self) -> &str {
        &self.check
    }

    /// The thresholds of the commit rule.
    #[must_use]
    pub fn thresholds(&self) -> &Thresholds {
        &self.thresholds
    }

    /// Rounds below the last committed leader that can still be ordered (R22).
    #[must_use]
    pub fn gc_depth(&self) -> u32 {
        self.gc_depth
    }

    /// The windows of the scores (R26 to R29).
    #[must_use]
    pub fn reputation(&self) -> &ReputationParams {
        &self.reputation
    }

    /// The digest of a validator's implicit round-0 block (R3).
    #[must_use]
    pub fn genesis(&self, index: ValidatorIndex) -> Option<Digest> {
        self.genesis.get(index.position()).copied()
    }

    /// The highest collected round after a commit whose leader is at `leader` (R22).
    #[must_use]
    pub fn gc_round(&self, leader: Round) -> Round {
        leader.minus(self.gc_depth - u32::from(planted!(GcRoundHigh)))
    }

    /// How many validators may stop, whichever they are, with commits still going on.
    #[must_use]
    pub fn crashes_tolerated(&self) -> usize {
        let mut weights: Vec<u64> = self.members.iter().map(|m| m.weight).collect();
        weights.sort_unstable_by(|a, b| b.cmp(a));
        let spare = self.thresholds.total - self.thresholds.quorum;
        let mut lost = 0;
        weights
            .into_iter()
            .take_while(|w| {
                lost += w;
                lost <= spare
            })
            .count()
    }
}

impl fmt::Debug for Committee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Committee")
            .field("epoch", &self.epoch)
            .field("chain", &self.chain)
            .field("size", &self.members.len())
            .field("thresholds", &self.thresholds)
            .finish_non_exhaustive()
    }
}

fn weight_tables(members: &[Member]) -> Vec<[u64; 256]> {
    let table = |chunk: &[Member]| {
        let mut weights = [0u64; 256];
        for (byte, weight) in weights.iter_mut().enumerate() {
            let named = chunk
                .iter()
                .enumerate()
                .filter(|(bit, _)| byte >> bit & 1 == 1);
            *weight = named.map(|(_, m)| m.weight).sum();
        }
        weights
    };
    members.chunks(8).map(table).collect()
}

/// Scales stakes to a total of 1,000,000: each is rounded down, then what is missing goes one by one to the largest
/// remainders, ties to the lower index.
fn normalise(stakes: &[u64]) -> Result<Vec<u64>, CommitteeError> {
    let shares: Vec<u128> = stakes.iter().map(|s| u128::from(*s)).collect();
    let weights =
        apportion(&shares, NORMAL_WEIGHT).ok_or(CommitteeError::Size { validators: 0 })?;
    match weights.iter().position(|w| *w == 0) {
        Some(index) => Err(CommitteeError::ZeroWeight { index }),
        None => Ok(weights),
    }
}

#[cfg(test)]
mod tests;
