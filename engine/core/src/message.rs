//! What validators say to each other: one tag byte, then fixed-width fields (docs/wire-format.md).

use bytes::{BufMut, Bytes, BytesMut};

use crate::block::{Block, BlockRef};
use crate::codec::{BLOCK_REF_BYTES, DecodeError, ListOf, Put, Reader};
use crate::id::{CommitIndex, Round};
use crate::limits::{COMMITS_MAX, REQUEST_REFS_MAX};

const TAG_BLOCK: u8 = 1;
const TAG_FETCHED: u8 = 2;
const TAG_FETCH: u8 = 3;
const TAG_NOT_HELD: u8 = 4;
const TAG_REPLAY: u8 = 5;
const TAG_FETCH_HISTORY: u8 = 6;
const TAG_EPOCH_END: u8 = 7;
const TAG_FETCH_CERTIFICATE: u8 = 8;
const TAG_CERTIFICATE: u8 = 9;
const TAG_FETCH_COMMITS: u8 = 10;
const TAG_COMMITS: u8 = 11;

/// One message between two validators.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// An own block of the sender, unasked (or in answer to [`Message::Replay`]). Not verified yet.
    Block(Bytes),
    /// A block that was asked for by digest. Not verified yet.
    Fetched(Bytes),
    /// "Send me these blocks" (R33).
    Fetch(Vec<BlockRef>),
    /// "I do not hold these blocks", in answer to [`Message::Fetch`] or [`Message::FetchHistory`].
    NotHeld(Vec<BlockRef>),
    /// "Send me your own blocks after this round", on every new link and while far behind (R34).
    Replay {
        /// The epoch that the sender is in; whoever is further answers with that epoch's end (R32).
        epoch: u64,
        /// The highest round of the receiver's blocks that the sender has.
        after: Round,
    },
    /// How an epoch ended: pushed when it does, and the answer to whatever belongs to that epoch later (R32). Not
    /// verified yet.
    EpochEnd(Bytes),
    /// "Send me these blocks, and of their history what is above this round and not committed" (R6, R33): what grounds
    /// a chain of collected blocks, in one answer.
    FetchHistory {
        /// At or below this round nothing is needed.
        above: Round,
        /// The blocks.
        refs: Vec<BlockRef>,
    },
    /// "Send me a certificate" (R35): of the least commit at or above this one that is kept, else the newest.
    FetchCertificate {
        /// The epoch.
        epoch: u64,
        /// The commit.
        at_least: CommitIndex,
    },
    /// A commit certificate that was asked for; empty if there is none. Not verified yet.
    Certificate(Bytes),
    /// "Send me these commit records" (R35).
    FetchCommits {
        /// The first one.
        first: CommitIndex,
        /// How many; at most 64.
        count: u8,
    },
    /// Commit records that were asked for, from `first` on; none if the first is not held. Not verified yet.
    Commits {
        /// The index that was asked for.
        first: CommitIndex,
        /// The records.
        records: Vec<Bytes>,
    },
}

impl Message {
    /// The frame for a block that its author sends unasked.
    #[must_use]
    pub fn encode_block(block: &Block) -> Bytes {
        tagged_block(TAG_BLOCK, block.signed_header(), block.payload().bytes())
    }

    /// The frame for a block that was asked for, from its stored parts.
    #[must_use]
    pub fn encode_fetched(signed_header: &[u8], payload: &[u8]) -> Bytes {
        tagged_block(TAG_FETCHED, signed_header, payload)
    }

    /// The frame for an own block sent again, from its stored parts (R34).
    #[must_use]
    pub fn encode_replayed(signed_header: &[u8], payload: &[u8]) -> Bytes {
        tagged_block(TAG_BLOCK, signed_header, payload)
    }

    /// The frame for this message.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Block(block) => tagged_block(TAG_BLOCK, block, &[]),
            Self::Fetched(block) => tagged_block(TAG_FETCHED, block, &[]),
            Self::Fetch(refs) => tagged_refs(&[TAG_FETCH], refs),
            Self::NotHeld(refs) => tagged_refs(&[TAG_NOT_HELD], refs),
            Self::EpochEnd(end) => tagged_block(TAG_EPOCH_END, end, &[]),
            Self::Replay { epoch, after } => {
                let mut bytes = BytesMut::with_capacity(13);
                bytes.put_u8(TAG_REPLAY);
                bytes.put_u64_le(*epoch);
                bytes.put_u32_le(after.0);
                bytes.freeze()
            }
            Self::FetchHistory { above, refs } => {
                let mut head = BytesMut::with_capacity(5);
                head.put_u8(TAG_FETCH_HISTORY);
                head.put_u32_le(above.0);
                tagged_refs(&head, refs)
            }
            Self::FetchCertificate { epoch, at_least } => {
                let mut bytes = BytesMut::with_capacity(17);
                bytes.put_u8(TAG_FETCH_CERTIFICATE);
                bytes.put_u64_le(*epoch);
                bytes.put_u64_le(at_least.0);
                bytes.freeze()
            }
            Self::Certificate(certificate) => tagged_block(TAG_CERTIFICATE, certificate, &[]),
            Self::FetchCommits { first, count } => {
                let mut bytes = BytesMut::with_capacity(10);
                bytes.put_u8(TAG_FETCH_COMMITS);
                bytes.put_u64_le(first.0);
                bytes.put_u8(*count);
                bytes.freeze()
            }
            Self::Commits { first, records } => encode_commits(*first, records),
        }
    }

    /// The epoch that a block's bytes name; `None` if they are too short to name one.
    #[must_use]
    pub fn epoch_of_block(block: &[u8]) -> Option<u64> {
        // Version and chain id come first.
        let epoch = block.get(2 + 32..2 + 32 + 8)?;
        Some(u64::from_le_bytes(epoch.try_into().ok()?))
    }

    /// Reads a frame; a block's bytes are taken as they are and share the frame's memory.
    ///
    /// # Errors
    /// When the frame is not the canonical encoding of a message.
    pub fn decode(frame: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(frame);
        let message = match reader.u8()? {
            TAG_BLOCK => Self::Block(reader.rest()),
            TAG_FETCHED => Self::Fetched(reader.rest()),
            TAG_FETCH => Self::Fetch(read_refs(&mut reader)?),
            TAG_NOT_HELD => Self::NotHeld(read_refs(&mut reader)?),
            TAG_EPOCH_END => Self::EpochEnd(reader.rest()),
            TAG_REPLAY => Self::Replay {
                epoch: reader.u64()?,
                after: Round(reader.u32()?),
            },
            TAG_FETCH_HISTORY => Self::FetchHistory {
                above: Round(reader.u32()?),
                refs: read_refs(&mut reader)?,
            },
            TAG_FETCH_CERTIFICATE => Self::FetchCertificate {
                epoch: reader.u64()?,
                at_least: CommitIndex(reader.u64()?),
            },
            TAG_CERTIFICATE => Self::Certificate(reader.rest()),
            TAG_FETCH_COMMITS => Self::FetchCommits {
                first: CommitIndex(reader.u64()?),
                count: read_count(&mut reader)?,
            },
            TAG_COMMITS => read_commits(&mut reader)?,
            found => {
                return Err(DecodeError::Tag {
                    what: "message",
                    found,
                });
            }
        };
        reader.finish()?;
        Ok(message)
    }
}

/// # Panics
/// When there are more records than a message may carry; whoever answers keeps to the limit.
fn encode_commits(first: CommitIndex, records: &[Bytes]) -> Bytes {
    assert!(
        records.len() <= COMMITS_MAX,
        "an answer has at most 64 records"
    );
    let length: usize = records.iter().map(|record| 4 + record.len()).sum();
    let mut bytes = BytesMut::with_capacity(10 + length);
    bytes.put_u8(TAG_COMMITS);
    bytes.put_u64_le(first.0);
    bytes.put_u8(u8::try_from(records.len()).expect("at most 64"));
    for record in records {
        bytes.put_u32_le(u32::try_from(record.len()).expect("a record fits a frame"));
        bytes.put_slice(record);
    }
    bytes.freeze()
}

fn read_count(reader: &mut Reader<'_>) -> Result<u8, DecodeError> {
    let count = reader.u8()?;
    let found = usize::from(count);
    if found > COMMITS_MAX {
        return Err(DecodeError::Limit {
            what: "commit records",
            found,
            allowed: COMMITS_MAX,
        });
    }
    Ok(count)
}

fn read_commits(reader: &mut Reader<'_>) -> Result<Message, DecodeError> {
    let first = CommitIndex(reader.u64()?);
    let count = usize::from(reader.u8()?);
    let of = ListOf {
        what: "commit records",
        item_bytes: 4,
        allowed: COMMITS_MAX,
    };
    let records = reader.list(count, of, |reader| {
        let length = reader.u32()? as usize;
        reader.bytes(length)
    })?;
    Ok(Message::Commits { first, records })
}

fn tagged_block(tag: u8, head: &[u8], payload: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(1 + head.len() + payload.len());
    bytes.put_u8(tag);
    bytes.put_slice(head);
    bytes.put_slice(payload);
    bytes.freeze()
}

/// # Panics
/// When there are more references than a message may carry; whoever asks keeps to the limit.
fn tagged_refs(head: &[u8], refs: &[BlockRef]) -> Bytes {
    assert!(
        refs.len() <= REQUEST_REFS_MAX,
        "a request names at most 64 blocks"
    );
    let mut bytes = BytesMut::with_capacity(head.len() + 1 + refs.len() * BLOCK_REF_BYTES);
    bytes.put_slice(head);
    bytes.put_u8(u8::try_from(refs.len()).expect("at most 64"));
    refs.iter()
        .for_each(|reference| bytes.put_block_ref(reference));
    bytes.freeze()
}

fn read_refs(reader: &mut Reader<'_>) -> Result<Vec<BlockRef>, DecodeError> {
    let count = usize::from(reader.u8()?);
    reader.list(
        count,
        ListOf {
            what: "references",
            item_bytes: BLOCK_REF_BYTES,
            allowed: REQUEST_REFS_MAX,
        },
        Reader::block_ref,
    )
}
