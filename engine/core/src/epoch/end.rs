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
            let holds = vote.votes.contains(&named) && vote.verify(committee);
            // Only a signature that holds shows that there is such an author.
            if holds {
                tally.add(vote.slot.author, committee);
            }
            holds
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::{BlockRef, Slot};
    use crate::crypto::{Digest, Signature};
    use crate::id::{Round, ValidatorIndex};
    use crate::testing::committee;
    use crate::thresholds::{FaultBounds, Mode};

    /// An end that belongs together, with one vote of this author and no valid signature.
    fn end(committee: &Committee, author: u16) -> EpochEnd {
        let charter = Charter {
            roster: committee.roster().clone(),
            bounds: committee.bounds(),
            total: committee.thresholds().total,
        };
        let record = CommitRecord {
            version: crate::COMMIT_RECORD_VERSION,
            epoch: committee.epoch(),
            index: CommitIndex(1),
            previous: *committee.chain(),
            leader: BlockRef {
                round: Round(1),
                author: ValidatorIndex(0),
                digest: Digest::ZERO,
            },
            blocks: Vec::new(),
            timestamp_ms: 0,
            skipped: Vec::new(),
            schedule: 0,
            reputation: Digest::ZERO,
            next: charter.digest(),
        };
        let vote = CommitVote {
            index: record.index,
            digest: record.digest(),
        };
        let signed = SignedVotes {
            slot: Slot {
                round: Round(3),
                author: ValidatorIndex(author),
            },
            body_digest: Digest::ZERO,
            votes: vec![vote],
            signature: Signature([0; 64]),
        };
        let certificate = CommitCertificate {
            index: vote.index,
            digest: vote.digest,
            votes: vec![signed],
        };
        EpochEnd {
            record,
            certificate,
            charter,
        }
    }

    #[test]
    fn votes_of_nobody_prove_nothing() {
        let bounds = FaultBounds {
            mode: Mode::Graded,
            byzantine: 1,
            crashed: 0,
        };
        let committee = committee(&[1; 4], bounds, 8);
        for author in [0, 4, 255, 256, u16::MAX] {
            let end = end(&committee, author);
            assert!(!end.verify(&committee), "author {author}");
            assert!(!end.certificate.verify(&committee), "author {author}");
        }
    }
}
