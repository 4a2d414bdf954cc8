//! The plug: what the engine asks of a storage.

use std::sync::Arc;

use bytes::Bytes;

use crate::{Batch, StorageError, Table};

/// Keeps byte records in ordered tables; the contract is in the [crate documentation](crate).
///
/// For the implementer: all calls may come from any number of threads, and may block on the disk.
/// Writes take turns; readers need not wait for them. A reader sees a batch whole or not at all, and
/// sees it as soon as its `write` has returned. Dropping the storage must free whatever would keep
/// it from being opened again.
pub trait Storage: Send + Sync + 'static {
    /// Applies `batch` whole, or not at all; it is durable when this returns `Ok`.
    ///
    /// # Errors
    ///
    /// A refusal ([`StorageError::is_refusal`]) changes nothing and the storage goes on. After any
    /// other error every later write answers [`StorageError::Failed`].
    fn write(&self, batch: &Batch) -> Result<(), StorageError>;

    /// The value under `key`, or `None`. A key that no write would accept is simply absent.
    ///
    /// # Errors
    ///
    /// [`StorageError::Corrupt`] when the stored bytes are not the written ones, or the error of
    /// the medium.
    fn read(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StorageError>;

    /// Shows `visit` every record whose key is `from` or above, in ascending order of keys, until
    /// it answers [`Scan::Stop`]. An empty `from` starts at the first record. All records come from
    /// one moment.
    ///
    /// The visitor must not call the storage and should return soon: while it runs, space cannot be
    /// reused.
    ///
    /// # Errors
    ///
    /// As for [`Storage::read`]. Records below the damaged one have been visited by then.
    fn scan(&self, table: Table, from: &[u8], visit: Visitor<'_>) -> Result<(), StorageError>;

    /// How much is stored and how much may be, so that the engine can slow down before a write is
    /// refused.
    ///
    /// # Errors
    ///
    /// The error of the medium.
    fn space(&self) -> Result<Space, StorageError>;
}

/// Receives the records of a [`Storage::scan`]: the key and the value, valid for the call only.
pub type Visitor<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Scan;

/// What a [`Visitor`] wants next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scan {
    /// Show the next record.
    Continue,
    /// Show no more.
    Stop,
}

/// How full a storage is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Space {
    /// Bytes taken by live records and their index. Removing records lowers it.
    pub used_bytes: u64,
    /// Batches that would lead beyond this are refused with [`StorageError::Full`].
    pub limit_bytes: u64,
}

impl<S: Storage + ?Sized> Storage for Arc<S> {
    fn write(&self, batch: &Batch) -> Result<(), StorageError> {
        (**self).write(batch)
    }

    fn read(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        (**self).read(table, key)
    }

    fn scan(&self, table: Table, from: &[u8], visit: Visitor<'_>) -> Result<(), StorageError> {
        (**self).scan(table, from, visit)
    }

    fn space(&self) -> Result<Space, StorageError> {
        (**self).space()
    }
}

impl<S: Storage + ?Sized> Storage for Box<S> {
    fn write(&self, batch: &Batch) -> Result<(), StorageError> {
        (**self).write(batch)
    }

    fn read(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        (**self).read(table, key)
    }

    fn scan(&self, table: Table, from: &[u8], visit: Visitor<'_>) -> Result<(), StorageError> {
        (**self).scan(table, from, visit)
    }

    fn space(&self) -> Result<Space, StorageError> {
        (**self).space()
    }
}
