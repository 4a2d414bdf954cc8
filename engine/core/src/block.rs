//! Blocks as plain values: references, headers, payloads, and a signed block with its bytes.
//!
//! ```text
//!   header body ‖ commit votes ‖ signature ‖ payload          the bytes of a block, on the wire
//!   └── header_digest ──────┘
//!   └── digest ────────────────────────────┘
//! ```

use bytes::{BufMut, Bytes, BytesMut};

use crate::codec;
use crate::committee::Committee;
use crate::crypto::{Context, Digest, Domain, Signature, hash};
use crate::id::{CommitIndex, Round, ValidatorIndex};

/// Names one block: where it stands and what it is. Ordered by round, author, digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BlockRef {
    /// Its round.
    pub round: Round,
    /// Who made it.
    pub author: ValidatorIndex,
    /// Its digest, over header and signature.
    pub digest: Digest,
}

/// A place in the DAG that holds one block of a correct validator: a round and its author.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Slot {
    /// The round.
    pub round: Round,
    /// Who may fill it.
    pub author: ValidatorIndex,
}

impl BlockRef {
    /// The slot that the block stands in.
    #[must_use]
    pub fn slot(&self) -> Slot {
        Slot {
            round: self.round,
            author: self.author,
        }
    }
}

/// "I have output this commit and, by its chain, all before" (R25).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CommitVote {
    /// The commit's index.
    pub index: CommitIndex,
    /// The digest of its record.
    pub digest: Digest,
}

/// What a header says about its payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PayloadInfo {
    /// BLAKE3 over the payload's bytes, which is a Merkle root of its 1 KiB chunks (R3).
    pub root: Digest,
    /// How many bytes.
    pub bytes: u32,
    /// How many transactions.
    pub count: u32,
}

/// Two headers of one slot, both signed by its author: proof that it equivocated (R12).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EquivocationProof {
    /// The slot's round.
    pub round: Round,
    /// Who signed both.
    pub author: ValidatorIndex,
    /// Header digest and signature, the lower digest first.
    pub first: (Digest, Signature),
    /// Header digest and signature, the higher digest second.
    pub second: (Digest, Signature),
}

/// Everything a validator says about one of its blocks, before it signs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// Version of the protocol.
    pub version: u16,
    /// Chain id of the epoch.
    pub chain: Digest,
    /// The epoch.
    pub epoch: u64,
    /// The round, from 1.
    pub round: Round,
    /// Who made the block.
    pub author: ValidatorIndex,
    /// The author's wall clock in milliseconds; never compared with a local clock.
    pub timestamp_ms: u64,
    /// The payload.
    pub payload: PayloadInfo,
    /// `parents[0]` is an own earlier block; the others rise strictly by author (R4).
    pub parents: Vec<BlockRef>,
    /// At most four proofs.
    pub evidence: Vec<EquivocationProof>,
    /// At most eight votes.
    pub commit_votes: Vec<CommitVote>,
}

/// The transactions of one block in their canonical bytes: a table of lengths (`u32` each), then the transactions.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Payload {
    bytes: Bytes,
    count: u32,
}

impl Payload {
    /// A payload without transactions.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Lays transactions out one after the other.
    ///
    /// # Panics
    /// When there are more transactions, or longer ones, than 32 bits count. Limits are the verifier's business.
    #[must_use]
    pub fn from_transactions<T: AsRef<[u8]>>(transactions: &[T]) -> Self {
        let count = u32::try_from(transactions.len()).expect("a payload holds at most 65,536");
        let total: usize = transactions.iter().map(|t| t.as_ref().len() + 4).sum();
        let mut bytes = BytesMut::with_capacity(total);
        for transaction in transactions {
            let length = transaction.as_ref().len();
            bytes.put_u32_le(u32::try_from(length).expect("a transaction is at most 64 KiB"));
        }
        for transaction in transactions {
            bytes.put_slice(transaction.as_ref());
        }
        Self {
            bytes: bytes.freeze(),
            count,
        }
    }

    /// Takes bytes for a payload of `count` transactions; `None` unless the table of lengths covers them exactly.
    #[must_use]
    pub fn parse(bytes: Bytes, count: u32) -> Option<Self> {
        let table = usize::try_from(count).ok()?.checked_mul(4)?;
        let mut rest = bytes.len().checked_sub(table)?;
        for length in bytes.get(..table)?.chunks_exact(4) {
            let length = u32::from_le_bytes(length.try_into().ok()?);
            rest = rest.checked_sub(usize::try_from(length).ok()?)?;
        }
        (rest == 0).then_some(Self { bytes, count })
    }

    /// The canonical bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// How many transactions there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The transactions in order, as slices of the shared bytes.
    pub fn transactions(&self) -> impl Iterator<Item = Bytes> + '_ {
        self.ranges().map(|range| self.bytes.slice(range))
    }

    /// The transactions in order, borrowed.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> + '_ {
        self.ranges().map(|range| &self.bytes[range])
    }

    fn ranges(&self) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
        let table = self.count as usize * 4;
        let mut at = table;
        self.bytes[..table].chunks_exact(4).map(move |length| {
            let length: [u8; 4] = length.try_into().expect("chunks of four bytes");
            let start = at;
            at += u32::from_le_bytes(length) as usize;
            start..at
        })
    }

    /// What a header has to say about this payload.
    #[must_use]
    pub fn describe(&self) -> PayloadInfo {
        let bytes = u32::try_from(self.bytes.len()).expect("a payload is at most 2 MiB");
        let root = hash(Context::Payload, &[&self.bytes]);
        PayloadInfo {
            root,
            bytes,
            count: self.count,
        }
    }
}

/// A header that its author has not signed yet, with its payload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proposal {
    header: Header,
    header_bytes: Bytes,
    body_digest: Digest,
    header_digest: Digest,
    payload: Payload,
}

impl Proposal {
    /// Encodes and digests `header`; its payload description must be that of `payload`.
    #[must_use]
    pub fn new(header: Header, payload: Payload) -> Self {
        let (header_bytes, body_length) = codec::encode_header(&header);
        let (body, votes) = header_bytes.split_at(body_length);
        let (body_digest, header_digest) = header_digests(body, votes);
        Self {
            header,
            header_bytes,
            body_digest,
            header_digest,
            payload,
        }
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The encoded header without signature.
    #[must_use]
    pub fn header_bytes(&self) -> &Bytes {
        &self.header_bytes
    }

    /// The digest that is signed.
    #[must_use]
    pub fn header_digest(&self) -> Digest {
        self.header_digest
    }

    /// The payload.
    #[must_use]
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// The bytes to sign (R3).
    #[must_use]
    pub fn preimage(&self) -> [u8; PREIMAGE_BYTES] {
        preimage(
            &self.header.chain,
            self.header.epoch,
            self.header.slot(),
            &self.header_digest,
        )
    }

    /// The block, once the author has signed.
    #[must_use]
    pub fn seal(self, signature: Signature) -> Block {
        let mut signed = BytesMut::with_capacity(self.header_bytes.len() + 64);
        signed.put_slice(&self.header_bytes);
        signed.put_slice(&signature.0);
        Block::assemble(self, signed.freeze(), signature)
    }
}

impl Header {
    /// The slot that the header fills.
    #[must_use]
    pub fn slot(&self) -> Slot {
        Slot {
            round: self.round,
            author: self.author,
        }
    }
}

/// A signed header with its payload: what validators exchange.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    header: Header,
    reference: BlockRef,
    body_digest: Digest,
    header_digest: Digest,
    signature: Signature,
    signed_header: Bytes,
    payload: Payload,
}

impl Block {
    fn assemble(proposal: Proposal, signed_header: Bytes, signature: Signature) -> Self {
        let Proposal {
            header,
            body_digest,
            header_digest,
            payload,
            ..
        } = proposal;
        let digest = hash(Context::Block, &[header_digest.as_bytes(), &signature.0]);
        let reference = BlockRef {
            round: header.round,
            author: header.author,
            digest,
        };
        Self {
            header,
            reference,
            body_digest,
            header_digest,
            signature,
            signed_header,
            payload,
        }
    }

    /// Puts a decoded header and its payload together; the digests are computed from the very bytes received.
    pub(crate) fn from_parts(decoded: codec::DecodedHeader, payload: Payload) -> Self {
        let codec::DecodedHeader {
            header,
            signature,
            signed_header,
            body_length,
        } = decoded;
        let header_bytes = signed_header.slice(..signed_header.len() - 64);
        let (body, votes) = header_bytes.split_at(body_length);
        let (body_digest, header_digest) = header_digests(body, votes);
        let proposal = Proposal {
            header,
            header_bytes,
            body_digest,
            header_digest,
            payload,
        };
        Self::assemble(proposal, signed_header, signature)
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Its name.
    #[must_use]
    pub fn reference(&self) -> BlockRef {
        self.reference
    }

    /// Its round.
    #[must_use]
    pub fn round(&self) -> Round {
        self.reference.round
    }

    /// Who made it.
    #[must_use]
    pub fn author(&self) -> ValidatorIndex {
        self.reference.author
    }

    /// Its parents.
    #[must_use]
    pub fn parents(&self) -> &[BlockRef] {
        &self.header.parents
    }

    /// The digest of the header without its commit votes (R3).
    #[must_use]
    pub fn body_digest(&self) -> Digest {
        self.body_digest
    }

    /// The digest that the author signed.
    #[must_use]
    pub fn header_digest(&self) -> Digest {
        self.header_digest
    }

    /// The author's signature.
    #[must_use]
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The bytes that the author signed (R3).
    #[must_use]
    pub fn preimage(&self) -> [u8; PREIMAGE_BYTES] {
        preimage(
            &self.header.chain,
            self.header.epoch,
            self.header.slot(),
            &self.header_digest,
        )
    }

    /// The encoded header with its signature.
    #[must_use]
    pub fn signed_header(&self) -> &Bytes {
        &self.signed_header
    }

    /// The payload.
    #[must_use]
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// Bytes of the encoded block.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.signed_header.len() + self.payload.bytes().len()
    }
}

/// Length of what is signed: domain, chain, epoch, round, author, header digest (R3).
pub const PREIMAGE_BYTES: usize = 32 + 32 + 8 + 4 + 2 + 32;

/// R3: the signature preimage, of constant length.
#[must_use]
pub fn preimage(
    chain: &Digest,
    epoch: u64,
    slot: Slot,
    header_digest: &Digest,
) -> [u8; PREIMAGE_BYTES] {
    let mut bytes = [0; PREIMAGE_BYTES];
    let mut rest: &mut [u8] = &mut bytes;
    rest.put_slice(Domain::Block.tag());
    rest.put_slice(chain.as_bytes());
    rest.put_u64_le(epoch);
    rest.put_u32_le(slot.round.0);
    rest.put_u16_le(slot.author.0);
    rest.put_slice(header_digest.as_bytes());
    bytes
}

/// R3: the digest of a header's body, and that of body and commit votes together.
pub(crate) fn header_digests(body: &[u8], votes: &[u8]) -> (Digest, Digest) {
    let body = hash(Context::HeaderBody, &[body]);
    let votes = hash(Context::CommitVotes, &[votes]);
    (
        body,
        hash(Context::Header, &[body.as_bytes(), votes.as_bytes()]),
    )
}

/// The reference of a validator's implicit round-0 block (R3).
#[must_use]
pub fn genesis_ref(committee: &Committee, author: ValidatorIndex) -> Option<BlockRef> {
    let digest = committee.genesis(author)?;
    Some(BlockRef {
        round: Round::GENESIS,
        author,
        digest,
    })
}

impl EquivocationProof {
    /// The slot that two headers were signed for.
    #[must_use]
    pub fn slot(&self) -> Slot {
        Slot {
            round: self.round,
            author: self.author,
        }
    }

    /// Puts two signed headers of one slot into canonical order; `None` if they are the same header, which proves
    /// nothing (R12).
    #[must_use]
    pub fn new(slot: Slot, a: (Digest, Signature), b: (Digest, Signature)) -> Option<Self> {
        if a.0 == b.0 {
            return None;
        }
        let (first, second) = if a.0 < b.0 { (a, b) } else { (b, a) };
        Some(Self {
            round: slot.round,
            author: slot.author,
            first,
            second,
        })
    }
}
