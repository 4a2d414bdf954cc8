//! What must survive a restart, as (table, key, value) (docs/storage-format.md).
//!
//! | table | key, big-endian | value |
//! |---|---|---|
//! | `Epoch` | epoch | chain id |
//! | `Headers` | epoch, round, author, digest | signed header |
//! | `Payloads` | epoch, round, author, payload root | payload bytes; absent when empty |
//! | `Own` | epoch | the own header of the highest round, not signed |
//! | `Commits` | index | commit record |
//! | `Tip` | epoch | index of the last commit, little-endian |
//! | `Reputation` | epoch | scores and schedules after a recent commit |
//! | `Evidence` | epoch, author, round | a proof of equivocation |
//! | `Agenda` | epoch | votes for changes and the next charter |
//! | `EpochEnd` | epoch | the last commit, its certificate, the next charter |
//! | `Certificates` | epoch, index | a commit certificate, one in some hundred commits (R35) |
//! | `Notes` | epoch, index, number | what a commit decided about the committee |

use bytes::{BufMut, Bytes, BytesMut};

use crate::block::{Block, BlockRef, EquivocationProof, Header, Proposal, Slot};
use crate::codec::{DecodeError, PROOF_BYTES, Put, Reader, decode_unsigned_header};
use crate::commit::CommitRecord;
use crate::committee::Committee;
use crate::crypto::Digest;
use crate::epoch::{EpochEnd, Note};
use crate::finality::CommitCertificate;
use crate::id::{CommitIndex, Round};
use crate::limits::{COMMITS_BYTES_MAX, COMMITS_MAX};
use crate::verify::{Reject, VerifiedBlock, read_stored_block, read_stored_header};

/// The tables of the core. The shell maps them to its storage's tables by number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum RecordTable {
    /// Which chain this store belongs to.
    Epoch = 0,
    /// Accepted blocks' signed headers.
    Headers = 1,
    /// Their payloads.
    Payloads = 2,
    /// The own header of the highest round.
    Own = 3,
    /// Commit records.
    Commits = 4,
    /// The last commit's index.
    Tip = 5,
    /// Scores and schedules after a recent commit; 6 belongs to the shell.
    Reputation = 7,
    /// Proofs of equivocation.
    Evidence = 8,
    /// Votes for changes and the next epoch's charter, after the last commit that moved them.
    Agenda = 9,
    /// How an epoch ended.
    EpochEnd = 10,
    /// Certificates for those who catch up.
    Certificates = 11,
    /// What commits decided about the committee.
    Notes = 12,
}

/// One record to write.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The table.
    pub table: RecordTable,
    /// The key.
    pub key: Bytes,
    /// The value; it replaces the one before.
    pub value: Bytes,
}

/// Where records are read from again.
pub trait RecordSource {
    /// Why reading failed.
    type Error;

    /// The value under `key`.
    ///
    /// # Errors
    /// When the store cannot answer.
    fn read(&self, table: RecordTable, key: &[u8]) -> Result<Option<Bytes>, Self::Error>;

    /// Calls `visit` for the records from `from` on, in the order of their keys, until it returns `false`.
    ///
    /// # Errors
    /// When the store cannot answer.
    fn scan(
        &self,
        table: RecordTable,
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Self::Error>;
}

impl<S: RecordSource> RecordSource for &S {
    type Error = S::Error;

    fn read(&self, table: RecordTable, key: &[u8]) -> Result<Option<Bytes>, Self::Error> {
        S::read(self, table, key)
    }

    fn scan(
        &self,
        table: RecordTable,
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Self::Error> {
        S::scan(self, table, from, visit)
    }
}

/// The key of a round's first record in [`RecordTable::Headers`] and [`RecordTable::Payloads`].
#[must_use]
pub fn round_key(epoch: u64, round: Round) -> Bytes {
    let mut key = BytesMut::with_capacity(12);
    key.put_u64(epoch);
    key.put_u32(round.0);
    key.freeze()
}

fn slot_key(epoch: u64, slot: Slot, digest: &Digest) -> Bytes {
    let mut key = BytesMut::with_capacity(46);
    key.put_u64(epoch);
    key.put_u32(slot.round.0);
    key.put_u16(slot.author.0);
    key.put_slice(digest.as_bytes());
    key.freeze()
}

/// The key of a block's signed header.
#[must_use]
pub fn header_key(epoch: u64, reference: &BlockRef) -> Bytes {
    slot_key(epoch, reference.slot(), &reference.digest)
}

/// The key of a payload, which a slot's blocks with the same payload share.
#[must_use]
pub fn payload_key(epoch: u64, slot: Slot, root: &Digest) -> Bytes {
    slot_key(epoch, slot, root)
}

/// The key of a commit record.
#[must_use]
pub fn commit_key(index: CommitIndex) -> Bytes {
    Bytes::copy_from_slice(&index.0.to_be_bytes())
}

/// The key of a commit certificate.
#[must_use]
pub fn certificate_key(epoch: u64, index: CommitIndex) -> Bytes {
    let mut key = BytesMut::with_capacity(16);
    key.put_u64(epoch);
    key.put_u64(index.0);
    key.freeze()
}

/// The key of what exists once an epoch.
#[must_use]
pub fn epoch_key(epoch: u64) -> Bytes {
    Bytes::copy_from_slice(&epoch.to_be_bytes())
}

fn evidence_key(epoch: u64, slot: Slot) -> Bytes {
    let mut key = BytesMut::with_capacity(14);
    key.put_u64(epoch);
    key.put_u16(slot.author.0);
    key.put_u32(slot.round.0);
    key.freeze()
}

impl Record {
    fn new(table: RecordTable, key: Bytes, value: Bytes) -> Self {
        Self { table, key, value }
    }

    /// Which chain the store belongs to. Replicas write it themselves; who only follows epochs does not have one.
    #[must_use]
    pub fn epoch(committee: &Committee) -> Self {
        let chain = Bytes::copy_from_slice(committee.chain().as_bytes());
        Self::new(RecordTable::Epoch, epoch_key(committee.epoch()), chain)
    }

    /// An accepted block; `payload` is left out when it was written with the own header.
    pub(crate) fn header(block: &Block) -> Self {
        let key = header_key(block.header().epoch, &block.reference());
        Self::new(RecordTable::Headers, key, block.signed_header().clone())
    }

    /// A block's payload, unless it is empty.
    pub(crate) fn payload(block: &Block) -> Option<Self> {
        let header = block.header();
        let key = payload_key(header.epoch, header.slot(), &header.payload.root);
        (!block.payload().is_empty())
            .then(|| Self::new(RecordTable::Payloads, key, block.payload().bytes().clone()))
    }

    /// An own header before it is signed, with its payload (R11).
    pub(crate) fn own(proposal: &Proposal) -> Vec<Self> {
        let header = proposal.header();
        let bytes = proposal.header_bytes().clone();
        let mut records = vec![Self::new(RecordTable::Own, epoch_key(header.epoch), bytes)];
        if !proposal.payload().is_empty() && !planted!(OwnPayloadLost) {
            let key = payload_key(header.epoch, header.slot(), &header.payload.root);
            let bytes = proposal.payload().bytes().clone();
            records.push(Self::new(RecordTable::Payloads, key, bytes));
        }
        records
    }

    /// A commit and the new tip.
    pub(crate) fn commit(record: &CommitRecord, encoded: Bytes) -> [Self; 2] {
        let tip = Bytes::copy_from_slice(&record.index.0.to_le_bytes());
        [
            Self::new(RecordTable::Commits, commit_key(record.index), encoded),
            Self::new(RecordTable::Tip, epoch_key(record.epoch), tip),
        ]
    }
}

impl Record {
    /// Votes for changes and the next charter after a commit; written with it.
    pub(crate) fn agenda(epoch: u64, agenda: Bytes) -> Self {
        Self::new(RecordTable::Agenda, epoch_key(epoch), agenda)
    }

    /// A certificate for those who catch up (R35).
    pub(crate) fn certificate(epoch: u64, certificate: &CommitCertificate) -> Self {
        let key = certificate_key(epoch, certificate.index);
        Self::new(RecordTable::Certificates, key, certificate.encode())
    }

    /// What a commit decided about the committee; written with it.
    pub(crate) fn note((epoch, index, number): (u64, CommitIndex, u16), note: &Note) -> Self {
        let mut key = BytesMut::with_capacity(18);
        key.put_u64(epoch);
        key.put_u64(index.0);
        key.put_u16(number);
        Self::new(RecordTable::Notes, key.freeze(), note.encode())
    }

    /// How an epoch ended.
    pub(crate) fn epoch_end(end: &EpochEnd) -> Self {
        let key = epoch_key(end.record.epoch);
        Self::new(RecordTable::EpochEnd, key, end.encode())
    }

    /// Scores and schedules after a commit; written with it.
    pub(crate) fn reputation(epoch: u64, snapshot: Bytes) -> Self {
        Self::new(RecordTable::Reputation, epoch_key(epoch), snapshot)
    }

    /// A proof of equivocation, kept for the epoch (R12).
    #[must_use]
    pub fn evidence(epoch: u64, proof: &EquivocationProof) -> Self {
        let mut value = BytesMut::with_capacity(PROOF_BYTES);
        value.put_evidence(proof);
        let key = evidence_key(epoch, proof.slot());
        Self::new(RecordTable::Evidence, key, value.freeze())
    }
}

/// Reads a value of [`RecordTable::Own`] back.
///
/// # Errors
/// When the bytes are no header.
pub fn read_own_header(value: &Bytes) -> Result<Header, DecodeError> {
    decode_unsigned_header(value)
}

/// Why a stored block or commit could not be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReadError<E> {
    /// The store failed.
    Store(E),
    /// What it holds is not what was written.
    Damaged(Reject),
}

/// Reads a block back.
///
/// # Errors
/// When the store fails or its records do not make the block named.
pub fn read_block<S: RecordSource>(
    source: &S,
    epoch: u64,
    reference: &BlockRef,
) -> Result<Option<VerifiedBlock>, ReadError<S::Error>> {
    let key = header_key(epoch, reference);
    let header = source
        .read(RecordTable::Headers, &key)
        .map_err(ReadError::Store)?;
    let Some(header) = header else {
        return Ok(None);
    };
    let payload = read_payload(source, &header)?;
    let block = read_stored_block(reference, &header, payload).map_err(ReadError::Damaged)?;
    Ok(Some(block))
}

fn read_payload<S: RecordSource>(
    source: &S,
    signed_header: &Bytes,
) -> Result<Bytes, ReadError<S::Error>> {
    let (_, header) = read_stored_header(signed_header).map_err(ReadError::Damaged)?;
    if header.payload.count == 0 {
        return Ok(Bytes::new());
    }
    let key = payload_key(header.epoch, header.slot(), &header.payload.root);
    let payload = source
        .read(RecordTable::Payloads, &key)
        .map_err(ReadError::Store)?;
    payload.ok_or(ReadError::Damaged(Reject::Payload))
}

/// The answer to [`crate::Message::FetchCommits`] (R35): records in a row from `first` on, within the limits of an answer.
///
/// # Errors
/// When the store fails.
pub fn read_commits<S: RecordSource>(
    source: &S,
    first: CommitIndex,
    count: u8,
) -> Result<Vec<Bytes>, S::Error> {
    let mut records = Vec::new();
    let mut left = COMMITS_BYTES_MAX;
    // A peer names the first one; behind the greatest number there is none.
    let last = first.0.saturating_add(u64::from(count));
    for index in (first.0..last).take(COMMITS_MAX) {
        let record = source.read(RecordTable::Commits, &commit_key(CommitIndex(index)))?;
        let Some(record) = record else { break };
        if !records.is_empty() && record.len() > left {
            break;
        }
        left = left.saturating_sub(record.len());
        records.push(record);
    }
    Ok(records)
}

/// The answer to [`crate::Message::FetchCertificate`] from the store (R35): the kept certificate of the least commit at or
/// above `at_least`.
///
/// # Errors
/// When the store fails.
pub fn read_certificate<S: RecordSource>(
    source: &S,
    epoch: u64,
    at_least: CommitIndex,
) -> Result<Option<Bytes>, S::Error> {
    let mut found = None;
    let visit = &mut |key: &[u8], value: &[u8]| {
        if key.starts_with(&epoch.to_be_bytes()) {
            found = Some(Bytes::copy_from_slice(value));
        }
        false
    };
    let from = certificate_key(epoch, at_least);
    source.scan(RecordTable::Certificates, &from, visit)?;
    Ok(found)
}

/// Reads an epoch's proofs of equivocation back, by author and round (R12).
///
/// # Errors
/// When the store fails, or a record is not a proof about the slot in its key.
pub fn read_evidence<S: RecordSource>(
    source: &S,
    epoch: u64,
) -> Result<Vec<EquivocationProof>, ReadError<S::Error>> {
    let mut found = Ok(Vec::new());
    let visit = &mut |key: &[u8], value: &[u8]| {
        let ours = key.starts_with(&epoch.to_be_bytes());
        if let (true, Ok(proofs)) = (ours, &mut found) {
            match read_proof(epoch, key, value) {
                Ok(proof) => proofs.push(proof),
                Err(reject) => found = Err(ReadError::Damaged(reject)),
            }
        }
        ours && found.is_ok()
    };
    source
        .scan(RecordTable::Evidence, &epoch_key(epoch), visit)
        .map_err(ReadError::Store)?;
    found
}

fn read_proof(epoch: u64, key: &[u8], value: &[u8]) -> Result<EquivocationProof, Reject> {
    let bytes = Bytes::copy_from_slice(value);
    let mut reader = Reader::new(&bytes);
    let proof = reader.evidence().map_err(Reject::Malformed)?;
    reader.finish().map_err(Reject::Malformed)?;
    if evidence_key(epoch, proof.slot()) == key {
        Ok(proof)
    } else {
        Err(Reject::Evidence)
    }
}
