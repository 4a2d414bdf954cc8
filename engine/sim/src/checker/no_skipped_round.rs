//! Own rounds rise one by one, across crashes too. Only safe resume jumps: to two above a gc round that has left the
//! last own block behind (R8).
//!
//! A block that was made durable and never sent is signed and sent after the restart (R36), so it is no gap either.

use std::collections::{BTreeMap, BTreeSet};

use probity_core::record::RecordTable;
use probity_core::{CommitRecord, Round};

use super::bound::durable_gc_round;
use super::{Checker, Observation, Scene};

#[derive(Default)]
pub(super) struct NoSkippedRound {
    processes: BTreeMap<usize, Sent>,
}

#[derive(Default)]
struct Sent {
    last: Round,
    /// The gc rounds since the last own block: the next one was made under one of them.
    gc_rounds: BTreeSet<Round>,
    gc_round: Round,
}

impl Checker for NoSkippedRound {
    fn promise(&self) -> &'static str {
        "a correct validator skips no round but to resume above a collected one"
    }

    fn look(&mut self, scene: &Scene<'_>, seen: &Observation<'_>) -> Result<(), String> {
        let sent = self.processes.entry(scene.process).or_default();
        match seen {
            Observation::Started { .. } => sent.reach(durable_gc_round(scene)),
            Observation::Persisting(records) => {
                let commits = records.iter().filter(|r| r.table == RecordTable::Commits);
                for record in commits.filter_map(|r| CommitRecord::decode(&r.value).ok()) {
                    sent.reach(scene.committee.gc_round(record.leader.round));
                }
            }
            Observation::Sending(block) => return sent.send(block.round()),
            _ => {}
        }
        Ok(())
    }
}

impl Sent {
    fn reach(&mut self, gc_round: Round) {
        self.gc_round = gc_round;
        self.gc_rounds.insert(gc_round);
    }

    fn send(&mut self, round: Round) -> Result<(), String> {
        let last = self.last;
        let again_or_next = round == last || round == last.next();
        let resumes = self
            .gc_rounds
            .iter()
            .any(|gc| *gc >= Round(1).max(last) && gc.plus(2) == round);
        if !again_or_next && !resumes {
            return Err(format!(
                "round {round} follows {last}, under gc rounds {:?}",
                self.gc_rounds
            ));
        }
        self.last = round;
        self.gc_rounds = BTreeSet::from([self.gc_round]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use probity_core::{CommitIndex, Round};

    use super::NoSkippedRound;
    use crate::checker::Observation;
    use crate::checker::stage::{Stage, commit_records};

    #[test]
    fn a_skipped_round_is_seen() {
        let stage = Stage::full_dag(4);
        let mut checker = NoSkippedRound::default();
        let mut send = |round| stage.look(&mut checker, 0, &Observation::Sending(stage.own(round)));
        assert_eq!(send(1), Ok(()));
        assert_eq!(send(2), Ok(()));
        assert_eq!(send(2), Ok(()), "after a restart it is sent again");
        assert!(send(4).unwrap_err().contains("round 4 follows 2"));
        assert!(send(1).is_err(), "and it never goes back");
    }

    #[test]
    fn only_a_collected_validator_resumes_above() {
        // The gc depth of the scene is 8: a leader of round 10 makes gc round 2.
        let stage = Stage::full_dag(14);
        let commit = |round| {
            let commits = stage.commits();
            let record = commits.into_iter().map(|commit| commit.record);
            let mut of_round = record.filter(|record| record.leader.round == Round(round));
            commit_records(&of_round.next().unwrap())
        };
        let sends = |first, leader, next| {
            let mut checker = NoSkippedRound::default();
            let last = CommitIndex::GENESIS;
            for seen in [
                Observation::Started { last },
                Observation::Sending(stage.own(first)),
                Observation::Persisting(&commit(leader)),
            ] {
                stage.look(&mut checker, 0, &seen)?;
            }
            stage.look(&mut checker, 0, &Observation::Sending(stage.own(next)))
        };
        assert_eq!(sends(1, 10, 4), Ok(()), "gc round 2: resume at 4");
        assert!(sends(1, 10, 5).is_err(), "not at 5");
        assert!(sends(1, 8, 3).is_err(), "gc round 0 collects nothing");
    }
}
