//! What an epoch leaves behind: its last commit, proved final, and the next committee (R32).

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::change::Charter;
use crate::block::CommitVote;
use crate::codec::{DecodeError, Reader};
use crate::commit::{CommitRecord, digest_of};
use crate::committee::{Committee, Tally};
use crate::finality::{CommitCertificate, put_signed_votes, read_signed_votes};
use crate::id::CommitIndex;
use crate::limits::FRAME_BYTES_MAX;
use crate::record::Record;
use crate::verify::SignedVotes;

/// The end of an epoch. With the epoch's committee it needs no trust in whoever sent it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EpochEnd {
    /// The last commit.
    pub record: CommitRecord,
    /// Votes of weight `Q` for it.
    pub certificate: CommitCertificate,
    /// From which the next committee follows.
    pub charter: Charter,
}

/// Where an epoch's sequence begins: after this commit of the epoch before.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Origin {
    /// Its index.
    pub index: CommitIndex,
    /// Its timestamp: that of the implicit blocks of round 0 (R3).
    pub timestamp_ms: u64,
}

const VERSION: u16 = 0;

impl EpochEnd {
    /// Whether the parts belong together and votes of weight `Q` of this committee name the commit.
    #[must_use]
    pub fn verify(&self, committee: &Committee) -> bool {
        let digest = self.record.digest();
        let named = CommitVote {
            index: self.record.index,
            digest,
        };
        let belongs = self.record.epoch == committee.epoch()
            && self.record.next == self.charter.digest()
            && self.certificate.index == named.index
            && self.certificate.digest == digest
            && self.certificate.votes.len() <= committee.size();
        let mut tally = Tally::default();
        let counts = |vote: &SignedVotes| {
            tally.add(vote.slot.author, committee);
            vote.votes.contains(&named) && vote.verify(committee)
        };
        belongs
            && self.certificate.votes.iter().all(counts)
            && tally.weight() >= committee.thresholds().quorum
    }

    /// The next epoch's committee.
    ///
    /// # Errors
    /// When the charter makes none: of an end that verifies, never.
    pub fn next_committee(
        &self,
        committee: &Committee,
    ) -> Result<Arc<Committee>, crate::CommitteeError> {
        committee
            .next(self.record.digest(), &self.charter)
            .map(Arc::new)
    }

    /// What has to be durable before the next epoch is entered; `next` is its committee.
    #[must_use]
    pub fn records(&self, next: &Committee) -> [Record; 2] {
        [Record::epoch_end(self), Record::epoch(next)]
    }

    /// Where the next epoch begins.
    #[must_use]
    pub fn origin(&self) -> Origin {
        Origin {
            index: self.record.index,
            timestamp_ms: self.record.timestamp_ms,
        }
    }

    /// The canonical bytes (docs/wire-format.md).
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let record = self.record.encode();
        let mut bytes = BytesMut::with_capacity(1024 + record.len());
        bytes.put_u16_le(VERSION);
        bytes.put_u32_le(u32::try_from(record.len()).expect("a record fits a frame"));
        bytes.put_slice(&record);
        self.charter.put(&mut bytes);
        put_signed_votes(&mut bytes, &self.certificate.votes);
        bytes.freeze()
    }

    /// Reads an end; it is not verified.
    ///
    /// # Errors
    /// When the bytes are not the canonical encoding of one.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u16()?;
        if version != VERSION {
            return Err(DecodeError::Limit {
                what: "version of an epoch's end",
                found: usize::from(version),
                allowed: usize::from(VERSION),
            });
        }
        let found = reader.u32()? as usize;
        if found > FRAME_BYTES_MAX {
            return Err(DecodeError::Limit {
                what: "record bytes",
                found,
                allowed: FRAME_BYTES_MAX,
            });
        }
        let record = reader.bytes(found)?;
        let digest = digest_of(&record);
        let record = CommitRecord::decode(&record)?;
        let charter = Charter::read(&mut reader)?;
        let votes = read_signed_votes(&mut reader)?;
        reader.finish()?;
        Ok(Self {
            certificate: CommitCertificate {
                index: record.index,
                digest,
                votes,
            },
            record,
            charter,
        })
    }
}
