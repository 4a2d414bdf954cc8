//! What must be there when the storage is opened again.

use super::{OTHER, Opener, TABLE, cases, letters, noise, put, put_letters, read, scan};
use crate::{Batch, Table};

cases![
    reopening_keeps_every_table,
    reopening_keeps_removals,
    reopening_keeps_overwrites,
    every_reopening_finds_all_earlier_writes,
    reopening_keeps_the_used_space,
    a_storage_can_be_emptied_and_filled_again,
];

fn reopening_keeps_every_table(open: Opener<'_>) {
    let storage = open();
    let mut batch = Batch::new();
    for table in Table::all() {
        batch.put(table, "key", noise(u64::from(table.id()), 3_000));
    }
    storage.write(&batch).expect("puts succeed");
    drop(storage);
    let storage = open();
    for table in Table::all() {
        let expected = noise(u64::from(table.id()), 3_000);
        assert_eq!(scan(&*storage, table, b""), [(b"key".to_vec(), expected)]);
    }
}

fn reopening_keeps_removals(open: Opener<'_>) {
    let storage = open();
    put_letters(&*storage, "abcdef");
    let mut batch = Batch::new();
    batch.remove(TABLE, "a").remove_range(TABLE, "c", "e");
    storage.write(&batch).expect("removals succeed");
    drop(storage);
    assert_eq!(letters(&*open(), b""), "bef");
}

fn reopening_keeps_overwrites(open: Opener<'_>) {
    let storage = open();
    put(&*storage, "key", noise(1, 200_000));
    put(&*storage, "key", noise(2, 150_000));
    drop(storage);
    assert!(read(&*open(), b"key").as_deref() == Some(&noise(2, 150_000)[..]));
}

fn every_reopening_finds_all_earlier_writes(open: Opener<'_>) {
    for turn in 0..8_u8 {
        let storage = open();
        assert_eq!(scan(&*storage, TABLE, b"").len(), usize::from(turn));
        put(&*storage, vec![turn + 1], vec![turn; 10_000]);
    }
}

fn reopening_keeps_the_used_space(open: Opener<'_>) {
    let storage = open();
    put(&*storage, "key", noise(1, 1 << 20));
    let before = storage.space().expect("space is known");
    drop(storage);
    assert_eq!(open().space().expect("space is known"), before);
}

fn a_storage_can_be_emptied_and_filled_again(open: Opener<'_>) {
    for _ in 0..3 {
        let storage = open();
        for number in 0..32_u8 {
            let mut batch = Batch::new();
            batch
                .put(TABLE, vec![number], noise(1, 50_000))
                .put(OTHER, vec![number], "small");
            storage.write(&batch).expect("puts succeed");
        }
        drop(storage);
        let storage = open();
        assert_eq!(scan(&*storage, TABLE, b"").len(), 32);
        let mut batch = Batch::new();
        batch
            .remove_range(TABLE, "", vec![255])
            .remove_range(OTHER, "", vec![255]);
        storage.write(&batch).expect("removals succeed");
        assert_eq!(scan(&*storage, OTHER, b""), []);
    }
}
