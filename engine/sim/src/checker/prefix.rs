//! Each validator's sequence only grows: contiguous indices, chained digests, also across restarts.

use std::collections::BTreeMap;

use probity_core::crypto::Digest;
use probity_core::record::{RecordSource, RecordTable};
use probity_core::{CommitIndex, digest_of};

use super::{Checker, Observation, Scene};

#[derive(Default)]
pub(super) struct Prefix {
    /// By process: the last index and digest.
    last: BTreeMap<usize, (CommitIndex, Digest)>,
}

impl Checker for Prefix {
    fn promise(&self) -> &'static str {
        "a sequence has no gap and no repeat, and each commit names the one before"
    }

    fn look(&mut self, scene: &Scene<'_>, seen: &Observation<'_>) -> Result<(), String> {
        match seen {
            Observation::Started { last } => {
                let before = self.last.get(&scene.process).map(|(index, _)| *index);
                if before.is_some_and(|before| before > *last) {
                    return Err(format!(
                        "output commit {} before the crash, but its disk ends at {last}",
                        before.unwrap_or_default()
                    ));
                }
                let key = probity_core::record::commit_key(*last);
                let Ok(stored) = scene.disk.read(RecordTable::Commits, &key);
                // The commit before the epoch's first is the chain's business.
                let stored = stored.filter(|_| *last > scene.origin.index);
                match stored {
                    Some(record) => self.last.insert(scene.process, (*last, digest_of(&record))),
                    None => self.last.remove(&scene.process),
                };
                Ok(())
            }
            Observation::Committed(commit) => {
                let chain = (scene.origin.index, *scene.committee.chain());
                let (index, digest) = self.last.get(&scene.process).copied().unwrap_or(chain);
                self.last
                    .insert(scene.process, (commit.index(), commit.digest));
                if commit.index() != index.next() {
                    return Err(format!("commit {} follows {index}", commit.index()));
                }
                if commit.record.previous != digest {
                    return Err(format!(
                        "commit {} names another one before it",
                        commit.index()
                    ));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use probity_core::CommitIndex;

    use super::Prefix;
    use crate::checker::Observation;
    use crate::checker::stage::Stage;

    #[test]
    fn a_gap_is_seen() {
        let stage = Stage::full_dag(4);
        let mut prefix = Prefix::default();
        let commits = stage.commits();
        assert_eq!(stage.commit(&mut prefix, 0, &commits[0]), Ok(()));
        let how = stage.commit(&mut prefix, 0, &commits[2]);
        assert!(how.unwrap_err().contains("follows"));
    }

    #[test]
    fn a_broken_chain_is_seen() {
        let stage = Stage::full_dag(4);
        let mut commit = stage.commits().remove(0);
        commit.record.previous.0[0] ^= 1;
        let how = stage.commit(&mut Prefix::default(), 0, &commit);
        assert!(how.unwrap_err().contains("another one"));
    }

    #[test]
    fn a_forgotten_commit_is_seen() {
        let stage = Stage::full_dag(4);
        let mut prefix = Prefix::default();
        assert_eq!(stage.commit(&mut prefix, 0, &stage.commits()[0]), Ok(()));
        let seen = Observation::Started {
            last: CommitIndex::GENESIS,
        };
        let how = stage.look(&mut prefix, 0, &seen);
        assert!(how.unwrap_err().contains("before the crash"));
    }
}
