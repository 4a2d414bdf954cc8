//! The canonical bytes of headers and records: little-endian, fixed order, exact length (R2).
//!
//! The bytes hashed are the bytes sent are the bytes stored. Decoding refuses a count above its limit before it
//! allocates for it, and refuses bytes left over, so every value has exactly one encoding.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::block::{BlockRef, CommitVote, EquivocationProof, Header, PayloadInfo};
use crate::crypto::{Context, Digest, PublicKey, Signature, hash};
use crate::id::{CommitIndex, Round, ValidatorIndex};
use crate::limits::{COMMIT_VOTES_MAX, EVIDENCE_MAX, HEADER_BYTES_MAX, VALIDATORS_MAX};

/// Why bytes are not the canonical encoding of anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end before the value does.
    Short,
    /// Bytes are left over.
    Trailing,
    /// A count or length is above its limit.
    Limit {
        /// What is counted.
        what: &'static str,
        /// The count found.
        found: usize,
        /// The greatest one allowed.
        allowed: usize,
    },
    /// A tag names nothing.
    Tag {
        /// What the tag selects.
        what: &'static str,
        /// The tag found.
        found: u8,
    },
    /// A payload's table of lengths does not cover its bytes.
    PayloadTable,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("the bytes end too early"),
            Self::Trailing => f.write_str("bytes are left over"),
            Self::Limit {
                what,
                found,
                allowed,
            } => write!(f, "{found} {what}, allowed {allowed}"),
            Self::Tag { what, found } => write!(f, "unknown {what} {found}"),
            Self::PayloadTable => f.write_str("the payload's lengths do not match its bytes"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Reads fixed-width values from the front of shared bytes.
pub(crate) struct Reader<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a Bytes) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes were read.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let slice = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk::<N>);
        let array = *slice.ok_or(DecodeError::Short)?;
        self.at += N;
        Ok(array)
    }

    pub(crate) fn rest(&mut self) -> Bytes {
        let rest = self.bytes.slice(self.at..);
        self.at = self.bytes.len();
        rest
    }

    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        if self.remaining() == 0 {
            Ok(())
        } else {
            Err(DecodeError::Trailing)
        }
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn digest(&mut self) -> Result<Digest, DecodeError> {
        Ok(Digest(self.array()?))
    }

    /// A key that may sign blocks.
    pub(crate) fn key(&mut self) -> Result<PublicKey, DecodeError> {
        let bytes = self.array()?;
        PublicKey::committee(&bytes).map_err(|_| DecodeError::Tag {
            what: "key",
            found: bytes[0],
        })
    }

    /// The next bytes, sharing memory.
    pub(crate) fn bytes(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        if length > self.remaining() {
            return Err(DecodeError::Short);
        }
        let bytes = self.bytes.slice(self.at..self.at + length);
        self.at += length;
        Ok(bytes)
    }

    pub(crate) fn signature(&mut self) -> Result<Signature, DecodeError> {
        Ok(Signature(self.array()?))
    }

    pub(crate) fn block_ref(&mut self) -> Result<BlockRef, DecodeError> {
        let round = Round(self.u32()?);
        let author = ValidatorIndex(self.u16()?);
        Ok(BlockRef {
            round,
            author,
            digest: self.digest()?,
        })
    }

    pub(crate) fn commit_vote(&mut self) -> Result<CommitVote, DecodeError> {
        Ok(CommitVote {
            index: CommitIndex(self.u64()?),
            digest: self.digest()?,
        })
    }

    pub(crate) fn evidence(&mut self) -> Result<EquivocationProof, DecodeError> {
        Ok(EquivocationProof {
            round: Round(self.u32()?),
            author: ValidatorIndex(self.u16()?),
            first: (self.digest()?, self.signature()?),
            second: (self.digest()?, self.signature()?),
        })
    }

    /// A list whose count was read: refused above what is allowed, before anything is allocated, and then allocated
    /// for no more items than the bytes at hand can hold.
    pub(crate) fn list<T>(
        &mut self,
        count: usize,
        of: ListOf,
        mut item: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let ListOf {
            what,
            item_bytes,
            allowed,
        } = of;
        if count > allowed {
            return Err(DecodeError::Limit {
                what,
                found: count,
                allowed,
            });
        }
        let mut items = Vec::with_capacity(count.min(self.remaining() / item_bytes));
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }
}

/// What a list holds, and how much of it.
#[derive(Clone, Copy)]
pub(crate) struct ListOf {
    pub(crate) what: &'static str,
    /// Bytes of one encoded item.
    pub(crate) item_bytes: usize,
    /// The most items there may be.
    pub(crate) allowed: usize,
}

/// Bytes of an encoded block reference.
pub(crate) const BLOCK_REF_BYTES: usize = 4 + 2 + 32;
/// Bytes of an encoded commit vote.
pub(crate) const COMMIT_VOTE_BYTES: usize = 8 + 32;
/// Bytes of an encoded equivocation proof.
pub(crate) const PROOF_BYTES: usize = 4 + 2 + 2 * (32 + 64);

/// Appends values in their canonical bytes.
pub(crate) trait Put: BufMut {
    fn put_block_ref(&mut self, reference: &BlockRef) {
        self.put_u32_le(reference.round.0);
        self.put_u16_le(reference.author.0);
        self.put_slice(reference.digest.as_bytes());
    }

    fn put_commit_vote(&mut self, vote: &CommitVote) {
        self.put_u64_le(vote.index.0);
        self.put_slice(vote.digest.as_bytes());
    }

    fn put_evidence(&mut self, proof: &EquivocationProof) {
        self.put_u32_le(proof.round.0);
        self.put_u16_le(proof.author.0);
        for (digest, signature) in [&proof.first, &proof.second] {
            self.put_slice(digest.as_bytes());
            self.put_slice(&signature.0);
        }
    }
}

impl<B: BufMut> Put for B {}

/// Encodes a header without its signature; also returns the length of the body, behind which the commit votes stand.
///
/// # Panics
/// When a list is longer than its limit: the proposer keeps to them.
pub(crate) fn encode_header(header: &Header) -> (Bytes, usize) {
    let mut bytes = BytesMut::with_capacity(512 + header.parents.len() * 38);
    bytes.put_u16_le(header.version);
    bytes.put_slice(header.chain.as_bytes());
    bytes.put_u64_le(header.epoch);
    bytes.put_u32_le(header.round.0);
    bytes.put_u16_le(header.author.0);
    bytes.put_u64_le(header.timestamp_ms);
    bytes.put_slice(header.payload.root.as_bytes());
    bytes.put_u32_le(header.payload.bytes);
    bytes.put_u32_le(header.payload.count);
    bytes.put_u16_le(u16::try_from(header.parents.len()).expect("at most 256 parents"));
    header
        .parents
        .iter()
        .for_each(|parent| bytes.put_block_ref(parent));
    bytes.put_u8(u8::try_from(header.evidence.len()).expect("at most 4 proofs"));
    header
        .evidence
        .iter()
        .for_each(|proof| bytes.put_evidence(proof));
    let body_length = bytes.len();
    bytes.put_u8(u8::try_from(header.commit_votes.len()).expect("at most 8 votes"));
    header
        .commit_votes
        .iter()
        .for_each(|vote| bytes.put_commit_vote(vote));
    (bytes.freeze(), body_length)
}

/// The header digest of a header with this body and these commit votes (R3).
pub(crate) fn votes_digest(body_digest: &Digest, votes: &[CommitVote]) -> Digest {
    let mut bytes = BytesMut::with_capacity(1 + votes.len() * 40);
    bytes.put_u8(u8::try_from(votes.len()).unwrap_or(u8::MAX));
    votes.iter().for_each(|vote| bytes.put_commit_vote(vote));
    let votes = hash(Context::CommitVotes, &[&bytes]);
    hash(Context::Header, &[body_digest.as_bytes(), votes.as_bytes()])
}

/// A header read from bytes, with the bytes that its digests are computed from.
#[derive(Debug)]
pub(crate) struct DecodedHeader {
    pub(crate) header: Header,
    pub(crate) signature: Signature,
    /// Body, commit votes and signature, as received.
    pub(crate) signed_header: Bytes,
    pub(crate) body_length: usize,
}

/// Reads a header without its signature; also returns the length of its body.
fn read_header(reader: &mut Reader<'_>) -> Result<(Header, usize), DecodeError> {
    let version = reader.u16()?;
    let chain = reader.digest()?;
    let epoch = reader.u64()?;
    let round = Round(reader.u32()?);
    let author = ValidatorIndex(reader.u16()?);
    let timestamp_ms = reader.u64()?;
    let root = reader.digest()?;
    let payload = PayloadInfo {
        root,
        bytes: reader.u32()?,
        count: reader.u32()?,
    };
    let count = usize::from(reader.u16()?);
    let parents = reader.list(
        count,
        ListOf {
            what: "parents",
            item_bytes: BLOCK_REF_BYTES,
            allowed: VALIDATORS_MAX,
        },
        Reader::block_ref,
    )?;
    let count = usize::from(reader.u8()?);
    let evidence = reader.list(
        count,
        ListOf {
            what: "proofs",
            item_bytes: PROOF_BYTES,
            allowed: EVIDENCE_MAX,
        },
        Reader::evidence,
    )?;
    let body_length = reader.position();
    let count = usize::from(reader.u8()?);
    let commit_votes = reader.list(
        count,
        ListOf {
            what: "votes",
            item_bytes: COMMIT_VOTE_BYTES,
            allowed: COMMIT_VOTES_MAX,
        },
        Reader::commit_vote,
    )?;
    let header = Header {
        version,
        chain,
        epoch,
        round,
        author,
        timestamp_ms,
        payload,
        parents,
        evidence,
        commit_votes,
    };
    Ok((header, body_length))
}

/// Reads a signed header from the front of `bytes` and returns what follows it.
pub(crate) fn decode_signed_header(bytes: &Bytes) -> Result<(DecodedHeader, Bytes), DecodeError> {
    let mut reader = Reader::new(bytes);
    let (header, body_length) = read_header(&mut reader)?;
    let signature = reader.signature()?;
    let length = reader.position();
    if length > HEADER_BYTES_MAX {
        let (what, allowed) = ("header bytes", HEADER_BYTES_MAX);
        return Err(DecodeError::Limit {
            what,
            found: length,
            allowed,
        });
    }
    let signed_header = bytes.slice(..length);
    Ok((
        DecodedHeader {
            header,
            signature,
            signed_header,
            body_length,
        },
        reader.rest(),
    ))
}

/// Reads a whole header without signature, as stored before signing (R11).
pub(crate) fn decode_unsigned_header(bytes: &Bytes) -> Result<Header, DecodeError> {
    let mut reader = Reader::new(bytes);
    let (header, _) = read_header(&mut reader)?;
    reader.finish()?;
    Ok(header)
}
