//! From bytes to a [`VerifiedBlock`], or a [`Reject`]: the only door into the core (R4).
//!
//! The verdict is a function of the bytes and the committee alone: every correct validator reaches the same one,
//! today and in a year. No clock, no local limit and no knowledge of other blocks takes part.
//!
//! Checks run in the order that keeps a stranger's bytes cheap and lets commit votes count: sizes, chain and author,
//! then the header's signature, then everything that only a member could have caused. The order changes which fault
//! is named, never the verdict.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::block::{Block, BlockRef, CommitVote, EquivocationProof, Header, Payload, Slot};
use crate::block::{genesis_ref, header_digests, preimage};
use crate::codec::{self, DecodeError, DecodedHeader};
use crate::committee::{Committee, PROTOCOL_VERSION, Tally};
use crate::crypto::{Digest, Signature};
use crate::id::Round;
use crate::limits::{PAYLOAD_BYTES_MAX, PAYLOAD_TRANSACTIONS_MAX, TRANSACTION_BYTES_MAX};

/// Decides which transactions are valid. Its verdict decides whether blocks are valid, so it must depend on nothing
/// but the transaction's bytes: no clock, no state, no chance.
///
/// Called from several threads at once.
pub trait TransactionCheck: Send + Sync + 'static {
    /// Name and version, for example `opaque/1`; part of the chain id, so all validators use the same check (R32).
    fn name(&self) -> &str;

    /// The position of the first invalid transaction, or `None`. This is where signatures are checked; an
    /// implementation may spread them over threads. A block's transactions come in parts of some thousands.
    fn first_invalid(&self, transactions: &[&[u8]]) -> Option<usize>;
}

/// A block that passed every rule of R4. Only this module makes one from bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifiedBlock(Arc<Block>);

impl VerifiedBlock {
    /// The block.
    #[must_use]
    pub fn block(&self) -> &Arc<Block> {
        &self.0
    }

    /// Takes a block as verified: an own one just signed, or one drawn by a test.
    pub(crate) fn trusted(block: Block) -> Self {
        Self(Arc::new(block))
    }
}

/// Commit votes under a signature that was checked, whatever else is wrong with their block (R25).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedVotes {
    /// Who signed, in which round.
    pub slot: Slot,
    /// Digest of the rest of the header.
    pub body_digest: Digest,
    /// The votes.
    pub votes: Vec<CommitVote>,
    /// The signature over both.
    pub signature: Signature,
}

impl SignedVotes {
    /// The votes of a verified block.
    #[must_use]
    pub fn of(block: &Block) -> Self {
        Self {
            slot: block.reference().slot(),
            body_digest: block.body_digest(),
            votes: block.header().commit_votes.clone(),
            signature: *block.signature(),
        }
    }

    /// Whether the signature covers these votes (R3): what an outsider checks, without the rest of the header.
    #[must_use]
    pub fn verify(&self, committee: &Committee) -> bool {
        let header_digest = codec::votes_digest(&self.body_digest, &self.votes);
        let message = preimage(
            committee.chain(),
            committee.epoch(),
            self.slot,
            &header_digest,
        );
        committee.verifies(self.slot.author, &message, &self.signature)
    }
}

/// Why a block is refused, and the commit votes it still carried under a valid signature.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rejected {
    /// The rule that was broken.
    pub reject: Reject,
    /// Present when the header's signature was valid.
    pub votes: Option<Box<SignedVotes>>,
}

/// The rule that a block broke; always its sender's or author's fault, never ours.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Reject {
    /// The bytes encode no block (R2).
    Malformed(DecodeError),
    /// Another protocol version (R4.1).
    Version(u16),
    /// Another chain: network, epoch or parameters (R4.1).
    Chain,
    /// Another epoch (R4.1).
    Epoch(u64),
    /// Round 0 (R4.1).
    Round,
    /// The author is no member (R4.1).
    Author(u16),
    /// The first parent is not the author's, or the others do not rise strictly by author (R4.2).
    ParentOrder,
    /// A parent's round is not below the block's, or too far below (R4.3).
    ParentRound(Round),
    /// A round-0 parent that is not its author's genesis (R4.3).
    Genesis,
    /// The parents of the round before weigh less than a quorum (R4.4).
    ParentQuorum {
        /// Their weight.
        weight: u64,
    },
    /// An equivocation proof that proves nothing (R4.5).
    Evidence,
    /// The payload is not the one described, or too large (R4.5, R4.6).
    Payload,
    /// The transaction at this position is not valid (R4.6).
    Transaction(usize),
    /// The header's signature is not valid (R4.7).
    Signature,
}

impl Reject {
    /// A short name for metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::Version(_) => "version",
            Self::Chain => "chain",
            Self::Epoch(_) => "epoch",
            Self::Round => "round",
            Self::Author(_) => "author",
            Self::ParentOrder => "parent_order",
            Self::ParentRound(_) => "parent_round",
            Self::Genesis => "genesis",
            Self::ParentQuorum { .. } => "parent_quorum",
            Self::Evidence => "evidence",
            Self::Payload => "payload",
            Self::Transaction(_) => "transaction",
            Self::Signature => "signature",
        }
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(why) => write!(f, "malformed block: {why}"),
            Self::Transaction(at) => write!(f, "transaction {at} of the block is not valid"),
            Self::ParentQuorum { weight } => write!(f, "parents weigh only {weight}"),
            Self::ParentRound(round) => write!(f, "a parent of round {round} is out of range"),
            Self::Version(version) => write!(f, "protocol version {version}"),
            Self::Epoch(epoch) => write!(f, "epoch {epoch}"),
            Self::Author(author) => write!(f, "author {author} is no member"),
            Self::Chain => f.write_str("another chain"),
            Self::Round => f.write_str("round 0"),
            Self::ParentOrder => f.write_str("parents out of order"),
            Self::Genesis => f.write_str("a round-0 parent is not genesis"),
            Self::Evidence => f.write_str("an equivocation proof proves nothing"),
            Self::Payload => f.write_str("the payload is not the one described"),
            Self::Signature => f.write_str("the signature is not valid"),
        }
    }
}

impl std::error::Error for Reject {}

/// Names the block that bytes encode, at the price of a hash, without verifying anything.
///
/// # Errors
/// When the bytes do not begin with a signed header.
pub fn name_block(bytes: &Bytes) -> Result<BlockRef, DecodeError> {
    let (decoded, _) = codec::decode_signed_header(bytes)?;
    Ok(Block::from_parts(decoded, Payload::empty()).reference())
}

/// Decodes and checks a block (R2 to R4).
///
/// # Errors
/// Names the first rule found broken, with the commit votes when the signature was valid all the same.
pub fn verify_block(
    bytes: &Bytes,
    committee: &Committee,
    check: &dyn TransactionCheck,
) -> Result<VerifiedBlock, Rejected> {
    let stranger = |reject: Reject| {
        sometimes!(of reject);
        Rejected {
            reject,
            votes: None,
        }
    };
    let (decoded, payload_bytes) =
        codec::decode_signed_header(bytes).map_err(|why| stranger(Reject::Malformed(why)))?;
    check_origin(&decoded.header, committee).map_err(stranger)?;
    let votes = signed_votes(&decoded);
    if !votes.verify(committee) && !planted!(SignatureUnchecked) {
        return Err(stranger(Reject::Signature));
    }
    check_members_part(decoded, payload_bytes, committee, check).map_err(|reject| {
        sometimes!(of reject);
        Rejected {
            reject,
            votes: Some(Box::new(votes)),
        }
    })
}

/// R4.1: version, chain, epoch, round, author.
fn check_origin(header: &Header, committee: &Committee) -> Result<(), Reject> {
    if header.version != PROTOCOL_VERSION {
        return Err(Reject::Version(header.version));
    }
    if header.epoch != committee.epoch() {
        return Err(Reject::Epoch(header.epoch));
    }
    if header.chain != *committee.chain() {
        return Err(Reject::Chain);
    }
    if header.round == Round::GENESIS {
        return Err(Reject::Round);
    }
    if committee.member(header.author).is_none() {
        return Err(Reject::Author(header.author.0));
    }
    Ok(())
}

fn signed_votes(decoded: &DecodedHeader) -> SignedVotes {
    let body = decoded.signed_header.slice(..decoded.body_length);
    let votes = decoded.signed_header.slice(decoded.body_length..);
    let votes = votes.slice(..votes.len() - 64);
    let (body_digest, _) = header_digests(&body, &votes);
    SignedVotes {
        slot: decoded.header.slot(),
        body_digest,
        votes: decoded.header.commit_votes.clone(),
        signature: decoded.signature,
    }
}

/// Everything behind the signature: only a member can have caused a fault here.
fn check_members_part(
    decoded: DecodedHeader,
    payload_bytes: Bytes,
    committee: &Committee,
    check: &dyn TransactionCheck,
) -> Result<VerifiedBlock, Reject> {
    check_parents(&decoded.header, committee)?;
    let proves = |proof| verify_evidence(proof, committee) || planted!(EvidenceUnchecked);
    if !decoded.header.evidence.iter().all(proves) {
        return Err(Reject::Evidence);
    }
    let payload = check_payload(&decoded.header, payload_bytes)?;
    if let Some(at) = first_invalid(&payload, check) {
        return Err(Reject::Transaction(at));
    }
    Ok(VerifiedBlock(Arc::new(Block::from_parts(decoded, payload))))
}

/// R4.2 to R4.4: order, rounds and weight of the parents.
pub(crate) fn check_parents(header: &Header, committee: &Committee) -> Result<(), Reject> {
    let (own, others) = header.parents.split_first().ok_or(Reject::ParentOrder)?;
    let rising = others.windows(2).all(|pair| match pair {
        [a, b] => a.author < b.author || planted!(ParentAuthorTwice),
        _ => true,
    });
    if own.author != header.author || !rising {
        return Err(Reject::ParentOrder);
    }
    let depth = committee.gc_depth() + u32::from(planted!(ParentWindowWide))
        - u32::from(planted!(ParentWindowNarrow));
    let mut previous_round = Tally::default();
    for (at, parent) in header.parents.iter().enumerate() {
        if at > 0 && parent.author == header.author {
            return Err(Reject::ParentOrder);
        }
        check_parent(header, parent, committee)?;
        if at > 0 && parent.round < header.round.minus(depth) {
            return Err(Reject::ParentRound(parent.round));
        }
        let counts = at > 0 || !planted!(OwnParentUncounted);
        if parent.round.next() == header.round && counts {
            previous_round.add(parent.author, committee);
        }
    }
    // R4.4: the own block of the round before counts.
    let enough = previous_round.weight() >= committee.thresholds().quorum;
    if !enough && !planted!(ParentQuorumUnchecked) {
        return Err(Reject::ParentQuorum {
            weight: previous_round.weight(),
        });
    }
    Ok(())
}

fn check_parent(header: &Header, parent: &BlockRef, committee: &Committee) -> Result<(), Reject> {
    if parent.round >= header.round {
        return Err(Reject::ParentRound(parent.round));
    }
    if committee.member(parent.author).is_none() {
        return Err(Reject::Author(parent.author.0));
    }
    if parent.round == Round::GENESIS && genesis_ref(committee, parent.author) != Some(*parent) {
        return Err(Reject::Genesis);
    }
    Ok(())
}

/// R4.5: whether a proof shows two headers of one slot, both signed for this chain and epoch (R12).
#[must_use]
pub fn verify_evidence(proof: &EquivocationProof, committee: &Committee) -> bool {
    let slot = proof.slot();
    let signed = |(digest, signature): &(Digest, Signature)| {
        let message = preimage(committee.chain(), committee.epoch(), slot, digest);
        committee.verifies(proof.author, &message, signature)
    };
    proof.round > Round::GENESIS
        && proof.first.0 < proof.second.0
        && signed(&proof.first)
        && signed(&proof.second)
}

/// R4.5, R4.6: sizes, table of lengths, root.
fn check_payload(header: &Header, bytes: Bytes) -> Result<Payload, Reject> {
    let described = header.payload;
    let fits = bytes.len() <= PAYLOAD_BYTES_MAX
        && bytes.len() == described.bytes as usize
        && described.count as usize <= PAYLOAD_TRANSACTIONS_MAX;
    if !fits {
        return Err(Reject::Payload);
    }
    let payload = Payload::parse(bytes, described.count)
        .ok_or(Reject::Malformed(DecodeError::PayloadTable))?;
    if payload
        .iter()
        .any(|transaction| transaction.len() > TRANSACTION_BYTES_MAX)
    {
        return Err(Reject::Payload);
    }
    if payload.describe() != described && !planted!(PayloadUnchecked) {
        return Err(Reject::Payload);
    }
    Ok(payload)
}

/// R4.6, by parts: a slice takes 16 bytes and an empty transaction 4, so a list of all of them could need four times
/// the memory that the block had when it arrived.
fn first_invalid(payload: &Payload, check: &dyn TransactionCheck) -> Option<usize> {
    let mut transactions = payload.iter();
    let mut before = 0;
    loop {
        let part: Vec<&[u8]> = transactions.by_ref().take(CHECKED_AT_ONCE).collect();
        if part.is_empty() {
            return None;
        }
        if let Some(at) = check.first_invalid(&part) {
            return Some(before + at);
        }
        before += part.len();
    }
}

/// Transactions handed to the check at once: enough to spread over threads, and 32 KiB of slices.
const CHECKED_AT_ONCE: usize = 2048;

/// Reads a block that this validator stored after verifying it; only its digest is checked again.
///
/// # Errors
/// When the bytes are no block or not the one named.
pub(crate) fn read_stored_block(
    reference: &BlockRef,
    signed_header: &Bytes,
    payload: Bytes,
) -> Result<VerifiedBlock, Reject> {
    let (decoded, rest) = codec::decode_signed_header(signed_header).map_err(Reject::Malformed)?;
    if !rest.is_empty() {
        return Err(Reject::Malformed(DecodeError::Trailing));
    }
    let payload = check_payload(&decoded.header, payload)?;
    let block = Block::from_parts(decoded, payload);
    if block.reference() != *reference {
        return Err(Reject::Signature);
    }
    Ok(VerifiedBlock(Arc::new(block)))
}

/// Reads the reference and header of a stored signed header, without its payload.
///
/// # Errors
/// When the bytes are no signed header.
pub(crate) fn read_stored_header(signed_header: &Bytes) -> Result<(BlockRef, Header), Reject> {
    let (decoded, _) = codec::decode_signed_header(signed_header).map_err(Reject::Malformed)?;
    let block = Block::from_parts(decoded, Payload::empty());
    Ok((block.reference(), block.header().clone()))
}
