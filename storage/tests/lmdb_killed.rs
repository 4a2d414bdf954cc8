//! A process is killed between any two instructions of its writes: what it was told is durable is
//! there, and no batch is there in part.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "support/child.rs"]
mod child;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use probity_storage::{Batch, LmdbStorage, Scan, Storage, Table};

const LARGE: Table = Table::new(0);
const SMALL: Table = Table::new(1);
const KILLS: u64 = 25;
const KEPT: u64 = 30;

#[test]
fn a_killed_process_loses_no_acknowledged_write() {
    let place = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for kill in 0..KILLS {
        // Numbers of writes before the kill that differ, and do not depend on time.
        let writes = 1 + kill * 7 % 23;
        acknowledged = write_until_killed(place.path(), writes).max(acknowledged);
        let last = check(place.path());
        assert!(
            last >= acknowledged,
            "kill {kill}: {last} is there, {acknowledged} was promised"
        );
        assert!(
            last <= acknowledged + 1,
            "kill {kill}: {last} is there, {acknowledged} was said"
        );
    }
}

#[test]
fn role_of_the_killed_process() {
    let Some(directory) = child::argument() else {
        return;
    };
    let storage = LmdbStorage::open(directory).unwrap();
    let mut number = last(&storage) + 1;
    loop {
        let mut batch = Batch::new();
        for author in 0..4 {
            batch.put(LARGE, key(number, author), large(number, author));
            batch.put(SMALL, key(number, author), number.to_string());
        }
        let oldest = number.saturating_sub(KEPT - 1);
        batch
            .remove_range(LARGE, "", key(oldest, 0))
            .remove_range(SMALL, "", key(oldest, 0));
        storage.write(&batch).unwrap();
        child::say(&number.to_string());
        number += 1;
    }
}

/// Starts the writer, kills it after some writes, and answers the last one it acknowledged.
fn write_until_killed(directory: &Path, writes: u64) -> u64 {
    let mut writer = child::command("role_of_the_killed_process", directory.to_str().unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
    let (mut acknowledged, mut count) = (0, 0);
    // Goes on to the end of the output: more may have been acknowledged before the kill arrived.
    for line in lines.map_while(Result::ok) {
        let Some(number) = child::said(&line).and_then(|words| words.parse().ok()) else {
            continue;
        };
        acknowledged = number;
        count += 1;
        if count == writes {
            writer.kill().unwrap();
        }
    }
    let status = writer.wait().unwrap();
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(9),
        "{status}"
    );
    acknowledged
}

/// Checks that the storage holds whole batches without a gap, and answers the last one.
fn check(directory: &Path) -> u64 {
    let storage = LmdbStorage::open_existing(directory).unwrap();
    let last = last(&storage);
    let first = last.saturating_sub(KEPT - 1).max(1);
    let expected: Vec<_> = (first..=last)
        .flat_map(|number| (0..4).map(move |author| (number, author)))
        .collect();
    for table in [LARGE, SMALL] {
        let mut expected = expected.iter();
        let mut visit = |found: &[u8], value: &[u8]| {
            let (number, author) = *expected.next().unwrap();
            assert_eq!(found, key(number, author));
            let right = if table == LARGE {
                value == large(number, author)
            } else {
                value == number.to_string().as_bytes()
            };
            assert!(right, "batch {number} is there in part");
            Scan::Continue
        };
        storage.scan(table, b"", &mut visit).unwrap();
        assert_eq!(expected.next(), None);
    }
    last
}

fn last(storage: &LmdbStorage) -> u64 {
    let mut last = 0;
    let mut visit = |key: &[u8], _: &[u8]| {
        last = u64::from_be_bytes(*key.first_chunk().unwrap());
        Scan::Continue
    };
    storage.scan(SMALL, b"", &mut visit).unwrap();
    last
}

fn key(number: u64, author: u8) -> Vec<u8> {
    let mut key = number.to_be_bytes().to_vec();
    key.push(author);
    key
}

fn large(number: u64, author: u8) -> Vec<u8> {
    vec![number.to_le_bytes()[0] ^ author; 40_000 + number.to_le_bytes()[0] as usize * 200]
}
