//! From stored records to a running replica (R36), or a refusal when they contradict each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::block::{BlockRef, EquivocationProof, Payload, Proposal};
use crate::codec::decode_unsigned_header;
use crate::commit::{CommitRecord, digest_of};
use crate::committee::Committee;
use crate::crypto::Digest;
use crate::epoch::{Agenda, EpochEnd, NextEpoch, Origin};
use crate::id::{CommitIndex, Round, ValidatorIndex};
use crate::record::{
    Record, RecordSource, RecordTable, commit_key, epoch_key, header_key, payload_key, read_block,
    read_evidence, round_key,
};
use crate::reputation::{ReplayedCommit, Reputation, Scoring};
use crate::verify::{Reject, VerifiedBlock, read_stored_header};

mod epochs;
mod error;
mod scores;

pub use epochs::{StoredEpoch, stored_epochs};
pub use error::RecoverError;
pub use scores::{replay_scores, stored_scores};

/// What a store says about the past: the last commit, the blocks above the gc round, the last own header.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    pub(crate) is_fresh: bool,
    pub(crate) last: Option<(CommitRecord, Digest)>,
    /// Blocks at or below the gc round that are remembered, with their parents, by ascending round.
    pub(crate) collected: Vec<(BlockRef, Vec<BlockRef>)>,
    /// Blocks above the gc round, by ascending round.
    pub(crate) live: Vec<VerifiedBlock>,
    /// Blocks that recent commits ordered.
    pub(crate) committed: BTreeMap<BlockRef, CommitIndex>,
    /// The own header of the highest round, to be signed again.
    pub(crate) own: Option<Proposal>,
    /// Ends of epochs to be written down first.
    pub(crate) ends: Vec<Record>,
    /// Where the epoch begins.
    pub(crate) origin: Origin,
    /// Votes for changes as they were written down last; none before the first commit.
    pub(crate) agenda: Option<Box<Agenda>>,
    /// What the next epoch starts from, if the last commit ends this one.
    pub(crate) ending: Option<NextEpoch>,
    /// Proofs of equivocation, whether or not the sequence holds them (R12).
    pub(crate) evidence: Vec<EquivocationProof>,
    /// Scores and schedules after the last commit; none before the first.
    pub(crate) reputation: Option<Box<Reputation>>,
}

impl Recovered {
    /// Reads what a replica needs to go on. An empty store is a fresh start.
    ///
    /// # Errors
    /// When the store fails, belongs to another chain, or contradicts itself.
    pub fn load<S: RecordSource>(
        source: &S,
        committee: &Arc<Committee>,
        me: ValidatorIndex,
    ) -> Result<Self, RecoverError<S::Error>> {
        let epoch = committee.epoch();
        match read(source, RecordTable::Epoch, &epoch_key(epoch))? {
            Some(chain) if chain.as_ref() == committee.chain().as_bytes() => {}
            Some(_) => return Err(RecoverError::OtherChain),
            None => return Self::load_fresh(source),
        }
        let last = last_commit(source, committee)?;
        let gc_round = last.as_ref().map_or(Round::GENESIS, |(record, _)| {
            committee.gc_round(record.leader.round)
        });
        let floor = gc_round.minus(2 * committee.gc_depth());
        let committed = match &last {
            Some((record, _)) => recent_commits(source, committee, record, floor)?,
            None => BTreeMap::new(),
        };
        let reputation = match &last {
            Some((record, _)) => Some(Box::new(replay(source, committee, record)?)),
            None => None,
        };
        let agenda = match read(source, RecordTable::Agenda, &epoch_key(epoch))? {
            Some(bytes) => {
                let agenda = Agenda::decode(&bytes, committee);
                Some(Box::new(agenda.map_err(RecoverError::Commit)?))
            }
            None => None,
        };
        let origin = match epoch.checked_sub(1) {
            Some(before) => read_end(source, before)?
                .ok_or(RecoverError::OtherChain)?
                .origin(),
            None => Origin::default(),
        };
        let mut recovered = Self {
            is_fresh: false,
            origin,
            agenda,
            reputation,
            last,
            committed,
            ..Self::default()
        };
        recovered.ending = recovered.next_epoch_of(committee)?;
        recovered.load_blocks(source, committee, (floor, gc_round))?;
        recovered.own = own_header(source, committee, me)?;
        recovered.evidence = read_evidence(source, epoch).map_err(RecoverError::from_read)?;
        Ok(recovered)
    }

    /// The start of a validator that has no past.
    #[must_use]
    pub fn fresh() -> Self {
        Self {
            is_fresh: true,
            ..Self::default()
        }
    }

    /// The start of the epoch after this one, in the process that saw it end.
    #[must_use]
    pub fn next_epoch(end: &EpochEnd) -> Self {
        Self {
            origin: end.origin(),
            ..Self::default()
        }
    }

    /// The start of who joins: it followed these ends of epochs, from the first one on, and is a member of the epoch
    /// after the last. Nothing of them is in its store yet.
    #[must_use]
    pub fn join(ends: &[EpochEnd]) -> Self {
        Self {
            is_fresh: true,
            origin: ends.last().map(EpochEnd::origin).unwrap_or_default(),
            ends: ends.iter().map(Record::epoch_end).collect(),
            ..Self::default()
        }
    }

    /// The agenda to go on with.
    pub(crate) fn agenda(&self, committee: &Arc<Committee>) -> Agenda {
        match &self.agenda {
            Some(agenda) => agenda.as_ref().clone(),
            None => Agenda::new(Arc::clone(committee)),
        }
    }

    /// What the next epoch starts from, which the last commit has to name if it ends this one (R32).
    fn next_epoch_of<E>(
        &self,
        committee: &Arc<Committee>,
    ) -> Result<Option<NextEpoch>, RecoverError<E>> {
        let (Some((last, _)), Some(reputation)) = (&self.last, &self.reputation) else {
            return Ok(None);
        };
        if !last.ends_epoch() {
            return Ok(None);
        }
        let next = NextEpoch::after(committee, reputation, &self.agenda(committee));
        if next.charter.digest() == last.next {
            Ok(Some(next))
        } else {
            Err(RecoverError::NextEpoch(last.index))
        }
    }

    /// A store without our epoch must be empty, or it belongs to somebody else.
    fn load_fresh<S: RecordSource>(source: &S) -> Result<Self, RecoverError<S::Error>> {
        for table in [
            RecordTable::Epoch,
            RecordTable::Headers,
            RecordTable::Commits,
        ] {
            let mut used = false;
            let visit = &mut |_: &[u8], _: &[u8]| {
                used = true;
                false
            };
            source
                .scan(table, &[], visit)
                .map_err(RecoverError::Store)?;
            if used {
                return Err(RecoverError::OtherChain);
            }
        }
        Ok(Self::fresh())
    }

    /// The last durable commit.
    #[must_use]
    pub fn last_commit(&self) -> CommitIndex {
        self.last
            .as_ref()
            .map_or(self.origin.index, |(record, _)| record.index)
    }

    fn load_blocks<S: RecordSource>(
        &mut self,
        source: &S,
        committee: &Committee,
        (floor, gc_round): (Round, Round),
    ) -> Result<(), RecoverError<S::Error>> {
        let epoch = committee.epoch();
        let mut headers: Vec<Bytes> = Vec::new();
        let visit = &mut |key: &[u8], value: &[u8]| {
            let ours = key.starts_with(&epoch.to_be_bytes());
            if ours {
                headers.push(Bytes::copy_from_slice(value));
            }
            ours
        };
        let from = round_key(epoch, floor.next());
        source
            .scan(RecordTable::Headers, &from, visit)
            .map_err(RecoverError::Store)?;
        for bytes in headers {
            let (reference, header) = read_stored_header(&bytes).map_err(RecoverError::Block)?;
            if reference.round <= gc_round {
                self.collected.push((reference, header.parents));
                continue;
            }
            let block = read_block(source, epoch, &reference).map_err(RecoverError::from_read)?;
            self.live.extend(block);
        }
        Ok(())
    }
}

fn read<S: RecordSource>(
    source: &S,
    table: RecordTable,
    key: &[u8],
) -> Result<Option<Bytes>, RecoverError<S::Error>> {
    source.read(table, key).map_err(RecoverError::Store)
}

/// How an epoch ended, if it has.
fn read_end<S: RecordSource>(
    source: &S,
    epoch: u64,
) -> Result<Option<EpochEnd>, RecoverError<S::Error>> {
    let end = read(source, RecordTable::EpochEnd, &epoch_key(epoch))?;
    let end = end.map(|bytes| EpochEnd::decode(&bytes)).transpose();
    end.map_err(RecoverError::Commit)
}

fn last_commit<S: RecordSource>(
    source: &S,
    committee: &Committee,
) -> Result<Option<(CommitRecord, Digest)>, RecoverError<S::Error>> {
    let Some(tip) = read(source, RecordTable::Tip, &epoch_key(committee.epoch()))? else {
        return Ok(None);
    };
    let tip: [u8; 8] = tip.as_ref().try_into().map_err(|_| RecoverError::Tip)?;
    let index = CommitIndex(u64::from_le_bytes(tip));
    let last = read_commit(source, index)?;
    last.map(Some).ok_or(RecoverError::Missing(index))
}

fn read_commit<S: RecordSource>(
    source: &S,
    index: CommitIndex,
) -> Result<Option<(CommitRecord, Digest)>, RecoverError<S::Error>> {
    let Some(bytes) = read(source, RecordTable::Commits, &commit_key(index))? else {
        return Ok(None);
    };
    let record = CommitRecord::decode(&bytes).map_err(RecoverError::Commit)?;
    if record.index != index {
        return Err(RecoverError::Tip);
    }
    Ok(Some((record, digest_of(&bytes))))
}

/// The blocks above `floor` that were ordered, walking the chain of records back.
fn recent_commits<S: RecordSource>(
    source: &S,
    committee: &Committee,
    last: &CommitRecord,
    floor: Round,
) -> Result<BTreeMap<BlockRef, CommitIndex>, RecoverError<S::Error>> {
    let mut committed = BTreeMap::new();
    let mut record = last.clone();
    while record.leader.round > floor {
        for (block, _) in record
            .blocks
            .iter()
            .filter(|(block, _)| block.round > floor)
        {
            committed.insert(*block, record.index);
        }
        if record.previous == *committee.chain() {
            break;
        }
        let Some((before, digest)) = read_commit(source, CommitIndex(record.index.0 - 1))? else {
            break;
        };
        if digest != record.previous {
            return Err(RecoverError::BrokenChain(record.index));
        }
        record = before;
    }
    Ok(committed)
}

/// Scores and schedules after the last commit: the snapshot's, and the commits after it replayed.
fn replay<S: RecordSource>(
    source: &S,
    committee: &Arc<Committee>,
    last: &CommitRecord,
) -> Result<Reputation, RecoverError<S::Error>> {
    let start = snapshot(source, committee, last)?;
    let scores = replay_after(source, start, last, &mut |_| {})?;
    Ok(scores.reputation)
}

/// The stored scores with the commit that they are after; those of the epoch's start if there are none.
fn snapshot<S: RecordSource>(
    source: &S,
    committee: &Arc<Committee>,
    last: &CommitRecord,
) -> Result<(CommitIndex, Reputation), RecoverError<S::Error>> {
    let key = epoch_key(committee.epoch());
    match read(source, RecordTable::Reputation, &key)? {
        Some(bytes) => Reputation::restore(&bytes, committee).map_err(RecoverError::Commit),
        None => {
            let before = before_first(source, committee, last)?;
            Ok((before, Reputation::new(Arc::clone(committee))))
        }
    }
}

/// Scores every commit after `done` up to the last one, and compares with what its record names.
fn replay_after<S: RecordSource>(
    source: &S,
    (done, reputation): (CommitIndex, Reputation),
    last: &CommitRecord,
    visit: &mut dyn FnMut(ReplayedCommit<'_>),
) -> Result<Scoring, RecoverError<S::Error>> {
    if done > last.index {
        return Err(RecoverError::Reputation(done));
    }
    let mut scores = Scoring { reputation };
    let epoch = scores.committee().epoch();
    for index in (done.0 + 1..=last.index.0).map(CommitIndex) {
        let (record, _) = read_commit(source, index)?.ok_or(RecoverError::Missing(index))?;
        let mut headers = Vec::with_capacity(record.blocks.len());
        for (block, _) in &record.blocks {
            let key = header_key(epoch, block);
            let bytes = read(source, RecordTable::Headers, &key)?;
            let bytes = bytes.ok_or(RecoverError::Missing(index))?;
            let (found, header) = read_stored_header(&bytes).map_err(RecoverError::Block)?;
            if found != *block {
                return Err(RecoverError::Reputation(index));
            }
            headers.push((found, header));
        }
        let blocks: Vec<_> = headers
            .iter()
            .map(|(block, header)| (*block, header))
            .collect();
        scores.commit(&record, &blocks);
        if !scores.reputation.matches(&record) {
            return Err(RecoverError::Reputation(index));
        }
        visit(ReplayedCommit {
            record: &record,
            blocks: &blocks,
            scores: &scores,
        });
    }
    if scores.reputation.matches(last) {
        Ok(scores)
    } else {
        Err(RecoverError::Reputation(last.index))
    }
}

/// The index before the epoch's first commit.
fn before_first<S: RecordSource>(
    source: &S,
    committee: &Committee,
    last: &CommitRecord,
) -> Result<CommitIndex, RecoverError<S::Error>> {
    let mut first = last.clone();
    while first.previous != *committee.chain() {
        let before = CommitIndex(first.index.0.saturating_sub(1));
        let found = read_commit(source, before)?;
        (first, _) = found.ok_or(RecoverError::Missing(before))?;
    }
    Ok(CommitIndex(first.index.0.saturating_sub(1)))
}

fn own_header<S: RecordSource>(
    source: &S,
    committee: &Committee,
    me: ValidatorIndex,
) -> Result<Option<Proposal>, RecoverError<S::Error>> {
    let key = epoch_key(committee.epoch());
    let Some(bytes) = read(source, RecordTable::Own, &key)? else {
        return Ok(None);
    };
    let header = decode_unsigned_header(&bytes).map_err(RecoverError::Commit)?;
    if header.author != me {
        return Err(RecoverError::OtherValidator(header.author));
    }
    let payload = if header.payload.count == 0 {
        Payload::empty()
    } else {
        let key = payload_key(header.epoch, header.slot(), &header.payload.root);
        let bytes = read(source, RecordTable::Payloads, &key)?;
        bytes
            .and_then(|bytes| Payload::parse(bytes, header.payload.count))
            .ok_or(RecoverError::Block(Reject::Payload))?
    };
    Ok(Some(Proposal::new(header, payload)))
}
