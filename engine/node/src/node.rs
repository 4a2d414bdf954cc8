//! The node: what an application holds.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use probity_core::{
    CommitIndex, EquivocationProof, EvidenceFile, ReplicaStatus, Round, Standing, ValidatorIndex,
};
use probity_storage::Storage;
use probity_transport::Transport;

use crate::commits::{CommitLog, CommitStream};
use crate::config::Config;
use crate::desk::Desk;
use crate::error::{Error, ReputationError, SubmitError};
use crate::evidence;
use crate::health::{Health, StopReason};
use crate::intake::Intake;
use crate::links::Links;
use crate::metrics::Metrics;
use crate::start;
use crate::submit::{Submitted, enqueue};
use crate::transaction::ClientCheck;

/// How long [`Node::stop`] waits for the threads.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// A running validator. Clones are the same node; it stops when the last one is dropped.
#[derive(Clone)]
pub struct Node {
    // Dropped with the last handle, which stops the node.
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) intake: Arc<Intake>,
    pub(crate) log: Arc<CommitLog>,
    pub(crate) links: Arc<Links>,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) desk: Desk,
    pub(crate) replica: Arc<Mutex<ReplicaStatus>>,
    pub(crate) health: Arc<Health>,
    pub(crate) metrics: Arc<Metrics>,
}

/// Puts a [`Node`] together.
#[must_use]
pub struct NodeBuilder {
    pub(crate) config: Config,
    pub(crate) storage: Option<Arc<dyn Storage>>,
    pub(crate) transport: Option<Arc<dyn Transport>>,
    pub(crate) check: Option<Arc<dyn ClientCheck>>,
}

impl NodeBuilder {
    /// Where the node keeps what must survive. Required.
    pub fn storage(mut self, storage: impl Storage) -> Self {
        self.storage = Some(Arc::new(storage));
        self
    }

    /// How the node reaches the other validators. Required. The node lists its peers and starts it.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// Decides which transactions are valid, instead of the check that the configuration names. All
    /// validators must use the same one.
    pub fn check(mut self, check: Arc<dyn ClientCheck>) -> Self {
        self.check = Some(check);
        self
    }

    /// Reads the storage and starts the node's threads.
    ///
    /// # Errors
    /// When a part is missing, a value is not allowed, or the storage cannot be started from.
    pub fn start(self) -> Result<Node, Error> {
        start::start(self).map(|shared| Node {
            shared: Arc::new(shared),
        })
    }
}

impl Node {
    /// Begins to put a node together.
    pub fn builder(config: Config) -> NodeBuilder {
        NodeBuilder {
            config,
            storage: None,
            transport: None,
            check: None,
        }
    }

    /// Hands a transaction in. It is queued when this returns; the future says whether it was taken.
    pub fn submit(
        &self,
        transaction: Bytes,
    ) -> impl Future<Output = Result<Submitted, SubmitError>> + Send + use<> {
        let answers = self.submit_batch(vec![transaction]);
        async move { answers.await.pop().expect("one answer for one transaction") }
    }

    /// [`submit`](Self::submit), blocking the thread.
    ///
    /// # Errors
    /// Why the transaction was not taken.
    pub fn submit_blocking(&self, transaction: Bytes) -> Result<Submitted, SubmitError> {
        let mut answers = self.submit_batch_blocking(vec![transaction]);
        answers.pop().expect("one answer for one transaction")
    }

    /// Hands transactions of one client in, and answers each in its place. Their signatures are
    /// checked together, so do not mix clients that do not trust each other.
    pub fn submit_batch(
        &self,
        transactions: Vec<Bytes>,
    ) -> impl Future<Output = Vec<Result<Submitted, SubmitError>>> + Send + use<> {
        enqueue(&self.shared.intake, transactions).wait()
    }

    /// [`submit_batch`](Self::submit_batch), blocking the thread.
    pub fn submit_batch_blocking(
        &self,
        transactions: Vec<Bytes>,
    ) -> Vec<Result<Submitted, SubmitError>> {
        enqueue(&self.shared.intake, transactions).wait_blocking()
    }

    /// Every commit after `index`: give the last one that the application has applied.
    #[must_use]
    pub fn commits_after(&self, index: CommitIndex) -> CommitStream {
        CommitStream::new(Arc::clone(&self.shared.log), index)
    }

    /// What the node is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        let shared = &self.shared;
        let replica = shared.replica.lock().clone();
        let committee = shared.links.committee();
        let space = shared.storage.space().ok();
        Status {
            state: shared
                .health
                .reason()
                .map_or(State::Running, |why| State::Stopped { why }),
            validators: committee.size(),
            crashes_tolerated: committee.crashes_tolerated(),
            peers_up: shared.links.count_up(),
            round: replica.round,
            frontier: replica.frontier,
            last_commit: shared.log.last(),
            certified: replica.certified,
            application_lag: shared.log.lag(),
            waiting_transactions: shared.intake.waiting(),
            storage_used_bytes: space.map(|space| space.used_bytes),
            storage_limit_bytes: space.map(|space| space.limit_bytes),
        }
    }

    /// The proofs of equivocation that are stored here, by author and round: at most eight about each validator.
    ///
    /// # Errors
    /// When the storage does not answer.
    pub fn evidence(&self) -> Result<Vec<EquivocationProof>, Error> {
        evidence::proofs(&self.shared.storage, self.shared.links.committee())
    }

    /// The same as a file that anybody with `committee.toml` can verify; `None` without a proof.
    ///
    /// # Errors
    /// When the storage does not answer.
    pub fn evidence_file(&self) -> Result<Option<EvidenceFile>, Error> {
        let proofs = self.evidence()?;
        Ok(EvidenceFile::new(self.shared.links.committee(), proofs))
    }

    /// Why a validator's score is what it is after the last commit: its merit, whether it leads slots, its weight, and
    /// the rounds and slots that moved them (R31); `None` if the committee has no such validator. Blocks the thread
    /// until the core, which answers between two steps, comes to it.
    ///
    /// # Errors
    /// When `epoch` is not the running one, or the node has stopped.
    pub fn reputation(
        &self,
        validator: ValidatorIndex,
        epoch: u64,
    ) -> Result<Option<Standing>, ReputationError> {
        let running = self.shared.links.committee().epoch();
        if epoch != running {
            return Err(ReputationError::NotHeld {
                asked: epoch,
                running,
            });
        }
        self.shared.desk.ask(validator, &self.shared.health)
    }

    /// All metrics in the text format of Prometheus.
    #[must_use]
    pub fn metrics_text(&self) -> String {
        let transport = self.shared.links.transport().stats();
        self.shared.metrics.text(&transport)
    }

    /// Takes nothing more, syncs what is under way and ends every thread, within 2 seconds unless
    /// the storage hangs. Further calls do nothing. Streams deliver what was committed, then end.
    pub fn stop(&self) {
        self.shared.stop();
    }
}

impl Shared {
    fn stop(&self) {
        if !self.health.is_stopping() {
            self.health.stop(StopReason::Requested);
        }
        if !self.health.wait_finished(STOP_TIMEOUT) {
            tracing::error!("the node's threads have not ended in time");
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A look at a node.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Status {
    /// Whether it runs, and why not.
    pub state: State,
    /// Validators in the committee.
    pub validators: usize,
    /// How many of them may stop, whichever they are, with commits going on.
    pub crashes_tolerated: usize,
    /// Other validators with a link that is up.
    pub peers_up: usize,
    /// The round of this validator's last block.
    pub round: Round,
    /// The round that the committee has reached, as far as is known here.
    pub frontier: Round,
    /// The last commit.
    pub last_commit: CommitIndex,
    /// The last commit that is provably final.
    pub certified: CommitIndex,
    /// Commits that the slowest reader is behind.
    pub application_lag: u64,
    /// Transactions submitted here that are in no block yet.
    pub waiting_transactions: usize,
    /// Bytes in storage; `None` when it does not answer.
    pub storage_used_bytes: Option<u64>,
    /// Bytes that may be in storage; `None` when it does not answer.
    pub storage_limit_bytes: Option<u64>,
}

/// Whether a node runs.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum State {
    /// It takes part.
    Running,
    /// It does not, and will not until it is started again.
    Stopped {
        /// Why.
        why: StopReason,
    },
}
