//! How a delivered transaction is recognised: sixteen bytes at a fixed place.
//!
//! ```text
//!   … │ run, 8 bytes │ sequence number, 8 bytes, little-endian │ …
//! ```
//!
//! The number leads straight to the transaction's row in the [ledger](crate::ledger): no map and no
//! digest on the path of hundreds of thousands of transactions a second. The run tells transactions
//! of this process from those of earlier ones on the same data directory.

/// Bytes of a marker.
pub(crate) const MARKER_BYTES: usize = 16;

/// Makes and reads the markers of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marker {
    run: [u8; 8],
}

impl Marker {
    /// The markers of the run that begins now.
    pub(crate) fn for_this_run() -> Self {
        let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        let seed = format!("{} {since:?}", std::process::id());
        let mut run = [0; 8];
        run.copy_from_slice(&blake3::hash(seed.as_bytes()).as_bytes()[..8]);
        Self { run }
    }

    /// The bytes for one sequence number.
    pub(crate) fn bytes(&self, sequence: u64) -> [u8; MARKER_BYTES] {
        let mut bytes = [0; MARKER_BYTES];
        bytes[..8].copy_from_slice(&self.run);
        bytes[8..].copy_from_slice(&sequence.to_le_bytes());
        bytes
    }

    /// Where the first marker stands in `transaction`.
    pub(crate) fn find(&self, transaction: &[u8]) -> Option<usize> {
        transaction.windows(8).position(|window| window == self.run)
    }

    /// The sequence number at `offset`, if a marker of this run stands there.
    pub(crate) fn read(&self, transaction: &[u8], offset: usize) -> Option<u64> {
        let bytes = transaction.get(offset..offset + MARKER_BYTES)?;
        let (run, sequence) = bytes.split_at(8);
        (run == self.run).then(|| u64::from_le_bytes(sequence.try_into().expect("eight bytes")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_found_and_read_where_it_was_put() {
        let marker = Marker::for_this_run();
        let mut transaction = vec![7; 100];
        transaction[33..49].copy_from_slice(&marker.bytes(123_456));
        assert_eq!(marker.find(&transaction), Some(33));
        assert_eq!(marker.read(&transaction, 33), Some(123_456));
        assert_eq!(marker.read(&transaction, 34), None);
        assert_eq!(marker.read(&transaction, 90), None);
    }
}
