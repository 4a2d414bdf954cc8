//! The storage that fails on purpose fails as planned.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use probity_storage::{
    Batch, Fault, Faulty, MemoryStorage, Scan, Storage, StorageError, Table, Unacknowledged,
};

const TABLE: Table = Table::new(0);

#[test]
fn a_planned_error_comes_at_its_write_and_is_final() {
    for fails_at in 1..6_u8 {
        let storage = Faulty::new(MemoryStorage::new());
        storage.fail_at(u64::from(fails_at), Fault::WriteError);
        for number in 1..10 {
            let result = storage.write(&batch(number));
            match number.cmp(&fails_at) {
                std::cmp::Ordering::Less => result.unwrap(),
                std::cmp::Ordering::Equal => {
                    assert!(matches!(result, Err(StorageError::Io { .. })), "{result:?}");
                }
                std::cmp::Ordering::Greater => {
                    assert!(matches!(result, Err(StorageError::Failed)), "{result:?}");
                }
            }
        }
        assert_eq!(count(&storage), usize::from(fails_at - 1) * 2);
    }
}

#[test]
fn a_batch_cut_by_power_loss_is_whole_or_absent() {
    for cut_at in 1..20_u8 {
        for (unacknowledged, kept) in [
            (Unacknowledged::Whole, cut_at),
            (Unacknowledged::Absent, cut_at - 1),
        ] {
            let storage = Faulty::new(MemoryStorage::new());
            storage.fail_at(u64::from(cut_at), Fault::PowerCut(unacknowledged));
            let written = (1..=30).take_while(|number| storage.write(&batch(*number)).is_ok());
            assert_eq!(written.count(), usize::from(cut_at - 1));
            assert_eq!(count(&storage.power_cut()), usize::from(kept) * 2);
        }
    }
}

#[test]
fn after_a_power_cut_no_call_succeeds_and_the_survivor_lives_on() {
    let storage = Faulty::new(MemoryStorage::new());
    storage.write(&batch(1)).unwrap();
    let survivor = storage.power_cut();
    assert!(matches!(
        storage.write(&batch(2)),
        Err(StorageError::Failed)
    ));
    assert!(storage.read(TABLE, b"key").is_err());
    assert!(
        storage
            .scan(TABLE, b"", &mut |_, _| Scan::Continue)
            .is_err()
    );
    assert!(storage.space().is_err());
    survivor.write(&batch(2)).unwrap();
    assert_eq!(count(&survivor), 4);
    assert_eq!(count(storage.inner()), 2);
}

/// Two records, so that half a batch could be told from a whole one.
fn batch(number: u8) -> Batch {
    let mut batch = Batch::new();
    batch
        .put(TABLE, vec![number, 1], "first")
        .put(TABLE, vec![number, 2], "second");
    batch
}

fn count(storage: &impl Storage) -> usize {
    let mut count = 0;
    let mut visit = |_: &[u8], _: &[u8]| {
        count += 1;
        Scan::Continue
    };
    storage.scan(TABLE, b"", &mut visit).unwrap();
    count
}
