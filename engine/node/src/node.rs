//! The node: what an application holds.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use probity_core::{
    Accusation, Change, CommitIndex, Committee, EpochRule, EvidenceFile, RecoverError,
    ReplicaStatus, Round, Standing, ValidatorIndex, stored_scores,
};
use probity_storage::Storage;
use probity_transport::Transport;

use crate::chronicle::Chronicle;
use crate::commits::{CommitLog, CommitStream};
use crate::config::Config;
use crate::desk::Desk;
use crate::error::{ChangeError, Error, ReputationError, SubmitError};
use crate::evidence;
use crate::health::{Health, StopReason};
use crate::intake::Intake;
use crate::links::Links;
use crate::metrics::Metrics;
use crate::records::Records;
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
    pub(crate) chronicle: Arc<Chronicle>,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) desk: Desk,
    pub(crate) replica: Arc<Mutex<Option<ReplicaStatus>>>,
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
    pub(crate) rule: Option<Arc<dyn EpochRule>>,
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

    /// Decides which transactions are valid, where the committee's file names a check that does not come with the engine. Its
    /// name must be the one in the file, which the chain id binds: change it whenever the verdict on any bytes changes.
    pub fn check(mut self, check: Arc<dyn ClientCheck>) -> Self {
        self.check = Some(check);
        self
    }

    /// Decides when epochs end and who changes the committee, where the committee's file names a rule that does not come
    /// with the engine. All validators must use the same one.
    pub fn epoch_rule(mut self, rule: Arc<dyn EpochRule>) -> Self {
        self.rule = Some(rule);
        self
    }

    /// Reads the storage and starts the node's threads, in the epoch that the storage has come to.
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
            rule: None,
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
        let epoch = shared.links.epoch();
        let committee = epoch.committee();
        let space = shared.storage.space().ok();
        let running = match epoch.me() {
            Some(_) => State::Running,
            None => State::Following,
        };
        let looks = |look: fn(&ReplicaStatus) -> Round| replica.as_ref().map_or(Round(0), look);
        Status {
            state: shared
                .health
                .reason()
                .map_or(running, |why| State::Stopped { why }),
            epoch: committee.epoch(),
            validators: committee.size(),
            crashes_tolerated: committee.crashes_tolerated(),
            peers_up: epoch.count_up(),
            round: looks(|replica| replica.round),
            frontier: looks(|replica| replica.frontier),
            last_commit: shared.log.last(),
            certified: replica
                .as_ref()
                .map_or(CommitIndex::GENESIS, |replica| replica.certified),
            application_lag: shared.log.lag(),
            waiting_transactions: shared.intake.waiting(),
            storage_used_bytes: space.map(|space| space.used_bytes),
            storage_limit_bytes: space.map(|space| space.limit_bytes),
        }
    }

    /// The running epoch's number.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.shared.links.epoch().number()
    }

    /// The running epoch's committee: who decides, and with which weight.
    #[must_use]
    pub fn committee(&self) -> Arc<Committee> {
        Arc::clone(self.shared.links.epoch().committee())
    }

    /// Asks the validators for a change of the committee: this one's vote goes into its next block that has room. The change
    /// takes effect at the end of the epoch in which validators of weight `Q` have asked for the same;
    /// [`EpochEvent`](crate::EpochEvent) says what became of it. A vote counts in the epoch in which it is ordered. One that
    /// is not ordered before the epoch ends goes into the next, unless it was to end the epoch; one that no block carries when
    /// the node stops is lost: ask again. Blocks the thread until the core, which answers between two
    /// steps, comes to it.
    ///
    /// # Errors
    /// When the change would leave no committee, as far as the sequence is known here, or cannot be voted for.
    pub fn propose_change(&self, change: Change) -> Result<(), ChangeError> {
        self.shared.desk.change(change, &self.shared.health)
    }

    /// The proofs of equivocation that are stored here, of all epochs: at most eight about each validator and epoch, by
    /// epoch, place in its committee and round. They are never removed. Reads and verifies how every epoch ended.
    ///
    /// # Errors
    /// When the storage does not answer.
    pub fn evidence(&self) -> Result<Vec<Accusation>, Error> {
        evidence::accusations(&self.shared.storage, self.shared.chronicle.first())
    }

    /// The same as a file that anybody who knows the first epoch's committee can verify; `None` without a proof.
    ///
    /// # Errors
    /// When the storage does not answer.
    pub fn evidence_file(&self) -> Result<Option<EvidenceFile>, Error> {
        evidence::file(&self.shared.storage, self.shared.chronicle.first())
    }

    /// Why a validator's score is what it is after the last commit of an epoch: its merit, whether it leads slots, its weight,
    /// and the rounds and slots that moved them (R31); `None` if the epoch's committee has no such validator. Of the running
    /// epoch the core is asked, which answers between two steps; an epoch that is over is read from storage. Blocks the
    /// thread.
    ///
    /// # Errors
    /// When the epoch has not begun here or was left without its last commits, retention has removed what its scores follow
    /// from, or the node has stopped.
    pub fn reputation(
        &self,
        validator: ValidatorIndex,
        epoch: u64,
    ) -> Result<Option<Standing>, ReputationError> {
        let shared = &self.shared;
        if epoch >= self.epoch()
            && let Some(standing) = shared.desk.standing((validator, epoch), &shared.health)?
        {
            return Ok(standing);
        }
        let not_held = || ReputationError::NotHeld {
            asked: epoch,
            running: self.epoch(),
        };
        let storage = |why: Error| ReputationError::Storage(why.to_string());
        let committee = shared.chronicle.committee(epoch).map_err(storage)?;
        let committee = committee.ok_or_else(not_held)?;
        if !shared.chronicle.is_whole(epoch).map_err(storage)? {
            return Err(not_held());
        }
        let scores = stored_scores(&Records(Arc::clone(&shared.storage)), &committee);
        match scores {
            Ok(Some(scores)) => Ok(scores.standing(validator)),
            Ok(None) | Err(RecoverError::Missing(_)) => Err(not_held()),
            Err(why) => Err(storage(Error::recover(why))),
        }
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
    /// The running epoch.
    pub epoch: u64,
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
    /// It is no member of the running epoch's committee: it joins later, or has left. It takes no transactions, learns how
    /// epochs end, serves what it has, and takes part as soon as it is a member.
    Following,
    /// It does not, and will not until it is started again.
    Stopped {
        /// Why.
        why: StopReason,
    },
}
