//! What a scan shows, and in which order.

use super::{Opener, TABLE, cases, letters, noise, put, put_letters, scan};
use crate::{Scan, Table};

cases![
    a_scan_is_in_the_order_of_bytes,
    a_scan_starts_at_its_key,
    a_scan_starts_after_a_missing_key,
    a_scan_beyond_the_last_key_is_empty,
    a_scan_stops_when_told,
    a_scan_shows_values_of_all_lengths,
    a_scan_may_start_at_an_impossible_key,
    a_scan_sees_no_other_table,
    integers_in_big_endian_scan_in_their_order,
];

fn a_scan_is_in_the_order_of_bytes(open: Opener<'_>) {
    let storage = open();
    let keys: [&[u8]; 9] = [
        b"\0", b"\0\0", b"\0\xff", b"\x01", b"A", b"a", b"aa", b"\x80", b"\xff",
    ];
    for at in [4, 8, 0, 6, 2, 7, 1, 5, 3] {
        put(&*storage, keys[at], "");
    }
    let seen: Vec<_> = scan(&*storage, TABLE, b"")
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    assert_eq!(seen, keys);
}

fn a_scan_starts_at_its_key(open: Opener<'_>) {
    let storage = open();
    put_letters(&*storage, "abcd");
    assert_eq!(letters(&*storage, b"b"), "bcd");
    assert_eq!(letters(&*storage, b"d"), "d");
}

fn a_scan_starts_after_a_missing_key(open: Opener<'_>) {
    let storage = open();
    put_letters(&*storage, "bdf");
    assert_eq!(letters(&*storage, b"a"), "bdf");
    assert_eq!(letters(&*storage, b"c"), "df");
    assert_eq!(letters(&*storage, b"b\0"), "df");
}

fn a_scan_beyond_the_last_key_is_empty(open: Opener<'_>) {
    let storage = open();
    put_letters(&*storage, "abc");
    assert_eq!(letters(&*storage, b"c\0"), "");
    assert_eq!(letters(&*storage, b"d"), "");
}

fn a_scan_stops_when_told(open: Opener<'_>) {
    let storage = open();
    put_letters(&*storage, "abcd");
    let mut seen = Vec::new();
    let mut visit = |key: &[u8], _: &[u8]| {
        seen.extend_from_slice(key);
        if key == b"b" {
            Scan::Stop
        } else {
            Scan::Continue
        }
    };
    storage
        .scan(TABLE, b"", &mut visit)
        .expect("a scan succeeds");
    assert_eq!(seen, b"ab");
}

fn a_scan_shows_values_of_all_lengths(open: Opener<'_>) {
    let storage = open();
    let lengths = [0, 1, 100, 2_000, 4_096, 70_000, 2 << 20, 5];
    for (length, key) in lengths.into_iter().zip(1_u8..) {
        put(&*storage, vec![key], noise(u64::from(key), length));
    }
    for ((key, value), length) in scan(&*storage, TABLE, b"").into_iter().zip(lengths) {
        assert!(value == noise(u64::from(key[0]), length), "{length} bytes");
    }
}

fn a_scan_may_start_at_an_impossible_key(open: Opener<'_>) {
    let storage = open();
    put_letters(&*storage, "abc");
    assert_eq!(letters(&*storage, &[&b"b"[..], &[0; 3000]].concat()), "c");
}

fn a_scan_sees_no_other_table(open: Opener<'_>) {
    let storage = open();
    put_letters(&*storage, "abc");
    for table in Table::all().filter(|table| *table != TABLE) {
        assert_eq!(scan(&*storage, table, b""), []);
    }
}

fn integers_in_big_endian_scan_in_their_order(open: Opener<'_>) {
    let storage = open();
    let mut numbers = [3, 256, 255, 0, 65_536, u64::MAX, 1 << 40, 257];
    for number in numbers {
        put(&*storage, number.to_be_bytes().to_vec(), number.to_string());
    }
    numbers.sort_unstable();
    let seen: Vec<_> = scan(&*storage, TABLE, b"")
        .into_iter()
        .map(|(_, value)| value)
        .collect();
    assert_eq!(seen, numbers.map(|number| number.to_string().into_bytes()));
}
