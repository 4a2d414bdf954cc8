//! Opening: what is created, what is refused, and by which error.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "support/child.rs"]
mod child;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Stdio;

use probity_storage::{Batch, ForeignReason, LmdbStorage, Storage, StorageError, Table};

const TABLE: Table = Table::new(0);

#[test]
fn an_absent_directory_is_created_for_its_owner_alone() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("some/where");
    drop(LmdbStorage::open(&path).unwrap());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&path.join("data.mdb")) & 0o077, 0);
    LmdbStorage::open_existing(&path).unwrap();
}

#[test]
fn a_storage_that_must_exist_is_missing_and_nothing_is_created() {
    let place = tempfile::tempdir().unwrap();
    let absent = place.path().join("absent");
    for path in [place.path(), &absent] {
        let error = LmdbStorage::open_existing(path).unwrap_err();
        assert!(matches!(error, StorageError::Missing { .. }), "{error}");
    }
    assert!(is_empty(place.path()));
}

/// An empty storage in its place would make a validator forget what it has signed.
#[test]
fn a_data_file_that_vanished_is_missing_and_not_replaced() {
    let place = filled();
    fs::remove_file(place.path().join("data.mdb")).unwrap();
    for _ in 0..2 {
        let error = LmdbStorage::open(place.path()).unwrap_err();
        assert!(matches!(error, StorageError::Missing { .. }), "{error}");
    }
}

#[test]
fn a_storage_opens_once_in_a_process() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("storage");
    let link = place.path().join("link");
    let storage = LmdbStorage::open(&path).unwrap();
    symlink(&path, &link).unwrap();
    for path in [&path, &link, &path.join("../storage")] {
        let error = LmdbStorage::open(path).unwrap_err();
        assert!(matches!(error, StorageError::AlreadyOpen { .. }), "{error}");
    }
    drop(storage);
    LmdbStorage::open(&link).unwrap();
}

#[test]
fn a_second_process_is_refused_until_the_first_is_gone() {
    let place = filled();
    let directory = place.path().to_str().unwrap();
    let mut first = child::command("role_of_the_first_process", directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(first.stdout.take().unwrap()).lines();
    output
        .find(|line| child::said(line.as_ref().unwrap()) == Some("open"))
        .unwrap()
        .unwrap();

    let error = LmdbStorage::open(place.path()).unwrap_err();
    assert!(matches!(error, StorageError::Locked { .. }), "{error}");

    first.kill().unwrap();
    first.wait().unwrap();
    let storage = LmdbStorage::open(place.path()).unwrap();
    assert!(storage.read(TABLE, b"key").unwrap().is_some());
}

#[test]
fn role_of_the_first_process() {
    let Some(directory) = child::argument() else {
        return;
    };
    let _storage = LmdbStorage::open(directory).unwrap();
    child::say("open");
    // Holds the storage until the parent kills this process, or dies itself.
    std::io::stdin().lines().count();
}

#[test]
fn a_file_is_not_a_storage() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("file");
    fs::write(&path, "text").unwrap();
    assert_eq!(foreign(&path), ForeignReason::NotADirectory);
}

#[test]
fn a_directory_with_other_files_is_refused_and_left_alone() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("letter"), "text").unwrap();
    assert_eq!(foreign(place.path()), ForeignReason::NoIdentity);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
}

#[test]
fn a_strange_identity_is_refused() {
    let place = filled();
    let identity = place.path().join("probity.identity");
    for text in [
        "",
        "other\nformat 1\nready\n",
        "probity-storage\nformat one\nready\n",
    ] {
        fs::write(&identity, text).unwrap();
        assert_eq!(foreign(place.path()), ForeignReason::Identity, "{text:?}");
    }
    for text in [
        "probity-storage\nformat 1\n",
        "probity-storage\nformat 1\nready\nmore\n",
    ] {
        fs::write(&identity, text).unwrap();
        assert_eq!(foreign(place.path()), ForeignReason::Identity, "{text:?}");
    }
}

#[test]
fn another_format_version_is_refused() {
    let place = filled();
    fs::write(
        place.path().join("probity.identity"),
        "probity-storage\nformat 2\nready\n",
    )
    .unwrap();
    assert_eq!(
        foreign(place.path()),
        ForeignReason::Version {
            found: 2,
            expected: 1
        }
    );
}

#[test]
fn a_data_file_of_garbage_is_refused() {
    let place = filled();
    let data = place.path().join("data.mdb");
    for byte in [0, 0x5A, 0xFF] {
        fs::write(&data, vec![byte; 100_000]).unwrap();
        assert_eq!(foreign(place.path()), ForeignReason::NoHeader, "{byte}");
    }
}

/// Every field on which LMDB would rely without a check.
#[test]
fn a_header_that_contradicts_itself_is_refused() {
    let place = filled();
    let data = place.path().join("data.mdb");
    let sound = fs::read(&data).unwrap();
    for page in [0, 4096] {
        for (field, offset) in [
            ("flags", 10),
            ("magic", 16),
            ("version", 20),
            ("page size", 40),
            ("root", 86),
        ] {
            let mut damaged = sound.clone();
            damaged[page + offset] ^= 0x7F;
            fs::write(&data, damaged).unwrap();
            assert_eq!(
                foreign(place.path()),
                ForeignReason::NoHeader,
                "{field} at {page}"
            );
        }
    }
    fs::write(&data, sound).unwrap();
    LmdbStorage::open(place.path()).unwrap();
}

#[test]
fn an_lmdb_database_of_something_else_is_refused() {
    let (place, other) = (filled(), tempfile::tempdir().unwrap());
    drop(
        lmdb::Environment::new()
            .set_max_dbs(1)
            .open(other.path())
            .unwrap(),
    );
    fs::copy(other.path().join("data.mdb"), place.path().join("data.mdb")).unwrap();
    assert_eq!(foreign(place.path()), ForeignReason::NoTable(TABLE));
}

/// The process died between the two identity files of creation: nothing was stored yet.
#[test]
fn a_creation_that_was_cut_short_is_started_again() {
    for leftover in [&b""[..], b"half a database"] {
        let place = tempfile::tempdir().unwrap();
        let identity = "probity-storage\nformat 1\ncreating\n";
        fs::write(place.path().join("probity.identity"), identity).unwrap();
        fs::write(place.path().join("data.mdb"), leftover).unwrap();
        fs::write(place.path().join("probity.lock"), "").unwrap();
        let error = LmdbStorage::open_existing(place.path()).unwrap_err();
        assert!(matches!(error, StorageError::Missing { .. }), "{error}");
        let storage = LmdbStorage::open(place.path()).unwrap();
        storage
            .write(Batch::new().put(TABLE, "key", "value"))
            .unwrap();
        drop(storage);
        LmdbStorage::open_existing(place.path()).unwrap();
    }
}

fn filled() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let storage = LmdbStorage::open(place.path()).unwrap();
    storage
        .write(Batch::new().put(TABLE, "key", "value"))
        .unwrap();
    place
}

fn foreign(path: &Path) -> ForeignReason {
    match LmdbStorage::open(path) {
        Err(StorageError::Foreign { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).unwrap().next().is_none()
}
