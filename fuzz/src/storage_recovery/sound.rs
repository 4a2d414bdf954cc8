//! The storage that is damaged, made once.

use std::fs;
use std::ops::Range;
use std::sync::LazyLock;

use probity_storage::{Batch, LmdbOptions, LmdbStorage, Storage, Table};

/// Where all records are.
pub(super) const TABLE: Table = Table::new(2);

/// The files of a storage.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum File {
    /// LMDB's data.
    Data,
    /// What tells a storage from other directories.
    Identity,
    /// LMDB's table of readers.
    Readers,
    /// Keeps other processes out.
    Lock,
}

impl File {
    pub(super) const ALL: [Self; 4] = [Self::Data, Self::Identity, Self::Readers, Self::Lock];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Data => "data.mdb",
            Self::Identity => "probity.identity",
            Self::Readers => "lock.mdb",
            Self::Lock => "probity.lock",
        }
    }
}

/// The files as they were written, and where the records are in them.
pub(super) struct Sound {
    pub(super) files: Vec<Option<Vec<u8>>>,
    /// In the order of their keys.
    pub(super) records: Vec<Record>,
    /// Pairs of records of one length.
    pub(super) twins: Vec<(usize, usize)>,
}

/// One record.
pub(super) struct Record {
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    /// Its checksum and value in the data file.
    pub(super) place: Range<usize>,
}

impl Sound {
    pub(super) fn get() -> &'static Self {
        static SOUND: LazyLock<Sound> = LazyLock::new(Sound::make);
        &SOUND
    }

    fn make() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let options = LmdbOptions {
            limit_bytes: 1 << 20,
            ..LmdbOptions::default()
        };
        let storage = LmdbStorage::open_with(directory.path(), &options).expect("a new storage");
        let mut batch = Batch::new();
        for (number, length) in (0..).zip(LENGTHS) {
            batch.put(TABLE, vec![number], noise(number, length));
        }
        storage.write(&batch).expect("the first batch");
        drop(storage);
        let read = |file: &File| fs::read(directory.path().join(file.name())).expect("a file");
        let files: Vec<Vec<u8>> = File::ALL.iter().map(read).collect();
        let record = |(number, length): (u8, usize)| {
            let value = noise(number, length);
            let start = position(&files[File::Data as usize], &value);
            let place = start - CHECKSUM_BYTES..start + length;
            Record {
                key: vec![number],
                value,
                place,
            }
        };
        let records: Vec<Record> = (0..).zip(LENGTHS).map(record).collect();
        let same = |a: usize, b: usize| a < b && LENGTHS[a] == LENGTHS[b];
        let twins = (0..LENGTHS.len())
            .flat_map(|a| (0..LENGTHS.len()).map(move |b| (a, b)))
            .filter(|(a, b)| same(*a, *b))
            .collect();
        Self {
            files: files.into_iter().map(Some).collect(),
            records,
            twins,
        }
    }
}

fn position(bytes: &[u8], value: &[u8]) -> usize {
    let mut windows = bytes.windows(value.len());
    windows
        .position(|window| window == value)
        .expect("the value stands in the file as it is")
}

/// Bytes that occur nowhere else in the file.
fn noise(number: u8, length: usize) -> Vec<u8> {
    let mut state = (length as u64 + 1) << 8 | u64::from(number);
    let mut step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes()[6]
    };
    (0..length).map(|_| step()).collect()
}

/// Inside a leaf page, at the edge of it, and on pages of their own; some twice.
const LENGTHS: [usize; 12] = [
    16, 17, 17, 100, 500, 500, 1_900, 2_100, 4_080, 9_000, 9_000, 30_000,
];
const CHECKSUM_BYTES: usize = 16;
