//! Readers beside a writer. These cases end after a number of writes, never by a clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::{OTHER, Opener, TABLE, cases, read, scan};
use crate::{Batch, Storage};

cases![
    a_storage_can_be_shared_by_threads,
    a_scan_sees_each_batch_whole_or_not_at_all,
    a_scan_beside_removals_sees_one_moment,
    an_acknowledged_write_is_visible_to_other_threads,
    writes_of_several_threads_are_all_kept,
];

const WRITES: u64 = 200;
const READERS: usize = 3;

fn a_storage_can_be_shared_by_threads(open: Opener<'_>) {
    let storage: Arc<dyn Storage> = Arc::from(open());
    let writer = Arc::clone(&storage);
    thread::spawn(move || writer.write(Batch::new().put(TABLE, "key", "value")))
        .join()
        .expect("the thread ends")
        .expect("a put succeeds");
    assert!(read(&storage, b"key").is_some());
}

/// Each batch replaces ten records by a newer generation; a scan must never see two generations.
fn a_scan_sees_each_batch_whole_or_not_at_all(open: Opener<'_>) {
    beside_a_writer(
        &*open(),
        |storage, generation| {
            let mut batch = Batch::new();
            for key in 1..=10_u8 {
                batch.put(TABLE, vec![key], vec![generation.to_le_bytes()[0]; 3_000]);
            }
            storage.write(&batch).expect("puts succeed");
        },
        |storage| {
            let records = scan(storage, TABLE, b"");
            assert!(
                records.is_empty() || records.len() == 10,
                "{} records",
                records.len()
            );
            assert!(
                records.windows(2).all(|pair| pair[0].1 == pair[1].1),
                "two generations"
            );
        },
    );
}

/// Each batch adds one record and removes the oldest: a scan always sees a gapless window.
fn a_scan_beside_removals_sees_one_moment(open: Opener<'_>) {
    const KEPT: u64 = 8;
    let key = |number: u64| number.to_be_bytes().to_vec();
    beside_a_writer(
        &*open(),
        |storage, number| {
            let mut batch = Batch::new();
            batch.put(TABLE, key(number), vec![1; 20_000]);
            batch.remove_range(TABLE, "", key((number + 1).saturating_sub(KEPT)));
            storage.write(&batch).expect("a batch succeeds");
        },
        |storage| {
            let keys: Vec<_> = scan(storage, TABLE, b"")
                .into_iter()
                .map(|(key, _)| key)
                .collect();
            let first = keys.first().map_or(0, |first| {
                u64::from_be_bytes(first.as_slice().try_into().expect("keys have 8 bytes"))
            });
            assert!(keys.len() as u64 <= KEPT, "{} records", keys.len());
            assert_eq!(
                keys,
                (first..).take(keys.len()).map(key).collect::<Vec<_>>()
            );
        },
    );
}

fn an_acknowledged_write_is_visible_to_other_threads(open: Opener<'_>) {
    let acknowledged = AtomicU64::new(0);
    beside_a_writer(
        &*open(),
        |storage, number| {
            let value = number.to_be_bytes().to_vec();
            storage
                .write(Batch::new().put(TABLE, "latest", value))
                .expect("a put succeeds");
            acknowledged.store(number, Ordering::SeqCst);
        },
        |storage| {
            let least = acknowledged.load(Ordering::SeqCst);
            let found = read(storage, b"latest").map_or(0, |value| {
                u64::from_be_bytes(value[..].try_into().expect("the value has 8 bytes"))
            });
            assert!(
                found >= least,
                "{found} was read after {least} was acknowledged"
            );
        },
    );
}

fn writes_of_several_threads_are_all_kept(open: Opener<'_>) {
    let storage = open();
    thread::scope(|scope| {
        for writer in 0..4_u8 {
            let storage = &storage;
            scope.spawn(move || {
                for number in 0..25_u8 {
                    let mut batch = Batch::new();
                    batch.put(TABLE, vec![writer, number], vec![number; 5_000]);
                    batch.put(OTHER, vec![writer], vec![number]);
                    storage.write(&batch).expect("a batch succeeds");
                }
            });
        }
    });
    drop(storage);
    let storage = open();
    assert_eq!(scan(&*storage, TABLE, b"").len(), 100);
    assert!(
        scan(&*storage, OTHER, b"")
            .iter()
            .all(|(_, value)| value == &[24])
    );
}

/// Calls `write` with 1, 2, … while other threads call `look` without pause.
fn beside_a_writer(
    storage: &dyn Storage,
    write: impl Fn(&dyn Storage, u64),
    look: impl Fn(&dyn Storage) + Sync,
) {
    let finished = AtomicBool::new(false);
    thread::scope(|scope| {
        // Set also when a write panics, or the readers would never end.
        let _finish = SetOnDrop(&finished);
        for _ in 0..READERS {
            scope.spawn(|| {
                while !finished.load(Ordering::Relaxed) {
                    look(storage);
                }
            });
        }
        for number in 1..=WRITES {
            write(storage, number);
        }
    });
    look(storage);
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
