//! The directory of a storage, and what tells it from others.
//!
//! ```text
//! probity.identity   "probity-storage", the format version, and whether creation was finished
//! probity.lock       empty; its lock keeps other processes out
//! data.mdb           LMDB's data
//! lock.mdb           LMDB's table of readers
//! ```
//!
//! The identity says `creating` before the database is made and `ready` after. A crash in between
//! is told from a database that was lost, which must never be replaced by an empty one: a validator
//! that forgets what it signed may sign the opposite.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::path::Path;

use super::ffi;
use crate::{ForeignReason, StorageError};

/// LMDB's data file, inside the directory.
pub(super) const DATA_FILE: &str = "data.mdb";

/// What a directory holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Contents {
    /// No such directory.
    Absent,
    /// A directory without files, or one in which creation was cut short: nothing was ever stored.
    Nothing,
    /// A storage of this format.
    Storage,
}

/// Looks at `directory` without changing it.
pub(super) fn inspect(directory: &Path) -> Result<Contents, StorageError> {
    let foreign = |why| {
        Err(StorageError::Foreign {
            path: directory.to_owned(),
            why,
        })
    };
    match fs::metadata(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Contents::Absent),
        Err(source) => return Err(io_error("look at", directory, source)),
        Ok(found) if !found.is_dir() => return foreign(ForeignReason::NotADirectory),
        Ok(_) => {}
    }
    match read_identity(&directory.join(IDENTITY_FILE))? {
        Some(Identity::Ready) => Ok(Contents::Storage),
        Some(Identity::Creating) => Ok(Contents::Nothing),
        Some(Identity::Unknown(why)) => foreign(why),
        None if holds_other_files(directory)? => foreign(ForeignReason::NoIdentity),
        None => Ok(Contents::Nothing),
    }
}

/// Creates `directory` for its owner alone, and its parents.
pub(super) fn create(directory: &Path) -> Result<(), StorageError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(directory)
        .map_err(|source| io_error("create", directory, source))
}

/// Refuses file systems on which locks and maps cannot be relied on.
pub(super) fn check_file_system(directory: &Path) -> Result<(), StorageError> {
    let on_network = File::open(directory)
        .and_then(|opened| ffi::is_on_network(&opened))
        .map_err(|source| io_error("examine", directory, source))?;
    if on_network {
        let why = ForeignReason::NetworkFileSystem;
        return Err(StorageError::Foreign {
            path: directory.to_owned(),
            why,
        });
    }
    Ok(())
}

/// Says that a database is being made, and removes what an earlier attempt left.
pub(super) fn begin_creation(directory: &Path) -> Result<(), StorageError> {
    write_identity(directory, Identity::CREATING)?;
    for name in [DATA_FILE, READERS_FILE] {
        let path = directory.join(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(io_error("remove", &path, source));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Says that the database is made. All its files are durable when this returns.
pub(super) fn finish_creation(directory: &Path) -> Result<(), StorageError> {
    write_identity(directory, Identity::READY)?;
    // The directory's own name is durable only once its parent is.
    match directory.parent() {
        Some(parent) => sync(parent),
        None => Ok(()),
    }
}

enum Identity {
    Creating,
    Ready,
    Unknown(ForeignReason),
}

impl Identity {
    const CREATING: &'static str = "creating";
    const READY: &'static str = "ready";

    fn parse(text: &str) -> Self {
        let unknown = Self::Unknown(ForeignReason::Identity);
        let mut lines = text.lines();
        if lines.next() != Some(NAME) {
            return unknown;
        }
        let version = lines.next().and_then(|line| line.strip_prefix("format "));
        let Some(found) = version.and_then(|number| number.parse().ok()) else {
            return unknown;
        };
        if found != FORMAT {
            return Self::Unknown(ForeignReason::Version {
                found,
                expected: FORMAT,
            });
        }
        match (lines.next(), lines.next()) {
            (Some(Self::CREATING), None) => Self::Creating,
            (Some(Self::READY), None) => Self::Ready,
            (_, _) => unknown,
        }
    }
}

fn read_identity(path: &Path) -> Result<Option<Identity>, StorageError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(Identity::parse(&String::from_utf8_lossy(&bytes)))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(io_error("read", path, source)),
    }
}

fn write_identity(directory: &Path, state: &str) -> Result<(), StorageError> {
    let (path, draft) = (
        directory.join(IDENTITY_FILE),
        directory.join(IDENTITY_DRAFT),
    );
    File::create(&draft)
        .and_then(|mut file| {
            write!(file, "{NAME}\nformat {FORMAT}\n{state}\n")?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&draft, &path))
        .map_err(|source| io_error("write", &path, source))?;
    sync(directory)
}

fn holds_other_files(directory: &Path) -> Result<bool, StorageError> {
    let listing = |source| io_error("list", directory, source);
    for entry in fs::read_dir(directory).map_err(listing)? {
        let name = entry.map_err(listing)?.file_name();
        if !OWN_FILES.iter().any(|own| name == *own) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn sync(directory: &Path) -> Result<(), StorageError> {
    File::open(directory)
        .and_then(|opened| opened.sync_all())
        .map_err(|source| io_error("sync", directory, source))
}

fn io_error(op: &'static str, path: &Path, source: io::Error) -> StorageError {
    StorageError::Io {
        op,
        path: path.to_owned(),
        source,
    }
}

const NAME: &str = "probity-storage";
/// Rises when records or files change their meaning.
const FORMAT: u32 = 1;
const IDENTITY_FILE: &str = "probity.identity";
const IDENTITY_DRAFT: &str = "probity.identity.draft";
const READERS_FILE: &str = "lock.mdb";
/// What a directory may hold although nothing was stored in it.
const OWN_FILES: [&str; 2] = [super::guard::LOCK_FILE, IDENTITY_DRAFT];
