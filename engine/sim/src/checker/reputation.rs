//! Scores and schedules are what a replay from the first commit on makes of the sequence.

use probity_core::testing::{ReferenceReputation, schedule_of};
use probity_core::{CommitIndex, CommitRecord};

use super::bound::Bound;
use super::ledger::SharedLedger;
use super::{Checker, Observation, Scene};

/// Commits from one comparison of the whole table to the next; those that make a schedule are always compared.
const PAUSE: u64 = 16;

pub(super) struct Reputation {
    bound: Bound,
    ledger: SharedLedger,
}

impl Reputation {
    pub(super) fn new(ledger: SharedLedger) -> Self {
        Self {
            bound: Bound::default(),
            ledger,
        }
    }

    fn compare(&self, scene: &Scene<'_>, record: &CommitRecord) -> Result<(), String> {
        let mut ledger = self.ledger.borrow_mut();
        let index = record.index;
        let before = CommitIndex(index.0 - 1);
        let schedules = ledger.schedules(scene, before);
        let expected = schedule_of(schedules, record.leader.round) as u64;
        if record.schedule != expected {
            let named = record.schedule;
            return Err(format!(
                "commit {index} names schedule {named}, and {expected} is in force"
            ));
        }
        let leader = record.leader.author;
        let in_force = &schedules[schedule_of(schedules, record.leader.round)].pool;
        if !in_force.iter().any(|(eligible, _)| *eligible == leader) {
            return Err(format!(
                "commit {index} is led by {leader}, whom schedule {expected} has dropped"
            ));
        }
        let newest = scene.origin.index.0 + ledger.of(scene).commits().len() as u64 == index.0;
        if !newest || (!index.0.is_multiple_of(PAUSE) && !ledger.made_schedule(index)) {
            return Ok(());
        }
        let reference = ledger.of(scene);
        if record.reputation != reference.digest() {
            return Err(format!("commit {index} names other scores than a replay"));
        }
        let t = scene.committee.thresholds();
        let schedule = reference.schedules().last();
        let eligible = schedule.into_iter().flat_map(|schedule| &schedule.pool);
        let eligible: u64 = eligible.map(|(a, _)| scene.committee.weight(*a)).sum();
        if t.total - eligible > t.byzantine + t.crashed {
            return Err(format!("after commit {index} too many lead no slot"));
        }
        if ledger.made_schedule(index) {
            return slashed_lead_no_more(scene, ledger.of(scene));
        }
        Ok(())
    }
}

/// R28: while the slashed weigh no more than may be dropped, the next schedule has none of them.
fn slashed_lead_no_more(scene: &Scene<'_>, reference: &ReferenceReputation) -> Result<(), String> {
    let (slashed, t) = (reference.slashed(), scene.committee.thresholds());
    let weight: u64 = slashed.iter().map(|a| scene.committee.weight(*a)).sum();
    let mut validators = scene.committee.indices();
    let scored = validators.any(|a| reference.score(a) > 0);
    let fixed = scene.plan.committee.leaders.is_some();
    if fixed || !scored || weight > t.byzantine + t.crashed {
        return Ok(());
    }
    let pool = reference.schedules().last().map(|schedule| &schedule.pool);
    let leads = pool.and_then(|pool| pool.iter().find(|(a, _)| slashed.contains(a)));
    match leads {
        Some((equivocator, _)) => Err(format!(
            "{equivocator} equivocated, and leads under the schedule made after it"
        )),
        None => Ok(()),
    }
}

impl Checker for Reputation {
    fn promise(&self) -> &'static str {
        "scores and schedules are a function of the sequence; leaders of weight f + c at most are dropped, and who is slashed"
    }

    fn look(&mut self, scene: &Scene<'_>, seen: &Observation<'_>) -> Result<(), String> {
        for record in self.bound.news(scene, seen) {
            self.ledger.borrow_mut().note(scene, &record)?;
            self.compare(scene, &record)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use probity_core::crypto::Digest;

    use super::Reputation;
    use crate::checker::ledger::SharedLedger;
    use crate::checker::stage::Stage;

    #[test]
    fn true_scores_pass_and_false_ones_are_seen() {
        let stage = Stage::full_dag(30);
        let commits = stage.commits();
        assert!(commits.iter().any(|commit| commit.record.schedule > 0));
        let mut honest = Reputation::new(SharedLedger::default());
        for commit in &commits {
            assert_eq!(stage.commit(&mut honest, 0, commit), Ok(()));
        }
        let mut scores = Reputation::new(SharedLedger::default());
        let mut schedule = Reputation::new(SharedLedger::default());
        let (mut one, mut other) = (Ok(()), Ok(()));
        for commit in &commits {
            let mut lie = commit.clone();
            lie.record.reputation = Digest::ZERO;
            one = one.and(stage.commit(&mut scores, 0, &lie));
            lie = commit.clone();
            lie.record.schedule = 0;
            other = other.and(stage.commit(&mut schedule, 0, &lie));
        }
        assert!(one.unwrap_err().contains("other scores"));
        assert!(other.unwrap_err().contains("in force"));
    }
}
