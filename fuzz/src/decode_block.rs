//! Bytes of a block, as a peer would send them.

use bytes::Bytes;
use probity_core::limits::{PAYLOAD_BYTES_MAX, PAYLOAD_TRANSACTIONS_MAX, TRANSACTION_BYTES_MAX};
use probity_core::record::{RecordSource, RecordTable, read_block};
use probity_core::{
    Accusation, Block, CommitRecord, EvidenceFile, Payload, Proposal, Rejected, VerifiedBlock,
    digest_of, verify_block, verify_evidence,
};

use crate::committee::{MostAccepted, committee};
use crate::sign_anew::{Describe, SignedAnew, sign_anew};
use crate::{bounded, check_message};

/// Judges `data` as a block, as a message, as a commit record and as an evidence file.
///
/// - Nothing panics, whatever the bytes are.
/// - A block that is accepted keeps R4 and re-encodes to the same bytes (R2).
/// - Mutated bytes hardly ever carry a valid signature, so bytes laid out like a block are also signed anew by their
///   author and judged again: that reaches everything behind the signature.
///
/// # Panics
/// When one of these promises is broken.
pub fn decode_block(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    check_message(&bytes);
    check_record(&bytes);
    check_evidence_file(&bytes);
    if let Ok(verified) = verify(&bytes) {
        check_accepted(verified.block(), &bytes);
    }
    for describe in [Describe::AsFound, Describe::Payload] {
        if let Some(block) = sign_anew(data, describe) {
            check_signed_anew(&block);
        }
    }
}

/// Decodes and checks, within bounded memory.
fn verify(bytes: &Bytes) -> Result<VerifiedBlock, Rejected> {
    bounded(bytes.len(), || {
        verify_block(bytes, committee(), &MostAccepted)
    })
}

/// A commit record that decodes has one encoding (R2); catch-up carries it from one disk to another.
fn check_record(bytes: &Bytes) {
    if let Ok(record) = bounded(bytes.len(), || CommitRecord::decode(bytes)) {
        assert_eq!(
            record.encode(),
            *bytes,
            "a record re-encodes to other bytes"
        );
        assert_eq!(record.digest(), digest_of(bytes));
    }
}

/// An evidence file that decodes has one encoding. Of one that holds each proof holds alone: none is signed here but those
/// of the first inputs, of the first epoch.
fn check_evidence_file(bytes: &Bytes) {
    let Ok(file) = bounded(bytes.len(), || EvidenceFile::decode(bytes)) else {
        return;
    };
    assert_eq!(file.encode(), *bytes, "an evidence file");
    for Accusation { epoch, key, proof } in file.verify(committee()).unwrap_or_default() {
        assert_eq!(epoch, 0, "an end that nobody certified");
        let member = committee().member(proof.author);
        assert_eq!(member.map(|member| member.key), Some(key), "the accused");
        assert!(verify_evidence(&proof, committee()), "unsigned headers");
    }
}

fn check_signed_anew(signed: &SignedAnew) {
    match verify(&signed.bytes) {
        Ok(verified) => check_accepted(verified.block(), &signed.bytes),
        Err(rejected) => {
            // R25: votes count under a valid signature, whatever else is wrong. Round 0 and lists over their limits
            // are refused before that.
            let votes = rejected
                .votes
                .is_some_and(|votes| votes.verify(committee()));
            assert!(votes || !signed.judged, "a valid signature went unnoticed");
        }
    }
}

/// An accepted block re-encodes from its values, reads back from storage, and keeps R4 in its plainest wording.
fn check_accepted(block: &Block, bytes: &Bytes) {
    let transactions: Vec<&[u8]> = block.payload().iter().collect();
    let payload = Payload::from_transactions(&transactions);
    let again = Proposal::new(block.header().clone(), payload).seal(*block.signature());
    assert_eq!(
        again, *block,
        "a block built from the same values is another one"
    );
    let encoded = [&again.signed_header()[..], &again.payload().bytes()[..]].concat();
    assert_eq!(
        encoded,
        bytes[..],
        "an accepted block re-encodes to other bytes"
    );

    let read = read_block(&Stored(block), block.header().epoch, &block.reference());
    let read = read
        .expect("the records are sound")
        .expect("the header is there");
    assert_eq!(
        **read.block(),
        *block,
        "a block reads back from storage as another one"
    );

    check_parents(block);
    assert!(block.payload().bytes().len() <= PAYLOAD_BYTES_MAX);
    assert!(transactions.len() <= PAYLOAD_TRANSACTIONS_MAX);
    assert!(
        transactions
            .iter()
            .all(|transaction| transaction.len() <= TRANSACTION_BYTES_MAX)
    );
}

/// R4.2 to R4.4, said once more and slowly.
fn check_parents(block: &Block) {
    let (own, others) = block.parents().split_first().expect("R4.2: an own parent");
    assert_eq!(
        own.author,
        block.author(),
        "R4.2: the first parent is an own one"
    );
    let mut authors: Vec<_> = others.iter().map(|parent| parent.author).collect();
    assert!(!authors.contains(&block.author()), "R4.2: one own parent");
    assert!(authors.is_sorted(), "R4.2: rising authors");
    authors.dedup();
    assert_eq!(authors.len(), others.len(), "R4.2: each author once");

    let mut previous_round = 0;
    for parent in block.parents() {
        assert!(parent.round < block.round(), "R4.3: parents come before");
        if parent.round.next() == block.round() {
            previous_round += committee().weight(parent.author);
        }
    }
    let oldest = block.round().minus(committee().gc_depth());
    assert!(
        others.iter().all(|parent| parent.round >= oldest),
        "R4.3: not too old"
    );
    assert!(
        previous_round >= committee().thresholds().quorum,
        "R4.4: a quorum below"
    );
}

/// A store that holds one block.
struct Stored<'a>(&'a Block);

impl RecordSource for Stored<'_> {
    type Error = std::convert::Infallible;

    fn read(&self, table: RecordTable, _: &[u8]) -> Result<Option<Bytes>, Self::Error> {
        Ok(match table {
            RecordTable::Headers => Some(self.0.signed_header().clone()),
            RecordTable::Payloads => Some(self.0.payload().bytes().clone()),
            RecordTable::Epoch
            | RecordTable::Own
            | RecordTable::Commits
            | RecordTable::Tip
            | RecordTable::Agenda
            | RecordTable::EpochEnd
            | RecordTable::Certificates
            | RecordTable::Notes
            | RecordTable::Reputation
            | RecordTable::Evidence => None,
        })
    }

    fn scan(
        &self,
        _: RecordTable,
        _: &[u8],
        _: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Self::Error> {
        Ok(())
    }
}
