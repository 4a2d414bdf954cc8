//! Nobody goes on without the primary before the shortest leader timeout, and the timeout is short again after a
//! commit (R9): the two waits that make certificates align, and what they may cost.
//!
//! Judged are own blocks that came sooner after their quorum than any leader timeout, of validators that cannot have
//! been waived yet.

use std::collections::BTreeMap;

use probity_core::limits::{
    LEADER_TIMEOUT_BASE_MAX_US, LEADER_TIMEOUT_MAX_US, LEADER_TIMEOUT_MIN_US,
};
use probity_core::record::RecordTable;
use probity_core::testing::schedule_of;
use probity_core::{
    Block, CommitIndex, CommitRecord, Header, ReplicaStatus, Round, Rule, Slot, Tally, Time,
    ValidatorIndex,
};

use super::held::{AllHeld, Held};
use super::ledger::{Ledger, SharedLedger};
use super::{Checker, Observation, Scene};

pub(super) struct Waits {
    ledger: SharedLedger,
    held: AllHeld,
    processes: BTreeMap<usize, Pace>,
}

/// What is known about a process in this life.
#[derive(Default)]
struct Pace {
    /// The round that a quorum allows, and since when.
    frontier: (Round, Time),
    /// By primary: bit 0 is its last round; 1 means that the own block did not come at once.
    slow: BTreeMap<ValidatorIndex, u16>,
    last_commit: CommitIndex,
    /// The own round before the last commit.
    round_then: Round,
    round: Round,
}

/// Of its last 16 rounds a primary may be late in this many and is still waited for.
const LATE_MAX: u32 = 8;

impl Waits {
    pub(super) fn new(ledger: SharedLedger, held: AllHeld) -> Self {
        Self {
            ledger,
            held,
            processes: BTreeMap::new(),
        }
    }
}

impl Checker for Waits {
    fn promise(&self) -> &'static str {
        "rounds wait for the primary and for its votes, and not for long"
    }

    fn look(&mut self, scene: &Scene<'_>, seen: &Observation<'_>) -> Result<(), String> {
        if let Observation::Started { .. } = seen {
            self.processes.remove(&scene.process);
        }
        let pace = self.processes.entry(scene.process).or_default();
        if let Observation::Settled(status) = seen {
            return pace.settle(scene.now, status);
        }
        let ledger = &mut self.ledger.borrow_mut();
        if let Observation::Persisting(records) = seen {
            let commits = records.iter().filter(|r| r.table == RecordTable::Commits);
            for commit in commits.filter_map(|r| CommitRecord::decode(&r.value).ok()) {
                ledger.note(scene, &commit)?;
            }
        }
        self.held.follow(scene, seen, |held, own| {
            let after_us = pace.after_quorum_us(scene.now, own.round);
            let mut primary =
                |below| primary(scene, ledger, held.last_commit, own.round.minus(below));
            let primaries = [primary(1), primary(2)];
            let judged = pace.judge(scene, (held, own), (after_us, primaries));
            pace.note(primaries[0], after_us);
            judged
        })
    }
}

impl Pace {
    fn settle(&mut self, now: Time, status: &ReplicaStatus) -> Result<(), String> {
        if status.frontier > self.frontier.0 {
            self.frontier = (status.frontier, now);
        }
        if status.last_commit > self.last_commit {
            self.last_commit = status.last_commit;
            self.round_then = self.round;
        }
        self.round = status.round;
        // R9: it doubles when it fires, at most once an own block.
        let fired = self.round.0.saturating_sub(self.round_then.0).min(16);
        let most = (LEADER_TIMEOUT_BASE_MAX_US << fired).min(LEADER_TIMEOUT_MAX_US);
        if status.leader_timeout_us > most {
            return Err(format!(
                "the leader timeout is {} us, {fired} own blocks after commit {}",
                status.leader_timeout_us, self.last_commit
            ));
        }
        Ok(())
    }

    /// Time from the quorum for a round until now; `None` when the round is behind the frontier.
    fn after_quorum_us(&self, now: Time, round: Round) -> Option<u64> {
        let (frontier, since) = self.frontier;
        match round.cmp(&frontier) {
            std::cmp::Ordering::Less => None,
            std::cmp::Ordering::Equal => Some(now.since_us(since)),
            std::cmp::Ordering::Greater => Some(0),
        }
    }

    fn note(&mut self, primary: Option<Slot>, after_us: Option<u64>) {
        if let Some(primary) = primary {
            let slow = self.slow.entry(primary.author).or_default();
            *slow = *slow << 1 | u16::from(after_us != Some(0));
        }
    }

    fn may_be_waived(&self, author: ValidatorIndex) -> bool {
        let slow = self.slow.get(&author).copied().unwrap_or(0);
        slow.count_ones() > LATE_MAX
    }

    fn judge(
        &self,
        scene: &Scene<'_>,
        (held, own): (&Held, &Header),
        (after_us, [leader, before]): (Option<u64>, [Option<Slot>; 2]),
    ) -> Result<(), String> {
        let round = own.round;
        let in_time = after_us.is_some_and(|after_us| after_us < LEADER_TIMEOUT_MIN_US);
        // A shell that takes its time to choose a payload answers what was due before.
        let at_once = scene.plan.clients.answer_us == 0;
        // R8: behind the frontier blocks are immediate.
        let behind = held.weight_of(scene, round) >= scene.committee.thresholds().quorum;
        if !in_time || !at_once || behind {
            return Ok(());
        }
        if let Some(primary) = leader {
            let here = held.of_slot(primary).next().is_some();
            let connected = scene.is_connected(primary.author);
            if !here && connected && !self.may_be_waived(primary.author) {
                return Err(format!(
                    "round {round} came {after_us:?} us after its quorum, without {primary:?}"
                ));
            }
        }
        let Some(primary) = before else {
            return Ok(());
        };
        let settled = primary.round <= held.last_leader.max(held.gc_round);
        if settled || self.may_be_waived(primary.author) || can_certify(scene, held, primary) {
            return Ok(());
        }
        Err(format!(
            "round {round} came {after_us:?} us after its quorum, and can certify nothing about {primary:?}"
        ))
    }
}

fn primary(
    scene: &Scene<'_>,
    ledger: &mut Ledger,
    after: CommitIndex,
    round: Round,
) -> Option<Slot> {
    if round == Round::GENESIS {
        return None;
    }
    let schedules = ledger.schedules(scene, after);
    let schedule = &schedules[schedule_of(schedules, round)];
    let author = *schedule.slots(scene.committee, round).first()?;
    Some(Slot { round, author })
}

/// Whether blocks of the next round weigh `V` for one block of the slot, or `B_q` against all.
fn can_certify(scene: &Scene<'_>, held: &Held, slot: Slot) -> bool {
    let thresholds = scene.committee.thresholds();
    if thresholds.rule == Rule::Fast {
        return true;
    }
    let weight = |counts: &dyn Fn(&Block) -> bool| {
        let mut tally = Tally::default();
        for voter in held
            .of_round(slot.round.next())
            .filter(|voter| counts(voter))
        {
            tally.add(voter.author(), scene.committee);
        }
        tally.weight()
    };
    let candidates: Vec<_> = held.of_slot(slot).map(|block| block.reference()).collect();
    let votes = |of| weight(&|voter: &Block| voter.parents().contains(of));
    let blames = |of| weight(&|voter: &Block| !voter.parents().contains(of));
    candidates
        .iter()
        .any(|block| votes(block) >= thresholds.certificate)
        || (weight(&|_| true) >= thresholds.skip_certificate
            && candidates
                .iter()
                .all(|block| blames(block) >= thresholds.skip_certificate))
}

#[cfg(test)]
mod tests {
    use probity_core::{CommitIndex, Round, ValidatorIndex, testing};

    use super::super::held::AllHeld;
    use super::super::ledger::SharedLedger;
    use super::Waits;
    use crate::checker::stage::{Stage, header_record, own_record};
    use crate::checker::{Checker, Observation};

    /// Validator 0 makes its block of the round after `rounds` without the block of `absent` in the last of them.
    fn look(rounds: u32, absent: Option<ValidatorIndex>) -> Result<(), String> {
        let stage = Stage::full_dag(rounds + 1);
        let here = |author, round| round < rounds || Some(author) != absent;
        let blocks = stage
            .dag
            .iter()
            .filter(|block| block.round().0 <= rounds && here(block.author(), block.round().0));
        let mut records: Vec<_> = blocks.map(|block| header_record(block)).collect();
        let mut header = stage.own(rounds + 1).header().clone();
        header
            .parents
            .retain(|parent| here(parent.author, parent.round.0));
        records.push(own_record(&header));
        stage.look(
            &mut Waits::new(SharedLedger::default(), AllHeld::default()),
            0,
            &Observation::Persisting(&records),
        )
    }

    #[test]
    fn a_round_without_its_primary_is_seen() {
        let stage = Stage::full_dag(1);
        let in_order = |round| testing::slots(&stage.committee, Round(round));
        // A round that another leads than the validator that makes the block.
        let led = |round: &u32| in_order(*round)[0] != ValidatorIndex(0);
        let round = (1..).find(led).unwrap();
        let slots = in_order(round);
        assert_eq!(look(round, None), Ok(()));
        let other = slots.iter().skip(1).find(|author| author.0 != 0);
        assert_eq!(look(round, other.copied()), Ok(()));
        assert!(look(round, Some(slots[0])).unwrap_err().contains("without"));
    }

    #[test]
    fn a_round_that_certifies_nothing_is_seen() {
        let stage = Stage::full_dag(3);
        let primary = testing::slots(&stage.committee, Round(1))[0];
        let below = stage.dag.iter().filter(|block| block.round().0 < 3);
        let mut dag: Vec<_> = below.cloned().collect();
        // Two of the four do not vote for the first primary.
        for (at, block) in dag.clone().iter().enumerate() {
            if block.round() == Round(2) && block.author().0 >= 2 {
                dag[at] = stage.without_parent(block, primary);
            }
        }
        let stage = stage.with_blocks(&dag);
        let mut records: Vec<_> = dag.iter().map(|block| header_record(block)).collect();
        records.push(own_record(stage.own(3).header()));
        let how = stage.look(
            &mut Waits::new(SharedLedger::default(), AllHeld::default()),
            0,
            &Observation::Persisting(&records),
        );
        assert!(how.unwrap_err().contains("can certify nothing"));
    }

    #[test]
    fn a_timeout_that_stays_long_is_seen() {
        let stage = Stage::full_dag(1);
        let mut waits = Waits::new(SharedLedger::default(), AllHeld::default());
        let mut settled = |round, commit, leader_timeout_us| {
            let mut status = Stage::status();
            status.round = Round(round);
            status.last_commit = CommitIndex(commit);
            status.leader_timeout_us = leader_timeout_us;
            stage.look(&mut waits, 0, &Observation::Settled(&status))
        };
        assert_eq!(settled(5, 1, 250_000), Ok(()));
        assert_eq!(settled(8, 1, 2_000_000), Ok(()));
        assert_eq!(settled(9, 2, 500_000), Ok(()));
        assert!(
            settled(9, 2, 500_001)
                .unwrap_err()
                .contains("leader timeout")
        );
        assert!(!waits.promise().is_empty());
    }
}
