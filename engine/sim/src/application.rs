//! The embedder's own application, run on every validator.

use std::collections::BTreeMap;

use probity_core::{Commit, CommitIndex, ValidatorIndex};

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
    first: BTreeMap<CommitIndex, (ValidatorIndex, Vec<u8>)>,
}

impl States {
    /// Compares a state with that of the validator that reached the commit first.
    pub(crate) fn check(
        &mut self,
        index: CommitIndex,
        by: ValidatorIndex,
        state: &[u8],
    ) -> Result<(), String> {
        let mine = || (by, state.to_vec());
        let (first_by, first) = self.first.entry(index).or_insert_with(mine);
        if first.as_slice() == state {
            return Ok(());
        }
        Err(format!(
            "the states after commit {index} differ between validators {first_by} and {by}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use probity_core::{CommitIndex, ValidatorIndex};

    use super::States;

    #[test]
    fn the_first_difference_is_named() {
        let mut states = States::default();
        let mut check =
            |index, by, state: &[u8]| states.check(CommitIndex(index), ValidatorIndex(by), state);
        assert_eq!(check(1, 0, b"a"), Ok(()));
        assert_eq!(check(1, 1, b"a"), Ok(()));
        assert_eq!(check(2, 1, b"b"), Ok(()));
        let how = check(2, 0, b"c").unwrap_err();
        assert!(
            how.contains("commit 2 ") && how.contains("1 and 0"),
            "{how}"
        );
    }
}
