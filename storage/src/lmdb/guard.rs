//! One owner per storage, in this process and among all processes.
//!
//! LMDB breaks its own locks when one process opens an environment twice, and its mutex lets
//! several processes write in turn, which two nodes on one directory must never do.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::StorageError;

/// The right to open the storage in a directory; given back on drop.
#[derive(Debug)]
pub(super) struct Guard {
    registered: Registered,
    file: File,
}

impl Guard {
    /// Takes the right for `directory`, which must be canonical.
    pub(super) fn take(directory: &Path) -> Result<Self, StorageError> {
        let registered = Registered::take(directory)?;
        let path = directory.join(LOCK_FILE);
        let io = |op, source| StorageError::Io {
            op,
            path: path.clone(),
            source,
        };
        // Nothing is ever written to the lock file, and its lock goes with the process.
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|source| io("create", source))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { registered, file }),
            Err(TryLockError::WouldBlock) => Err(StorageError::Locked {
                path: directory.to_owned(),
            }),
            Err(TryLockError::Error(source)) => Err(io("lock", source)),
        }
    }

    /// The directory, in canonical form.
    pub(super) fn directory(&self) -> &Path {
        &self.registered.0
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Closing the file is not enough while a child of this process, between fork and exec,
        // holds a copy of the descriptor. An error means that the lock is gone already.
        let _ = self.file.unlock();
    }
}

/// An entry in the list of directories that this process has open.
#[derive(Debug)]
struct Registered(PathBuf);

impl Registered {
    fn take(directory: &Path) -> Result<Self, StorageError> {
        let path = directory.to_owned();
        if OPEN.lock().insert(path.clone()) {
            Ok(Self(path))
        } else {
            Err(StorageError::AlreadyOpen { path })
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        OPEN.lock().remove(&self.0);
    }
}

/// The directories that this process has open. A process-wide list because LMDB's limit is
/// process-wide.
static OPEN: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// The file whose lock keeps other processes out.
pub(super) const LOCK_FILE: &str = "probity.lock";
