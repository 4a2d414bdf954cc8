//! What must never happen, one promise a file, looked at after every step.
//!
//! A checker sees what correct validators do, and everything about them; it never sees why. It answers with the
//! sentence that a report prints. Each has a test in its file that shows it a lie.
//!
//! | checker | promise | rule |
//! |---|---|---|
//! | `agreement` | one commit an index, the same for all | L7 |
//! | `prefix` | indices without gaps, chained digests, across restarts | R21 |
//! | `sequence` | a commit is what the rules make of its leader | R12, R19, R20, R22 |
//! | `decisions` | every slot decided once, in order, alike everywhere | R16 to R18 |
//! | `reputation` | scores, schedules and weights are those of a replay | R26 to R30 |
//! | `epochs` | one end an epoch, weights by the rules | R30, R32 |
//! | `kept_merit` | what all correct validators had in time keeps its merit | R26 |
//! | `standing` | no coalition takes slots from who is in time, nor gains scores | R27, R28 |
//! | `reference` | the slow committer repeats every decision | R14 to R18 |
//! | `timestamps` | times rise, within correct clocks | R20 |
//! | `certificates` | they hold, name the agreed commit, and rise | R25 |
//! | `one_block_a_round` | no equivocation, whatever crashes | R8, R36 |
//! | `no_skipped_round` | rounds rise one by one, but for safe resume | R8 |
//! | `durable` | durable before sent, with payload and history | R11 |
//! | `outcomes` | own blocks end once, and as they did | R24 |
//! | `honest_blocks_valid` | nothing of a correct validator is refused | R4 |
//! | `no_false_accusation` | evidence holds, against sinners only | R12 |
//! | `carried_once` | a proof is carried once, and not beside another's | R12 |
//! | `bounds` | memory under its caps | R6, R12, R25 |
//! | `validity` | what is accepted is valid, asked from scratch | R4 |
//! | `links` | own blocks link all that is grounded and nothing else | R6, R8, R10 |
//! | `waits` | rounds wait for the primary and its votes, not for long | R9 |
//! | `brake` | no own payload behind the frontier or while it piles up | R8, R13 |
//! | `fast_path` | fault-free synchrony commits at two delays | R16 |
//! | `amnesia` | shown a block it did not make, nobody signs on | R37 |
//! | `once` | what is submitted again is in the sequence once | the node's intake |
//!
//! Liveness is the world's own business (`world/heal.rs`), and so is that equivocators end as slashed; the application's state too (`application.rs`). The
//! agreed sequence, with the schedules that the slow reference makes of it, is written down once (`ledger`).

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a promise is about some observations and deaf to all others, also to new ones"
)]

use std::sync::Arc;

use probity_core::block::EquivocationProof;
use probity_core::crypto::{Digest, PublicKey};
use probity_core::record::Record;
use probity_core::{
    Block, Commit, CommitCertificate, CommitIndex, Committee, EpochEnd, IdMap, Origin, Outcome,
    ReplicaStatus, Round, Time, ValidatorIndex,
};

use crate::disk::Disk;
use crate::plan::Plan;
use crate::seats::seat_of;

mod agreement;
mod amnesia;
mod bound;
mod bounds;
mod brake;
mod carried_once;
mod certificates;
mod decisions;
mod durable;
mod epochs;
mod fast_path;
mod held;
mod honest_blocks_valid;
mod kept_merit;
mod ledger;
mod links;
mod no_false_accusation;
mod no_skipped_round;
mod once;
mod one_block_a_round;
mod outcomes;
mod prefix;
mod reference;
mod reputation;
mod sequence;
#[cfg(test)]
mod stage;
mod standing;
mod timestamps;
mod validity;
mod waits;

/// One promise.
pub trait Checker {
    /// The promise, as a sentence.
    fn promise(&self) -> &'static str;

    /// Looks at one thing that one correct validator did.
    ///
    /// # Errors
    /// When it broke the promise: how.
    fn look(&mut self, scene: &Scene<'_>, seen: &Observation<'_>) -> Result<(), String>;
}

/// Everything about the validator that is looked at.
pub struct Scene<'a> {
    /// The time.
    pub now: Time,
    /// Which process it is.
    pub process: usize,
    /// Which validator.
    pub validator: ValidatorIndex,
    /// Who decides in its epoch.
    pub committee: &'a Arc<Committee>,
    /// Where its epoch begins.
    pub origin: Origin,
    /// Everybody's keys, by the numbers of the plan.
    pub keys: &'a [PublicKey],
    /// Its disk.
    pub disk: &'a Disk,
    /// Every valid block that any validator made.
    pub blocks: &'a IdMap<Digest, Arc<Block>>,
    /// What the run is about.
    pub plan: &'a Plan,
    /// By validator: whether its link is reported up.
    pub links: &'a [bool],
}

impl Scene<'_> {
    /// Whether a validator is the one looked at, or its link is reported up.
    fn is_connected(&self, other: ValidatorIndex) -> bool {
        let up = self.links.get(other.position()).copied();
        other == self.validator || up.unwrap_or(false)
    }
}

impl Scene<'_> {
    /// Whether a member of the epoch keeps to the rules.
    #[must_use]
    pub fn is_correct(&self, member: ValidatorIndex) -> bool {
        let seat = self.seat(member);
        seat.is_some_and(|seat| self.plan.is_correct(seat))
    }

    /// The number that the plan gives a member of the epoch.
    fn seat(&self, member: ValidatorIndex) -> Option<ValidatorIndex> {
        seat_of(self.keys, &self.committee.member(member)?.key)
    }
}

/// What a correct validator did.
pub enum Observation<'a> {
    /// Its process started, with this much in its store.
    Started {
        /// The last durable commit.
        last: CommitIndex,
    },
    /// Its process died.
    Crashed,
    /// It asked to make records durable.
    Persisting(&'a [Record]),
    /// It is about to send a new own block to the first receiver.
    Sending(&'a Arc<Block>),
    /// A valid block under its own key came from the network.
    Shown(&'a Arc<Block>),
    /// It refused a block that a correct validator sent, whole.
    RefusedHonest(String),
    /// A commit left the engine.
    Committed(&'a Commit),
    /// An own block ended.
    Ended(Round, Outcome),
    /// It accuses a validator.
    Accused(&'a EquivocationProof),
    /// It holds proof that a commit is final.
    Certified(&'a CommitCertificate),
    /// Its epoch is over.
    EpochEnded(&'a EpochEnd),
    /// Its state after a step.
    Settled(&'a ReplicaStatus),
}

/// A broken promise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The promise.
    pub promise: String,
    /// When.
    pub at: Time,
    /// By which validator.
    pub validator: Option<ValidatorIndex>,
    /// How.
    pub how: String,
}

/// Those that look across epochs.
#[must_use]
pub fn across_epochs() -> Vec<Box<dyn Checker>> {
    vec![Box::new(epochs::Epochs::default())]
}

/// The checkers of one epoch of a run.
#[must_use]
pub fn all(plan: &Plan) -> Vec<Box<dyn Checker>> {
    let ledger = ledger::SharedLedger::default();
    let held = held::AllHeld::default();
    let (held_by_waits, held_by_brake) = (held.for_later(), held.for_later());
    let mut checkers: Vec<Box<dyn Checker>> = vec![
        Box::new(agreement::Agreement::default()),
        Box::new(prefix::Prefix::default()),
        Box::new(sequence::Sequence::default()),
        Box::new(decisions::Decisions::new(ledger.clone())),
        Box::new(reputation::Reputation::new(ledger.clone())),
        Box::new(kept_merit::KeptMerit::default()),
        Box::new(standing::Standings::default()),
        Box::new(timestamps::Timestamps::default()),
        Box::new(certificates::Certificates::default()),
        Box::new(one_block_a_round::OneBlockARound::default()),
        Box::new(no_skipped_round::NoSkippedRound::default()),
        Box::new(durable::Durable::default()),
        Box::new(outcomes::Outcomes::default()),
        Box::new(honest_blocks_valid::HonestBlocksValid),
        Box::new(no_false_accusation::NoFalseAccusation),
        Box::new(carried_once::CarriedOnce::default()),
        Box::new(bounds::Bounds::default()),
        Box::new(validity::Validity::default()),
        Box::new(links::Links::new(held)),
        Box::new(waits::Waits::new(ledger.clone(), held_by_waits)),
        Box::new(brake::Brake::new(held_by_brake)),
        Box::new(fast_path::FastPath::default()),
        Box::new(amnesia::Amnesia::default()),
        Box::new(once::Once::default()),
    ];
    if plan.reference {
        checkers.push(Box::new(reference::Reference::new(ledger)));
    }
    checkers
}
