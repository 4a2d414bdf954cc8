//! Proofs of equivocation in a node's storage, for the application and for those who were not there (R12).

use std::path::Path;
use std::sync::Arc;

use probity_core::{Accusation, Committee, EvidenceFile};
use probity_storage::{LmdbStorage, Storage};

use crate::error::Error;
use crate::records::Records;

/// The proofs of all epochs, with what makes their committees follow from `first`.
pub(crate) fn file(
    storage: &Arc<dyn Storage>,
    first: &Arc<Committee>,
) -> Result<Option<EvidenceFile>, Error> {
    EvidenceFile::load(&Records(Arc::clone(storage)), first).map_err(Error::recover)
}

/// Who is accused by these proofs. All that a storage holds was verified before.
pub(crate) fn accusations(
    storage: &Arc<dyn Storage>,
    first: &Arc<Committee>,
) -> Result<Vec<Accusation>, Error> {
    let Some(file) = file(storage, first)? else {
        return Ok(Vec::new());
    };
    let accusations = file.verify(first);
    accusations.map_err(|fault| Error::Recover(fault.to_string()))
}

/// Reads the evidence of all epochs out of the directory of a validator that does not run; `None` when there is none. `first` is
/// the committee of the network's first epoch.
///
/// # Errors
/// When the directory holds no storage, is in use, or belongs to another network or committee.
pub fn stored_evidence(
    data: impl AsRef<Path>,
    first: &Arc<Committee>,
) -> Result<Option<EvidenceFile>, Error> {
    let storage: Arc<dyn Storage> = Arc::new(LmdbStorage::open_existing(data)?);
    file(&storage, first)
}
