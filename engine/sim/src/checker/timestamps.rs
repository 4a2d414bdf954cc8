//! Commit times never fall, and stay within the clocks of correct validators, whatever liars and skewed clocks say
//! (R20).

use std::collections::BTreeMap;

use probity_core::{CommitIndex, CommitRecord, Round};

use super::bound::Bound;
use super::{Checker, Observation, Scene};

#[derive(Default)]
pub(super) struct Timestamps {
    bound: Bound,
    at_ms: BTreeMap<CommitIndex, u64>,
}

impl Checker for Timestamps {
    fn promise(&self) -> &'static str {
        "commit times rise and stay within the clocks of correct validators"
    }

    fn look(&mut self, scene: &Scene<'_>, seen: &Observation<'_>) -> Result<(), String> {
        for record in self.bound.news(scene, seen) {
            if !self.at_ms.contains_key(&record.index) {
                self.check(scene, &record)
                    .map_err(|how| format!("commit {}: {how}", record.index))?;
                self.at_ms.insert(record.index, record.timestamp_ms);
            }
        }
        Ok(())
    }
}

impl Timestamps {
    fn check(&self, scene: &Scene<'_>, record: &CommitRecord) -> Result<(), String> {
        let before = CommitIndex(record.index.0.saturating_sub(1));
        let previous_ms = self.at_ms.get(&before).copied();
        let previous_ms = previous_ms.unwrap_or(scene.origin.timestamp_ms);
        let found = record.timestamp_ms;
        if found < previous_ms {
            return Err(format!("stamped {found} after {previous_ms}"));
        }
        let honest = honest_stamps(scene, record);
        let least = honest.iter().copied().min().unwrap_or(0);
        let most = honest.iter().copied().max().unwrap_or(0).max(previous_ms);
        if found < least || found > most {
            return Err(format!(
                "stamped {found}, correct clocks say {least} to {most}"
            ));
        }
        Ok(())
    }
}

/// The timestamps of correct parents right below the leader. They weigh more than half of all of them.
fn honest_stamps(scene: &Scene<'_>, record: &CommitRecord) -> Vec<u64> {
    let leader = scene.blocks.get(&record.leader.digest);
    let parents = leader.map_or(&[][..], |leader| leader.parents());
    parents
        .iter()
        .filter(|parent| parent.round.next() == record.leader.round)
        .filter(|parent| parent.round > Round::GENESIS && scene.is_correct(parent.author))
        .filter_map(|parent| scene.blocks.get(&parent.digest))
        .map(|parent| parent.header().timestamp_ms)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::Timestamps;
    use crate::checker::stage::Stage;

    /// The times of the last two commits of a scene, changed, after true ones. In round `r` all clocks say `10 r`.
    fn how(one: i64, two: i64) -> Result<(), String> {
        let stage = Stage::full_dag(6);
        let mut timestamps = Timestamps::default();
        let mut commits = stage.commits();
        let last = commits.len() - 1;
        for (at, change) in [(last - 1, one), (last, two)] {
            let time = &mut commits[at].record.timestamp_ms;
            *time = time.checked_add_signed(change).unwrap();
        }
        commits
            .iter()
            .try_for_each(|commit| stage.commit(&mut timestamps, 0, commit))
    }

    #[test]
    fn a_time_outside_correct_clocks_or_that_falls_is_seen() {
        assert_eq!(how(0, 0), Ok(()));
        assert!(how(0, 1).unwrap_err().contains("correct clocks"));
        assert!(how(0, -1).unwrap_err().contains("after"));
        assert!(how(-1, 0).is_err());
    }
}
