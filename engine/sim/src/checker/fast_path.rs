//! Fault-free synchrony commits at two delays: in dual mode, with every block on time, every leader commits by the
//! votes of the round after it (R16), and is known everywhere two delays after it was sent.

use std::collections::BTreeMap;

use probity_core::limits::LEADER_TIMEOUT_MIN_US;
use probity_core::{Commit, Path, Rule, Slot, Time};

use super::{Checker, Observation, Scene};
use crate::plan::{Delay, Plan};

#[derive(Default)]
pub(super) struct FastPath {
    /// When each block was sent.
    sent: BTreeMap<Slot, Time>,
}

impl Checker for FastPath {
    fn promise(&self) -> &'static str {
        "fault-free synchrony commits at two delays"
    }

    fn look(&mut self, scene: &Scene<'_>, seen: &Observation<'_>) -> Result<(), String> {
        let rule = scene.committee.thresholds().rule;
        let Some(delay_us) = delay_when_prompt(scene.plan).filter(|_| rule == Rule::Dual) else {
            return Ok(());
        };
        match seen {
            Observation::Sending(block) => {
                self.sent.insert(block.reference().slot(), scene.now);
                Ok(())
            }
            Observation::Committed(commit) => self.check(scene, commit, delay_us),
            _ => Ok(()),
        }
    }
}

impl FastPath {
    fn check(&self, scene: &Scene<'_>, commit: &Commit, delay_us: u64) -> Result<(), String> {
        let (index, leader) = (commit.index(), commit.record.leader);
        if let Some(skipped) = commit.record.skipped.first() {
            return Err(format!("commit {index}: {skipped:?} is skipped"));
        }
        if commit.path != Some(Path::Fast) {
            return Err(format!(
                "commit {index} of {leader:?} took {:?}",
                commit.path
            ));
        }
        let Some(sent) = self.sent.get(&leader.slot()) else {
            return Err(format!("commit {index}: nobody sent {leader:?}"));
        };
        let committee = &scene.plan.committee;
        // Voters may wait for work and for the shortest round; slots commit in order.
        let pauses_us = committee
            .idle_round_delay_us
            .max(committee.min_round_delay_us);
        let most_us = 2 * delay_us + pauses_us + LEADER_TIMEOUT_MIN_US;
        let took_us = scene.now.since_us(*sent);
        if took_us > most_us {
            return Err(format!(
                "commit {index} came {took_us} us after {leader:?} was sent, at most {most_us} were allowed"
            ));
        }
        Ok(())
    }
}

/// A delay with both writes, on a network on which all blocks of a round arrive well within the soft hold; `None`
/// when anything may be late. The soft hold is a quarter of a round, and a round takes the least delay at least.
fn delay_when_prompt(plan: &Plan) -> Option<u64> {
    let calm = plan.sinners.is_empty() && plan.faults.is_empty();
    even_delay(plan).filter(|_| calm)
}

/// The same on a network that is even, whatever single validators do.
pub(super) fn even_delay(plan: &Plan) -> Option<u64> {
    let Delay::Range { least_us, most_us } = plan.network.delay else {
        return None;
    };
    let network = &plan.network;
    let trouble = network.loss_ppm
        + network.duplicate_ppm
        + network.reorder_ppm
        + network.corrupt_ppm
        + network.bytes_per_second;
    let spread_us = most_us - least_us + plan.disk.most_us - plan.disk.least_us;
    let even = 10 * spread_us <= least_us && plan.clients.answer_us == 0;
    (plan.script.is_empty() && even && trouble == 0).then_some(most_us + 2 * plan.disk.most_us)
}

#[cfg(test)]
mod tests {
    use probity_core::{Commit, Path};

    use super::FastPath;
    use crate::checker::Observation;
    use crate::checker::stage::Stage;
    use crate::plan::Draws;

    fn look(change: impl FnOnce(&Stage, &mut Commit)) -> Result<(), String> {
        let mut stage = Stage::full_dag(4);
        stage.plan = Draws::of_scenario("fast-path").unwrap().plan(1).unwrap();
        let mut checker = FastPath::default();
        for block in &stage.dag {
            assert_eq!(
                stage.look(&mut checker, 0, &Observation::Sending(block)),
                Ok(())
            );
        }
        let mut commit = stage.commits()[0].clone();
        change(&stage, &mut commit);
        stage.commit(&mut checker, 0, &commit)
    }

    #[test]
    fn a_slow_commit_is_seen() {
        assert_eq!(look(|_, _| {}), Ok(()));
        let slow = look(|_, commit| commit.path = Some(Path::Slow));
        assert!(slow.unwrap_err().contains("took"));
        let skipped = look(|stage, commit| {
            commit.record.skipped.push(stage.own(1).reference().slot());
        });
        assert!(skipped.unwrap_err().contains("is skipped"));
        let unsent =
            look(|_, commit| commit.record.leader.round = commit.record.leader.round.plus(9));
        assert!(unsent.unwrap_err().contains("nobody sent"));
    }

    #[test]
    fn a_late_commit_is_seen() {
        let mut stage = Stage::full_dag(4);
        stage.plan = Draws::of_scenario("fast-path").unwrap().plan(1).unwrap();
        let mut checker = FastPath::default();
        for block in &stage.dag {
            assert_eq!(
                stage.look(&mut checker, 0, &Observation::Sending(block)),
                Ok(())
            );
        }
        stage.now = probity_core::Time(10_000_000);
        let how = stage.commit(&mut checker, 0, &stage.commits()[0]);
        assert!(how.unwrap_err().contains("us after"));
    }
}
