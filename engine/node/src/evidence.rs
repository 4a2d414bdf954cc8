//! Proofs of equivocation in a node's storage, for the application and for those who were not there (R12).

use std::path::Path;
use std::sync::Arc;

use probity_core::record::{RecordSource as _, RecordTable, epoch_key, read_evidence};
use probity_core::{Committee, EquivocationProof, EvidenceFile};
use probity_storage::{LmdbStorage, Storage};

use crate::error::Error;
use crate::records::Records;

/// The proofs of the committee's epoch, by author and round.
pub(crate) fn proofs(
    storage: &Arc<dyn Storage>,
    committee: &Committee,
) -> Result<Vec<EquivocationProof>, Error> {
    read_evidence(&Records(Arc::clone(storage)), committee.epoch()).map_err(Error::read)
}

/// Reads the evidence out of the directory of a validator that does not run; `None` when there is none.
///
/// # Errors
/// When the directory holds no storage, is in use, or belongs to another network or committee.
pub fn stored_evidence(
    data: impl AsRef<Path>,
    committee: &Committee,
) -> Result<Option<EvidenceFile>, Error> {
    let storage: Arc<dyn Storage> = Arc::new(LmdbStorage::open_existing(data)?);
    let key = epoch_key(committee.epoch());
    let chain = Records(Arc::clone(&storage)).read(RecordTable::Epoch, &key)?;
    if chain.is_some_and(|chain| chain.as_ref() != committee.chain().as_bytes()) {
        let why = "it belongs to another network, committee or set of parameters";
        return Err(Error::Recover(why.to_owned()));
    }
    let proofs = proofs(&storage, committee)?;
    Ok(EvidenceFile::new(committee, proofs))
}
