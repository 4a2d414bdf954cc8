//! LMDB's environment: created, opened, and its errors made ours.

use std::io;
use std::path::Path;

use lmdb::{Database, DatabaseFlags, Environment, EnvironmentFlags};

use super::directory;
use crate::{ForeignReason, StorageError, Table};

/// Creates the environment and its tables in `directory`, and leaves it closed.
pub(super) fn create(directory: &Path) -> Result<(), StorageError> {
    directory::begin_creation(directory)?;
    let environment = open(directory, CREATION_MAP_BYTES)?;
    for table in Table::all() {
        environment
            .create_db(Some(&table_name(table)), DatabaseFlags::empty())
            .map_err(|error| engine_error("create tables in", directory, error))?;
    }
    drop(environment);
    directory::finish_creation(directory)
}

/// Opens the environment in `directory`. The caller has checked the header of its file, and holds
/// the guard.
pub(super) fn open(directory: &Path, map_bytes: usize) -> Result<Environment, StorageError> {
    // NO_TLS ties a reader slot to the transaction and not to the thread, so that a thread may read
    // while it writes. Never NO_SYNC, NO_META_SYNC, MAP_ASYNC or WRITE_MAP: durability rests on it.
    Environment::new()
        .set_flags(EnvironmentFlags::NO_TLS)
        .set_max_readers(READERS_MAX)
        .set_max_dbs(u32::from(Table::COUNT_MAX))
        .set_map_size(map_bytes)
        .open_with_permissions(directory, 0o600)
        .map_err(|error| {
            if matches!(error, lmdb::Error::Invalid | lmdb::Error::VersionMismatch) {
                foreign(directory, ForeignReason::NoHeader)
            } else {
                engine_error("open", directory, error)
            }
        })
}

/// The handles of all tables, by id. They live as long as the environment.
pub(super) fn open_tables(
    environment: &Environment,
    directory: &Path,
) -> Result<[Database; Table::COUNT_MAX as usize], StorageError> {
    let mut handles = Vec::with_capacity(usize::from(Table::COUNT_MAX));
    for table in Table::all() {
        let handle = environment
            .open_db(Some(&table_name(table)))
            .map_err(|error| {
                if matches!(error, lmdb::Error::NotFound | lmdb::Error::Incompatible) {
                    foreign(directory, ForeignReason::NoTable(table))
                } else {
                    engine_error("open tables in", directory, error)
                }
            })?;
        handles.push(handle);
    }
    Ok(handles.try_into().expect("one handle per table"))
}

/// What LMDB answered to `op`. Codes that are not its own are the operating system's.
pub(super) fn engine_error(op: &'static str, path: &Path, error: lmdb::Error) -> StorageError {
    if let lmdb::Error::Other(code) = error {
        let source = io::Error::from_raw_os_error(code);
        return StorageError::Io {
            op,
            path: path.to_owned(),
            source,
        };
    }
    StorageError::Engine {
        op,
        code: error.to_err_code(),
        message: error.to_string(),
    }
}

fn foreign(directory: &Path, why: ForeignReason) -> StorageError {
    StorageError::Foreign {
        path: directory.to_owned(),
        why,
    }
}

fn table_name(table: Table) -> String {
    format!("t{:02}", table.id())
}

/// Every call takes one of LMDB's reader slots, and a thread makes one call at a time.
const READERS_MAX: u32 = 1024;
/// Enough for empty tables.
const CREATION_MAP_BYTES: usize = 1 << 20;
