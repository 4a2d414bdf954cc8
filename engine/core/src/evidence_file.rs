//! Proofs of equivocation as a file that stands for itself (R12).
//!
//! ```text
//!   magic(8) ‖ version(2) ‖ network(32)                                              little-endian
//!     ‖ number(4) ‖ ends of epochs 0, 1, …: length(4) and bytes each
//!     ‖ number(4) ‖ epochs with proofs: epoch(8) ‖ number(4) ‖ proofs(198 each)
//! ```
//!
//! Whoever has the committee of the first epoch checks it offline: no store, no network, no trust in its writer. The
//! committee of a later epoch follows from the ends of all epochs before it, each certified by the committee of its own
//! (R32). So a file is worth as much as the claim that no past committee has sold keys of weight `Q`.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::block::EquivocationProof;
use crate::codec::{DecodeError, ListOf, PROOF_BYTES, Put as _, Reader};
use crate::committee::Committee;
use crate::crypto::{Digest, PublicKey};
use crate::epoch::EpochEnd;
use crate::id::{Round, ValidatorIndex};
use crate::limits::{EVIDENCE_FILE_BYTES_MAX, EVIDENCE_FILE_MAX};
use crate::record::{RecordSource, read_evidence};
use crate::recover::{RecoverError, stored_epochs};
use crate::verify::verify_evidence;

mod fault;

pub use fault::{EvidenceFault, EvidenceFileError};

/// Proofs of equivocation in one network, with what makes the committees of their epochs known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EvidenceFile {
    network: Digest,
    /// Encoded, of the epochs from the first one to the one before the last with proofs.
    ends: Vec<Bytes>,
    /// By ascending epoch, the proofs by author and round; never empty.
    epochs: Vec<EpochEvidence>,
}

/// The proofs of one epoch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EpochEvidence {
    /// The epoch.
    pub epoch: u64,
    /// What its validators did; indices are those of its committee.
    pub proofs: Vec<EquivocationProof>,
}

/// A proof that holds, and whom it accuses: indices change from epoch to epoch, keys do not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Accusation {
    /// The epoch in which it was done.
    pub epoch: u64,
    /// The accused's key; its index in that epoch is [`EquivocationProof::author`].
    pub key: PublicKey,
    /// The proof.
    pub proof: EquivocationProof,
}

impl EvidenceFile {
    /// Puts proofs in order, one about each epoch, author and round; `None` without any. `first` is the first epoch's
    /// committee, and `ends` tell how epochs ended, from the first one on.
    ///
    /// # Errors
    /// When the end of an epoch before one with proofs is missing, an epoch has more proofs than a validator keeps, or
    /// the file would be too long.
    pub fn new(
        first: &Committee,
        ends: &[EpochEnd],
        proofs: Vec<EpochEvidence>,
    ) -> Result<Option<Self>, EvidenceFileError> {
        let mut draft = Draft::new(first);
        for end in ends {
            draft.add_end(end)?;
        }
        for EpochEvidence { epoch, proofs } in proofs {
            draft.add_proofs(epoch, proofs)?;
        }
        draft.finish()
    }

    /// Everything that a store holds, of all epochs; `None` without a proof.
    ///
    /// # Errors
    /// When the store fails, belongs to another network than `first`, the committee of its first epoch, or contradicts
    /// itself; when the file would be too long.
    pub fn load<S: RecordSource>(
        source: &S,
        first: &Arc<Committee>,
    ) -> Result<Option<Self>, RecoverError<S::Error>> {
        let mut draft = Draft::new(first);
        for stored in stored_epochs(source, first) {
            let stored = stored?;
            let epoch = stored.committee.epoch();
            let proofs = read_evidence(source, epoch).map_err(RecoverError::from_read)?;
            draft
                .add_proofs(epoch, proofs)
                .map_err(RecoverError::Evidence)?;
            if let Some(end) = &stored.end {
                draft.add_end(end).map_err(RecoverError::Evidence)?;
            }
        }
        draft.finish().map_err(RecoverError::Evidence)
    }

    /// Chain id of the network's first epoch.
    #[must_use]
    pub fn network(&self) -> &Digest {
        &self.network
    }

    /// The proofs by epoch, author and round.
    #[must_use]
    pub fn epochs(&self) -> &[EpochEvidence] {
        &self.epochs
    }

    /// How many proofs there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.epochs.iter().map(|epoch| epoch.proofs.len()).sum()
    }

    /// The file's bytes: always the same for the same proofs and ends.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(self.encoded_bytes());
        bytes.put_slice(MAGIC);
        bytes.put_u16_le(VERSION);
        bytes.put_slice(self.network.as_bytes());
        bytes.put_u32_le(count_of(self.ends.len()));
        for end in &self.ends {
            bytes.put_u32_le(count_of(end.len()));
            bytes.put_slice(end);
        }
        bytes.put_u32_le(count_of(self.epochs.len()));
        for EpochEvidence { epoch, proofs } in &self.epochs {
            bytes.put_u64_le(*epoch);
            bytes.put_u32_le(count_of(proofs.len()));
            proofs.iter().for_each(|proof| bytes.put_evidence(proof));
        }
        bytes.freeze()
    }

    fn encoded_bytes(&self) -> usize {
        let ends: usize = self.ends.iter().map(|end| 4 + end.len()).sum();
        HEAD_BYTES + ends + self.epochs.len() * EPOCH_BYTES + self.count() * PROOF_BYTES
    }

    /// Reads a file's bytes; nothing is verified. What it takes in memory is a small multiple of their number.
    ///
    /// # Errors
    /// When they are not the one encoding of anything.
    pub fn decode(bytes: &Bytes) -> Result<Self, EvidenceFileError> {
        let mut reader = Reader::new(bytes);
        let magic: [u8; 8] = reader.array()?;
        if magic != *MAGIC {
            return Err(EvidenceFileError::Magic);
        }
        let version = reader.u16()?;
        if version != VERSION {
            return Err(EvidenceFileError::Version(version));
        }
        if bytes.len() > EVIDENCE_FILE_BYTES_MAX {
            return Err(EvidenceFileError::TooLong { bytes: bytes.len() });
        }
        let network = reader.digest()?;
        let ends = read_ends(&mut reader)?;
        let epochs = read_epochs(&mut reader)?;
        reader.finish()?;
        if !epochs.is_sorted_by(|a, b| a.epoch < b.epoch) {
            return Err(EvidenceFileError::Order);
        }
        let last = epochs.last().ok_or(EvidenceFileError::Empty)?.epoch;
        check_ends(ends.len(), last)?;
        Ok(Self {
            network,
            ends,
            epochs,
        })
    }

    /// Whether every proof shows that a member of its epoch's committee signed two headers of one slot (R3, R12); who it
    /// was, by epoch, author and round. `first` is the committee of the network's first epoch.
    ///
    /// # Errors
    /// When the committee is that of another network, the end of an epoch is not certified by that epoch's committee, or
    /// names the first proof that does not hold.
    pub fn verify(&self, first: &Committee) -> Result<Vec<Accusation>, EvidenceFault> {
        if self.network != *first.chain() {
            return Err(EvidenceFault::Network {
                found: self.network,
                expected: *first.chain(),
            });
        }
        let mut accusations = Vec::with_capacity(self.count());
        let mut ends = self.ends.iter();
        // One committee at a time: a file may tell of very many.
        let mut later = None;
        for evidence in &self.epochs {
            loop {
                let committee: &Committee = later.as_deref().unwrap_or(first);
                if committee.epoch() >= evidence.epoch {
                    break accuse(committee, evidence, &mut accusations)?;
                }
                let epoch = committee.epoch();
                let end = ends.next().ok_or(EvidenceFault::End { epoch })?;
                later = Some(follow(committee, end)?);
            }
        }
        Ok(accusations)
    }
}

/// The committee after this one, if this one has certified its end.
fn follow(committee: &Committee, end: &Bytes) -> Result<Arc<Committee>, EvidenceFault> {
    let epoch = committee.epoch();
    let end = EpochEnd::decode(end).map_err(|why| EvidenceFault::MalformedEnd { epoch, why })?;
    if !end.verify(committee) {
        return Err(EvidenceFault::End { epoch });
    }
    let next = end.next_committee(committee);
    next.map_err(|_| EvidenceFault::End { epoch })
}

fn accuse(
    committee: &Committee,
    EpochEvidence { epoch, proofs }: &EpochEvidence,
    accusations: &mut Vec<Accusation>,
) -> Result<(), EvidenceFault> {
    let epoch = *epoch;
    for proof in proofs {
        let author = proof.author;
        let member = committee.member(author);
        let member = member.ok_or(EvidenceFault::Author { epoch, author })?;
        if !verify_evidence(proof, committee) {
            let slot = proof.slot();
            return Err(EvidenceFault::Proof { epoch, slot });
        }
        accusations.push(Accusation {
            epoch,
            key: member.key,
            proof: proof.clone(),
        });
    }
    Ok(())
}

/// A file that grows.
struct Draft {
    file: EvidenceFile,
    /// Ends that proofs of a later epoch would need.
    ends: Vec<Bytes>,
    ends_bytes: usize,
}

impl Draft {
    fn new(first: &Committee) -> Self {
        Self {
            file: EvidenceFile {
                network: *first.chain(),
                ends: Vec::new(),
                epochs: Vec::new(),
            },
            ends: Vec::new(),
            ends_bytes: 0,
        }
    }

    fn add_end(&mut self, end: &EpochEnd) -> Result<(), EvidenceFileError> {
        if end.record.epoch != self.ends.len() as u64 {
            return Err(EvidenceFileError::Ends {
                found: self.ends.len(),
                epoch: end.record.epoch,
            });
        }
        let end = end.encode();
        self.ends_bytes += end.len();
        if self.ends_bytes > EVIDENCE_FILE_BYTES_MAX {
            let bytes = self.ends_bytes;
            return Err(EvidenceFileError::TooLong { bytes });
        }
        self.ends.push(end);
        Ok(())
    }

    fn add_proofs(
        &mut self,
        epoch: u64,
        mut proofs: Vec<EquivocationProof>,
    ) -> Result<(), EvidenceFileError> {
        proofs.sort_by_key(key);
        proofs.dedup_by_key(|proof| key(proof));
        if proofs.len() > EVIDENCE_FILE_MAX {
            return Err(EvidenceFileError::Malformed(DecodeError::Limit {
                what: "proofs",
                found: proofs.len(),
                allowed: EVIDENCE_FILE_MAX,
            }));
        }
        if !proofs.is_empty() {
            self.file.epochs.push(EpochEvidence { epoch, proofs });
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Option<EvidenceFile>, EvidenceFileError> {
        self.file.epochs.sort_by_key(|evidence| evidence.epoch);
        if !self.file.epochs.is_sorted_by(|a, b| a.epoch < b.epoch) {
            return Err(EvidenceFileError::Order);
        }
        let Some(last) = self.file.epochs.last() else {
            return Ok(None);
        };
        let needed = usize::try_from(last.epoch).unwrap_or(usize::MAX);
        self.ends.truncate(needed);
        check_ends(self.ends.len(), last.epoch)?;
        self.file.ends = self.ends;
        let bytes = self.file.encoded_bytes();
        if bytes > EVIDENCE_FILE_BYTES_MAX {
            return Err(EvidenceFileError::TooLong { bytes });
        }
        Ok(Some(self.file))
    }
}

/// The committee of an epoch follows from the ends of all epochs before it, and from no others.
fn check_ends(found: usize, epoch: u64) -> Result<(), EvidenceFileError> {
    if found as u64 == epoch {
        Ok(())
    } else {
        Err(EvidenceFileError::Ends { found, epoch })
    }
}

fn read_ends(reader: &mut Reader<'_>) -> Result<Vec<Bytes>, DecodeError> {
    let count = reader.u32()? as usize;
    let of = ListOf {
        what: "ends of epochs",
        item_bytes: 4 + END_BYTES_MIN,
        allowed: EVIDENCE_FILE_BYTES_MAX / END_BYTES_MIN,
    };
    reader.list(count, of, |r| {
        let length = r.u32()? as usize;
        if length < END_BYTES_MIN {
            return Err(DecodeError::Short);
        }
        r.bytes(length)
    })
}

fn read_epochs(reader: &mut Reader<'_>) -> Result<Vec<EpochEvidence>, EvidenceFileError> {
    let count = reader.u32()? as usize;
    let of = ListOf {
        what: "epochs with proofs",
        item_bytes: EPOCH_BYTES + PROOF_BYTES,
        allowed: EVIDENCE_FILE_BYTES_MAX / PROOF_BYTES,
    };
    let epochs = reader.list(count, of, |r| {
        let epoch = r.u64()?;
        let count = r.u32()? as usize;
        let of = ListOf {
            what: "proofs",
            item_bytes: PROOF_BYTES,
            allowed: EVIDENCE_FILE_MAX,
        };
        let proofs = r.list(count, of, Reader::evidence)?;
        Ok(EpochEvidence { epoch, proofs })
    })?;
    if epochs.iter().any(|evidence| evidence.proofs.is_empty()) {
        return Err(EvidenceFileError::Empty);
    }
    let in_order = |of: &EpochEvidence| of.proofs.is_sorted_by(|a, b| key(a) < key(b));
    if epochs.iter().all(in_order) {
        Ok(epochs)
    } else {
        Err(EvidenceFileError::Order)
    }
}

fn key(proof: &EquivocationProof) -> (ValidatorIndex, Round) {
    (proof.author, proof.round)
}

fn count_of(count: usize) -> u32 {
    u32::try_from(count).expect("a file is shorter than 2^32 bytes")
}

/// The first bytes of every evidence file.
const MAGIC: &[u8; 8] = b"probevid";
/// Version of the encoding; files of version 1 held one epoch and no ends.
const VERSION: u16 = 2;
/// Bytes before the first end, with the number of epochs.
const HEAD_BYTES: usize = 8 + 2 + 32 + 4 + 4;
/// Bytes before an epoch's proofs.
const EPOCH_BYTES: usize = 8 + 4;
/// No end of an epoch is shorter than a record without blocks and a seat.
const END_BYTES_MIN: usize = 128;
