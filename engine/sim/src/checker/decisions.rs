//! Every slot is decided once, in slot order, and the same everywhere, whatever path led there.

use std::collections::{BTreeMap, VecDeque};

use probity_core::testing::{Verdict, schedule_of};
use probity_core::{CommitIndex, CommitRecord, Round, Slot};

use super::bound::Bound;
use super::ledger::SharedLedger;
use super::{Checker, Observation, Scene};

pub(super) struct Decisions {
    bound: Bound,
    ledger: SharedLedger,
    first: BTreeMap<Slot, Verdict>,
    /// By process: the round whose slots are being output, and those of them that are left.
    next: BTreeMap<usize, (Round, VecDeque<Slot>)>,
}

impl Checker for Decisions {
    fn promise(&self) -> &'static str {
        "every slot is decided once, in slot order, and alike everywhere"
    }

    fn look(&mut self, scene: &Scene<'_>, seen: &Observation<'_>) -> Result<(), String> {
        for record in self.bound.news(scene, seen) {
            self.ledger.borrow_mut().note(scene, &record)?;
            let before = CommitIndex(record.index.0 - 1);
            for (slot, verdict) in decided(&record) {
                self.follow(scene, before, slot)
                    .map_err(|how| format!("commit {}: {how}", record.index))?;
                let first = *self.first.entry(slot).or_insert(verdict);
                if first != verdict {
                    return Err(format!(
                        "{slot:?} is {first:?} elsewhere and {verdict:?} here"
                    ));
                }
            }
        }
        Ok(())
    }
}

impl Decisions {
    pub(super) fn new(ledger: SharedLedger) -> Self {
        Self {
            bound: Bound::default(),
            ledger,
            first: BTreeMap::new(),
            next: BTreeMap::new(),
        }
    }

    /// Whether a process's next slot after a commit is this one.
    fn follow(&mut self, scene: &Scene<'_>, after: CommitIndex, slot: Slot) -> Result<(), String> {
        let start = (Round::GENESIS, VecDeque::new());
        let (round, left) = self.next.entry(scene.process).or_insert(start);
        if left.is_empty() {
            *round = round.next();
            let mut ledger = self.ledger.borrow_mut();
            let schedules = ledger.schedules(scene, after);
            let leaders = schedules[schedule_of(schedules, *round)].slots(scene.committee, *round);
            let slot = |author| Slot {
                round: *round,
                author,
            };
            *left = leaders.into_iter().map(slot).collect();
        }
        match left.pop_front() {
            Some(expected) if expected == slot => Ok(()),
            expected => Err(format!(
                "decides {slot:?} when it is the turn of {expected:?}"
            )),
        }
    }
}

/// The slots that a commit decides, in the order in which they were output.
pub(super) fn decided(record: &CommitRecord) -> impl Iterator<Item = (Slot, Verdict)> + '_ {
    let skipped = record.skipped.iter().map(|slot| (*slot, Verdict::Skip));
    let leader = record.leader;
    skipped.chain([(leader.slot(), Verdict::Commit(leader.digest))])
}

#[cfg(test)]
mod tests {
    use super::Decisions;
    use crate::checker::ledger::SharedLedger;
    use crate::checker::stage::Stage;

    #[test]
    fn a_slot_out_of_turn_is_seen() {
        let stage = Stage::full_dag(5);
        let mut decisions = Decisions::new(SharedLedger::default());
        let commits = stage.commits();
        assert_eq!(stage.commit(&mut decisions, 0, &commits[0]), Ok(()));
        let how = stage.commit(&mut decisions, 0, &commits[2]);
        assert!(how.unwrap_err().contains("the turn of"));
    }

    #[test]
    fn a_slot_decided_twice_is_seen() {
        let stage = Stage::full_dag(5);
        let mut decisions = Decisions::new(SharedLedger::default());
        let mut commits = stage.commits();
        assert_eq!(stage.commit(&mut decisions, 0, &commits[0]), Ok(()));
        let again = commits[0].record.leader.slot();
        commits[1].record.skipped.push(again);
        assert!(stage.commit(&mut decisions, 0, &commits[1]).is_err());
    }

    #[test]
    fn a_slot_decided_in_two_ways_is_seen() {
        let stage = Stage::full_dag(5);
        let mut decisions = Decisions::new(SharedLedger::default());
        let commits = stage.commits();
        assert_eq!(stage.commit(&mut decisions, 0, &commits[0]), Ok(()));
        // Another validator skips the first slot and commits the second.
        let mut other = commits[1].clone();
        other.record.skipped.push(commits[0].record.leader.slot());
        let how = stage.commit(&mut decisions, 1, &other);
        assert!(how.unwrap_err().contains("elsewhere"));
    }
}
