//! No payload behind the frontier (R8), nor while nothing commits or too much of the own is not committed (R13).

use std::collections::BTreeMap;

use probity_core::limits::OWN_PAYLOAD_BYTES_MAX;
use probity_core::{Header, Round};

use super::held::{AllHeld, Held};
use super::{Checker, Observation, Scene};

#[derive(Default)]
pub(super) struct Brake {
    held: AllHeld,
    /// By process: the highest own round, and the frontier, before the step at hand.
    before: BTreeMap<usize, (Round, Round)>,
}

impl Brake {
    pub(super) fn new(held: AllHeld) -> Self {
        Self {
            held,
            before: BTreeMap::new(),
        }
    }
}

impl Checker for Brake {
    fn promise(&self) -> &'static str {
        "no own payload behind the frontier, nor while too much is not committed"
    }

    fn look(&mut self, scene: &Scene<'_>, seen: &Observation<'_>) -> Result<(), String> {
        if let Observation::Started { .. } = seen {
            self.before.remove(&scene.process);
        }
        if let Observation::Settled(status) = seen {
            self.before
                .insert(scene.process, (status.round, status.frontier));
        }
        let before = self.before.get(&scene.process).copied().unwrap_or_default();
        self.held
            .follow(scene, seen, |held, own| check(scene, (held, own), before))
    }
}

fn check(
    scene: &Scene<'_>,
    (held, own): (&Held, &Header),
    (own_round, frontier): (Round, Round),
) -> Result<(), String> {
    // A shell that takes its time to choose a payload answers what was asked before.
    if own.payload.count == 0 || scene.plan.clients.answer_us > 0 {
        return Ok(());
    }
    let round = own.round;
    if round < frontier {
        return Err(format!(
            "round {round} has a payload, the frontier is {frontier}"
        ));
    }
    let last = held.last_leader;
    let lag = (scene.committee.gc_depth() / 2).max(8);
    if own_round.0.saturating_sub(last.0) > lag {
        return Err(format!(
            "round {round} has a payload, the last leader is of round {last}, at most {lag} below {own_round}"
        ));
    }
    let waiting = held
        .own(scene.validator)
        .filter(|block| block.round() > held.gc_round && !held.is_committed(&block.reference()));
    let bytes: usize = waiting.map(|block| block.payload().bytes().len()).sum();
    if bytes > OWN_PAYLOAD_BYTES_MAX {
        return Err(format!(
            "round {round} has a payload, {bytes} own bytes are not committed"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use probity_core::{Payload, Round};

    use super::Brake;
    use crate::checker::Observation;
    use crate::checker::stage::{Stage, header_record, own_record};

    fn look(stage: &Stage, own: u32, frontier: u32) -> Result<(), String> {
        let below = stage.dag.iter().filter(|block| block.round().0 < own);
        let mut records: Vec<_> = below.map(|block| header_record(block)).collect();
        let mut header = stage.own(own).header().clone();
        header.payload = Payload::from_transactions(&[b"transaction"]).describe();
        records.push(own_record(&header));
        let mut status = Stage::status();
        status.round = Round(own - 1);
        status.frontier = Round(frontier);
        let mut brake = Brake::default();
        assert_eq!(
            stage.look(&mut brake, 0, &Observation::Settled(&status)),
            Ok(())
        );
        stage.look(&mut brake, 0, &Observation::Persisting(&records))
    }

    #[test]
    fn payload_that_is_not_allowed_is_seen() {
        let stage = Stage::full_dag(10);
        assert_eq!(look(&stage, 9, 9), Ok(()));
        assert!(look(&stage, 8, 9).unwrap_err().contains("the frontier"));
        assert!(
            look(&stage, 10, 10)
                .unwrap_err()
                .contains("the last leader")
        );
    }

    #[test]
    fn too_much_own_payload_is_seen() {
        let stage = Stage::full_dag(9);
        assert_eq!(look(&stage.with_own_payload(1 << 21), 8, 8), Ok(()));
        let how = look(&stage.with_own_payload(1 << 22), 8, 8);
        assert!(how.unwrap_err().contains("not committed"));
    }
}
