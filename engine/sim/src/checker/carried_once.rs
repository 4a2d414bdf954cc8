//! A correct validator carries a proof of equivocation once, unless the block that carried it was collected in vain, and
//! not at all when a block that it links at the same time carries one about the same slot (R12).

use std::collections::BTreeMap;

use probity_core::{Block, EquivocationProof, Round, Slot};

use super::bound::durable_gc_round;
use super::{Checker, Observation, Scene};

#[derive(Default)]
pub(super) struct CarriedOnce {
    /// By process and accused slot: the last own round that carried a proof.
    carried: BTreeMap<(usize, Slot), Round>,
}

impl Checker for CarriedOnce {
    fn promise(&self) -> &'static str {
        "a correct validator carries a proof of equivocation once"
    }

    fn look(&mut self, scene: &Scene<'_>, seen: &Observation<'_>) -> Result<(), String> {
        let Observation::Sending(block) = seen else {
            return Ok(());
        };
        let round = block.round();
        for slot in block.header().evidence.iter().map(EquivocationProof::slot) {
            let (author, of) = (slot.author, slot.round);
            if let Some(parent) = linked_with(scene, block, slot) {
                return Err(format!(
                    "round {round} carries a proof about {author} in round {of}, and so does its parent by {parent}"
                ));
            }
            let before = self.carried.insert((scene.process, slot), round);
            // What is collected when the block is sent was not all collected when it was made; never the reverse.
            if before.is_some_and(|before| before != round && before > durable_gc_round(scene)) {
                return Err(format!(
                    "round {round} carries a proof about {author} in round {of} again, after {before:?}"
                ));
            }
        }
        Ok(())
    }
}

/// The author of a parent, not the own one, that carries a proof about this slot.
fn linked_with(
    scene: &Scene<'_>,
    block: &Block,
    slot: Slot,
) -> Option<probity_core::ValidatorIndex> {
    let others = block.parents().iter().skip(1);
    let mut parents = others.filter_map(|parent| scene.blocks.get(&parent.digest));
    let carries = |parent: &&std::sync::Arc<Block>| {
        let mut slots = parent.header().evidence.iter().map(EquivocationProof::slot);
        slots.any(|carried| carried == slot)
    };
    parents.find(carries).map(|parent| parent.author())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use probity_core::{Block, EquivocationProof, Payload, Proposal, Slot};

    use super::CarriedOnce;
    use crate::checker::Observation;
    use crate::checker::stage::Stage;

    fn carrying(stage: &Stage, round: u32, proof: &EquivocationProof) -> Arc<Block> {
        let own = stage.own(round);
        let mut header = own.header().clone();
        header.evidence = vec![proof.clone()];
        header.payload = Payload::empty().describe();
        Arc::new(Proposal::new(header, Payload::empty()).seal(*own.signature()))
    }

    fn proof(stage: &Stage) -> EquivocationProof {
        let (a, b) = (stage.signed(3, 1), stage.signed(3, 2));
        let slot: Slot = a.reference().slot();
        let part = |block: &Block| (block.header_digest(), *block.signature());
        EquivocationProof::new(slot, part(&a), part(&b)).unwrap()
    }

    #[test]
    fn a_proof_that_is_carried_again_is_seen() {
        // The gc depth of the scene is 8: a leader of round 10 makes gc round 2.
        let mut stage = Stage::full_dag(14);
        let proof = proof(&stage);
        let mut checker = CarriedOnce::default();
        let (first, second) = (carrying(&stage, 2, &proof), carrying(&stage, 3, &proof));
        assert_eq!(
            stage.look(&mut checker, 0, &Observation::Sending(&first)),
            Ok(())
        );
        assert_eq!(
            stage.look(&mut checker, 0, &Observation::Sending(&first)),
            Ok(())
        );
        let again = stage.look(&mut checker, 0, &Observation::Sending(&second));
        assert!(again.unwrap_err().contains("again"));

        let mut checker = CarriedOnce::default();
        let late = carrying(&stage, 12, &proof);
        assert_eq!(
            stage.look(&mut checker, 0, &Observation::Sending(&first)),
            Ok(())
        );
        let commits = stage.commits();
        let record = commits
            .iter()
            .find(|commit| commit.record.leader.round.0 == 10);
        stage.store_commit(&record.unwrap().record);
        let collected = stage.look(&mut checker, 0, &Observation::Sending(&late));
        assert_eq!(collected, Ok(()), "its block was collected");
    }
}
