//! The edges of `remove_range`.

use super::{Opener, TABLE, cases, letters, put, put_letters, scan};
use crate::{Batch, Storage};

cases![
    a_range_includes_its_start_and_excludes_its_end,
    a_range_between_keys_works,
    an_empty_or_reversed_range_removes_nothing,
    an_empty_start_is_below_all_keys,
    an_empty_end_removes_nothing,
    an_end_above_all_keys_removes_the_rest,
    bounds_may_be_longer_than_keys,
    a_range_on_an_empty_table_does_nothing,
    a_range_knows_prefixes,
    a_range_of_many_large_values_goes,
    a_range_of_many_small_records_goes,
];

fn remove(storage: &dyn Storage, from: impl Into<bytes::Bytes>, to: impl Into<bytes::Bytes>) {
    storage
        .write(Batch::new().remove_range(TABLE, from, to))
        .expect("a removal succeeds");
}

fn a_range_includes_its_start_and_excludes_its_end(open: Opener<'_>) {
    let storage = open();
    put_letters(&*storage, "abcdef");
    remove(&*storage, "b", "d");
    assert_eq!(letters(&*storage, b""), "adef");
}

fn a_range_between_keys_works(open: Opener<'_>) {
    let storage = open();
    put_letters(&*storage, "aceg");
    remove(&*storage, "b", "f");
    assert_eq!(letters(&*storage, b""), "ag");
}

fn an_empty_or_reversed_range_removes_nothing(open: Opener<'_>) {
    let storage = open();
    put_letters(&*storage, "abc");
    remove(&*storage, "b", "b");
    remove(&*storage, "c", "a");
    remove(&*storage, "", "");
    assert_eq!(letters(&*storage, b""), "abc");
}

fn an_empty_start_is_below_all_keys(open: Opener<'_>) {
    let storage = open();
    put_letters(&*storage, "abc");
    put(&*storage, vec![0], "lowest");
    remove(&*storage, "", "c");
    assert_eq!(letters(&*storage, b""), "c");
}

fn an_empty_end_removes_nothing(open: Opener<'_>) {
    let storage = open();
    put_letters(&*storage, "abc");
    remove(&*storage, "a", "");
    assert_eq!(letters(&*storage, b""), "abc");
}

fn an_end_above_all_keys_removes_the_rest(open: Opener<'_>) {
    let storage = open();
    put_letters(&*storage, "abc");
    put(&*storage, vec![255; 511], "highest");
    remove(&*storage, "b", vec![255; 512]);
    assert_eq!(letters(&*storage, b""), "a");
}

fn bounds_may_be_longer_than_keys(open: Opener<'_>) {
    let storage = open();
    put_letters(&*storage, "abcd");
    let long = |first: u8| [vec![first], vec![0; 2000]].concat();
    remove(&*storage, long(b'a'), long(b'c'));
    assert_eq!(letters(&*storage, b""), "ad");
}

fn a_range_on_an_empty_table_does_nothing(open: Opener<'_>) {
    let storage = open();
    remove(&*storage, "a", "z");
    assert_eq!(letters(&*storage, b""), "");
}

fn a_range_knows_prefixes(open: Opener<'_>) {
    let storage = open();
    for key in ["a", "aa", "ab", "b", "ba"] {
        put(&*storage, key, "");
    }
    remove(&*storage, "aa", "b");
    let keys: Vec<_> = scan(&*storage, TABLE, b"")
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    assert_eq!(keys, [&b"a"[..], b"b", b"ba"]);
}

fn a_range_of_many_large_values_goes(open: Opener<'_>) {
    let storage = open();
    for number in 0..64_u8 {
        put(&*storage, vec![number, 1], vec![number; 100_000]);
    }
    remove(&*storage, vec![10], vec![60]);
    let left: Vec<_> = scan(&*storage, TABLE, b"")
        .into_iter()
        .map(|(key, _)| key[0])
        .collect();
    assert_eq!(left, (0..10).chain(60..64).collect::<Vec<u8>>());
}

fn a_range_of_many_small_records_goes(open: Opener<'_>) {
    let storage = open();
    let key = |number: u16| number.to_be_bytes().to_vec();
    let mut batch = Batch::new();
    for number in 0..10_000 {
        batch.put(TABLE, key(number), vec![7; 100]);
    }
    storage.write(&batch).expect("puts succeed");
    remove(&*storage, key(17), key(9_983));
    let left: Vec<_> = scan(&*storage, TABLE, b"")
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    assert_eq!(
        left,
        (0..17).chain(9_983..10_000).map(key).collect::<Vec<_>>()
    );
}
