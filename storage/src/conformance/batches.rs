//! Operations within one batch.

use super::{OTHER, Opener, TABLE, cases, letters, put, put_letters, read, scan};
use crate::Batch;

cases![
    an_empty_batch_changes_nothing,
    a_batch_can_be_written_twice,
    a_cleared_batch_can_be_used_again,
    the_last_put_of_a_key_wins,
    a_put_after_a_removal_stays,
    a_removal_after_a_put_removes,
    a_put_before_remove_range_goes,
    a_put_after_remove_range_stays,
    ranges_and_puts_take_turns,
    a_batch_spans_tables,
    a_batch_of_twenty_thousand_records_is_applied,
    a_batch_of_sixteen_mebibytes_is_applied,
];

fn an_empty_batch_changes_nothing(open: Opener<'_>) {
    let storage = open();
    put(&*storage, "key", "value");
    storage
        .write(&Batch::new())
        .expect("an empty batch succeeds");
    assert_eq!(scan(&*storage, TABLE, b"").len(), 1);
}

fn a_batch_can_be_written_twice(open: Opener<'_>) {
    let storage = open();
    let mut batch = Batch::new();
    batch
        .put(TABLE, "a", "1")
        .remove(TABLE, "b")
        .put(TABLE, "c", "3");
    storage.write(&batch).expect("a batch succeeds");
    storage
        .write(&batch)
        .expect("the same batch succeeds again");
    assert_eq!(letters(&*storage, b""), "ac");
}

fn a_cleared_batch_can_be_used_again(open: Opener<'_>) {
    let storage = open();
    let mut batch = Batch::new();
    batch.put(TABLE, "a", "1");
    batch.clear();
    batch.put(TABLE, "b", "2");
    storage.write(&batch).expect("a batch succeeds");
    assert_eq!(letters(&*storage, b""), "b");
}

fn the_last_put_of_a_key_wins(open: Opener<'_>) {
    let storage = open();
    let mut batch = Batch::new();
    batch
        .put(TABLE, "key", vec![1; 9000])
        .put(TABLE, "key", "2")
        .put(TABLE, "key", vec![3; 5000]);
    storage.write(&batch).expect("a batch succeeds");
    assert_eq!(read(&*storage, b"key").as_deref(), Some(&[3; 5000][..]));
}

fn a_put_after_a_removal_stays(open: Opener<'_>) {
    let storage = open();
    put(&*storage, "key", "old");
    storage
        .write(Batch::new().remove(TABLE, "key").put(TABLE, "key", "new"))
        .expect("a batch succeeds");
    assert_eq!(read(&*storage, b"key").as_deref(), Some(&b"new"[..]));
}

fn a_removal_after_a_put_removes(open: Opener<'_>) {
    let storage = open();
    put(&*storage, "key", "old");
    storage
        .write(Batch::new().put(TABLE, "key", "new").remove(TABLE, "key"))
        .expect("a batch succeeds");
    assert_eq!(read(&*storage, b"key"), None);
}

fn a_put_before_remove_range_goes(open: Opener<'_>) {
    let storage = open();
    let mut batch = Batch::new();
    batch
        .put(TABLE, "b", "1")
        .put(TABLE, "d", "1")
        .remove_range(TABLE, "a", "c");
    storage.write(&batch).expect("a batch succeeds");
    assert_eq!(letters(&*storage, b""), "d");
}

fn a_put_after_remove_range_stays(open: Opener<'_>) {
    let storage = open();
    put_letters(&*storage, "abcd");
    let mut batch = Batch::new();
    batch.remove_range(TABLE, "a", "z").put(TABLE, "b", "new");
    storage.write(&batch).expect("a batch succeeds");
    assert_eq!(
        scan(&*storage, TABLE, b""),
        [(b"b".to_vec(), b"new".to_vec())]
    );
}

fn ranges_and_puts_take_turns(open: Opener<'_>) {
    let storage = open();
    put_letters(&*storage, "abcdefgh");
    let mut batch = Batch::new();
    batch
        .remove_range(TABLE, "b", "d")
        .put(TABLE, "c", "new")
        .remove(TABLE, "e");
    batch
        .remove_range(TABLE, "c", "c\0")
        .put(TABLE, "b", "new")
        .remove_range(TABLE, "g", "gg");
    storage.write(&batch).expect("a batch succeeds");
    assert_eq!(letters(&*storage, b""), "abdfh");
}

fn a_batch_spans_tables(open: Opener<'_>) {
    let storage = open();
    put(&*storage, "key", "value");
    storage
        .write(Batch::new().remove(TABLE, "key").put(OTHER, "key", "moved"))
        .expect("a batch succeeds");
    assert_eq!(scan(&*storage, TABLE, b""), []);
    assert_eq!(
        scan(&*storage, OTHER, b""),
        [(b"key".to_vec(), b"moved".to_vec())]
    );
}

fn a_batch_of_twenty_thousand_records_is_applied(open: Opener<'_>) {
    const RECORDS: u32 = 20_000;
    let storage = open();
    let mut batch = Batch::new();
    for number in 0..RECORDS {
        batch.put(
            TABLE,
            number.to_be_bytes().to_vec(),
            number.to_le_bytes().to_vec(),
        );
    }
    storage.write(&batch).expect("a batch succeeds");
    let records = scan(&*storage, TABLE, b"");
    assert_eq!(records.len(), RECORDS as usize);
    for (number, (key, value)) in (0..RECORDS).zip(records) {
        assert_eq!(
            (key, value),
            (number.to_be_bytes().to_vec(), number.to_le_bytes().to_vec())
        );
    }
}

fn a_batch_of_sixteen_mebibytes_is_applied(open: Opener<'_>) {
    let storage = open();
    let mut batch = Batch::new();
    for number in 1..=64_u8 {
        batch.put(TABLE, vec![number], vec![number; 256 << 10]);
    }
    storage.write(&batch).expect("a batch succeeds");
    for number in 1..=64_u8 {
        let value = read(&*storage, &[number]).expect("the record is there");
        assert!(value.len() == 256 << 10 && value.iter().all(|byte| *byte == number));
    }
}
