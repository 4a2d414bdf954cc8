//! Takes proofs of equivocation out of a validator's data, and verifies them without any (R12).

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use probity::{Accusation, CommitteeFile, EvidenceFile};
use probity_core::Committee;
use probity_core::limits::EVIDENCE_FILE_BYTES_MAX;

use crate::Failure;
use crate::arguments::{ExportEvidenceArguments, VerifyEvidenceArguments};

/// Writes what a stopped validator has stored, and says what it is.
pub(crate) fn export(arguments: &ExportEvidenceArguments) -> Result<String, Failure> {
    let (_, committee) = read_committee(&arguments.committee)?;
    if !arguments.data.is_dir() {
        let data = arguments.data.display();
        return Err(Failure::Usage(format!("{data} is no directory")));
    }
    let stored = probity::stored_evidence(&arguments.data, &committee).map_err(Failure::fault)?;
    let Some(file) = stored else {
        let data = arguments.data.display();
        return Err(Failure::Fault(format!("{data} holds no evidence")));
    };
    let out = arguments.out.display();
    let written = File::create_new(&arguments.out)
        .and_then(|mut created| created.write_all(&file.encode()))
        .map_err(|why| Failure::Usage(format!("{out} cannot be written: {why}")));
    written?;
    let epochs = file.epochs().iter();
    let epochs: Vec<String> = epochs.map(|of| of.epoch.to_string()).collect();
    let (count, epochs) = (file.count(), epochs.join(", "));
    Ok(format!(
        "wrote {count} proofs of epochs {epochs} to {out}\n"
    ))
}

/// Says who equivocated when, if every proof of the file holds. The committees of later epochs follow from the file.
pub(crate) fn verify(arguments: &VerifyEvidenceArguments) -> Result<String, Failure> {
    let (names, committee) = read_committee(&arguments.committee)?;
    let path = arguments.file.display();
    let bytes = read(&arguments.file)
        .map_err(|why| Failure::Usage(format!("{path} cannot be read: {why}")))?;
    let file =
        EvidenceFile::decode(&bytes).map_err(|why| Failure::Usage(format!("{path}: {why}")))?;
    let accusations = file
        .verify(&committee)
        .map_err(|why| Failure::Fault(format!("{path}: {why}")))?;
    let line = |accusation: &Accusation| {
        let (author, round) = (accusation.proof.author, accusation.proof.round);
        let (key, epoch) = (&accusation.key, accusation.epoch);
        let who = names.name_of(key).map_or_else(
            || format!("key {}", hex::encode(key.as_bytes())),
            str::to_owned,
        );
        format!("validator {author} ({who}) signed two headers of round {round} in epoch {epoch}\n")
    };
    Ok(accusations.iter().map(line).collect())
}

/// The committee of the first epoch; later ones follow from the ends of epochs.
fn read_committee(path: &Path) -> Result<(CommitteeFile, Arc<Committee>), Failure> {
    let usage = |why| match Failure::fault(why) {
        Failure::Usage(text) | Failure::Fault(text) => Failure::Usage(text),
    };
    let file = CommitteeFile::load(path).map_err(usage)?;
    let committee = file.committee().map_err(usage)?;
    Ok((file, Arc::new(committee)))
}

fn read(path: &Path) -> std::io::Result<Bytes> {
    let mut bytes = Vec::new();
    // One more, to see that a file is too long.
    File::open(path)?
        .take(EVIDENCE_FILE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests;
