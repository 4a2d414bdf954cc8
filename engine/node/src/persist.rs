//! Makes records durable: one write of the storage for all that waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crossbeam::channel::{Receiver, RecvTimeoutError};
use probity_core::PersistTicket;
use probity_core::record::Record;
use probity_storage::{Batch, Storage, StorageError};

use crate::commits::CommitLog;
use crate::health::{Health, NAP, StopReason};
use crate::metrics::Metrics;
use crate::records::put;
use crate::retention::{Retention, forget_notes};
use crate::wake::Bell;

/// Bytes after which a group is written although more waits.
const GROUP_BYTES: usize = 16 << 20;

/// One `Output::Persist`.
pub(crate) struct Job {
    pub(crate) ticket: PersistTicket,
    pub(crate) records: Vec<Record>,
}

/// The highest ticket that is durable; read by the core.
#[derive(Clone, Default)]
pub(crate) struct Durable(Arc<AtomicU64>);

impl Durable {
    pub(crate) fn get(&self) -> PersistTicket {
        PersistTicket(self.0.load(Ordering::Acquire))
    }

    fn set(&self, ticket: PersistTicket) {
        self.0.store(ticket.0, Ordering::Release);
    }
}

/// The thread that owns the storage's writer.
pub(crate) struct Persister {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) jobs: Receiver<Job>,
    pub(crate) durable: Durable,
    pub(crate) core: Bell,
    pub(crate) retention: Retention,
    pub(crate) log: Arc<CommitLog>,
    pub(crate) health: Arc<Health>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Persister {
    /// The thread: ends when the core is gone and everything is written, or at the first error.
    pub(crate) fn run(mut self) {
        loop {
            let first = match self.jobs.recv_timeout(NAP) {
                Ok(job) => job,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if let Err(why) = self.write_group(first) {
                self.health.stop(StopReason::Storage(why.to_string()));
                self.core.ring();
                return;
            }
            self.core.ring();
        }
    }

    fn write_group(&mut self, first: Job) -> Result<(), StorageError> {
        let mut batch = Batch::new();
        let mut ticket = first.ticket;
        let mut jobs = 1;
        self.add(&mut batch, first.records);
        while batch.bytes() < GROUP_BYTES {
            let Ok(job) = self.jobs.try_recv() else { break };
            ticket = job.ticket;
            jobs += 1;
            self.add(&mut batch, job.records);
        }
        if self.retention.trim(&mut batch) {
            // Said before it is done: whoever reads what is going away sees that it has.
            self.log.set_first(self.retention.first());
            forget_notes(&mut batch, self.log.first_epoch_told());
        }
        if !batch.is_empty() {
            let started = Instant::now();
            self.storage.write(&batch)?;
            self.metrics
                .persist_time
                .observe(started.elapsed().as_secs_f64());
            self.metrics.persist_batch.observe(f64::from(jobs));
            self.metrics.persist_bytes.inc_by(batch.bytes() as u64);
        }
        self.durable.set(ticket);
        Ok(())
    }

    fn add(&mut self, batch: &mut Batch, records: Vec<Record>) {
        for record in records {
            self.retention.note(batch, &record);
            put(batch, record);
        }
    }
}
