//! One record at a time.

use super::{OTHER, Opener, TABLE, cases, noise, put, read, scan};
use crate::{Batch, KEY_BYTES_MAX, Table};

cases![
    a_new_storage_is_empty,
    a_put_is_read_back,
    an_absent_key_reads_as_none,
    a_prefix_of_a_key_is_another_key,
    an_overwrite_replaces_the_value,
    an_overwrite_may_shorten_and_lengthen,
    an_empty_value_is_a_value,
    a_removed_key_is_absent,
    removing_an_absent_key_does_nothing,
    a_removed_key_can_come_back,
    all_byte_values_can_be_in_keys,
    the_shortest_and_the_longest_key_work,
    values_of_every_awkward_length_are_kept,
    a_value_of_two_mebibytes_is_kept,
    a_value_of_nine_mebibytes_is_kept,
    tables_share_no_keys,
    all_sixteen_tables_work,
    read_bytes_outlive_the_record,
    space_grows_with_records_and_shrinks_with_removals,
];

fn a_new_storage_is_empty(open: Opener<'_>) {
    let storage = open();
    for table in Table::all() {
        assert_eq!(scan(&*storage, table, b""), []);
    }
    assert_eq!(read(&*storage, b"key"), None);
}

fn a_put_is_read_back(open: Opener<'_>) {
    let storage = open();
    put(&*storage, "key", "value");
    assert_eq!(read(&*storage, b"key").as_deref(), Some(&b"value"[..]));
}

fn an_absent_key_reads_as_none(open: Opener<'_>) {
    let storage = open();
    put(&*storage, "key", "value");
    for key in [&b""[..], b"kez", b"a", b"z", &[0; KEY_BYTES_MAX + 1]] {
        assert_eq!(read(&*storage, key), None, "{key:?}");
    }
}

fn a_prefix_of_a_key_is_another_key(open: Opener<'_>) {
    let storage = open();
    put(&*storage, "key", "long");
    assert_eq!(read(&*storage, b"ke"), None);
    assert_eq!(read(&*storage, b"key\0"), None);
    put(&*storage, "ke", "short");
    assert_eq!(read(&*storage, b"key").as_deref(), Some(&b"long"[..]));
    assert_eq!(read(&*storage, b"ke").as_deref(), Some(&b"short"[..]));
}

fn an_overwrite_replaces_the_value(open: Opener<'_>) {
    let storage = open();
    put(&*storage, "key", "first");
    put(&*storage, "key", "other");
    assert_eq!(
        scan(&*storage, TABLE, b""),
        [(b"key".to_vec(), b"other".to_vec())]
    );
}

fn an_overwrite_may_shorten_and_lengthen(open: Opener<'_>) {
    let storage = open();
    for length in [10, 100_000, 0, 5_000, 2_000_000, 1, 2_000_001, 1_999_999] {
        let value = noise(length as u64, length);
        put(&*storage, "key", value.clone());
        assert_eq!(
            read(&*storage, b"key").as_deref(),
            Some(&value[..]),
            "{length} bytes"
        );
    }
}

fn an_empty_value_is_a_value(open: Opener<'_>) {
    let storage = open();
    put(&*storage, "key", "");
    assert_eq!(read(&*storage, b"key").as_deref(), Some(&b""[..]));
    assert_eq!(scan(&*storage, TABLE, b""), [(b"key".to_vec(), Vec::new())]);
}

fn a_removed_key_is_absent(open: Opener<'_>) {
    let storage = open();
    put(&*storage, "key", "value");
    put(&*storage, "stays", "value");
    storage
        .write(Batch::new().remove(TABLE, "key"))
        .expect("a removal succeeds");
    assert_eq!(read(&*storage, b"key"), None);
    assert_eq!(
        scan(&*storage, TABLE, b""),
        [(b"stays".to_vec(), b"value".to_vec())]
    );
}

fn removing_an_absent_key_does_nothing(open: Opener<'_>) {
    let storage = open();
    storage
        .write(Batch::new().remove(TABLE, "key"))
        .expect("a removal succeeds");
    put(&*storage, "key", "value");
    storage
        .write(Batch::new().remove(TABLE, "kez"))
        .expect("a removal succeeds");
    assert_eq!(scan(&*storage, TABLE, b"").len(), 1);
}

fn a_removed_key_can_come_back(open: Opener<'_>) {
    let storage = open();
    for turn in 0..3_u8 {
        put(&*storage, "key", vec![turn; 10_000]);
        assert_eq!(
            read(&*storage, b"key").as_deref(),
            Some(&[turn; 10_000][..])
        );
        storage
            .write(Batch::new().remove(TABLE, "key"))
            .expect("a removal succeeds");
        assert_eq!(read(&*storage, b"key"), None);
    }
}

fn all_byte_values_can_be_in_keys(open: Opener<'_>) {
    let storage = open();
    let mut batch = Batch::new();
    for byte in 0..=u8::MAX {
        batch
            .put(TABLE, vec![byte], vec![byte])
            .put(TABLE, vec![byte, 0], vec![byte, 0]);
    }
    storage.write(&batch).expect("puts succeed");
    for byte in 0..=u8::MAX {
        assert_eq!(read(&*storage, &[byte]).as_deref(), Some(&[byte][..]));
        assert_eq!(read(&*storage, &[byte, 0]).as_deref(), Some(&[byte, 0][..]));
    }
}

fn the_shortest_and_the_longest_key_work(open: Opener<'_>) {
    let storage = open();
    for length in [1, KEY_BYTES_MAX - 1, KEY_BYTES_MAX] {
        let key = noise(1, length);
        put(&*storage, key.clone(), key.clone());
        assert_eq!(
            read(&*storage, &key).as_deref(),
            Some(&key[..]),
            "{length} bytes"
        );
    }
}

/// Around the lengths at which page-based engines change their ways.
fn values_of_every_awkward_length_are_kept(open: Opener<'_>) {
    let storage = open();
    let around = |middle: usize| (middle - 50)..(middle + 3);
    let lengths = (0..60)
        .chain(around(2048))
        .chain(around(4096))
        .chain(around(16_384));
    let mut batch = Batch::new();
    for length in lengths.clone() {
        batch.put(TABLE, length.to_string(), noise(length as u64, length));
    }
    storage.write(&batch).expect("puts succeed");
    for length in lengths {
        let value = read(&*storage, length.to_string().as_bytes());
        assert_eq!(
            value.as_deref(),
            Some(&noise(length as u64, length)[..]),
            "{length} bytes"
        );
    }
}

fn a_value_of_two_mebibytes_is_kept(open: Opener<'_>) {
    keeps_value_of(open, 2 << 20);
}

fn a_value_of_nine_mebibytes_is_kept(open: Opener<'_>) {
    keeps_value_of(open, (9 << 20) + 1);
}

fn keeps_value_of(open: Opener<'_>, length: usize) {
    let value = noise(3, length);
    let storage = open();
    put(&*storage, "key", value.clone());
    assert!(
        read(&*storage, b"key").as_deref() == Some(&value[..]),
        "read differs"
    );
    drop(storage);
    assert!(
        read(&*open(), b"key").as_deref() == Some(&value[..]),
        "read after reopening differs"
    );
}

fn tables_share_no_keys(open: Opener<'_>) {
    let storage = open();
    let mut batch = Batch::new();
    batch
        .put(TABLE, "key", "here")
        .put(OTHER, "key", "there")
        .put(OTHER, "only", "there");
    storage.write(&batch).expect("puts succeed");
    assert_eq!(
        scan(&*storage, TABLE, b""),
        [(b"key".to_vec(), b"here".to_vec())]
    );
    storage
        .write(Batch::new().remove_range(TABLE, "", "z"))
        .expect("a removal succeeds");
    assert_eq!(scan(&*storage, TABLE, b""), []);
    assert_eq!(scan(&*storage, OTHER, b"").len(), 2);
}

fn all_sixteen_tables_work(open: Opener<'_>) {
    let storage = open();
    let mut batch = Batch::new();
    for table in Table::all() {
        batch.put(table, "key", vec![table.id()]);
    }
    storage.write(&batch).expect("puts succeed");
    for table in Table::all() {
        assert_eq!(
            scan(&*storage, table, b""),
            [(b"key".to_vec(), vec![table.id()])]
        );
    }
}

fn read_bytes_outlive_the_record(open: Opener<'_>) {
    let storage = open();
    let value = noise(4, 100_000);
    put(&*storage, "key", value.clone());
    let held = read(&*storage, b"key");
    for turn in 0..5 {
        put(&*storage, "key", noise(turn, 100_000));
    }
    storage
        .write(Batch::new().remove(TABLE, "key"))
        .expect("a removal succeeds");
    drop(storage);
    assert_eq!(held.as_deref(), Some(&value[..]));
}

fn space_grows_with_records_and_shrinks_with_removals(open: Opener<'_>) {
    const RECORDS: u8 = 16;
    const VALUE_BYTES: usize = 64 << 10;
    let storage = open();
    let used = || {
        let space = storage.space().expect("space is known");
        assert!(space.used_bytes <= space.limit_bytes, "{space:?}");
        space.used_bytes
    };
    let empty = used();
    for turn in 0..RECORDS {
        put(&*storage, vec![turn + 1], vec![turn; VALUE_BYTES]);
    }
    let stored = u64::from(RECORDS) * VALUE_BYTES as u64;
    assert!(used() >= empty + stored, "{} after {empty}", used());
    assert!(used() <= empty + stored * 2, "{} after {empty}", used());
    storage
        .write(Batch::new().remove_range(TABLE, "", vec![255]))
        .expect("a removal succeeds");
    assert!(used() < empty + stored / 2, "{} after {empty}", used());
}
