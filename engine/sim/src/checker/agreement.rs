//! No two correct validators are bound to different commits at one index, and each hands out what its records say.

use std::collections::BTreeMap;

use probity_core::crypto::Digest;
use probity_core::{Commit, CommitIndex, ValidatorIndex};

use super::bound::Bound;
use super::{Checker, Observation, Scene};

#[derive(Default)]
pub(super) struct Agreement {
    bound: Bound,
    first: BTreeMap<CommitIndex, (Digest, ValidatorIndex)>,
}

impl Checker for Agreement {
    fn promise(&self) -> &'static str {
        "correct validators agree on every commit"
    }

    fn look(&mut self, scene: &Scene<'_>, seen: &Observation<'_>) -> Result<(), String> {
        if let Observation::Committed(commit) = seen {
            is_its_record(commit)?;
        }
        for record in self.bound.news(scene, seen) {
            let mine = (record.digest(), scene.validator);
            let (digest, by) = *self.first.entry(record.index).or_insert(mine);
            if digest != mine.0 {
                return Err(format!(
                    "commit {} is {digest:?} at validator {by} and {:?} here",
                    record.index, mine.0
                ));
            }
        }
        Ok(())
    }
}

/// Whether digest and blocks are those of the record.
fn is_its_record(commit: &Commit) -> Result<(), String> {
    let index = commit.index();
    if commit.digest != commit.record.digest() {
        return Err(format!("commit {index} has the digest of another record"));
    }
    let blocks = commit.blocks.iter();
    let blocks = blocks.map(|block| (block.block.reference(), block.void));
    if !blocks.eq(commit.record.blocks.iter().copied()) {
        return Err(format!("commit {index} has other blocks than its record"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Agreement;
    use crate::checker::Observation;
    use crate::checker::stage::Stage;

    #[test]
    fn two_commits_at_one_index_are_seen() {
        let stage = Stage::full_dag(4);
        let (mut agreement, commits) = (Agreement::default(), stage.commits());
        let mut other = commits[0].clone();
        other.record.timestamp_ms += 1;
        other.digest = other.record.digest();
        let mut look =
            |process, commit| stage.look(&mut agreement, process, &Observation::Committed(commit));
        assert_eq!(look(0, &commits[0]), Ok(()));
        assert_eq!(look(1, &commits[0]), Ok(()));
        assert!(look(2, &other).unwrap_err().contains("at validator 0"));
    }

    #[test]
    fn a_commit_that_is_not_its_record_is_seen() {
        let stage = Stage::full_dag(4);
        let mut commit = stage.commits().remove(0);
        commit.blocks[0].void = true;
        let seen = Observation::Committed(&commit);
        let how = stage.look(&mut Agreement::default(), 0, &seen);
        assert!(how.unwrap_err().contains("other blocks"));
    }

    #[test]
    fn a_durable_commit_that_never_left_the_engine_counts() {
        let mut stage = Stage::full_dag(4);
        let commits = stage.commits();
        let mut other = commits[0].clone();
        other.record.timestamp_ms += 1;
        stage.store_commit(&other.record);
        let mut agreement = Agreement::default();
        let seen = Observation::Committed(&commits[0]);
        assert_eq!(stage.look(&mut agreement, 0, &seen), Ok(()));
        let last = other.record.index;
        let seen = Observation::Started { last };
        assert!(stage.look(&mut agreement, 1, &seen).is_err());
    }
}
