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
