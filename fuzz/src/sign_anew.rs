//! A second reading of the block's layout (docs/wire-format.md), just enough to give mutated bytes a valid signature.
//!
//! ```text
//! 0        2      34     42     46      48         56     88      92      96
//! | version | chain | epoch | round | author | timestamp | root | bytes | count |
//! | parents: u16, 38 each | proofs: u8, 198 each | votes: u8, 40 each | signature: 64 | payload …
//! ```

use bytes::Bytes;
use probity_core::block::preimage;
use probity_core::crypto::{Context, Digest, hash};
use probity_core::limits::{COMMIT_VOTES_MAX, EVIDENCE_MAX, HEADER_BYTES_MAX, VALIDATORS_MAX};
use probity_core::{PROTOCOL_VERSION, Round, Slot, ValidatorIndex};

use crate::committee::{VALIDATORS, committee, member_keypair};

/// What the header says about its payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Describe {
    /// What the input says.
    AsFound,
    /// Root and length of the payload that follows; the count stays.
    Payload,
}

/// A block that names this committee, signed by its author.
pub(crate) struct SignedAnew {
    pub(crate) bytes: Bytes,
    /// Whether round and sizes are such that the verifier gets to look at the signature.
    pub(crate) judged: bool,
}

/// Turns bytes laid out like a block into one of this committee; `None` when they are too short.
pub(crate) fn sign_anew(data: &[u8], describe: Describe) -> Option<SignedAnew> {
    let layout = Layout::read(data)?;
    let mut bytes = data.to_vec();
    bytes[..2].copy_from_slice(&PROTOCOL_VERSION.to_le_bytes());
    bytes[2..34].copy_from_slice(committee().chain().as_bytes());
    bytes[34..42].copy_from_slice(&committee().epoch().to_le_bytes());
    let round = Round(u32::from_le_bytes(*bytes[42..].first_chunk()?));
    let author = ValidatorIndex(u16::from_le_bytes(*bytes[46..].first_chunk()?) % VALIDATORS);
    bytes[46..48].copy_from_slice(&author.0.to_le_bytes());
    if describe == Describe::Payload {
        let payload = &data[layout.signature + 64..];
        bytes[56..88].copy_from_slice(hash(Context::Payload, &[payload]).as_bytes());
        bytes[88..92].copy_from_slice(&u32::try_from(payload.len()).ok()?.to_le_bytes());
    }

    let header = layout.header_digest(&bytes);
    let slot = Slot { round, author };
    let message = preimage(committee().chain(), committee().epoch(), slot, &header);
    let signature = member_keypair(author).sign(&message);
    bytes[layout.signature..][..64].copy_from_slice(&signature.0);
    Some(SignedAnew {
        bytes: bytes.into(),
        judged: layout.within_limits && round.0 > 0,
    })
}

/// The digest of a header that is not signed yet (R3); `None` when the bytes are not laid out like one.
pub(crate) fn header_digest(unsigned: &[u8]) -> Option<Digest> {
    let signed = [unsigned, &[0; 64]].concat();
    let layout = Layout::read(&signed)?;
    Some(layout.header_digest(&signed))
}

/// Where the parts of variable length begin.
struct Layout {
    votes: usize,
    signature: usize,
    within_limits: bool,
}

impl Layout {
    fn read(data: &[u8]) -> Option<Self> {
        let parents = usize::from(u16::from_le_bytes(*data.get(96..)?.first_chunk()?));
        let proofs_at = 98 + 38 * parents;
        let proofs = usize::from(*data.get(proofs_at)?);
        let votes_at = proofs_at + 1 + 198 * proofs;
        let votes = usize::from(*data.get(votes_at)?);
        let signature = votes_at + 1 + 40 * votes;
        let within_limits = parents <= VALIDATORS_MAX
            && proofs <= EVIDENCE_MAX
            && votes <= COMMIT_VOTES_MAX
            && signature + 64 <= HEADER_BYTES_MAX;
        let whole = data.len() >= signature + 64;
        whole.then_some(Self {
            votes: votes_at,
            signature,
            within_limits,
        })
    }

    /// R3, from the bytes alone.
    fn header_digest(&self, bytes: &[u8]) -> Digest {
        let body = hash(Context::HeaderBody, &[&bytes[..self.votes]]);
        let votes = hash(Context::CommitVotes, &[&bytes[self.votes..self.signature]]);
        hash(Context::Header, &[body.as_bytes(), votes.as_bytes()])
    }
}
