//! What a storage says about epochs and scores without a running node (R31, R32).

use std::sync::Arc;

use probity_core::{Committee, RecoverError, ReplayedCommit, Scoring, StoredEpoch};
use probity_storage::Storage;

use crate::error::Error;
use crate::records::Records;

/// Walks over all epochs that a storage knows of, from the first one, whose committee is `first`. Of some it may know
/// no more than who decided and how they ended: [`replay_scores`] tells. After an error there is nothing more.
pub fn stored_epochs(
    storage: &Arc<dyn Storage>,
    first: &Arc<Committee>,
) -> impl Iterator<Item = Result<StoredEpoch, Error>> + use<> {
    let records = Records(Arc::clone(storage));
    probity_core::stored_epochs(records, first).map(|epoch| epoch.map_err(Error::recover))
}

/// Replays the scores of a committee's epoch, and shows each commit to `visit`; `None` when no commit of it is stored. It
/// begins with the epoch's first commit, or after the stored scores when retention has removed that one.
///
/// # Errors
/// When the storage fails, belongs to another committee, or contradicts itself; [`Error::EpochRemoved`] when retention has
/// left too little of the epoch.
pub fn replay_scores(
    storage: &Arc<dyn Storage>,
    committee: &Arc<Committee>,
    visit: &mut dyn FnMut(ReplayedCommit<'_>),
) -> Result<Option<Scoring>, Error> {
    let records = Records(Arc::clone(storage));
    let replayed = probity_core::replay_scores(&records, committee, visit);
    let epoch = committee.epoch();
    replayed.map_err(|why| {
        if matches!(why, RecoverError::Missing(_)) {
            Error::EpochRemoved { epoch }
        } else {
            Error::recover(why)
        }
    })
}
