//! No correct validator ever sends two blocks for one round, whatever crashes.

use std::collections::BTreeMap;

use probity_core::Slot;
use probity_core::crypto::Digest;

use super::{Checker, Observation, Scene};

#[derive(Default)]
pub(super) struct OneBlockARound {
    sent: BTreeMap<Slot, Digest>,
}

impl Checker for OneBlockARound {
    fn promise(&self) -> &'static str {
        "a correct validator sends one block a round, ever"
    }

    fn look(&mut self, _: &Scene<'_>, seen: &Observation<'_>) -> Result<(), String> {
        let Observation::Sending(block) = seen else {
            return Ok(());
        };
        let reference = block.reference();
        let first = *self
            .sent
            .entry(reference.slot())
            .or_insert(reference.digest);
        if first == reference.digest {
            return Ok(());
        }
        Err(format!("two blocks for round {}", reference.round))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::OneBlockARound;
    use crate::checker::Observation;
    use crate::checker::stage::Stage;

    #[test]
    fn a_second_block_of_a_round_is_seen() {
        let stage = Stage::full_dag(1);
        let mut checker = OneBlockARound::default();
        let (one, two) = (Arc::new(stage.signed(0, 1)), Arc::new(stage.signed(0, 2)));
        let mut send = |block| stage.look(&mut checker, 0, &Observation::Sending(block));
        assert_eq!(send(&one), Ok(()));
        assert_eq!(send(&one), Ok(()));
        assert!(send(&two).unwrap_err().contains("two blocks"));
    }
}
