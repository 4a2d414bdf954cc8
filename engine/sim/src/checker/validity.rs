//! What a validator accepts satisfies R4, asked again from scratch: the verdict of the verifier is not believed.

use probity_core::block::genesis_ref;
use probity_core::crypto::{Context, Digest, hash};
use probity_core::limits::{
    COMMIT_VOTES_MAX, EVIDENCE_MAX, HEADER_BYTES_MAX, PAYLOAD_BYTES_MAX, PAYLOAD_TRANSACTIONS_MAX,
    TRANSACTION_BYTES_MAX,
};
use probity_core::record::{Record, RecordTable};
use probity_core::{
    Block, BlockRef, Committee, Header, IdMap, PROTOCOL_VERSION, Round, SignedVotes, Tally,
    TransactionCheck, testing, verify_evidence,
};

use super::reference::reference_of;
use super::{Checker, Observation, Scene};

#[derive(Default)]
pub(super) struct Validity {
    /// Blocks found valid: the verdict is the same for all.
    valid: IdMap<Digest, ()>,
}

impl Checker for Validity {
    fn promise(&self) -> &'static str {
        "accepted blocks are valid"
    }

    fn look(&mut self, scene: &Scene<'_>, seen: &Observation<'_>) -> Result<(), String> {
        let Observation::Persisting(records) = seen else {
            return Ok(());
        };
        for record in *records {
            match record.table {
                RecordTable::Headers => self.check_block(scene, record)?,
                RecordTable::Payloads => check_payload(record)?,
                RecordTable::Epoch
                | RecordTable::Own
                | RecordTable::Commits
                | RecordTable::Tip
                | RecordTable::Reputation
                | RecordTable::Evidence
                | RecordTable::Agenda
                | RecordTable::EpochEnd
                | RecordTable::Certificates
                | RecordTable::Notes => {}
            }
        }
        Ok(())
    }
}

impl Validity {
    fn check_block(&mut self, scene: &Scene<'_>, record: &Record) -> Result<(), String> {
        let Some(reference) = reference_of(&record.key) else {
            return Err("an accepted block has no name".to_owned());
        };
        if self.valid.contains(&reference.digest) {
            return Ok(());
        }
        let Some(block) = scene.blocks.get(&reference.digest) else {
            return Err(format!("{reference:?} was accepted and never verified"));
        };
        match fault(scene.committee, block) {
            Some(fault) => Err(format!("{reference:?} was accepted: {fault}")),
            None => {
                self.valid.insert(reference.digest, ());
                Ok(())
            }
        }
    }
}

/// R4.6: a payload is stored under the root that its header names.
fn check_payload(record: &Record) -> Result<(), String> {
    let root = hash(Context::Payload, &[&record.value]);
    let named = record.key.get(14..46);
    if named == Some(root.as_bytes().as_slice()) {
        return Ok(());
    }
    Err(format!(
        "a payload was accepted under another root than {root:?}"
    ))
}

fn fault(committee: &Committee, block: &Block) -> Option<&'static str> {
    let header = block.header();
    origin_fault(committee, header)
        .or_else(|| parents_fault(committee, header))
        .or_else(|| size_fault(block))
        .or_else(|| payload_fault(block))
        .or_else(|| {
            let proves = |proof| verify_evidence(proof, committee);
            let lies = !header.evidence.iter().all(proves);
            lies.then_some("a proof in it proves nothing")
        })
        .or_else(|| {
            let signed = SignedVotes::of(block).verify(committee);
            (!signed).then_some("its signature does not verify")
        })
}

fn origin_fault(committee: &Committee, header: &Header) -> Option<&'static str> {
    let ours = header.version == PROTOCOL_VERSION
        && header.chain == *committee.chain()
        && header.epoch == committee.epoch();
    if !ours {
        return Some("it is of another chain");
    }
    let placed = header.round > Round::GENESIS && header.author.position() < committee.size();
    (!placed).then_some("its slot does not exist")
}

/// R4.2 to R4.4.
fn parents_fault(committee: &Committee, header: &Header) -> Option<&'static str> {
    let Some((own, others)) = header.parents.split_first() else {
        return Some("it has no parent");
    };
    let mut authors: Vec<_> = others.iter().map(|parent| parent.author).collect();
    authors.sort_unstable();
    authors.dedup();
    let in_order = others
        .iter()
        .map(|parent| parent.author)
        .eq(authors.iter().copied());
    if own.author != header.author || !in_order || authors.contains(&header.author) {
        return Some("its parents are out of order");
    }
    let exists = |parent: &BlockRef| match parent.round {
        Round::GENESIS => genesis_ref(committee, parent.author) == Some(*parent),
        _ => parent.author.position() < committee.size(),
    };
    if !header.parents.iter().all(exists) {
        return Some("a parent cannot exist");
    }
    let oldest = header.round.minus(committee.gc_depth());
    let too_old = others.iter().any(|parent| parent.round < oldest);
    if too_old
        || header
            .parents
            .iter()
            .any(|parent| parent.round >= header.round)
    {
        return Some("a parent's round is out of range");
    }
    let mut below = Tally::default();
    for parent in header
        .parents
        .iter()
        .filter(|p| p.round.next() == header.round)
    {
        below.add(parent.author, committee);
    }
    let thresholds = committee.thresholds();
    let quorum = thresholds.total - thresholds.byzantine - thresholds.crashed;
    (below.weight() < quorum).then_some("its parents are no quorum")
}

fn size_fault(block: &Block) -> Option<&'static str> {
    let header = block.header();
    let fits = block.signed_header().len() <= HEADER_BYTES_MAX
        && header.commit_votes.len() <= COMMIT_VOTES_MAX
        && header.evidence.len() <= EVIDENCE_MAX
        && block.payload().bytes().len() <= PAYLOAD_BYTES_MAX
        && block.payload().count() as usize <= PAYLOAD_TRANSACTIONS_MAX
        && block
            .payload()
            .iter()
            .all(|tx| tx.len() <= TRANSACTION_BYTES_MAX);
    (!fits).then_some("it is too large")
}

fn payload_fault(block: &Block) -> Option<&'static str> {
    if block.payload().describe() != block.header().payload {
        return Some("its payload is not the one described");
    }
    let transactions: Vec<&[u8]> = block.payload().iter().collect();
    let refused = testing::VALID_CHECK.first_invalid(&transactions);
    refused.map(|_| "the application's check refuses a transaction")
}

#[cfg(test)]
mod tests {
    use probity_core::block::EquivocationProof;
    use probity_core::{Block, Header, PROTOCOL_VERSION, Payload, Round};

    use super::Validity;
    use crate::checker::Observation;
    use crate::checker::stage::{Stage, header_record};

    /// Accepts a block of round 2 that was changed and signed again.
    fn look(change: impl FnOnce(&Stage, &mut Header, &mut Payload)) -> String {
        let stage = Stage::full_dag(2);
        let (mut header, mut payload) = (stage.own(2).header().clone(), Payload::empty());
        change(&stage, &mut header, &mut payload);
        let block: Block = stage.sign_header(header, payload);
        let stage = stage.with_blocks(&[block.clone().into()]);
        let records = [header_record(&block)];
        let seen = Observation::Persisting(&records);
        stage
            .look(&mut Validity::default(), 1, &seen)
            .err()
            .unwrap_or_default()
    }

    #[test]
    fn an_accepted_block_that_is_not_valid_is_seen() {
        assert_eq!(look(|_, _, _| {}), "");
        assert!(look(|_, h, _| h.version = PROTOCOL_VERSION + 1).contains("another chain"));
        assert!(look(|_, h, _| h.parents.truncate(2)).contains("no quorum"));
        assert!(look(|_, h, _| h.parents.swap(1, 2)).contains("out of order"));
        assert!(look(|_, h, _| h.parents[1].round = Round(2)).contains("out of range"));
        assert!(look(|_, h, _| h.parents[1].round = Round(0)).contains("cannot exist"));
        assert!(look(|_, h, _| h.payload.count = 1).contains("not the one described"));
        let refused = look(|_, h, payload| {
            *payload = Payload::from_transactions(&[b"invalid"]);
            h.payload = payload.describe();
        });
        assert!(refused.contains("application's check"));
    }

    #[test]
    fn a_proof_of_nothing_is_seen() {
        let libel = look(|stage, header, _| {
            let (a, b) = (stage.signed(1, 1), stage.signed(1, 2));
            let part = |block: &Block| (block.header_digest(), *block.signature());
            let slot = a.reference().slot();
            let mut proof = EquivocationProof::new(slot, part(&a), part(&b)).unwrap();
            proof.second.1.0[0] ^= 1;
            header.evidence.push(proof);
        });
        assert!(libel.contains("proves nothing"));
    }

    #[test]
    fn another_payload_under_a_root_is_seen() {
        let stage = Stage::full_dag(1);
        let mut record = crate::checker::stage::payload_record(&stage.block_with_payload());
        let look = |record| {
            let records = [record];
            stage.look(
                &mut Validity::default(),
                0,
                &Observation::Persisting(&records),
            )
        };
        assert_eq!(look(record.clone()), Ok(()));
        record.value = b"another".as_slice().into();
        assert!(look(record).unwrap_err().contains("another root"));
    }
}
