//! The scores of an epoch from the store alone (R31).

use std::sync::Arc;

use super::{
    RecoverError, Recovered, before_first, last_commit, read, read_end, replay_after, snapshot,
};
use crate::committee::Committee;
use crate::record::{RecordSource, RecordTable, epoch_key};
use crate::reputation::{ReplayedCommit, Reputation, Scoring};

/// The scores after the last stored commit of a committee's epoch, from the stored snapshot and the commits after it; `None` when
/// there is no commit of it (R31).
///
/// # Errors
/// When the store fails, contradicts itself, or retention has removed what this needs.
pub fn stored_scores<S: RecordSource>(
    source: &S,
    committee: &Arc<Committee>,
) -> Result<Option<Scoring>, RecoverError<S::Error>> {
    let Some((last, _)) = last_commit(source, committee)? else {
        return Ok(None);
    };
    let start = snapshot(source, committee, &last)?;
    replay_after(source, start, &last, &mut |_| {}).map(Some)
}

/// Replays the scores of the stored commits of a committee's epoch, and shows each commit to `visit`; `None` when there is no
/// commit of it. It begins with the epoch's first commit, or after the stored snapshot when retention has removed earlier
/// ones (R31).
///
/// # Errors
/// When the store fails, belongs to another chain, contradicts itself, or retention has removed what this needs.
pub fn replay_scores<S: RecordSource>(
    source: &S,
    committee: &Arc<Committee>,
    visit: &mut dyn FnMut(ReplayedCommit<'_>),
) -> Result<Option<Scoring>, RecoverError<S::Error>> {
    match read(source, RecordTable::Epoch, &epoch_key(committee.epoch()))? {
        Some(chain) if chain.as_ref() == committee.chain().as_bytes() => {}
        Some(_) => return Err(RecoverError::OtherChain),
        // Who joined later knows how the epoch ended, and nothing else of it.
        None if read_end(source, committee.epoch())?.is_some() => return Ok(None),
        None => return Recovered::load_fresh(source).map(|_| None),
    }
    let Some((last, _)) = last_commit(source, committee)? else {
        return Ok(None);
    };
    let start = match before_first(source, committee, &last) {
        Ok(before) => (before, Reputation::new(Arc::clone(committee))),
        Err(RecoverError::Missing(_)) => snapshot(source, committee, &last)?,
        Err(other) => return Err(other),
    };
    replay_after(source, start, &last, visit).map(Some)
}
