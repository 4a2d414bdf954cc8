//! A transaction that is submitted to one validator again and again is in the sequence once: its intake knows it.
//!
//! The intake is the simulator's own model of the node's.

use std::collections::BTreeMap;

use probity_core::{BlockRef, CommitIndex, ValidatorIndex};

use super::{Checker, Observation, Scene};
use crate::world::number_of;

#[derive(Default)]
pub(super) struct Once {
    /// The highest commit looked at: all validators have the same ones.
    last: CommitIndex,
    /// By author and number: the block.
    found: BTreeMap<(ValidatorIndex, u64), BlockRef>,
}

impl Checker for Once {
    fn promise(&self) -> &'static str {
        "what is submitted to a validator again is in the sequence once"
    }

    fn look(&mut self, scene: &Scene<'_>, seen: &Observation<'_>) -> Result<(), String> {
        let Observation::Committed(commit) = seen else {
            return Ok(());
        };
        if commit.index() <= self.last {
            return Ok(());
        }
        self.last = commit.index();
        let counts = |author| scene.is_correct(author);
        let blocks = commit.blocks.iter().filter(|block| !block.void);
        for block in blocks
            .map(|block| &block.block)
            .filter(|b| counts(b.author()))
        {
            let reference = block.reference();
            for number in block.payload().iter().filter_map(number_of) {
                let before = self.found.insert((reference.author, number), reference);
                if let Some(before) = before {
                    return Err(format!(
                        "transaction {number} is in {before:?} and in {reference:?}"
                    ));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use probity_core::CommittedBlock;

    use super::Once;
    use crate::checker::stage::Stage;

    #[test]
    fn a_transaction_in_two_blocks_is_seen() {
        let stage = Stage::full_dag(4);
        let mut once = Once::default();
        let mut commits = stage.commits();
        for (commit, void) in commits.iter_mut().zip([false, true, false]) {
            let block = stage.block_with_payload();
            commit.blocks.push(CommittedBlock {
                block: Arc::clone(&block),
                void,
            });
        }
        assert_eq!(stage.commit(&mut once, 0, &commits[0]), Ok(()));
        assert_eq!(stage.commit(&mut once, 1, &commits[0]), Ok(()));
        assert_eq!(stage.commit(&mut once, 0, &commits[1]), Ok(()));
        assert!(
            stage
                .commit(&mut once, 0, &commits[2])
                .unwrap_err()
                .contains("and in")
        );
    }
}
