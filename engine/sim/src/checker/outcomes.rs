//! Own blocks end at most once in a life, and as they really did (R24).
//!
//! A block that was asked for and not made, because the gc round moved in between, ends as collected too.

use std::collections::{BTreeMap, BTreeSet};

use probity_core::{CommitIndex, Outcome, Round};

use super::bound::Bound;
use super::{Checker, Observation, Scene};

#[derive(Default)]
pub(super) struct Outcomes {
    bound: Bound,
    processes: BTreeMap<usize, Own>,
}

#[derive(Default)]
struct Own {
    /// Own blocks in the sequence: the commit, and whether the payload is void.
    sequenced: BTreeMap<Round, (CommitIndex, bool)>,
    /// Ends reported in this life.
    ended: BTreeMap<Round, Outcome>,
    /// Blocks sent in this life whose end was not reported.
    open: BTreeSet<Round>,
    /// The gc round after the last commit that left the engine.
    gc_round: Round,
}

impl Checker for Outcomes {
    fn promise(&self) -> &'static str {
        "own blocks end once, and as they really did"
    }

    fn look(&mut self, scene: &Scene<'_>, seen: &Observation<'_>) -> Result<(), String> {
        let own = self.processes.entry(scene.process).or_default();
        if let Observation::Started { .. } = seen {
            own.ended.clear();
            own.open.clear();
        }
        if let Observation::Committed(commit) = seen {
            // Whatever the commit before this one collected has been reported by now.
            own.check_open()?;
            own.gc_round = scene.committee.gc_round(commit.record.leader.round);
        }
        for record in self.bound.news(scene, seen) {
            let blocks = record.blocks.iter();
            for (block, void) in blocks.filter(|(block, _)| block.author == scene.validator) {
                own.sequence(block.round, (record.index, *void))?;
            }
        }
        match seen {
            Observation::Sending(block) => {
                // Sent again after a restart, a block may have been sequenced, and its end told, in an earlier life.
                let round = block.round();
                if !own.ended.contains_key(&round) && !own.sequenced.contains_key(&round) {
                    own.open.insert(round);
                }
                Ok(())
            }
            Observation::Ended(round, outcome) => own.end(*round, *outcome),
            _ => Ok(()),
        }
    }
}

impl Own {
    fn check_open(&self) -> Result<(), String> {
        match self.open.first() {
            Some(round) if *round <= self.gc_round => Err(format!(
                "round {round} is collected, the gc round is {}, and its end was not reported",
                self.gc_round
            )),
            Some(_) | None => Ok(()),
        }
    }

    fn sequence(&mut self, round: Round, place: (CommitIndex, bool)) -> Result<(), String> {
        self.sequenced.entry(round).or_insert(place);
        match self.ended.get(&round) {
            Some(outcome) => Err(format!(
                "round {round} ended {outcome:?} and is in commit {} after that",
                place.0
            )),
            None => Ok(()),
        }
    }

    fn end(&mut self, round: Round, outcome: Outcome) -> Result<(), String> {
        self.open.remove(&round);
        if let Some(before) = self.ended.insert(round, outcome) {
            return Err(format!("round {round} ends {outcome:?} after {before:?}"));
        }
        let place = self.sequenced.get(&round).copied();
        let is_so = match outcome {
            Outcome::Sequenced { index } => place == Some((index, false)),
            Outcome::SequencedVoid => place.is_some_and(|(_, void)| void),
            Outcome::Collected | Outcome::EpochEnded => place.is_none(),
            // Only whoever skipped commits may say so; it has no sequence to compare with.
            Outcome::Unknown => true,
            // A new kind of end needs a rule here before it may occur.
            _ => false,
        };
        if is_so {
            return Ok(());
        }
        Err(format!(
            "round {round} ends {outcome:?}, its place is {place:?}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use probity_core::{CommitIndex, Outcome, Round, ValidatorIndex};

    use super::Outcomes;
    use crate::checker::Observation;
    use crate::checker::stage::Stage;

    /// A scene in which an own block of validator 0 and round 1 is in a commit; that commit's index.
    fn scene() -> (Stage, Outcomes, CommitIndex) {
        let stage = Stage::full_dag(4);
        let mut outcomes = Outcomes::default();
        let mut place = None;
        for commit in stage.commits() {
            let ours = |(block, _): &&(probity_core::BlockRef, bool)| {
                block.author == ValidatorIndex(0) && block.round == Round(1)
            };
            if commit.record.blocks.iter().any(|block| ours(&block)) {
                place = Some(commit.index());
            }
            assert_eq!(stage.commit(&mut outcomes, 0, &commit), Ok(()));
        }
        (stage, outcomes, place.unwrap())
    }

    fn end(to: &mut (Stage, Outcomes, CommitIndex), round: u32, how: Outcome) -> String {
        let seen = Observation::Ended(Round(round), how);
        to.0.look(&mut to.1, 0, &seen).err().unwrap_or_default()
    }

    #[test]
    fn a_false_end_is_seen() {
        let index = scene().2;
        assert_eq!(end(&mut scene(), 1, Outcome::Sequenced { index }), "");
        let index = index.next();
        for wrong in [
            Outcome::Sequenced { index },
            Outcome::SequencedVoid,
            Outcome::Collected,
        ] {
            assert!(
                end(&mut scene(), 1, wrong).contains("its place is"),
                "{wrong:?}"
            );
        }
        assert_eq!(end(&mut scene(), 50, Outcome::Collected), "");
    }

    #[test]
    fn a_second_end_is_seen() {
        let mut scene = scene();
        assert_eq!(end(&mut scene, 50, Outcome::Collected), "");
        assert!(end(&mut scene, 50, Outcome::Collected).contains("after Collected"));
    }

    #[test]
    fn an_end_that_is_not_reported_is_seen() {
        let stage = Stage::full_dag(16);
        let mut outcomes = Outcomes::default();
        let seen = Observation::Sending(stage.own(5));
        assert_eq!(stage.look(&mut outcomes, 0, &seen), Ok(()));
        let commits = stage.commits();
        let mut looks = commits.iter().map(|c| stage.commit(&mut outcomes, 0, c));
        let how = looks.find_map(Result::err);
        assert!(how.unwrap().contains("was not reported"));
    }

    #[test]
    fn a_collected_block_in_the_sequence_is_seen() {
        let stage = Stage::full_dag(4);
        let mut outcomes = Outcomes::default();
        let seen = Observation::Ended(Round(1), Outcome::Collected);
        assert_eq!(stage.look(&mut outcomes, 0, &seen), Ok(()));
        let commits = stage.commits();
        let mut looks = commits.iter().map(|c| stage.commit(&mut outcomes, 0, c));
        assert!(looks.any(|look| look.is_err()));
    }
}
