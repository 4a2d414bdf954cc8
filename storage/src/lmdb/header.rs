//! Reads the two header pages of a data file before LMDB maps it.
//!
//! LMDB trusts its header: it maps the file and follows page numbers. When the file is shorter than
//! the header says, the first touch of a missing page ends the process by SIGBUS. So the length is
//! checked here, with plain reads.
//!
//! ```text
//! page 0 and page 1, layout of LMDB 0.9 on 64-bit machines (MDB_DATA_VERSION 1), little-endian:
//!   10 u16 page flags    16 u32 magic      40 u32 page size    128 u64 root of tables
//!                        20 u32 version    80 u64 root of free pages
//!                                         136 u64 last page    144 u64 transaction
//! ```

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use crate::{ForeignReason, StorageError};

/// What the header pages say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    /// The length of every page.
    pub(super) page_bytes: u64,
    /// How many pages the file must hold.
    pub(super) pages: u64,
}

/// Reads and checks the header pages of the data file at `path`, and its length.
pub(super) fn read(path: &Path) -> Result<Header, StorageError> {
    let io = |source: io::Error| {
        if source.kind() == io::ErrorKind::NotFound {
            return StorageError::Missing {
                path: path.to_owned(),
            };
        }
        StorageError::Io {
            op: "read the header of",
            path: path.to_owned(),
            source,
        }
    };
    let truncated = |length, expected| StorageError::Truncated {
        path: path.to_owned(),
        length,
        expected,
    };

    let mut file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    if length < META_BYTES as u64 {
        return Err(truncated(length, META_BYTES as u64));
    }
    let first = Meta::parse(&read_meta(&mut file, 0).map_err(io)?, path)?;
    if length < first.page_bytes + META_BYTES as u64 {
        return Err(truncated(length, first.page_bytes + META_BYTES as u64));
    }
    let second = Meta::parse(&read_meta(&mut file, first.page_bytes).map_err(io)?, path)?;
    if first.page_bytes != second.page_bytes {
        return Err(foreign(path));
    }
    let pages = first.last_page.max(second.last_page) + 1;
    let header = Header {
        page_bytes: first.page_bytes,
        pages,
    };
    let Some(expected) = header.pages.checked_mul(header.page_bytes) else {
        return Err(foreign(path));
    };
    if length < expected {
        return Err(truncated(length, expected));
    }
    Ok(header)
}

struct Meta {
    page_bytes: u64,
    last_page: u64,
}

impl Meta {
    fn parse(bytes: &MetaPage, path: &Path) -> Result<Self, StorageError> {
        let meta = Self {
            page_bytes: u64::from(u32_at(bytes, 40)),
            last_page: u64_at(bytes, 136),
        };
        let roots = [u64_at(bytes, 80), u64_at(bytes, 128)];
        let sound = u16_at(bytes, 10) & FLAG_META != 0
            && u32_at(bytes, 16) == MAGIC
            && u32_at(bytes, 20) == DATA_VERSION
            && meta.page_bytes.is_power_of_two()
            && (PAGE_BYTES_MIN..=PAGE_BYTES_MAX).contains(&meta.page_bytes)
            && meta.last_page < u64::MAX / PAGE_BYTES_MAX
            && roots
                .iter()
                .all(|root| *root == NO_PAGE || *root <= meta.last_page);
        if sound { Ok(meta) } else { Err(foreign(path)) }
    }
}

fn foreign(path: &Path) -> StorageError {
    StorageError::Foreign {
        path: path.to_owned(),
        why: ForeignReason::NoHeader,
    }
}

fn read_meta(file: &mut File, offset: u64) -> io::Result<MetaPage> {
    let mut bytes = [0; META_BYTES];
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn u16_at(bytes: &MetaPage, offset: usize) -> u16 {
    u16::from_le_bytes([bytes[offset], bytes[offset + 1]])
}

fn u32_at(bytes: &MetaPage, offset: usize) -> u32 {
    u32::from(u16_at(bytes, offset)) | u32::from(u16_at(bytes, offset + 2)) << 16
}

fn u64_at(bytes: &MetaPage, offset: usize) -> u64 {
    u64::from(u32_at(bytes, offset)) | u64::from(u32_at(bytes, offset + 4)) << 32
}

type MetaPage = [u8; META_BYTES];

/// The page header and the fields behind it.
const META_BYTES: usize = 152;
const FLAG_META: u16 = 0x08;
const MAGIC: u32 = 0xBEEF_C0DE;
const DATA_VERSION: u32 = 1;
const PAGE_BYTES_MIN: u64 = 512;
const PAGE_BYTES_MAX: u64 = 65_536;
/// LMDB's "no such page": the root of an empty tree.
const NO_PAGE: u64 = u64::MAX;
