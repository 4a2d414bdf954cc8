//! What must never happen, one promise a file, looked at after every step.
//!
//! A checker sees what correct validators do, and everything about them; it never sees why. It answers with the
//! sentence that a report prints.

use std::sync::Arc;

use probity_core::block::EquivocationProof;
use probity_core::crypto::Digest;
use probity_core::record::Record;
use probity_core::{
    Block, Commit, CommitCertificate, CommitIndex, Committee, IdMap, Outcome, ReplicaStatus, Round,
    Time, ValidatorIndex,
};

use crate::disk::Disk;
use crate::plan::Plan;

mod agreement;
mod one_block_a_round;
mod prefix;

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
    /// Who decides.
    pub committee: &'a Arc<Committee>,
    /// Its disk.
    pub disk: &'a Disk,
    /// Every valid block that any validator made.
    pub blocks: &'a IdMap<Digest, Arc<Block>>,
    /// What the run is about.
    pub plan: &'a Plan,
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

/// The checkers of every run.
#[must_use]
pub fn all(plan: &Plan) -> Vec<Box<dyn Checker>> {
    let _ = plan;
    vec![
        Box::new(agreement::Agreement::default()),
        Box::new(prefix::Prefix::default()),
        Box::new(one_block_a_round::OneBlockARound::default()),
    ]
}
