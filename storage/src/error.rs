//! What can go wrong, by kind.

use std::io;
use std::path::PathBuf;

use crate::{KEY_BYTES_MAX, Table};

/// Why a storage did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// This process has the storage open already.
    #[error("{path}: this process has the storage open already", path = .path.display())]
    AlreadyOpen {
        /// The directory.
        path: PathBuf,
    },
    /// Another process has the storage open.
    #[error("{path}: another process has the storage open", path = .path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// There is no storage, or its data file is gone.
    #[error("{path}: no storage here", path = .path.display())]
    Missing {
        /// What was looked for.
        path: PathBuf,
    },
    /// The path holds something else than a storage of this format.
    #[error("{path}: not a storage of ours: {why}", path = .path.display())]
    Foreign {
        /// What was opened.
        path: PathBuf,
        /// How one can tell.
        why: ForeignReason,
    },
    /// The data file is shorter than what it says it holds.
    #[error("{path}: {length} bytes long, at least {expected} expected", path = .path.display())]
    Truncated {
        /// The data file.
        path: PathBuf,
        /// Its length in bytes.
        length: u64,
        /// The least length that would do.
        expected: u64,
    },
    /// The bytes under a key are not those that were written.
    #[error("table {}: the record at key {key_prefix}… is damaged", .table.id())]
    Corrupt {
        /// The table.
        table: Table,
        /// The first bytes of the key, as hexadecimal.
        key_prefix: String,
    },
    /// The batch does not fit below the limit. Nothing was changed; removals may still fit.
    #[error("full: {used_bytes} of {limit_bytes} bytes are used")]
    Full {
        /// Bytes in use.
        used_bytes: u64,
        /// Bytes that may be in use.
        limit_bytes: u64,
    },
    /// A key of the batch is empty or longer than [`KEY_BYTES_MAX`]. Nothing was changed.
    #[error("table {}: a key has {length} bytes, allowed are 1 to {KEY_BYTES_MAX}", .table.id())]
    KeyLength {
        /// The table of the key.
        table: Table,
        /// The length of the key.
        length: usize,
    },
    /// An earlier write failed, so this one was not tried. Open the storage again to find out what
    /// it holds.
    #[error("an earlier write failed; the storage must be opened again")]
    Failed,
    /// The operating system refused.
    #[error("{op} {path}: {source}", path = .path.display())]
    Io {
        /// What was tried.
        op: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The database engine refused.
    #[error("{op}: the database engine answers {code}: {message}")]
    Engine {
        /// What was tried.
        op: &'static str,
        /// The engine's code.
        code: i32,
        /// The engine's words.
        message: String,
    },
}

/// How one can tell that a path holds no storage of this format.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForeignReason {
    /// The path is a file.
    #[error("it is not a directory")]
    NotADirectory,
    /// The directory holds files but no identity file.
    #[error("the directory holds files, but no identity file")]
    NoIdentity,
    /// The identity file is not one that this crate writes.
    #[error("its identity file was written by something else")]
    Identity,
    /// Another version of the storage format.
    #[error("it has format {found}, and this build reads format {expected}")]
    Version {
        /// The version on disk.
        found: u32,
        /// The version this build reads and writes.
        expected: u32,
    },
    /// The data file lacks LMDB's two header pages, or they contradict themselves.
    #[error("its data file does not start with two sound LMDB header pages")]
    NoHeader,
    /// The data file is an LMDB database without our tables.
    #[error("its database lacks table {}", .0.id())]
    NoTable(Table),
    /// The directory is on a network file system, whose locks and memory maps cannot be relied on.
    #[error("it is on a network file system")]
    NetworkFileSystem,
}

impl StorageError {
    /// Whether the batch was turned away before anything was touched, so that later writes are
    /// welcome.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Full { .. } | Self::KeyLength { .. } => true,
            Self::AlreadyOpen { .. }
            | Self::Locked { .. }
            | Self::Missing { .. }
            | Self::Foreign { .. }
            | Self::Truncated { .. }
            | Self::Corrupt { .. }
            | Self::Failed
            | Self::Io { .. }
            | Self::Engine { .. } => false,
        }
    }

    /// The error for a damaged record at `key`.
    pub fn corrupt(table: Table, key: &[u8]) -> Self {
        use std::fmt::Write as _;

        let mut key_prefix = String::new();
        for byte in key.iter().take(KEY_PREFIX_BYTES) {
            write!(key_prefix, "{byte:02x}").expect("writing to a string cannot fail");
        }
        Self::Corrupt { table, key_prefix }
    }
}

/// How much of a key an error shows: enough to recognise a round and an author.
const KEY_PREFIX_BYTES: usize = 16;
