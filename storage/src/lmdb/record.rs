//! How a value is kept: `checksum[16] ‖ value`.
//!
//! LMDB does not notice when a disk changes bits or answers with another page than was asked for.
//! The checksum covers table and key too, so a sound record at the wrong place is noticed as well.

use crate::{StorageError, Table};

/// What stands before each value.
pub(super) const CHECKSUM_BYTES: usize = 16;

/// The checksum of `value` under `key`: BLAKE3, keyed so that it is a function of its own, over
/// `table ‖ key length (u16, little-endian) ‖ key ‖ value`, cut to 16 bytes.
pub(super) fn checksum(table: Table, key: &[u8], value: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let key_length = u16::try_from(key.len()).expect("keys are short");
    let mut hasher = blake3::Hasher::new_keyed(CONTEXT);
    hasher.update(&[table.id()]);
    hasher.update(&key_length.to_le_bytes());
    hasher.update(key);
    hasher.update(value);
    let mut checksum = [0; CHECKSUM_BYTES];
    hasher.finalize_xof().fill(&mut checksum);
    checksum
}

/// The value inside `record`, if it is the one that was written under `key`.
pub(super) fn verify<'a>(
    table: Table,
    key: &[u8],
    record: &'a [u8],
) -> Result<&'a [u8], StorageError> {
    let Some((stored, value)) = record.split_first_chunk::<CHECKSUM_BYTES>() else {
        return Err(StorageError::corrupt(table, key));
    };
    if *stored != checksum(table, key, value) {
        return Err(StorageError::corrupt(table, key));
    }
    Ok(value)
}

/// The key of the hash. Not a secret: it keeps this use of BLAKE3 apart from all others.
const CONTEXT: &[u8; 32] = b"probity-storage: record checksum";

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: Table = Table::new(5);

    fn record(table: Table, key: &[u8], value: &[u8]) -> Vec<u8> {
        [&checksum(table, key, value)[..], value].concat()
    }

    #[test]
    fn a_record_reads_back_in_its_place_only() {
        let stored = record(TABLE, b"key", b"value");
        assert_eq!(verify(TABLE, b"key", &stored).unwrap(), b"value");
        assert!(verify(TABLE, b"kez", &stored).is_err());
        assert!(verify(Table::new(6), b"key", &stored).is_err());
        assert!(verify(TABLE, b"ke", &record(TABLE, b"key", b"")).is_err());
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let stored = record(TABLE, b"key", b"some value");
        for bit in 0..stored.len() * 8 {
            let mut flipped = stored.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(verify(TABLE, b"key", &flipped).is_err(), "bit {bit}");
        }
        for length in 0..stored.len() {
            assert!(
                verify(TABLE, b"key", &stored[..length]).is_err(),
                "{length} bytes"
            );
        }
    }

    #[test]
    fn the_format_is_frozen() {
        let checksum = checksum(TABLE, b"key", b"value");
        let whole = blake3::keyed_hash(CONTEXT, b"\x05\x03\0keyvalue");
        assert_eq!(checksum, whole.as_bytes()[..CHECKSUM_BYTES]);
        let hex: String = checksum.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "e338b10675c9edee8ba01f23ca331954");
    }
}
