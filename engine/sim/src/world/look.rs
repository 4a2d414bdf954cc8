//! What can be seen of a world from outside.

use std::collections::BTreeMap;
use std::sync::Arc;

use probity_core::crypto::Digest;
use probity_core::{Block, Committee, IdMap, Time};

use super::{Liveness, World};
use crate::checker::Violation;
use crate::plan::Plan;

impl World {
    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Who decides.
    #[must_use]
    pub fn committee(&self) -> &Arc<Committee> {
        &self.committee
    }

    /// The virtual time.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// What was broken, if anything.
    #[must_use]
    pub fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// The digest of everything that happened.
    #[must_use]
    pub fn trace_digest(&self) -> String {
        self.trace.digest()
    }

    /// The trace as text, if it was kept.
    #[must_use]
    pub fn trace_text(&self) -> Option<&str> {
        self.trace.text()
    }

    /// How often each kind of fault struck.
    #[must_use]
    pub fn faults_fired(&self) -> &BTreeMap<&'static str, u64> {
        &self.faults_fired
    }

    /// Every valid block that any validator made.
    #[must_use]
    pub fn blocks(&self) -> &IdMap<Digest, Arc<Block>> {
        &self.blocks
    }

    /// Commits of the longest sequence among correct validators.
    #[must_use]
    pub fn commits(&self) -> u64 {
        let correct = self.processes.iter().filter(|process| !process.is_sinner());
        correct
            .map(|process| process.last_commit.0)
            .max()
            .unwrap_or(0)
    }

    /// Frames sent so far.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// How the return to life went.
    #[must_use]
    pub fn liveness(&self) -> &Liveness {
        &self.liveness
    }
}
