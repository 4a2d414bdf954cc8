//! The embedder's own application, run on every validator.

use std::collections::BTreeMap;

use probity_core::{Commit, CommitIndex};

/// A deterministic application: the same commits must lead to the same state.
pub trait Application {
    /// Takes the next commit; indices have no gap.
    fn apply(&mut self, commit: &Commit);

    /// What must be equal on every validator after the same commits: the state, or a digest of it.
    fn state(&self) -> Vec<u8>;
}

/// Makes one application for a validator that starts with nothing.
pub type MakeApplication = Box<dyn Fn() -> Box<dyn Application>>;

/// The state after each commit, as the first validator to get there found it.
#[derive(Default)]
pub(crate) struct States {
    first: BTreeMap<CommitIndex, Vec<u8>>,
}

impl States {
    /// Compares a state with that of the validator that reached the commit first.
    pub(crate) fn check(&mut self, index: CommitIndex, state: Vec<u8>) -> Result<(), String> {
        match self.first.get(&index) {
            None => {
                self.first.insert(index, state);
                Ok(())
            }
            Some(first) if *first == state => Ok(()),
            Some(_) => Err(format!(
                "the application's state after commit {index} differs between two validators"
            )),
        }
    }
}
