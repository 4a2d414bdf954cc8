//! Before anybody gets an own block, a crash image of the disk holds it, its payload, and its history above the gc
//! round (R11).

use std::collections::BTreeMap;

use probity_core::crypto::Digest;
use probity_core::record::{RecordSource, RecordTable, epoch_key, header_key, payload_key};
use probity_core::{Block, IdMap};

use super::bound::durable_gc_round;
use super::{Checker, Observation, Scene};

#[derive(Default)]
pub(super) struct Durable {
    /// By process: blocks found durable with their history. What is durable stays so while the process lives.
    whole: BTreeMap<usize, IdMap<Digest, ()>>,
}

/// Bytes of the signature at the end of a signed header.
const SIGNATURE_BYTES: usize = 64;

impl Checker for Durable {
    fn promise(&self) -> &'static str {
        "an own block is durable with its history before it is sent"
    }

    fn look(&mut self, scene: &Scene<'_>, seen: &Observation<'_>) -> Result<(), String> {
        match seen {
            Observation::Started { .. } => {
                self.whole.remove(&scene.process);
                Ok(())
            }
            Observation::Sending(block) => {
                let round = block.round();
                if !holds_own(scene, block) {
                    return Err(format!("the header of round {round} is not durable"));
                }
                if !holds_payload(scene, block) {
                    return Err(format!("the payload of round {round} is not durable"));
                }
                self.check_history(scene, block)
            }
            _ => Ok(()),
        }
    }
}

impl Durable {
    fn check_history(&mut self, scene: &Scene<'_>, block: &Block) -> Result<(), String> {
        let gc_round = durable_gc_round(scene);
        let whole = self.whole.entry(scene.process).or_default();
        let mut open = block.parents().to_vec();
        while let Some(reference) = open.pop() {
            if reference.round <= gc_round || whole.contains(&reference.digest) {
                continue;
            }
            let key = header_key(scene.committee.epoch(), &reference);
            let ancestor = scene.blocks.get(&reference.digest);
            let Some(ancestor) = ancestor.filter(|_| scene.disk.holds(RecordTable::Headers, &key))
            else {
                return Err(format!("its ancestor {reference:?} is not durable"));
            };
            if !holds_payload(scene, ancestor) {
                return Err(format!("the payload of {reference:?} is not durable"));
            }
            whole.insert(reference.digest, ());
            open.extend(ancestor.parents());
        }
        Ok(())
    }
}

fn holds_own(scene: &Scene<'_>, block: &Block) -> bool {
    let epoch = scene.committee.epoch();
    let Ok(own) = scene.disk.read(RecordTable::Own, &epoch_key(epoch));
    let signed = block.signed_header();
    let header = &signed[..signed.len() - SIGNATURE_BYTES];
    let key = header_key(epoch, &block.reference());
    own.is_some_and(|own| own == header) || scene.disk.holds(RecordTable::Headers, &key)
}

fn holds_payload(scene: &Scene<'_>, block: &Block) -> bool {
    let header = block.header();
    let key = payload_key(header.epoch, header.slot(), &header.payload.root);
    block.payload().is_empty() || scene.disk.holds(RecordTable::Payloads, &key)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use probity_core::record::{Record, RecordTable, epoch_key};
    use probity_core::{Block, ValidatorIndex};

    use super::Durable;
    use crate::checker::Observation;
    use crate::checker::stage::{Stage, header_record};

    /// The own block of round 3 of validator 0.
    fn own(stage: &Stage) -> Arc<Block> {
        let mut blocks = stage.dag.iter();
        let own = blocks.find(|block| block.round().0 == 3 && block.author() == ValidatorIndex(0));
        Arc::clone(own.unwrap())
    }

    fn own_record(block: &Block) -> Record {
        let signed = block.signed_header();
        Record {
            table: RecordTable::Own,
            key: epoch_key(0),
            value: Bytes::copy_from_slice(&signed[..signed.len() - 64]),
        }
    }

    fn look(stage: &Stage) -> Result<(), String> {
        let seen = Observation::Sending(&own(stage));
        stage.look(&mut Durable::default(), 0, &seen)
    }

    #[test]
    fn a_header_that_is_not_durable_is_seen() {
        let mut stage = Stage::full_dag(3);
        for block in stage.dag.clone() {
            if block.round().0 < 3 {
                stage.store(header_record(&block));
            }
        }
        assert!(look(&stage).unwrap_err().contains("header of round"));
        stage.store(own_record(&own(&stage)));
        assert_eq!(look(&stage), Ok(()));
    }

    #[test]
    fn an_ancestor_that_is_not_durable_is_seen() {
        let mut stage = Stage::full_dag(3);
        stage.store(own_record(&own(&stage)));
        for block in stage.dag.clone() {
            if block.round().0 == 2 {
                stage.store(header_record(&block));
            }
        }
        assert!(look(&stage).unwrap_err().contains("ancestor"));
    }

    #[test]
    fn a_payload_that_is_not_durable_is_seen() {
        let mut stage = Stage::full_dag(1);
        let block = stage.block_with_payload();
        stage.store(own_record(&block));
        let how = stage.look(&mut Durable::default(), 0, &Observation::Sending(&block));
        assert!(how.unwrap_err().contains("payload of round"));
    }
}
