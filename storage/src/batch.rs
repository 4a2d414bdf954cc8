//! Changes that belong together.

use bytes::Bytes;

use crate::{StorageError, Table};

/// The longest key. It is LMDB's bound, and every storage keeps it so that storages can be
/// exchanged.
pub const KEY_BYTES_MAX: usize = 511;

/// Changes that are applied together or not at all, in the order in which they were added.
///
/// Building a batch copies no values. Nothing is checked until
/// [`Storage::write`](crate::Storage::write).
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Batch {
    operations: Vec<Operation>,
    bytes: usize,
}

/// One change of a [`Batch`]. Storages match it exhaustively: a new variant is a breaking change on
/// purpose.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Store `value` under `key`, replacing what was there.
    Put {
        /// Where.
        table: Table,
        /// 1 to [`KEY_BYTES_MAX`] bytes.
        key: Bytes,
        /// Any length, also none.
        value: Bytes,
    },
    /// Forget `key`; nothing happens when it is absent.
    Remove {
        /// Where.
        table: Table,
        /// 1 to [`KEY_BYTES_MAX`] bytes.
        key: Bytes,
    },
    /// Forget every key from `from` up to, but not including, `to`. Nothing happens when `from >=
    /// to`. Bounds are not keys: they may have any length.
    RemoveRange {
        /// Where.
        table: Table,
        /// The lowest key that goes.
        from: Bytes,
        /// The lowest key that stays.
        to: Bytes,
    },
}

impl Batch {
    /// A batch that changes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds: store `value` under `key`.
    pub fn put(
        &mut self,
        table: Table,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
    ) -> &mut Self {
        self.push(Operation::Put {
            table,
            key: key.into(),
            value: value.into(),
        })
    }

    /// Adds: forget `key`.
    pub fn remove(&mut self, table: Table, key: impl Into<Bytes>) -> &mut Self {
        self.push(Operation::Remove {
            table,
            key: key.into(),
        })
    }

    /// Adds: forget every key in `from..to`; `to` itself stays.
    pub fn remove_range(
        &mut self,
        table: Table,
        from: impl Into<Bytes>,
        to: impl Into<Bytes>,
    ) -> &mut Self {
        self.push(Operation::RemoveRange {
            table,
            from: from.into(),
            to: to.into(),
        })
    }

    /// The changes, first to last.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// How many changes there are.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether there is no change.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// The length of all keys, bounds and values together.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes all changes out, keeping the memory for the next ones.
    pub fn clear(&mut self) {
        self.operations.clear();
        self.bytes = 0;
    }

    /// Checks every key. Storages call it before they touch anything.
    ///
    /// # Errors
    ///
    /// [`StorageError::KeyLength`] for the first key that is empty or longer than
    /// [`KEY_BYTES_MAX`].
    pub fn check_keys(&self) -> Result<(), StorageError> {
        self.operations
            .iter()
            .try_for_each(|operation| match operation {
                Operation::Put { table, key, .. } | Operation::Remove { table, key } => {
                    if is_key(key) {
                        Ok(())
                    } else {
                        Err(StorageError::KeyLength {
                            table: *table,
                            length: key.len(),
                        })
                    }
                }
                Operation::RemoveRange { .. } => Ok(()),
            })
    }

    fn push(&mut self, operation: Operation) -> &mut Self {
        self.bytes += match &operation {
            Operation::Put { key, value, .. } => key.len() + value.len(),
            Operation::Remove { key, .. } => key.len(),
            Operation::RemoveRange { from, to, .. } => from.len() + to.len(),
        };
        self.operations.push(operation);
        self
    }
}

/// Whether a record can have this key.
pub(crate) fn is_key(key: &[u8]) -> bool {
    (1..=KEY_BYTES_MAX).contains(&key.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: Table = Table::new(3);

    #[test]
    fn bytes_counts_keys_bounds_and_values() {
        let mut batch = Batch::new();
        assert!(batch.is_empty());
        batch
            .put(TABLE, "key", "value")
            .remove(TABLE, "gone")
            .remove_range(TABLE, "a", "bb");
        assert_eq!((batch.len(), batch.bytes()), (3, 3 + 5 + 4 + 1 + 2));
        batch.clear();
        assert_eq!(batch, Batch::new());
    }

    #[test]
    fn keys_have_one_to_511_bytes() {
        for (length, accepted) in [(0, false), (1, true), (511, true), (512, false)] {
            let mut batch = Batch::new();
            batch.put(TABLE, vec![7; length], "");
            assert_eq!(batch.check_keys().is_ok(), accepted, "{length} bytes");
        }
    }
}
