//! No room: a typed error that loses nothing, and from which the storage recovers.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "support/child.rs"]
mod child;

use std::path::Path;
use std::process::Command;

use probity_storage::{Batch, LmdbOptions, LmdbStorage, Scan, Storage, StorageError, Table};

const TABLE: Table = Table::new(1);
const LIMIT_BYTES: u64 = 16 << 20;

#[test]
fn a_full_storage_keeps_its_records_and_takes_removals() {
    let place = tempfile::tempdir().unwrap();
    let options = LmdbOptions {
        limit_bytes: LIMIT_BYTES,
        ..LmdbOptions::default()
    };
    let mut first = 0;
    let mut next = 0;
    for cycle in 0..20 {
        let storage = LmdbStorage::open_with(place.path(), &options).unwrap();
        check(&storage, first..next);
        let error = fill(&storage, &mut next);
        assert!(matches!(error, StorageError::Full { .. }), "{error}");
        assert!(error.is_refusal());
        check(&storage, first..next);
        let space = storage.space().unwrap();
        assert!(space.used_bytes <= LIMIT_BYTES, "cycle {cycle}: {space:?}");
        assert!(
            space.used_bytes >= LIMIT_BYTES * 9 / 10,
            "cycle {cycle}: {space:?}"
        );

        first += (next - first) / 2;
        storage
            .write(Batch::new().remove_range(TABLE, "", key(first)))
            .unwrap();
        assert!(storage.space().unwrap().used_bytes < LIMIT_BYTES * 6 / 10);
    }
}

#[test]
fn single_records_can_be_removed_from_a_full_storage() {
    let place = tempfile::tempdir().unwrap();
    let options = LmdbOptions {
        limit_bytes: LIMIT_BYTES,
        ..LmdbOptions::default()
    };
    let storage = LmdbStorage::open_with(place.path(), &options).unwrap();
    let mut next = 0;
    fill(&storage, &mut next);
    for number in 0..next {
        storage
            .write(Batch::new().remove(TABLE, key(number)))
            .unwrap();
        check(&storage, number + 1..next);
    }
}

#[test]
fn a_batch_that_never_fits_is_refused_whole() {
    let place = tempfile::tempdir().unwrap();
    let options = LmdbOptions {
        limit_bytes: LIMIT_BYTES,
        ..LmdbOptions::default()
    };
    let storage = LmdbStorage::open_with(place.path(), &options).unwrap();
    let mut batch = Batch::new();
    for number in 0..1000 {
        batch.put(TABLE, key(number), value(number));
    }
    assert!(storage.write(&batch).unwrap_err().is_refusal());
    check(&storage, 0..0);
    storage
        .write(Batch::new().put(TABLE, key(0), value(0)))
        .unwrap();
}

/// A limit that was lowered below what is stored: no more puts, but removals.
#[test]
fn a_lowered_limit_still_opens() {
    let place = tempfile::tempdir().unwrap();
    let options = |limit_bytes| LmdbOptions {
        limit_bytes,
        ..LmdbOptions::default()
    };
    let storage = LmdbStorage::open_with(place.path(), &options(LIMIT_BYTES)).unwrap();
    let mut next = 0;
    fill(&storage, &mut next);
    drop(storage);
    let storage = LmdbStorage::open_with(place.path(), &options(1 << 20)).unwrap();
    check(&storage, 0..next);
    assert!(
        storage
            .write(Batch::new().put(TABLE, key(next), ""))
            .unwrap_err()
            .is_refusal()
    );
    storage
        .write(Batch::new().remove_range(TABLE, "", key(next)))
        .unwrap();
    storage
        .write(Batch::new().put(TABLE, key(next), ""))
        .unwrap();
}

/// The limit on file length stands for a disk without room: both make the system refuse space.
#[test]
fn a_full_disk_is_a_refusal_and_removals_make_room() {
    let place = tempfile::tempdir().unwrap();
    run_with_file_limit(
        "role_of_a_process_on_a_full_disk",
        place.path(),
        LIMIT_BYTES * 2,
    );
    LmdbStorage::open(place.path()).unwrap();
}

#[test]
fn role_of_a_process_on_a_full_disk() {
    let Some(directory) = child::argument() else {
        return;
    };
    let storage = LmdbStorage::open(directory).unwrap();
    let (mut first, mut next) = (0, 0);
    for _ in 0..10 {
        let error = fill(&storage, &mut next);
        assert!(matches!(error, StorageError::Full { .. }), "{error}");
        check(&storage, first..next);
        assert!(next - first >= 20, "{first}..{next}");
        first += (next - first) / 2;
        storage
            .write(Batch::new().remove_range(TABLE, "", key(first)))
            .unwrap();
    }
    child::say("done");
}

/// The file was made long before the limit came, so LMDB's own write is what fails here.
#[test]
fn after_a_failed_write_all_writes_fail_and_reads_go_on() {
    let place = tempfile::tempdir().unwrap();
    let storage = LmdbStorage::open(place.path()).unwrap();
    storage
        .write(Batch::new().put(TABLE, key(0), value(0)))
        .unwrap();
    drop(storage);
    run_with_file_limit(
        "role_of_a_process_whose_disk_breaks",
        place.path(),
        64 << 10,
    );
    let storage = LmdbStorage::open(place.path()).unwrap();
    check(&storage, 0..1);
    storage
        .write(Batch::new().put(TABLE, key(1), value(1)))
        .unwrap();
}

#[test]
fn role_of_a_process_whose_disk_breaks() {
    let Some(directory) = child::argument() else {
        return;
    };
    let storage = LmdbStorage::open(directory).unwrap();
    let error = storage
        .write(Batch::new().put(TABLE, key(1), value(1)))
        .unwrap_err();
    assert!(matches!(error, StorageError::Io { .. }), "{error}");
    assert!(!error.is_refusal());
    for _ in 0..3 {
        let error = storage
            .write(Batch::new().remove(TABLE, key(0)))
            .unwrap_err();
        assert!(matches!(error, StorageError::Failed), "{error}");
        check(&storage, 0..1);
    }
    child::say("done");
}

/// Runs `role` in a process that may not write to files beyond `bytes`.
fn run_with_file_limit(role: &str, directory: &Path, bytes: u64) {
    let child = child::command(role, directory.to_str().unwrap());
    let blocks = bytes / 512;
    // Without the trap, the first write beyond the limit would be a signal and not an error.
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &script, "sh"])
        .arg(child.get_program())
        .args(child.get_args());
    shell.envs(
        child
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().find_map(child::said), Some("done"));
}

/// Puts records until one is refused.
fn fill(storage: &LmdbStorage, next: &mut u32) -> StorageError {
    loop {
        match storage.write(Batch::new().put(TABLE, key(*next), value(*next))) {
            Ok(()) => *next += 1,
            Err(error) => return error,
        }
    }
}

fn key(number: u32) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

/// Lengths from 1 byte to 500 KiB, so that freed space does not fit what comes next.
fn value(number: u32) -> Vec<u8> {
    let length = number.wrapping_mul(2_654_435_761) % (500 << 10) + 1;
    vec![number.to_le_bytes()[0]; length as usize]
}

fn check(storage: &LmdbStorage, mut expected: std::ops::Range<u32>) {
    let mut visit = |found: &[u8], bytes: &[u8]| {
        let number = expected.next().unwrap();
        assert!(
            found == key(number) && bytes == value(number),
            "record {number}"
        );
        Scan::Continue
    };
    storage.scan(TABLE, b"", &mut visit).unwrap();
    assert!(expected.is_empty());
}
