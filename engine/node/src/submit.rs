//! What a client holds: the answer to its batch, and the wait for the commit.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use event_listener::{Event, Listener as _};
use probity_core::CommitIndex;
use probity_core::crypto::Digest;

use crate::error::SubmitError;
use crate::health::StopReason;
use crate::intake::{Chunk, Fate, Intake};
use crate::transaction::{Admitted, check_size};

/// A transaction that the node has taken: checked and queued, which is no promise yet.
#[derive(Clone)]
pub struct Submitted {
    id: Digest,
    chunk: Arc<Chunk>,
}

impl fmt::Debug for Submitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submitted")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Submitted {
    pub(crate) fn new(id: Digest, chunk: Arc<Chunk>) -> Self {
        Self { id, chunk }
    }

    /// The transaction's id.
    #[must_use]
    pub fn id(&self) -> Digest {
        self.id
    }

    /// Waits until the transaction is in the sequence and its commit is durable here. That it does not fit
    /// into an epoch any more is no error: it goes into the next one.
    ///
    /// # Errors
    /// [`SubmitError::Stopped`] when the node stops before it knows; the other validators may have
    /// ordered the transaction all the same. [`SubmitError::NotMember`] when the validator leaves the
    /// committee first: then it is not ordered. [`SubmitError::Unknown`] when the node left an epoch
    /// without all of its commits.
    pub async fn committed(&self) -> Result<CommitIndex, SubmitError> {
        loop {
            let listener = self.chunk.decided().listen();
            if let Some(outcome) = self.outcome() {
                return outcome;
            }
            listener.await;
        }
    }

    /// [`committed`](Self::committed), blocking the thread.
    ///
    /// # Errors
    /// As for [`committed`](Self::committed).
    pub fn committed_blocking(&self) -> Result<CommitIndex, SubmitError> {
        loop {
            let listener = self.chunk.decided().listen();
            if let Some(outcome) = self.outcome() {
                return outcome;
            }
            listener.wait();
        }
    }

    /// The commit if it is known by now, without waiting.
    #[must_use]
    pub fn outcome(&self) -> Option<Result<CommitIndex, SubmitError>> {
        self.chunk.fate().map(|fate| match fate {
            Fate::Committed(index) => Ok(index),
            Fate::Stopped(why) => Err(SubmitError::Stopped(why)),
            Fate::Unknown => Err(SubmitError::Unknown),
            Fate::NotMember => Err(SubmitError::NotMember),
        })
    }
}

/// The answers to one batch, in its order.
pub(crate) type Answers = Vec<Result<Submitted, SubmitError>>;

/// One client's batch on its way to the intake thread.
pub(crate) struct Batch {
    pub(crate) entries: Vec<Entry>,
    pub(crate) reply: Arc<Reply>,
}

/// An admitted transaction.
pub(crate) struct Entry {
    pub(crate) bytes: Bytes,
    pub(crate) admitted: Admitted,
}

/// Where the intake thread puts its answers.
#[derive(Default)]
pub(crate) struct Reply {
    answers: OnceLock<Answers>,
    ready: Event,
}

impl Reply {
    pub(crate) fn answer(&self, answers: Answers) {
        let _ = self.answers.set(answers);
        self.ready.notify(usize::MAX);
    }
}

/// A batch of which some transactions may be refused already.
pub(crate) struct Waiting {
    early: Vec<Option<SubmitError>>,
    reply: Arc<Reply>,
}

/// Admits a batch in the caller's thread and queues what may enter.
pub(crate) fn enqueue(intake: &Intake, transactions: Vec<Bytes>) -> Waiting {
    let reply = Arc::new(Reply::default());
    let refusal = intake.refusal();
    let now_ms = wall_clock_ms();
    let mut early = Vec::with_capacity(transactions.len());
    let mut entries = Vec::with_capacity(transactions.len());
    for bytes in transactions {
        let admitted = match &refusal {
            Some(error) => Err(error.clone()),
            None => admit(intake, &bytes, now_ms),
        };
        match admitted {
            Ok(admitted) => {
                early.push(None);
                entries.push(Entry { bytes, admitted });
            }
            Err(error) => {
                intake.refused(&error);
                early.push(Some(error));
            }
        }
    }
    if entries.is_empty() {
        reply.answer(Vec::new());
    } else if let Err(batch) = intake.push(Batch {
        entries,
        reply: Arc::clone(&reply),
    }) {
        give_up(intake, &batch);
    }
    if intake.is_stopping() {
        // The intake thread may have ended before it saw this batch.
        intake.abandon();
    }
    Waiting { early, reply }
}

fn admit(intake: &Intake, bytes: &Bytes, now_ms: u64) -> Result<Admitted, SubmitError> {
    // Whatever the check says: in a block, no validator would take it (R4).
    check_size(bytes)?;
    let admitted = intake.check().admit(bytes, now_ms)?;
    if intake.reserve(bytes.len()) {
        Ok(admitted)
    } else {
        Err(Intake::busy())
    }
}

fn give_up(intake: &Intake, batch: &Batch) {
    intake.release(
        batch.entries.len(),
        batch.entries.iter().map(|e| e.bytes.len()).sum(),
    );
    let answers = batch.entries.iter().map(|_| Err(Intake::busy()));
    batch.reply.answer(answers.collect());
}

impl Waiting {
    pub(crate) async fn wait(self) -> Answers {
        loop {
            let listener = self.reply.ready.listen();
            if self.reply.answers.get().is_some() {
                return self.answers();
            }
            listener.await;
        }
    }

    pub(crate) fn wait_blocking(self) -> Answers {
        loop {
            let listener = self.reply.ready.listen();
            if self.reply.answers.get().is_some() {
                return self.answers();
            }
            listener.wait();
        }
    }

    fn answers(self) -> Answers {
        let mut late = self.reply.answers.get().into_iter().flatten().cloned();
        let stopped = || Err(SubmitError::Stopped(StopReason::Requested));
        let merge = |early: Option<SubmitError>| match early {
            Some(error) => Err(error),
            None => late.next().unwrap_or_else(stopped),
        };
        self.early.into_iter().map(merge).collect()
    }
}

/// Milliseconds since 1970.
pub(crate) fn wall_clock_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
