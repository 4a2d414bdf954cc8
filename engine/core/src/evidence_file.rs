//! Proofs of equivocation as a file that stands for itself (R12).
//!
//! ```text
//!   magic(8) ‖ version(2) ‖ chain(32) ‖ epoch(8) ‖ number(4) ‖ proofs(198 each)      little-endian
//! ```
//!
//! Whoever has the committee of that epoch checks it offline: no store, no network, no trust in its writer.

use std::fmt;

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::block::{EquivocationProof, Slot};
use crate::codec::{DecodeError, ListOf, PROOF_BYTES, Put as _, Reader};
use crate::committee::Committee;
use crate::crypto::Digest;
use crate::id::ValidatorIndex;
use crate::limits::EVIDENCE_FILE_MAX;
use crate::verify::verify_evidence;

/// At least one proof of equivocation, with the chain and epoch that it is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EvidenceFile {
    chain: Digest,
    epoch: u64,
    proofs: Vec<EquivocationProof>,
}

impl EvidenceFile {
    /// Puts proofs of a committee's epoch in order, one about each author and round; `None` without any.
    ///
    /// # Panics
    /// When there are more than [`EVIDENCE_FILE_MAX`], which is more than a validator keeps.
    #[must_use]
    pub fn new(committee: &Committee, proofs: Vec<EquivocationProof>) -> Option<Self> {
        let mut proofs = proofs;
        proofs.sort_by_key(key);
        proofs.dedup_by_key(|proof| key(proof));
        assert!(
            proofs.len() <= EVIDENCE_FILE_MAX,
            "no more proofs than a validator keeps"
        );
        (!proofs.is_empty()).then(|| Self {
            chain: *committee.chain(),
            epoch: committee.epoch(),
            proofs,
        })
    }

    /// Chain id of the epoch.
    #[must_use]
    pub fn chain(&self) -> &Digest {
        &self.chain
    }

    /// The epoch.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The proofs, by author and round.
    #[must_use]
    pub fn proofs(&self) -> &[EquivocationProof] {
        &self.proofs
    }

    /// The file's bytes: always the same for the same proofs.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(HEAD_BYTES + self.proofs.len() * PROOF_BYTES);
        bytes.put_slice(MAGIC);
        bytes.put_u16_le(VERSION);
        bytes.put_slice(self.chain.as_bytes());
        bytes.put_u64_le(self.epoch);
        bytes.put_u32_le(u32::try_from(self.proofs.len()).expect("at most 2,048 proofs"));
        self.proofs
            .iter()
            .for_each(|proof| bytes.put_evidence(proof));
        bytes.freeze()
    }

    /// Reads a file's bytes; nothing is verified.
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
        let (chain, epoch) = (reader.digest()?, reader.u64()?);
        let count = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
        let of = ListOf {
            what: "proofs",
            item_bytes: PROOF_BYTES,
            allowed: EVIDENCE_FILE_MAX,
        };
        let proofs = reader.list(count, of, Reader::evidence)?;
        reader.finish()?;
        if proofs.is_empty() {
            return Err(EvidenceFileError::Empty);
        }
        if !proofs.is_sorted_by(|a, b| key(a) < key(b)) {
            return Err(EvidenceFileError::Order);
        }
        Ok(Self {
            chain,
            epoch,
            proofs,
        })
    }

    /// Whether every proof shows that a member of this committee signed two headers of one slot (R3, R12).
    ///
    /// # Errors
    /// When the committee is that of another epoch or network, or names the first proof that does not hold.
    pub fn verify(&self, committee: &Committee) -> Result<(), EvidenceFault> {
        if self.epoch != committee.epoch() || self.chain != *committee.chain() {
            return Err(EvidenceFault::Chain {
                found: (self.epoch, self.chain),
                expected: (committee.epoch(), *committee.chain()),
            });
        }
        for proof in &self.proofs {
            if committee.member(proof.author).is_none() {
                return Err(EvidenceFault::Author(proof.author));
            }
            if !verify_evidence(proof, committee) {
                return Err(EvidenceFault::Proof(proof.slot()));
            }
        }
        Ok(())
    }
}

fn key(proof: &EquivocationProof) -> (ValidatorIndex, crate::id::Round) {
    (proof.author, proof.round)
}

/// The first bytes of every evidence file.
const MAGIC: &[u8; 8] = b"probevid";
/// Version of the encoding.
const VERSION: u16 = 1;
/// Bytes before the proofs.
const HEAD_BYTES: usize = 8 + 2 + 32 + 8 + 4;

/// Why bytes are no evidence file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum EvidenceFileError {
    /// They begin otherwise.
    Magic,
    /// Another version of the encoding.
    Version(u16),
    /// They are too short, too long, or hold too many proofs.
    Malformed(DecodeError),
    /// There is no proof in it.
    Empty,
    /// The proofs do not rise strictly by author and round.
    Order,
}

impl From<DecodeError> for EvidenceFileError {
    fn from(why: DecodeError) -> Self {
        Self::Malformed(why)
    }
}

impl fmt::Display for EvidenceFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => f.write_str("not an evidence file"),
            Self::Version(version) => write!(f, "evidence file of version {version}"),
            Self::Malformed(why) => write!(f, "malformed evidence file: {why}"),
            Self::Empty => f.write_str("the evidence file holds no proof"),
            Self::Order => f.write_str("the proofs do not rise by author and round"),
        }
    }
}

impl std::error::Error for EvidenceFileError {}

/// Why a file does not prove what it claims.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum EvidenceFault {
    /// It is about another network, epoch or set of parameters than the committee.
    Chain {
        /// Epoch and chain id in the file.
        found: (u64, Digest),
        /// The committee's.
        expected: (u64, Digest),
    },
    /// The accused is no member of the committee.
    Author(ValidatorIndex),
    /// The two signed headers of this slot are equal, out of order or not both signed by its author.
    Proof(Slot),
}

impl fmt::Display for EvidenceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chain { found, expected } => write!(
                f,
                "the file is about epoch {} of chain {}, the committee is that of epoch {} of chain {}",
                found.0, found.1, expected.0, expected.1
            ),
            Self::Author(author) => write!(f, "validator {author} is no member of the committee"),
            Self::Proof(slot) => write!(
                f,
                "the proof against validator {} in round {} does not hold",
                slot.author, slot.round
            ),
        }
    }
}

impl std::error::Error for EvidenceFault {}
