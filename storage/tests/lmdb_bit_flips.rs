//! A bit that flips in a stored value is noticed, and touches no other record.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use probity_storage::{Batch, LmdbStorage, Scan, Storage, StorageError, Table};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

const TABLE: Table = Table::new(2);
const CHECKSUM_BYTES: usize = 16;
const FLIPS: u32 = 400;
/// Inside a leaf page, at the edge of it, and on pages of their own.
const LENGTHS: [usize; 12] = [
    16, 17, 100, 500, 1_900, 2_100, 4_080, 4_096, 9_000, 20_000, 50_000, 300_000,
];

/// The flips are aimed at values and their checksums, which are found by content: LMDB's index
/// pages have no protection, and no promise is made for them.
#[test]
fn every_flipped_bit_in_a_record_is_noticed() {
    let place = tempfile::tempdir().unwrap();
    let values: Vec<_> = LENGTHS.iter().map(|length| noise(*length)).collect();
    let storage = LmdbStorage::open(place.path()).unwrap();
    let mut batch = Batch::new();
    for (key, value) in (0_u8..).zip(&values) {
        batch.put(TABLE, vec![key], value.clone());
    }
    storage.write(&batch).unwrap();
    drop(storage);

    let data = place.path().join("data.mdb");
    let bytes = std::fs::read(&data).unwrap();
    let starts: Vec<_> = values.iter().map(|value| position(&bytes, value)).collect();
    let file = OpenOptions::new().write(true).open(&data).unwrap();

    let strategy = (0..values.len(), any::<prop::sample::Index>(), 0..8_u8);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(FLIPS));
    let flips = runner.run(&strategy, |(victim, place_in_record, bit)| {
        let record_bytes = CHECKSUM_BYTES + values[victim].len();
        let at = starts[victim] - CHECKSUM_BYTES + place_in_record.index(record_bytes);
        file.write_all_at(&[bytes[at] ^ (1 << bit)], at as u64)
            .unwrap();
        let storage = LmdbStorage::open(place.path()).unwrap();
        check(&storage, &values, victim);
        drop(storage);
        file.write_all_at(&[bytes[at]], at as u64).unwrap();
        Ok(())
    });
    flips.unwrap();
}

/// Reads every record, and scans: the victim is corrupt, the others are right.
fn check(storage: &LmdbStorage, values: &[Vec<u8>], victim: usize) {
    for (key, value) in (0_u8..).zip(values) {
        match storage.read(TABLE, &[key]) {
            Ok(found) => {
                assert!(usize::from(key) != victim && found.as_deref() == Some(&value[..]))
            }
            Err(error) => expect_corrupt(&error, (key, victim)),
        }
    }
    let mut seen = 0;
    let mut visit = |_: &[u8], value: &[u8]| {
        assert!(value == values[seen]);
        seen += 1;
        Scan::Continue
    };
    let error = storage.scan(TABLE, b"", &mut visit).unwrap_err();
    assert_eq!(seen, victim);
    expect_corrupt(&error, (u8::try_from(victim).unwrap(), victim));
}

fn expect_corrupt(error: &StorageError, (key, victim): (u8, usize)) {
    let StorageError::Corrupt { table, key_prefix } = error else {
        panic!("{error}");
    };
    assert_eq!((*table, usize::from(key)), (TABLE, victim));
    assert_eq!(*key_prefix, format!("{key:02x}"));
}

fn position(bytes: &[u8], value: &[u8]) -> usize {
    bytes
        .windows(value.len())
        .position(|window| window == value)
        .unwrap()
}

/// Bytes that occur nowhere else in the file.
fn noise(length: usize) -> Vec<u8> {
    let mut state = (length as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| step()).collect()
}
