//! Commit records: what was ordered, chained by digests (R21).

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use crate::block::{Block, BlockRef, Slot};
use crate::codec::{BLOCK_REF_BYTES, DecodeError, ListOf, Put, Reader};
use crate::crypto::{Context, Digest, hash};
use crate::id::{CommitIndex, Round, ValidatorIndex};
use crate::order::Path;

/// Version of the record's encoding. Records of version 0 named no scores, those of version 1 no next epoch.
pub const COMMIT_RECORD_VERSION: u16 = 2;

/// Greatest lists a stored record is read with; far above what one commit of a full committee holds.
const RECORD_LIST_MAX: usize = 1 << 22;

/// One ordered sub-DAG, without the blocks themselves (R21).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommitRecord {
    /// Version of the encoding.
    pub version: u16,
    /// The epoch.
    pub epoch: u64,
    /// The index, from 1, without gaps.
    pub index: CommitIndex,
    /// Digest of the record before; the chain id for an epoch's first.
    pub previous: Digest,
    /// The committed leader.
    pub leader: BlockRef,
    /// The blocks in order, the leader last; `true` voids the payload of a block whose slot was ordered before.
    pub blocks: Vec<(BlockRef, bool)>,
    /// Never falls; the weighted median of the leader's parents (R20).
    pub timestamp_ms: u64,
    /// Slots skipped since the commit before.
    pub skipped: Vec<Slot>,
    /// The leader schedule in force for the leader's round.
    pub schedule: u64,
    /// Digest of the reputation table after this commit's scoring (R26).
    pub reputation: Digest,
    /// Of the record that ends an epoch, the digest of the next one's charter; else zero (R32).
    pub next: Digest,
}

impl CommitRecord {
    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(192 + self.blocks.len() * 39);
        bytes.put_u16_le(self.version);
        bytes.put_u64_le(self.epoch);
        bytes.put_u64_le(self.index.0);
        bytes.put_slice(self.previous.as_bytes());
        bytes.put_block_ref(&self.leader);
        bytes.put_u64_le(self.timestamp_ms);
        bytes.put_u64_le(self.schedule);
        bytes.put_slice(self.reputation.as_bytes());
        bytes.put_slice(self.next.as_bytes());
        bytes.put_u32_le(u32::try_from(self.blocks.len()).expect("the window is bounded"));
        for (reference, void) in &self.blocks {
            bytes.put_block_ref(reference);
            bytes.put_u8(u8::from(*void));
        }
        bytes.put_u32_le(u32::try_from(self.skipped.len()).expect("the window is bounded"));
        for slot in &self.skipped {
            bytes.put_u32_le(slot.round.0);
            bytes.put_u16_le(slot.author.0);
        }
        bytes.freeze()
    }

    /// Reads a record.
    ///
    /// # Errors
    /// When the bytes are not the canonical encoding of one.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u16()?;
        let epoch = reader.u64()?;
        let index = CommitIndex(reader.u64()?);
        let previous = reader.digest()?;
        let leader = reader.block_ref()?;
        let timestamp_ms = reader.u64()?;
        let schedule = reader.u64()?;
        let reputation = reader.digest()?;
        let next = reader.digest()?;
        let count = reader.u32()? as usize;
        let blocks = reader.list(
            count,
            ListOf {
                what: "blocks",
                item_bytes: BLOCK_REF_BYTES + 1,
                allowed: RECORD_LIST_MAX,
            },
            |r| {
                let reference = r.block_ref()?;
                match r.u8()? {
                    0 => Ok((reference, false)),
                    1 => Ok((reference, true)),
                    found => Err(DecodeError::Tag {
                        what: "void flag",
                        found,
                    }),
                }
            },
        )?;
        let count = reader.u32()? as usize;
        let skipped = reader.list(
            count,
            ListOf {
                what: "skipped slots",
                item_bytes: 4 + 2,
                allowed: RECORD_LIST_MAX,
            },
            |r| {
                Ok(Slot {
                    round: Round(r.u32()?),
                    author: ValidatorIndex(r.u16()?),
                })
            },
        )?;
        reader.finish()?;
        Ok(Self {
            version,
            epoch,
            index,
            previous,
            leader,
            blocks,
            timestamp_ms,
            skipped,
            schedule,
            reputation,
            next,
        })
    }

    /// Whether the epoch ends with this commit.
    #[must_use]
    pub fn ends_epoch(&self) -> bool {
        self.next != Digest::ZERO
    }

    /// The digest that the next record chains to and that commit votes name.
    #[must_use]
    pub fn digest(&self) -> Digest {
        digest_of(&self.encode())
    }
}

/// The digest of an encoded record.
#[must_use]
pub fn digest_of(encoded: &[u8]) -> Digest {
    hash(Context::Commit, &[encoded])
}

/// A commit with its blocks, as the application receives it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Commit {
    /// The record.
    pub record: CommitRecord,
    /// Its digest.
    pub digest: Digest,
    /// The blocks, as in the record.
    pub blocks: Vec<CommittedBlock>,
    /// By which rule the leader's slot was decided here; not part of the sequence, validators may differ. `None` when
    /// the commit was read back from storage, which does not keep it.
    pub path: Option<Path>,
}

/// A block in the sequence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommittedBlock {
    /// The block.
    pub block: Arc<Block>,
    /// Its payload does not count (R12).
    pub void: bool,
}

impl Commit {
    /// Its index.
    #[must_use]
    pub fn index(&self) -> CommitIndex {
        self.record.index
    }

    /// The transactions in order, those of void blocks left out.
    pub fn transactions(&self) -> impl Iterator<Item = Bytes> + '_ {
        let valid = self.blocks.iter().filter(|block| !block.void);
        valid.flat_map(|block| block.block.payload().transactions())
    }
}
