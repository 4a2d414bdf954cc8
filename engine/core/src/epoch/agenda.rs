//! What the sequence of an epoch has asked for so far (R32): votes for changes, and the charter of the next epoch.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::change::{Change, Charter};
use super::roster::RosterError;
use super::rule::{Authority, ChangeRequest, EpochRule};
use crate::block::Block;
use crate::codec::{DecodeError, ListOf, Reader};
use crate::commit::CommitRecord;
use crate::committee::{AuthorSet, Committee};
use crate::id::ValidatorIndex;
use crate::limits::{CHANGES_OPEN_PER_AUTHOR_MAX, CHANGES_PER_BLOCK_MAX, VALIDATORS_MAX};

/// What a change came to.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ChangeOutcome {
    /// It takes effect at the epoch's end.
    Effective,
    /// It would leave no committee and was dropped.
    Refused(RosterError),
}

/// What one commit did to the agenda.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Progress {
    /// Something to write down again.
    pub(crate) changed: bool,
    pub(crate) outcomes: Vec<(Change, ChangeOutcome)>,
    /// The epoch ends with this commit.
    pub(crate) ends: bool,
}

/// The votes and the charter after a commit; a function of the prefix.
#[derive(Clone, Debug)]
pub(crate) struct Agenda {
    committee: Arc<Committee>,
    charter: Charter,
    /// Timestamp of the epoch's first commit. The network's first leaders have none to show but that of genesis, zero.
    began_ms: Option<u64>,
    votes: BTreeMap<Change, AuthorSet>,
}

impl Agenda {
    pub(crate) fn new(committee: Arc<Committee>) -> Self {
        Self {
            charter: Charter::of(&committee),
            committee,
            began_ms: None,
            votes: BTreeMap::new(),
        }
    }

    /// The next epoch's charter as far as it is ordered.
    pub(crate) fn charter(&self) -> &Charter {
        &self.charter
    }

    /// Changes that a validator has asked for and that are not decided.
    pub(crate) fn open_of(&self, author: ValidatorIndex) -> impl Iterator<Item = &Change> {
        let voted = self.votes.iter();
        let voted = voted.filter(move |(_, votes)| votes.contains(author));
        voted.map(|(change, _)| change)
    }

    /// Takes the next commit with those of its blocks whose payload counts.
    pub(crate) fn handle_commit<'a>(
        &mut self,
        rule: &dyn EpochRule,
        record: &CommitRecord,
        blocks: impl Iterator<Item = &'a Arc<Block>>,
    ) -> Progress {
        let mut progress = Progress::default();
        if self.began_ms.is_none() && record.timestamp_ms > 0 {
            self.began_ms = Some(record.timestamp_ms);
            progress.changed = true;
        }
        for block in blocks.filter(|block| !block.payload().is_empty()) {
            let requests = rule.requests(block).into_iter();
            for request in requests.take(CHANGES_PER_BLOCK_MAX) {
                self.take(block.author(), request, &mut progress);
            }
        }
        let length = self.committee.epochs().length_ms;
        let lasted_ms = self
            .began_ms
            .map(|began_ms| record.timestamp_ms.saturating_sub(began_ms));
        progress.ends |= lasted_ms.is_some_and(|lasted| length.is_some_and(|of| lasted >= of));
        progress.ends |= rule.ends(record);
        progress
    }

    fn take(&mut self, author: ValidatorIndex, request: ChangeRequest, progress: &mut Progress) {
        let ChangeRequest { change, authority } = request;
        if authority == Authority::Validators {
            let open = self.open_of(author).count();
            let known = self.votes.get(&change);
            if known.is_some_and(|votes| votes.contains(author)) {
                return;
            }
            if open >= CHANGES_OPEN_PER_AUTHOR_MAX {
                return;
            }
            progress.changed = true;
            let votes = self.votes.entry(change.clone()).or_default();
            votes.insert(author);
            if self.committee.weight_of(votes) < self.committee.thresholds().quorum {
                return;
            }
        }
        self.votes.remove(&change);
        progress.changed = true;
        let outcome = self.charter.take(&change);
        progress.ends |= change == Change::EndEpoch && outcome == ChangeOutcome::Effective;
        progress.outcomes.push((change, outcome));
    }

    /// The agenda as bytes (docs/storage-format.md).
    pub(crate) fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::new();
        bytes.put_u16_le(VERSION);
        bytes.put_u64_le(self.began_ms.unwrap_or(0));
        self.charter.put(&mut bytes);
        bytes.put_u32_le(u32::try_from(self.votes.len()).expect("votes are bounded"));
        for (change, votes) in &self.votes {
            let change = change.encode();
            bytes.put_u32_le(u32::try_from(change.len()).expect("a change is short"));
            bytes.put_slice(&change);
            bytes.extend(votes.bytes(self.committee.set_bytes()));
        }
        bytes.freeze()
    }

    /// Reads the agenda back.
    ///
    /// # Errors
    /// When the bytes are not one of this committee.
    pub(crate) fn decode(bytes: &Bytes, committee: &Arc<Committee>) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u16()?;
        if version != VERSION {
            return Err(DecodeError::Limit {
                what: "version of an agenda",
                found: usize::from(version),
                allowed: usize::from(VERSION),
            });
        }
        let began_ms = Some(reader.u64()?).filter(|began_ms| *began_ms > 0);
        let charter = Charter::read(&mut reader)?;
        let count = reader.u32()? as usize;
        let of = ListOf {
            what: "changes",
            item_bytes: 4 + 17,
            allowed: VALIDATORS_MAX * CHANGES_OPEN_PER_AUTHOR_MAX,
        };
        let votes = reader.list(count, of, |r| {
            let length = r.u32()? as usize;
            let change = Change::decode(&r.bytes(length)?)?;
            let set = r.bytes(committee.set_bytes())?;
            let set = AuthorSet::from_bytes(&set, committee.size());
            let set = set.ok_or(DecodeError::Tag {
                what: "voter",
                found: u8::MAX,
            })?;
            Ok((change, set))
        })?;
        reader.finish()?;
        Ok(Self {
            committee: Arc::clone(committee),
            charter,
            began_ms,
            votes: votes.into_iter().collect(),
        })
    }
}

const VERSION: u16 = 0;
