//! No two correct validators output different commits at one index.

use std::collections::BTreeMap;

use probity_core::crypto::Digest;
use probity_core::{CommitIndex, ValidatorIndex};

use super::{Checker, Observation, Scene};

#[derive(Default)]
pub(super) struct Agreement {
    first: BTreeMap<CommitIndex, (Digest, ValidatorIndex)>,
}

impl Checker for Agreement {
    fn promise(&self) -> &'static str {
        "correct validators agree on every commit"
    }

    fn look(&mut self, scene: &Scene<'_>, seen: &Observation<'_>) -> Result<(), String> {
        let Observation::Committed(commit) = seen else {
            return Ok(());
        };
        let index = commit.index();
        let (digest, by) = *self
            .first
            .entry(index)
            .or_insert((commit.digest, scene.validator));
        if digest == commit.digest {
            return Ok(());
        }
        Err(format!(
            "commit {index} is {:?} at validator {by} and {:?} here",
            digest, commit.digest
        ))
    }
}
