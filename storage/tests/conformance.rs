//! The public suite, run on the storages of this crate.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::sync::Arc;

use probity_storage::{Faulty, LmdbStorage, MemoryStorage, Storage, conformance};

#[test]
fn memory_storage_conforms() {
    conformance::run(|| {
        let memory = MemoryStorage::new();
        move || memory.clone()
    });
}

#[test]
fn lmdb_storage_conforms() {
    conformance::run(|| {
        let directory = tempfile::tempdir().unwrap();
        move || LmdbStorage::open(directory.path()).unwrap()
    });
}

#[test]
fn a_faulty_storage_without_a_fault_conforms() {
    conformance::run(|| {
        let memory = MemoryStorage::new();
        move || Faulty::new(memory.clone())
    });
}

#[test]
fn a_shared_storage_conforms() {
    conformance::run(|| {
        let memory = MemoryStorage::new();
        move || -> Arc<dyn Storage> { Arc::new(memory.clone()) }
    });
}

#[test]
fn the_suite_has_at_least_sixty_cases_with_names_of_their_own() {
    let names: Vec<_> = conformance::names().collect();
    let unique: std::collections::BTreeSet<_> = names.iter().collect();
    assert!(names.len() >= 60, "{}", names.len());
    assert_eq!(unique.len(), names.len());
}
