//! Scores, schedules and weights are what a replay from the first commit on makes of the sequence.

use probity_core::testing::{ReferenceReputation, reference_seats, schedule_of};
use probity_core::{CommitIndex, CommitRecord, EpochEnd, ONE, Seat};

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

    /// R30: what becomes of stakes, unless the sequence up to the epoch's end was seen by nobody.
    fn compare_seats(&self, scene: &Scene<'_>, end: &EpochEnd) -> Result<(), String> {
        let mut ledger = self.ledger.borrow_mut();
        let reference = ledger.of(scene);
        let seen = scene.origin.index.0 + reference.commits().len() as u64;
        if seen != end.record.index.0 {
            return Ok(());
        }
        stakes_are_asked_for(scene, end)?;
        let expected = reference_seats(scene.committee, reference, &seats_before(scene, end));
        let epoch = end.record.epoch;
        for (seat, expected) in end.charter.roster.seats().iter().zip(expected) {
            if *seat != expected {
                return Err(format!(
                    "epoch {epoch} ends with {seat:?}, not {expected:?}"
                ));
            }
        }
        Ok(())
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

/// R30: seats at the end of an epoch, as they were before it was judged.
fn seats_before(scene: &Scene<'_>, end: &EpochEnd) -> Vec<Seat> {
    let before = |seat: &Seat| {
        let held = scene.committee.roster().seat(&seat.key);
        let newcomer = Seat::newcomer(seat.key, seat.stake);
        let held = held.cloned().unwrap_or(newcomer);
        // A stake that is set anew forgives, so the seat of who was slashed and is not has been set.
        let forgiven = held.slashed && !seat.slashed;
        Seat {
            stake: seat.stake,
            contact: seat.contact.clone(),
            slashed: held.slashed && !forgiven,
            rho: if forgiven { ONE } else { held.rho },
            ..held
        }
    };
    end.charter.roster.seats().iter().map(before).collect()
}

/// R30, R32: the stake of a seat is the one before, or one that was asked for.
fn stakes_are_asked_for(scene: &Scene<'_>, end: &EpochEnd) -> Result<(), String> {
    for seat in end.charter.roster.seats() {
        let before = scene.committee.roster().seat(&seat.key);
        let kept = before.is_some_and(|before| before.stake == seat.stake);
        let asked = scene.plan.epochs.changes.iter().any(|change| {
            let of = scene.keys.get(usize::from(change.validator));
            of == Some(&seat.key) && change.stake == Some(seat.stake)
        });
        if !kept && !asked {
            return Err(format!("nobody asked for a stake of {}", seat.stake));
        }
    }
    Ok(())
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
        "scores, schedules and weights are a function of the sequence; leaders of weight f + c at most are dropped, and who is slashed"
    }

    fn look(&mut self, scene: &Scene<'_>, seen: &Observation<'_>) -> Result<(), String> {
        for record in self.bound.news(scene, seen) {
            self.ledger.borrow_mut().note(scene, &record)?;
            self.compare(scene, &record)?;
        }
        match seen {
            Observation::EpochEnded(end) => self.compare_seats(scene, end),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use probity_core::crypto::Digest;
    use probity_core::{Charter, EpochEnd, Roster, Seat};

    use super::Reputation;
    use crate::checker::Observation;
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

    #[test]
    fn false_weights_and_stakes_are_seen() {
        let stage = Stage::full_dag(30);
        let commits = stage.commits();
        let mut checker = Reputation::new(SharedLedger::default());
        for commit in &commits {
            assert_eq!(stage.commit(&mut checker, 0, commit), Ok(()));
        }
        let last = commits.last().unwrap();
        let mut look = |change: fn(&mut Seat)| {
            let mut seats = stage.committee.roster().seats().to_vec();
            change(&mut seats[0]);
            let end = EpochEnd {
                certificate: stage.certificate(last, 4),
                record: last.record.clone(),
                charter: Charter {
                    roster: Roster::new(seats).unwrap(),
                    bounds: stage.committee.bounds(),
                    total: stage.committee.thresholds().total,
                },
            };
            stage.look(&mut checker, 0, &Observation::EpochEnded(&end))
        };
        assert_eq!(look(|_| {}), Ok(()));
        let demoted = look(|seat| seat.rho /= 2);
        assert!(demoted.unwrap_err().contains("ends with"));
        let slashed = look(|seat| (seat.slashed, seat.rho) = (true, 0));
        assert!(slashed.unwrap_err().contains("ends with"));
        let richer = look(|seat| seat.stake += 1);
        assert!(richer.unwrap_err().contains("nobody asked"));
    }
}
