//! Large inputs that once took far more memory than they have bytes. They stay out of the corpus: a fuzzer slows
//! down with the size of its inputs.

use bytes::{BufMut, Bytes, BytesMut};
use probity_core::block::genesis_ref;
use probity_core::crypto::Digest;
use probity_core::limits::PAYLOAD_TRANSACTIONS_MAX;
use probity_core::{
    BlockRef, COMMIT_RECORD_VERSION, CommitIndex, CommitRecord, EvidenceFile, Header,
    PROTOCOL_VERSION, Payload, Proposal, Reject, Round, ValidatorIndex, verify_block,
};
use probity_fuzz::bounded;
use probity_fuzz::committee::{INVALID, MostAccepted, committee, keypair};

/// An empty transaction has 4 bytes, and a slice of it 16.
#[test]
fn a_block_of_empty_transactions_is_verified_in_bounded_memory() {
    let mut transactions = vec![&b""[..]; PAYLOAD_TRANSACTIONS_MAX];
    let bytes = block(&transactions);
    let verified = bounded(bytes.len(), || {
        verify_block(&bytes, committee(), &MostAccepted)
    });
    assert!(verified.is_ok());

    // The position is that in the block, not in the part that was checked with it.
    for at in [0, 2047, 2048, 50_001, PAYLOAD_TRANSACTIONS_MAX - 1] {
        transactions[at] = INVALID;
        let refused = verify_block(&block(&transactions), committee(), &MostAccepted);
        assert_eq!(refused.unwrap_err().reject, Reject::Transaction(at));
        transactions[at] = b"";
    }
}

/// Ends of epochs and epochs with proofs that are announced and not there, or as small as they can be.
#[test]
fn an_evidence_file_that_announces_much_takes_bounded_memory() {
    let head = |ends: u32| {
        let mut bytes = BytesMut::from(&b"probevid"[..]);
        bytes.put_u16_le(2);
        bytes.put_bytes(0, 32);
        bytes.put_u32_le(ends);
        bytes
    };
    let mut announced = head(2_000_000);
    announced.put_bytes(0, 1 << 20);
    let mut short_ends = head(8_000);
    for _ in 0..8_000 {
        short_ends.put_u32_le(128);
        short_ends.put_bytes(7, 128);
    }
    let mut one_proof_each = head(0);
    one_proof_each.put_u32_le(5_000);
    for epoch in 0..5_000 {
        one_proof_each.put_u64_le(epoch);
        one_proof_each.put_u32_le(1);
        one_proof_each.put_bytes(1, 198);
    }
    for bytes in [announced, short_ends, one_proof_each] {
        let bytes = bytes.freeze();
        let decoded = bounded(bytes.len(), || EvidenceFile::decode(&bytes));
        assert!(decoded.is_err(), "{} bytes", bytes.len());
    }
}

/// Four bytes announce four million blocks of 39 bytes; the record holds a megabyte.
#[test]
fn a_record_that_announces_much_takes_bounded_memory() {
    let record = CommitRecord {
        version: COMMIT_RECORD_VERSION,
        epoch: 0,
        index: CommitIndex(1),
        previous: Digest::ZERO,
        leader: BlockRef {
            round: Round(1),
            author: ValidatorIndex(0),
            digest: Digest::ZERO,
        },
        blocks: Vec::new(),
        timestamp_ms: 0,
        skipped: Vec::new(),
        schedule: 0,
        reputation: Digest::ZERO,
        next: Digest::ZERO,
    };
    let encoded = record.encode();
    let mut bytes = BytesMut::from(&encoded[..encoded.len() - 8]);
    bytes.put_u32_le(1 << 22);
    bytes.put_bytes(0, 1 << 20);
    let bytes = bytes.freeze();
    let decoded = bounded(bytes.len(), || CommitRecord::decode(&bytes));
    assert!(decoded.is_err(), "the announced blocks are not there");
}

fn block(transactions: &[&[u8]]) -> Bytes {
    let payload = Payload::from_transactions(transactions);
    let author = ValidatorIndex(0);
    let parent = |author| genesis_ref(committee(), author).expect("a member");
    let header = Header {
        version: PROTOCOL_VERSION,
        chain: *committee().chain(),
        epoch: 0,
        round: Round(1),
        author,
        timestamp_ms: 0,
        payload: payload.describe(),
        parents: committee().indices().map(parent).collect(),
        evidence: Vec::new(),
        commit_votes: Vec::new(),
    };
    let proposal = Proposal::new(header, payload);
    let signature = keypair(author).sign(&proposal.preimage());
    let block = proposal.seal(signature);
    [&block.signed_header()[..], block.payload().bytes()]
        .concat()
        .into()
}
