//! The scores of an epoch that has ended, from the store alone (R31).

use std::sync::Arc;

use super::{RecoverError, last_commit, replay_after, snapshot};
use crate::committee::Committee;
use crate::record::RecordSource;
use crate::reputation::Scoring;

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
