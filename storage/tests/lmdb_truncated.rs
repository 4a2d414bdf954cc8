//! A data file that was cut short is an error, never a signal. Each cut is opened by a process of
//! its own, because a wrong answer here would be its death by SIGBUS.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "support/child.rs"]
mod child;

use std::fs::{self, OpenOptions};
use std::path::Path;

use probity_storage::{Batch, LmdbStorage, Scan, Storage, StorageError, Table};

const TABLE: Table = Table::new(3);
const RECORDS: u8 = 40;

#[test]
fn a_file_cut_anywhere_is_refused_without_a_signal() {
    let place = filled();
    // Cutting to one byte makes the child say how long the file must be. Only what it says after
    // reading the header counts.
    let expected = match open_after_cut(place.path(), 8192) {
        Opened::Truncated { expected, .. } => expected,
        Opened::Whole => panic!("two pages cannot hold the records"),
    };
    assert!(expected > u64::from(RECORDS) * 50_000, "{expected}");
    let edges = [
        0, 1, 100, 151, 152, 4095, 4096, 4247, 4248, 8191, 8192, 8193,
    ];
    let inside = [
        expected / 7,
        expected / 3,
        expected / 2,
        expected - 4096,
        expected - 1,
    ];
    for length in edges.into_iter().chain(inside) {
        match open_after_cut(place.path(), length) {
            Opened::Truncated {
                length: found,
                expected: least,
            } => {
                assert_eq!(found, length);
                assert!(least > length && least <= expected, "{least} for {length}");
            }
            Opened::Whole => panic!("opened with {length} of {expected} bytes"),
        }
    }
}

#[test]
fn a_file_that_lost_only_spare_room_is_whole() {
    let place = filled();
    let Opened::Truncated { expected, .. } = open_after_cut(place.path(), 8192) else {
        panic!("two pages cannot hold the records");
    };
    assert!(matches!(
        open_after_cut(place.path(), expected),
        Opened::Whole
    ));
}

/// LMDB counts pages that it took and gave back within one transaction, without writing them. On
/// its own it would leave a file here that is shorter than its header says.
#[test]
fn pages_taken_and_given_back_in_one_batch_do_not_look_like_a_cut() {
    let place = tempfile::tempdir().unwrap();
    for turn in 0..20_u8 {
        let storage = LmdbStorage::open(place.path()).unwrap();
        let mut batch = Batch::new();
        for key in 0..=turn {
            batch
                .put(TABLE, vec![key], vec![key; 1 << 20])
                .put(TABLE, vec![key, key], "small");
        }
        batch.remove_range(TABLE, "", vec![turn, 1]);
        storage.write(&batch).unwrap();
    }
}

#[test]
fn role_of_the_opening_process() {
    let Some(directory) = child::argument() else {
        return;
    };
    match LmdbStorage::open(directory) {
        Ok(storage) => {
            check(&storage);
            child::say("whole");
        }
        Err(StorageError::Truncated {
            length, expected, ..
        }) => {
            child::say(&format!("truncated {length} {expected}"));
        }
        Err(other) => panic!("{other}"),
    }
}

enum Opened {
    Whole,
    Truncated { length: u64, expected: u64 },
}

/// Opens a copy of the storage in `source` whose data file has `length` bytes.
fn open_after_cut(source: &Path, length: u64) -> Opened {
    let place = tempfile::tempdir().unwrap();
    for name in ["data.mdb", "probity.identity"] {
        fs::copy(source.join(name), place.path().join(name)).unwrap();
    }
    let data = OpenOptions::new()
        .write(true)
        .open(place.path().join("data.mdb"))
        .unwrap();
    data.set_len(length).unwrap();
    let directory = place.path().to_str().unwrap();
    let output = child::command("role_of_the_opening_process", directory)
        .output()
        .unwrap();
    assert!(output.status.success(), "cut to {length}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let words: Vec<_> = text
        .lines()
        .find_map(child::said)
        .unwrap()
        .split(' ')
        .collect();
    match words[..] {
        ["whole"] => Opened::Whole,
        ["truncated", length, expected] => Opened::Truncated {
            length: length.parse().unwrap(),
            expected: expected.parse().unwrap(),
        },
        _ => panic!("{words:?}"),
    }
}

fn filled() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let storage = LmdbStorage::open(place.path()).unwrap();
    for key in 0..RECORDS {
        storage
            .write(Batch::new().put(TABLE, vec![key], vec![key; 50_000]))
            .unwrap();
    }
    check(&storage);
    place
}

fn check(storage: &LmdbStorage) {
    let mut next = 0;
    let mut visit = |key: &[u8], value: &[u8]| {
        assert!(key == [next] && value.len() == 50_000);
        assert!(value.iter().all(|byte| *byte == next));
        next += 1;
        Scan::Continue
    };
    storage.scan(TABLE, b"", &mut visit).unwrap();
    assert_eq!(next, RECORDS);
}
