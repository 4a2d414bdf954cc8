//! A storage that fails on purpose.

use bytes::Bytes;
use parking_lot::Mutex;

use crate::{Batch, MemoryStorage, Space, Storage, StorageError, Table, Visitor};

/// Any storage, with one fault planned. Until the fault it is the storage inside.
///
/// ```
/// use probity_storage::{Batch, Fault, Faulty, MemoryStorage, Storage, Table, Unacknowledged};
///
/// let storage = Faulty::new(MemoryStorage::new());
/// storage.fail_at(1, Fault::PowerCut(Unacknowledged::Whole));
/// let answer = storage.write(Batch::new().put(Table::new(0), "key", "value"));
/// assert!(answer.is_err()); // nobody was told that it is durable …
///
/// let survivor = storage.power_cut();
/// assert!(survivor.read(Table::new(0), b"key").unwrap().is_some()); // … and yet it may be
/// ```
#[derive(Debug)]
pub struct Faulty<S> {
    inner: S,
    // Held during a write, so that writes are counted in the order in which they happen.
    plan: Mutex<Plan>,
}

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The write fails with [`StorageError::Io`] and changes nothing. Reads go on working.
    WriteError,
    /// The power goes during the write. No call succeeds any more.
    PowerCut(Unacknowledged),
}

/// What becomes of the batch whose write did not return. Both happen on real disks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unacknowledged {
    /// It reached the disk.
    Whole,
    /// It did not.
    Absent,
}

impl<S: Storage> Faulty<S> {
    /// Wraps `inner`, with no fault planned.
    pub fn new(inner: S) -> Self {
        Self {
            inner,
            plan: Mutex::new(Plan::Sound),
        }
    }

    /// Plans `fault` for the `write`-th write from now; 1 is the next one. Replaces an earlier
    /// plan.
    ///
    /// # Panics
    ///
    /// When `write` is 0.
    pub fn fail_at(&self, write: u64, fault: Fault) {
        assert!(write > 0, "the next write is number 1");
        *self.plan.lock() = Plan::Fault {
            writes_before: write - 1,
            fault,
        };
    }

    /// The storage inside, where the fault does not reach.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    fn check_power(&self) -> Result<(), StorageError> {
        match *self.plan.lock() {
            Plan::Dark => Err(injected("read")),
            Plan::Sound | Plan::Fault { .. } | Plan::Failed => Ok(()),
        }
    }
}

impl Faulty<MemoryStorage> {
    /// Cuts the power now, and answers what the disk holds when it is back: every acknowledged
    /// batch, and the unacknowledged one as planned. Calls to `self` fail from now on.
    pub fn power_cut(&self) -> MemoryStorage {
        let mut plan = self.plan.lock();
        *plan = Plan::Dark;
        self.inner.snapshot()
    }
}

impl<S: Storage> Storage for Faulty<S> {
    fn write(&self, batch: &Batch) -> Result<(), StorageError> {
        batch.check_keys()?;
        let mut plan = self.plan.lock();
        match *plan {
            Plan::Sound => self.inner.write(batch),
            Plan::Fault {
                writes_before: 0,
                fault: Fault::WriteError,
            } => {
                *plan = Plan::Failed;
                Err(injected("write"))
            }
            Plan::Fault {
                writes_before: 0,
                fault: Fault::PowerCut(unacknowledged),
            } => {
                *plan = Plan::Dark;
                match unacknowledged {
                    Unacknowledged::Whole => self.inner.write(batch)?,
                    Unacknowledged::Absent => {}
                }
                Err(injected("write"))
            }
            Plan::Fault {
                writes_before,
                fault,
            } => {
                *plan = Plan::Fault {
                    writes_before: writes_before - 1,
                    fault,
                };
                self.inner.write(batch)
            }
            Plan::Failed | Plan::Dark => Err(StorageError::Failed),
        }
    }

    fn read(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.check_power()?;
        self.inner.read(table, key)
    }

    fn scan(&self, table: Table, from: &[u8], visit: Visitor<'_>) -> Result<(), StorageError> {
        self.check_power()?;
        self.inner.scan(table, from, visit)
    }

    fn space(&self) -> Result<Space, StorageError> {
        self.check_power()?;
        self.inner.space()
    }
}

#[derive(Clone, Copy, Debug)]
enum Plan {
    Sound,
    Fault { writes_before: u64, fault: Fault },
    Failed,
    Dark,
}

fn injected(op: &'static str) -> StorageError {
    StorageError::Io {
        op,
        path: "injected fault".into(),
        source: std::io::Error::other("injected"),
    }
}
