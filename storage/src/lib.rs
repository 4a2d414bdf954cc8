//! Keeps byte records in ordered tables, durably. The engine's storage plug, and two storages that
//! fit it.
//!
//! ```
//! use probity_storage::{Batch, MemoryStorage, Scan, Storage, Table};
//!
//! const BLOCKS: Table = Table::new(0);
//!
//! # fn main() -> Result<(), probity_storage::StorageError> {
//! let storage = MemoryStorage::new();
//! let mut batch = Batch::new();
//! batch.put(BLOCKS, "round 1", "first").put(BLOCKS, "round 2", "second");
//! storage.write(&batch)?; // both records are durable now, or neither is
//!
//! assert_eq!(storage.read(BLOCKS, b"round 1")?.as_deref(), Some(&b"first"[..]));
//! let mut seen = Vec::new();
//! storage.scan(BLOCKS, b"round 2", &mut |key, value| {
//!     seen.push((key.to_vec(), value.to_vec()));
//!     Scan::Continue
//! })?;
//! assert_eq!(seen, [(b"round 2".to_vec(), b"second".to_vec())]);
//! # Ok(())
//! # }
//! ```
//!
//! # The contract
//!
//! ```text
//!   Batch ──write──▶ Storage ──read──▶ Option<Bytes>     16 tables, keys of 1 to 511 bytes
//!                       └─────scan──▶ (key, value) …     in byte order, values of any length
//! ```
//!
//! 1. **Whole or absent.** A batch is applied completely or not at all, and its operations take
//!    effect in the order in which they were added. After a crash, a batch whose `write` had not
//!    returned is either there or not.
//! 2. **Durable on return.** Once `write` has returned `Ok`, the batch survives the death of the
//!    process and the loss of power, as far as the disk keeps what it has confirmed.
//! 3. **Never wrong bytes.** A read answers the bytes that were written, or an error. Damage is
//!    never an answer.
//! 4. **Fail-stop.** A refused batch ([`StorageError::is_refusal`]) leaves the storage as it was.
//!    Any other failed write is final: what reached the disk is unknown, so every later write
//!    answers [`StorageError::Failed`] until the storage is opened again. Reads go on working.
//! 5. **One owner.** A storage is open at most once, whatever process or path asks.
//!
//! Module `conformance` checks this against any implementation, and `Faulty` breaks a storage on
//! purpose. Both are behind the feature `testing`.
//!
//! # Which storage
//!
//! - `LmdbStorage` (feature `lmdb`, on by default) keeps its records in a directory.
//! - [`MemoryStorage`] keeps them in memory, for tests and examples.
//! - Your own: implement [`Storage`] and run `conformance::run` against it.
//!
//! # Out of scope
//!
//! Meaning: tables and keys are the engine's. Encryption: use an encrypted disk. Repair: a damaged
//! record is reported on reading and never mended. Bit rot in LMDB's own index pages: see
//! `LmdbStorage`.

#![deny(unsafe_code)]

mod batch;
mod error;
mod memory;
mod storage;
mod table;

#[cfg(feature = "testing")]
pub mod conformance;
#[cfg(feature = "testing")]
mod faulty;
#[cfg(feature = "lmdb")]
mod lmdb;

#[cfg(feature = "lmdb")]
pub use crate::lmdb::{Absent, LmdbOptions, LmdbStorage};
pub use batch::{Batch, KEY_BYTES_MAX, Operation};
pub use error::{ForeignReason, StorageError};
#[cfg(feature = "testing")]
pub use faulty::{Fault, Faulty, Unacknowledged};
pub use memory::MemoryStorage;
pub use storage::{Scan, Space, Storage, Visitor};
pub use table::Table;
