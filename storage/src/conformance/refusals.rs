//! Batches that are turned away.

use super::{Opener, TABLE, cases, put, read, scan};
use crate::{Batch, KEY_BYTES_MAX, StorageError};

cases![
    an_empty_key_is_refused,
    a_long_key_is_refused,
    removing_an_impossible_key_is_refused,
    a_refused_batch_changes_nothing,
    a_refusal_is_not_a_failure,
];

fn an_empty_key_is_refused(open: Opener<'_>) {
    refuses(open, Batch::new().put(TABLE, "", "value"), 0);
}

fn a_long_key_is_refused(open: Opener<'_>) {
    let length = KEY_BYTES_MAX + 1;
    refuses(
        open,
        Batch::new().put(TABLE, vec![1; length], "value"),
        length,
    );
}

fn removing_an_impossible_key_is_refused(open: Opener<'_>) {
    refuses(open, Batch::new().remove(TABLE, ""), 0);
    refuses(open, Batch::new().remove(TABLE, vec![1; 5000]), 5000);
}

fn a_refused_batch_changes_nothing(open: Opener<'_>) {
    let storage = open();
    put(&*storage, "kept", "value");
    let before = scan(&*storage, TABLE, b"");
    let mut batch = Batch::new();
    batch
        .put(TABLE, "new", "value")
        .remove(TABLE, "kept")
        .remove_range(TABLE, "", "z");
    batch.put(TABLE, vec![1; KEY_BYTES_MAX + 1], "value");
    storage.write(&batch).expect_err("the last key is too long");
    assert_eq!(scan(&*storage, TABLE, b""), before);
    drop(storage);
    assert_eq!(scan(&*open(), TABLE, b""), before);
}

fn a_refusal_is_not_a_failure(open: Opener<'_>) {
    let storage = open();
    let refused = storage
        .write(Batch::new().put(TABLE, "", ""))
        .expect_err("the key is empty");
    assert!(refused.is_refusal(), "{refused}");
    put(&*storage, "key", "value");
    assert!(read(&*storage, b"key").is_some());
}

fn refuses(open: Opener<'_>, batch: &Batch, expected: usize) {
    match open().write(batch) {
        Err(StorageError::KeyLength { table, length }) => {
            assert_eq!((table, length), (TABLE, expected));
        }
        other => panic!("a key of {expected} bytes: {other:?}"),
    }
}
