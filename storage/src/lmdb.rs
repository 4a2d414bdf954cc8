//! The storage that keeps its records in a directory, on LMDB.

mod changes;
mod directory;
mod environment;
mod ffi;
mod guard;
mod header;
mod record;
mod room;

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use lmdb::{Cursor, Database, Environment, Transaction};
use parking_lot::Mutex;

use crate::batch::{Batch, is_key};
use crate::{Scan, Space, Storage, StorageError, Table, Visitor};
use directory::Contents;
use environment::engine_error;
use guard::Guard;
use header::Header;
use room::{Demand, Live};

#[cfg(not(all(target_pointer_width = "64", target_endian = "little")))]
compile_error!("feature `lmdb` needs a 64-bit little-endian machine: files are read as such");

/// Keeps records in a directory, in an LMDB environment that nobody else can open meanwhile.
///
/// ```no_run
/// use probity_storage::{LmdbOptions, LmdbStorage};
///
/// # fn main() -> Result<(), probity_storage::StorageError> {
/// // Created when the directory is empty or absent.
/// let storage = LmdbStorage::open("data/node-0")?;
/// # drop(storage);
/// let options = LmdbOptions { limit_bytes: 64 << 30, ..LmdbOptions::default() };
/// let storage = LmdbStorage::open_with("data/node-1", &options)?;
/// # Ok(())
/// # }
/// ```
///
/// # What is done about LMDB's sharp edges
///
/// | edge | answer |
/// |---|---|
/// | two environments on one file | a list of open directories, and a lock on a file |
/// | SIGBUS on a file cut short | header and length are checked before it is mapped |
/// | bits that rot | each record has a keyed checksum over table, key and value |
/// | going on after a failed sync | the first failed write is the last one |
/// | running out of map | puts must fit below a limit, and the map is larger: removals fit |
/// | running out of disk | the space is allocated before the batch is committed |
/// | a slow reader keeps old pages alive | a read transaction lasts for one call |
///
/// Not caught: damage in LMDB's own index pages, which LMDB follows without checking. It can end
/// the process, or hide a record, but not pass off wrong bytes as a value.
#[derive(Debug)]
pub struct LmdbStorage {
    // Fields are dropped in this order: the guard goes last, when the environment is closed.
    environment: Environment,
    tables: [Database; Table::COUNT_MAX as usize],
    limit_bytes: u64,
    page_bytes: u64,
    data_path: PathBuf,
    writer: Mutex<Writer>,
    _guard: Guard,
}

/// How to open an [`LmdbStorage`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LmdbOptions {
    /// Batches that would lead beyond this are refused. LMDB maps somewhat more, which takes
    /// address space and no memory. By default 1 TiB.
    pub limit_bytes: u64,
    /// What to do when there is no storage yet. By default, create one.
    pub absent: Absent,
}

/// What to do when there is no storage yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Absent {
    /// Create the directory and an empty storage.
    Create,
    /// Answer [`StorageError::Missing`].
    Refuse,
}

impl Default for LmdbOptions {
    fn default() -> Self {
        Self {
            limit_bytes: 1 << 40,
            absent: Absent::Create,
        }
    }
}

impl LmdbStorage {
    /// Opens the storage in the directory `path`; creates both when the directory is absent or
    /// empty. A created directory is for its owner alone.
    ///
    /// # Errors
    ///
    /// `AlreadyOpen`, `Locked`, `Missing`, `Foreign` and `Truncated` say what is wrong with the
    /// directory; `Io` and `Engine` that the system or LMDB refused.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StorageError> {
        Self::open_with(path, &LmdbOptions::default())
    }

    /// Opens the storage in the directory `path`, which must hold one.
    ///
    /// # Errors
    ///
    /// As for [`LmdbStorage::open`].
    pub fn open_existing(path: impl AsRef<Path>) -> Result<Self, StorageError> {
        let options = LmdbOptions {
            absent: Absent::Refuse,
            ..LmdbOptions::default()
        };
        Self::open_with(path, &options)
    }

    /// Opens the storage in the directory `path` as `options` say.
    ///
    /// # Errors
    ///
    /// As for [`LmdbStorage::open`].
    pub fn open_with(path: impl AsRef<Path>, options: &LmdbOptions) -> Result<Self, StorageError> {
        let path = path.as_ref();
        let io = |op, source| StorageError::Io {
            op,
            path: path.to_owned(),
            source,
        };
        match (directory::inspect(path)?, options.absent) {
            (Contents::Absent | Contents::Nothing, Absent::Refuse) => {
                return Err(StorageError::Missing {
                    path: path.to_owned(),
                });
            }
            (Contents::Absent, Absent::Create) => directory::create(path)?,
            (Contents::Nothing, Absent::Create) | (Contents::Storage, _) => {}
        }
        let directory = path
            .canonicalize()
            .map_err(|source| io("resolve", source))?;
        let guard = Guard::take(&directory)?;
        directory::check_file_system(&directory)?;
        // Look again: before the guard was ours, another process may have been creating it.
        if directory::inspect(&directory)? != Contents::Storage {
            environment::create(&directory)?;
        }
        Self::open_database(guard, options.limit_bytes)
    }

    fn open_database(guard: Guard, limit_bytes: u64) -> Result<Self, StorageError> {
        let data_path = guard.directory().join(directory::DATA_FILE);
        let header = header::read(&data_path)?;
        let failed = |op, error| engine_error(op, &data_path, error);
        let map_bytes = room::map_bytes(limit_bytes, header);
        let environment = environment::open(guard.directory(), map_bytes)?;
        let dead = ffi::clear_dead_readers(&environment)
            .map_err(|error| failed("clear readers of", error))?;
        if dead > 0 {
            tracing::info!(dead, "freed the reader slots of processes that died");
        }
        let tables = environment::open_tables(&environment, &data_path)?;
        let file = OpenOptions::new().write(true).open(&data_path);
        let file = file.map_err(|source| StorageError::Io {
            op: "open",
            path: data_path.clone(),
            source,
        })?;
        Ok(Self {
            environment,
            tables,
            limit_bytes,
            page_bytes: header.page_bytes,
            data_path,
            writer: Mutex::new(Writer {
                file,
                state: WriterState::Sound,
            }),
            _guard: guard,
        })
    }

    fn apply(&self, writer: &Writer, batch: &Batch) -> Result<(), StorageError> {
        let failed = |error| engine_error("write", &self.data_path, error);
        let mut transaction = self.environment.begin_rw_txn().map_err(failed)?;
        let live = Live::count(&transaction, &self.tables).map_err(failed)?;
        let used_bytes = live.pages * self.page_bytes;
        let full = |limit_bytes| StorageError::Full {
            used_bytes,
            limit_bytes,
        };

        let demand = Demand::of(batch, live, self.page_bytes);
        if demand.added_pages > 0
            && used_bytes.saturating_add(demand.added_pages * self.page_bytes) > self.limit_bytes
        {
            return Err(full(self.limit_bytes));
        }
        // A map that is full only shows here when free pages are too scattered for a long value.
        // Nothing was written then: dropping the transaction forgets all of it.
        let refused = |error| {
            if error == lmdb::Error::MapFull {
                full(self.limit_bytes)
            } else {
                failed(error)
            }
        };
        let values_end = changes::apply(&mut transaction, &self.tables, batch, self.page_bytes)
            .map_err(refused)?;
        let info = self.environment.info().map_err(failed)?;
        let file = Header {
            page_bytes: self.page_bytes,
            pages: info.last_pgno() as u64 + 1,
        };
        let needed = demand.file_bytes(file, values_end);
        room::allocate(&writer.file, needed, info.map_size() as u64).map_err(|source| {
            if room::is_disk_full(&source) {
                return full(file.pages * self.page_bytes);
            }
            StorageError::Io {
                op: "allocate",
                path: self.data_path.clone(),
                source,
            }
        })?;
        transaction.commit().map_err(refused)
    }
}

impl Storage for LmdbStorage {
    fn write(&self, batch: &Batch) -> Result<(), StorageError> {
        batch.check_keys()?;
        let mut writer = self.writer.lock();
        if writer.state == WriterState::Failed {
            return Err(StorageError::Failed);
        }
        if batch.is_empty() {
            return Ok(());
        }
        let result = self.apply(&writer, batch);
        if let Err(error) = &result
            && !error.is_refusal()
        {
            writer.state = WriterState::Failed;
            tracing::error!(%error, "a write failed, there will be no more");
        }
        result
    }

    fn read(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        if !is_key(key) {
            return Ok(None);
        }
        let failed = |error| self.read_error(table, key, error);
        let transaction = self.environment.begin_ro_txn().map_err(failed)?;
        match transaction.get(self.tables[table.index()], &key) {
            Ok(record) => {
                let value = record::verify(table, key, record)?;
                Ok(Some(Bytes::copy_from_slice(value)))
            }
            Err(lmdb::Error::NotFound) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    fn scan(&self, table: Table, from: &[u8], visit: Visitor<'_>) -> Result<(), StorageError> {
        let failed = |error| self.read_error(table, from, error);
        let transaction = self.environment.begin_ro_txn().map_err(failed)?;
        let cursor = transaction
            .open_ro_cursor(self.tables[table.index()])
            .map_err(failed)?;
        let mut found = changes::seek(&cursor, from);
        loop {
            let (key, record) = match found {
                Ok((Some(key), record)) => (key, record),
                Ok((None, _)) => return Err(StorageError::corrupt(table, from)),
                Err(lmdb::Error::NotFound) => return Ok(()),
                Err(error) => return Err(failed(error)),
            };
            if visit(key, record::verify(table, key, record)?) == Scan::Stop {
                return Ok(());
            }
            found = cursor.get(None, None, lmdb_sys::MDB_NEXT);
        }
    }

    fn space(&self) -> Result<Space, StorageError> {
        let failed = |error| engine_error("measure", &self.data_path, error);
        let transaction = self.environment.begin_ro_txn().map_err(failed)?;
        let live = Live::count(&transaction, &self.tables).map_err(failed)?;
        Ok(Space {
            used_bytes: live.pages * self.page_bytes,
            limit_bytes: self.limit_bytes,
        })
    }
}

impl LmdbStorage {
    fn read_error(&self, table: Table, key: &[u8], error: lmdb::Error) -> StorageError {
        if matches!(error, lmdb::Error::Corrupted | lmdb::Error::PageNotFound) {
            StorageError::corrupt(table, key)
        } else {
            engine_error("read", &self.data_path, error)
        }
    }
}

#[derive(Debug)]
struct Writer {
    /// The data file, to make it longer. LMDB writes through descriptors of its own.
    file: File,
    state: WriterState,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum WriterState {
    Sound,
    Failed,
}
