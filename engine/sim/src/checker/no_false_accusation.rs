//! Evidence proves something, and never against a correct validator (R12).

use probity_core::verify_evidence;

use super::{Checker, Observation, Scene};

pub(super) struct NoFalseAccusation;

impl Checker for NoFalseAccusation {
    fn promise(&self) -> &'static str {
        "evidence holds, and only against validators that equivocated"
    }

    fn look(&mut self, scene: &Scene<'_>, seen: &Observation<'_>) -> Result<(), String> {
        let Observation::Accused(proof) = seen else {
            return Ok(());
        };
        let (author, round) = (proof.author, proof.round);
        if scene.is_correct(author) {
            return Err(format!("{author} is correct and accused for round {round}"));
        }
        if !verify_evidence(proof, scene.committee) {
            return Err(format!(
                "the proof against {author} for round {round} proves nothing"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use probity_core::Slot;
    use probity_core::block::EquivocationProof;

    use super::NoFalseAccusation;
    use crate::checker::Observation;
    use crate::checker::stage::Stage;
    use crate::plan::Sinner;

    fn proof(stage: &Stage) -> EquivocationProof {
        let (a, b) = (stage.signed(0, 1), stage.signed(0, 2));
        let slot: Slot = a.reference().slot();
        let part = |block: &probity_core::Block| (block.header_digest(), *block.signature());
        EquivocationProof::new(slot, part(&a), part(&b)).unwrap()
    }

    #[test]
    fn an_accusation_of_a_correct_validator_is_seen() {
        let mut stage = Stage::full_dag(1);
        let proof = proof(&stage);
        let seen = Observation::Accused(&proof);
        let how = stage.look(&mut NoFalseAccusation, 1, &seen);
        assert!(how.unwrap_err().contains("is correct"));
        stage.plan.sinners.push(Sinner {
            validator: 0,
            sin: "equivocator".to_owned(),
        });
        assert_eq!(stage.look(&mut NoFalseAccusation, 1, &seen), Ok(()));
        let mut forged = proof.clone();
        forged.second.1.0[0] ^= 1;
        let how = stage.look(&mut NoFalseAccusation, 1, &Observation::Accused(&forged));
        assert!(how.unwrap_err().contains("proves nothing"));
    }
}
