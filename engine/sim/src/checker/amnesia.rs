//! Whoever is shown a block under its own key that it did not make signs nothing more in this life (R37): its disk
//! forgot, or its key runs twice.

use std::collections::{BTreeMap, BTreeSet};

use probity_core::crypto::Digest;
use probity_core::{BlockRef, Round};

use super::{Checker, Observation, Scene};

#[derive(Default)]
pub(super) struct Amnesia {
    processes: BTreeMap<usize, Own>,
}

#[derive(Default)]
struct Own {
    sent: BTreeSet<Digest>,
    gc_round: Round,
    /// The block that it did not make.
    foreign: Option<BlockRef>,
}

impl Checker for Amnesia {
    fn promise(&self) -> &'static str {
        "a validator that is shown a block it did not make signs nothing more"
    }

    fn look(&mut self, scene: &Scene<'_>, seen: &Observation<'_>) -> Result<(), String> {
        let own = self.processes.entry(scene.process).or_default();
        match seen {
            Observation::Started { .. } => own.foreign = None,
            Observation::Settled(status) => own.gc_round = status.gc_round,
            Observation::Shown(block) => {
                // What was collected may have been forgotten.
                let kept = block.round() > own.gc_round;
                if kept && !own.sent.contains(&block.reference().digest) {
                    own.foreign = Some(block.reference());
                }
            }
            Observation::Sending(block) => {
                let reference = block.reference();
                let known = !own.sent.insert(reference.digest);
                if let (Some(foreign), false) = (own.foreign, known) {
                    return Err(format!(
                        "sends {reference:?} after it was shown {foreign:?}"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Amnesia;
    use crate::checker::Observation;
    use crate::checker::stage::Stage;

    #[test]
    fn a_block_after_a_foreign_one_is_seen() {
        let stage = Stage::full_dag(3);
        let mut amnesia = Amnesia::default();
        let mut look = |seen: Observation<'_>| stage.look(&mut amnesia, 0, &seen);
        assert_eq!(look(Observation::Sending(stage.own(1))), Ok(()));
        assert_eq!(look(Observation::Shown(stage.own(1))), Ok(()));
        assert_eq!(look(Observation::Sending(stage.own(2))), Ok(()));
        let foreign = stage.signed(0, 77).into();
        assert_eq!(look(Observation::Shown(&foreign)), Ok(()));
        assert_eq!(look(Observation::Sending(stage.own(2))), Ok(()));
        assert!(
            look(Observation::Sending(stage.own(3)))
                .unwrap_err()
                .contains("after it was shown")
        );
    }
}
