//! The epochs that a store knows of, from the first one on (R32).

use std::sync::Arc;

use super::{RecoverError, Recovered, read, read_end};
use crate::committee::Committee;
use crate::epoch::EpochEnd;
use crate::record::{RecordSource, RecordTable, epoch_key};

/// One epoch of a store: who decided in it, and how it ended.
#[derive(Clone, Debug)]
pub struct StoredEpoch {
    /// Its committee.
    pub committee: Arc<Committee>,
    /// Its end; none of the newest one, which has not ended here.
    pub end: Option<EpochEnd>,
}

/// Walks over the epochs of a store, from that of `first`, the committee of the network's first epoch. Each end is verified
/// against its own committee, and the next committee follows from it. Ends are never removed, so this knows epochs whose
/// commits are gone or never were here. After an error there is nothing more.
pub fn stored_epochs<S: RecordSource>(
    source: S,
    first: &Arc<Committee>,
) -> impl Iterator<Item = Result<StoredEpoch, RecoverError<S::Error>>> + use<S> {
    let mut next = Some(Arc::clone(first));
    std::iter::from_fn(move || {
        let committee = next.take()?;
        let end = match end_of(&source, &committee) {
            Ok(end) => end,
            Err(why) => return Some(Err(why)),
        };
        if let Some(end) = &end {
            match end.next_committee(&committee) {
                Ok(after) => next = Some(after),
                Err(_) => return Some(Err(RecoverError::OtherChain)),
            }
        }
        Some(Ok(StoredEpoch { committee, end }))
    })
}

/// How a committee's epoch ended, verified; of a store that does not contradict the committee.
fn end_of<S: RecordSource>(
    source: &S,
    committee: &Committee,
) -> Result<Option<EpochEnd>, RecoverError<S::Error>> {
    let epoch = committee.epoch();
    let chain = read(source, RecordTable::Epoch, &epoch_key(epoch))?;
    if chain.is_some_and(|chain| chain.as_ref() != committee.chain().as_bytes()) {
        return Err(RecoverError::OtherChain);
    }
    let end = read_end(source, epoch)?;
    match end {
        Some(end) if !end.verify(committee) => Err(RecoverError::OtherChain),
        other => Ok(other),
    }
}

impl Recovered {
    /// The committee of the newest epoch that a store knows, from that of the first epoch.
    ///
    /// # Errors
    /// When the store fails, or an end in it does not follow from the epoch before.
    pub fn newest_committee<S: RecordSource>(
        source: &S,
        first: &Arc<Committee>,
    ) -> Result<Arc<Committee>, RecoverError<S::Error>> {
        let mut newest = Arc::clone(first);
        for epoch in stored_epochs(source, first) {
            newest = epoch?.committee;
        }
        Ok(newest)
    }
}
