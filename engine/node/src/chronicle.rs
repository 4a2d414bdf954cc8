//! The epochs so far: their committees, and how they ended.
//!
//! ```text
//!   committee.toml ─▶ epoch 0 ── its end ─▶ epoch 1 ── its end ─▶ … ─▶ the running one
//! ```
//!
//! The ends are never removed from storage, so that every committee follows from the first one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use probity_core::record::{ReadError, RecordSource as _, RecordTable, commit_key, epoch_key};
use probity_core::{CommitIndex, Committee, EpochEnd, EpochNotes, RecoverError};
use probity_storage::StorageError;

use crate::error::Error;
use crate::event::{EpochEvent, Seated};
use crate::records::Records;

/// Committees kept in memory; older ones are derived again when somebody asks.
const COMMITTEES_KEPT: usize = 4;

/// What is known about epochs, shared by all threads.
pub(crate) struct Chronicle {
    records: Records,
    first: Arc<Committee>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// The youngest committees, the running one last; never empty.
    committees: VecDeque<Arc<Committee>>,
    /// The older one that was asked for last: who reads history asks for the next one next.
    derived: Option<Arc<Committee>>,
    /// Epochs by their last commit.
    ends: BTreeMap<CommitIndex, u64>,
}

/// What a start has to know of the past.
pub(crate) struct Past {
    /// The running epoch's committee.
    pub(crate) running: Arc<Committee>,
    /// That of the epoch before, and how it ended.
    pub(crate) before: Option<(Arc<Committee>, EpochEnd)>,
    /// Commits below this are not all here: an epoch was left or followed without them.
    pub(crate) first_commit: CommitIndex,
}

impl Chronicle {
    /// Reads the stored ends and verifies each.
    ///
    /// # Errors
    /// When the storage fails, or an end does not follow from the epoch before.
    pub(crate) fn load(records: Records, first: Arc<Committee>) -> Result<(Self, Past), Error> {
        let chronicle = Self {
            records,
            known: Mutex::default(),
            first: Arc::clone(&first),
        };
        chronicle
            .known
            .lock()
            .committees
            .push_back(Arc::clone(&first));
        let mut past = Past {
            running: first,
            before: None,
            first_commit: CommitIndex(1),
        };
        while let Some(end) = chronicle.end(past.running.epoch())? {
            let broken = || {
                let epoch = past.running.epoch();
                Error::Recover(format!(
                    "the stored end of epoch {epoch} does not belong to it"
                ))
            };
            if !end.verify(&past.running) {
                chronicle.check_chain(&past.running)?;
                return Err(broken());
            }
            let next = end.next_committee(&past.running).map_err(|_| broken())?;
            let last = end.record.index;
            let held = chronicle
                .records
                .read(RecordTable::Commits, &commit_key(last))?;
            if held.is_none() {
                past.first_commit = last.next();
            }
            chronicle.enter(&end, &next);
            past.before = Some((std::mem::replace(&mut past.running, next), end));
        }
        Ok((chronicle, past))
    }

    /// Whether the store's epoch of that number is this committee's, as far as the store names it.
    ///
    /// # Errors
    /// When it is another one's.
    pub(crate) fn check_chain(&self, committee: &Committee) -> Result<(), Error> {
        let key = epoch_key(committee.epoch());
        let chain = self.records.read(RecordTable::Epoch, &key)?;
        if chain.is_some_and(|chain| chain.as_ref() != committee.chain().as_bytes()) {
            return Err(Error::recover(RecoverError::OtherChain));
        }
        Ok(())
    }

    /// The first epoch's committee.
    pub(crate) fn first(&self) -> &Arc<Committee> {
        &self.first
    }

    /// The next epoch begins.
    pub(crate) fn enter(&self, end: &EpochEnd, next: &Arc<Committee>) {
        let mut known = self.known.lock();
        known.ends.insert(end.record.index, end.record.epoch);
        known.committees.push_back(Arc::clone(next));
        while known.committees.len() > COMMITTEES_KEPT {
            known.committees.pop_front();
        }
    }

    /// The epoch that ended with this commit.
    pub(crate) fn ended_with(&self, index: CommitIndex) -> Option<u64> {
        self.known.lock().ends.get(&index).copied()
    }

    /// The first epoch that ends with this commit or a later one, as far as they have ended.
    pub(crate) fn first_ending_at(&self, index: CommitIndex) -> u64 {
        let known = self.known.lock();
        let before = known.ends.range(..index).next_back();
        before.map_or(0, |(_, epoch)| epoch + 1)
    }

    /// The committee of an epoch; none of one that has not begun here.
    pub(crate) fn committee(&self, epoch: u64) -> Result<Option<Arc<Committee>>, Error> {
        let mut committee = {
            let known = self.known.lock();
            let newest = known.committees.back().map_or(0, |newest| newest.epoch());
            if epoch > newest {
                return Ok(None);
            }
            let mut kept = known.committees.iter();
            if let Some(kept) = kept.find(|kept| kept.epoch() == epoch) {
                return Ok(Some(Arc::clone(kept)));
            }
            let derived = known.derived.as_ref();
            let below = derived.filter(|derived| derived.epoch() <= epoch);
            Arc::clone(below.unwrap_or(&self.first))
        };
        while committee.epoch() < epoch {
            // Verified when it was written, and again at the start.
            let end = self.end(committee.epoch())?;
            let next = end.and_then(|end| end.next_committee(&committee).ok());
            committee = next.ok_or_else(|| {
                let missing = committee.epoch();
                Error::Recover(format!("the stored end of epoch {missing} is missing"))
            })?;
        }
        self.known.lock().derived = Some(Arc::clone(&committee));
        Ok(Some(committee))
    }

    /// What an application is told about an epoch that has ended.
    pub(crate) fn event(&self, epoch: u64) -> Result<EpochEvent, Error> {
        let missing = || Error::Recover(format!("the stored end of epoch {epoch} is missing"));
        let committee = self.committee(epoch)?.ok_or_else(missing)?;
        let end = self.end(epoch)?.ok_or_else(missing)?;
        let next = end.next_committee(&committee).map_err(|_| missing())?;
        let EpochNotes {
            changes,
            slashing_alarm,
        } = self.notes(&committee, end.record.index)?;
        Ok(EpochEvent {
            epoch,
            last_commit: end.record.index,
            roster: Seated::all(&next),
            changes,
            slashing_alarm,
            next,
            end: Arc::new(end),
        })
    }

    /// What an epoch decided; nothing where its last commits were not seen, since a part of it would be another answer
    /// than everybody else's.
    fn notes(&self, committee: &Committee, last: CommitIndex) -> Result<EpochNotes, Error> {
        if !self.saw(committee.epoch(), last)? {
            return Ok(EpochNotes::default());
        }
        let notes: Result<_, ReadError<StorageError>> = EpochNotes::load(&self.records, committee);
        notes.map_err(Error::read)
    }

    /// Whether an epoch has ended, and its last commits were seen here; retention may have removed them since.
    pub(crate) fn is_whole(&self, epoch: u64) -> Result<bool, Error> {
        match self.end(epoch)? {
            Some(end) => self.saw(epoch, end.record.index),
            None => Ok(false),
        }
    }

    /// Whether this is the last commit of the epoch that was seen here.
    fn saw(&self, epoch: u64, last: CommitIndex) -> Result<bool, Error> {
        let tip = self.records.read(RecordTable::Tip, &epoch_key(epoch))?;
        Ok(tip.is_some_and(|tip| tip.as_ref() == last.0.to_le_bytes()))
    }

    fn end(&self, epoch: u64) -> Result<Option<EpochEnd>, Error> {
        let end = self
            .records
            .read(RecordTable::EpochEnd, &epoch_key(epoch))?;
        let end = end.map(|bytes| EpochEnd::decode(&bytes)).transpose();
        end.map_err(|why| Error::Recover(format!("the stored end of epoch {epoch}: {why}")))
    }
}
