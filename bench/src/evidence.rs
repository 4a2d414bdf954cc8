//! Takes proofs of equivocation out of a validator's data, and verifies them without any (R12).

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

use bytes::Bytes;
use probity::{CommitteeFile, EvidenceFile};
use probity_core::Committee;

use crate::Failure;
use crate::arguments::{ExportEvidenceArguments, VerifyEvidenceArguments};

/// Bytes of the largest evidence file there may be, and room to see that one is larger.
const FILE_BYTES_MAX: u64 = 1 << 20;

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
    Ok(format!("wrote {} proofs to {out}\n", file.proofs().len()))
}

/// Says who equivocated when, if every proof of the file holds.
pub(crate) fn verify(arguments: &VerifyEvidenceArguments) -> Result<String, Failure> {
    let (names, committee) = read_committee(&arguments.committee)?;
    let path = arguments.file.display();
    let bytes = read(&arguments.file)
        .map_err(|why| Failure::Usage(format!("{path} cannot be read: {why}")))?;
    let file =
        EvidenceFile::decode(&bytes).map_err(|why| Failure::Usage(format!("{path}: {why}")))?;
    file.verify(&committee)
        .map_err(|why| Failure::Fault(format!("{path}: {why}")))?;
    let epoch = file.epoch();
    let line = |proof: &probity::EquivocationProof| {
        let (author, round) = (proof.author, proof.round);
        let name = &names.validators[author.position()].name;
        format!(
            "validator {author} ({name}) signed two headers of round {round} in epoch {epoch}\n"
        )
    };
    Ok(file.proofs().iter().map(line).collect())
}

/// The committee of the first epoch; later ones are in no file.
fn read_committee(path: &Path) -> Result<(CommitteeFile, Committee), Failure> {
    let usage = |why| match Failure::fault(why) {
        Failure::Usage(text) | Failure::Fault(text) => Failure::Usage(text),
    };
    let file = CommitteeFile::load(path).map_err(usage)?;
    let committee = file.committee().map_err(usage)?;
    Ok((file, committee))
}

fn read(path: &Path) -> std::io::Result<Bytes> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(FILE_BYTES_MAX)
        .read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests;
