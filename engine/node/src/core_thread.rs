//! The thread that decides: it owns the replica, and carries out what the replica asks for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam::channel::{Receiver, SendTimeoutError, Sender};
use parking_lot::Mutex;
use probity_core::crypto::Keypair;
use probity_core::{
    BlockRef, Commit, CommitCertificate, CommitIndex, Delivery, Link, Message, Outcome, Output,
    Path, Payload, PayloadRoom, Pending, PersistTicket, ProposalContent, Replica, ReplicaStatus,
    Round, SignedVotes, Standing, Time, ValidatorIndex,
};
use probity_transport::Lane;

use crate::allowance::Allowances;
use crate::commits::CommitLog;
use crate::health::{Health, NAP, StopReason};
use crate::intake::Intake;
use crate::links::Links;
use crate::metrics::{Metrics, level};
use crate::persist::{Durable, Job};
use crate::serve::{Request, ServeQueue};
use crate::submit::wall_clock_ms;
use crate::wake::Bell;

/// Inputs taken before the outputs are looked at.
const INPUTS_PER_STEP: usize = 64;
/// How often the status snapshot is renewed at most.
const STATUS_EVERY: Duration = Duration::from_millis(5);

/// What arrives for the replica.
pub(crate) enum Input {
    /// A verified block.
    Block(Delivery),
    /// Votes of a refused block.
    Votes(Box<SignedVotes>),
    /// A link came up or went down.
    Link(ValidatorIndex, Link),
    /// A peer asks for blocks.
    Fetch(ValidatorIndex, Vec<BlockRef>),
    /// A peer asks for blocks and what stands beneath them.
    FetchHistory(ValidatorIndex, Round, Vec<BlockRef>),
    /// A peer lacks blocks.
    NotHeld(ValidatorIndex, Vec<BlockRef>),
    /// A peer asks for own blocks after a round.
    Replay(ValidatorIndex, Round),
    /// A peer asks for the certificate of a commit, or of a later one (R35).
    FetchCertificate(ValidatorIndex, CommitIndex),
    /// A verified certificate, or the word that the peer has none.
    Certificate(ValidatorIndex, Option<Arc<CommitCertificate>>),
    /// A peer asks for so many commit records.
    FetchCommits(ValidatorIndex, CommitIndex, u8),
    /// A peer sends commit records.
    Commits(ValidatorIndex, CommitIndex, Vec<Bytes>),
}

/// Somebody wants to know why a validator's score is what it is (R31).
pub(crate) struct Question {
    pub(crate) validator: ValidatorIndex,
    /// Has room for the answer.
    pub(crate) reply: Sender<Option<Standing>>,
}

/// The clock that the replica sees: microseconds since the node started.
#[derive(Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> Time {
        Time(u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}

/// What the core hears.
pub(crate) struct Ears {
    pub(crate) inputs: Receiver<Input>,
    pub(crate) questions: Receiver<Question>,
    pub(crate) bell: Bell,
    pub(crate) durable: Durable,
}

/// What the core speaks to.
pub(crate) struct Hands {
    pub(crate) signing: Keypair,
    pub(crate) persist: Sender<Job>,
    pub(crate) links: Arc<Links>,
    pub(crate) serve: ServeQueue,
    pub(crate) allowances: Arc<Allowances>,
    pub(crate) intake: Arc<Intake>,
    pub(crate) log: Arc<CommitLog>,
    pub(crate) lag_max: u64,
    pub(crate) status: Arc<Mutex<ReplicaStatus>>,
    pub(crate) health: Arc<Health>,
    pub(crate) metrics: Arc<Metrics>,
}

/// The core thread.
pub(crate) struct Core {
    replica: Replica,
    clock: Clock,
    ears: Ears,
    hands: Hands,
    durable: PersistTicket,
    pending: Pending,
    /// Whether the application was too far behind for commits to be installed.
    lagged: bool,
    status_at: Instant,
}

impl Core {
    pub(crate) fn new(replica: Replica, clock: Clock, ears: Ears, hands: Hands) -> Self {
        Self {
            replica,
            clock,
            ears,
            hands,
            durable: PersistTicket::default(),
            pending: Pending::None,
            lagged: false,
            status_at: Instant::now(),
        }
    }

    /// Runs until the node stops.
    pub(crate) fn run(mut self) {
        self.carry_out();
        while !self.hands.health.is_stopping() {
            self.wait();
            let started = Instant::now();
            self.take_inputs();
            self.carry_out();
            self.answer();
            self.show_status(started);
        }
        *self.hands.status.lock() = self.replica.status();
        self.hands.intake.abandon();
    }

    /// Sleeps until something arrives or is due.
    fn wait(&self) {
        if !self.ears.inputs.is_empty() || !self.ears.questions.is_empty() {
            return;
        }
        let now = self.clock.now();
        let due = self
            .replica
            .next_deadline()
            .map(|at| Duration::from_micros(at.since_us(now)));
        self.ears.bell.wait(due.map_or(NAP, |due| due.min(NAP)));
    }

    fn take_inputs(&mut self) {
        let now = self.clock.now();
        self.look_at_durable(now);
        for _ in 0..INPUTS_PER_STEP {
            let Ok(input) = self.ears.inputs.try_recv() else {
                break;
            };
            self.hands.metrics.core_inputs.inc();
            self.handle(now, input);
        }
        self.look_at_pending(now);
        self.look_at_lag(now);
        if self.replica.next_deadline().is_some_and(|at| at <= now) {
            self.replica.handle_tick(now);
        }
    }

    fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::Block(delivery) => self.replica.handle_block(now, delivery),
            Input::Votes(votes) => self.replica.handle_votes(&votes),
            Input::Link(peer, link) => self.replica.handle_link(now, peer, link),
            Input::NotHeld(from, refs) => self.replica.handle_not_held(now, from, &refs),
            Input::Fetch(from, refs) => {
                if self.may_ask(from) {
                    self.replica.handle_fetch(from, refs);
                }
            }
            Input::FetchHistory(from, above, refs) => {
                if self.may_ask(from) {
                    self.replica.handle_fetch_history(from, above, refs);
                }
            }
            Input::Replay(from, after) => {
                if self.may_ask(from) {
                    self.replica.handle_replay(from, after);
                }
            }
            Input::FetchCertificate(from, at_least) => {
                if self.may_ask(from) {
                    self.replica.handle_fetch_certificate(from, at_least);
                }
            }
            Input::FetchCommits(from, first, count) => {
                if self.may_ask(from) {
                    let request = Request::Commits { first, count };
                    self.hands.serve.push(from, request);
                }
            }
            Input::Certificate(from, certificate) => {
                self.replica
                    .handle_certificate(now, from, certificate.as_ref());
            }
            Input::Commits(from, first, records) => {
                self.replica.handle_commits(now, from, (first, &records));
            }
        }
    }

    /// Whether a request is answered; one that is not, its peer makes again (R33, R34).
    fn may_ask(&self, from: ValidatorIndex) -> bool {
        let may = self.hands.allowances.take_request(from, Instant::now());
        if !may {
            self.hands.metrics.serve_dropped.inc();
        }
        may
    }

    fn look_at_durable(&mut self, now: Time) {
        let durable = self.ears.durable.get();
        if durable > self.durable {
            self.durable = durable;
            self.replica.handle_persisted(now, durable);
        }
    }

    fn look_at_pending(&mut self, now: Time) {
        let has = self.hands.intake.has_pending() && self.may_propose_payload();
        let pending = if has { Pending::Some } else { Pending::None };
        if pending != self.pending {
            self.pending = pending;
            self.replica.handle_pending(now, pending);
        }
    }

    /// R35: nothing is installed that the application could not take.
    fn look_at_lag(&mut self, now: Time) {
        let lags = !self.may_propose_payload();
        if lags != self.lagged {
            self.lagged = lags;
            let intake = if lags {
                probity_core::Intake::Closed
            } else {
                probity_core::Intake::Open
            };
            self.replica.handle_intake(now, intake);
        }
    }

    fn may_propose_payload(&self) -> bool {
        self.hands.log.lag() <= self.hands.lag_max
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.replica.poll_output() {
            match output {
                Output::ProposalWanted { round, room } => self.propose(round, room),
                Output::Persist { ticket, records } => self.persist(Job { ticket, records }),
                Output::Sign {
                    header_digest,
                    preimage,
                    ..
                } => {
                    // After a fault no signature leaves this validator.
                    if self.hands.health.is_stopping() {
                        return;
                    }
                    let signature = self.hands.signing.sign(&preimage);
                    self.replica
                        .handle_signature(self.clock.now(), header_digest, signature);
                }
                Output::Commit(commit) => self.commit(commit),
                Output::Outcome { round, outcome } => self.settle(round, outcome),
                Output::Evidence(proof) => {
                    tracing::warn!(author = %proof.author, round = %proof.round,
                        "a validator signed two headers of one slot");
                    self.hands.metrics.evidence.inc();
                }
                Output::Change {
                    change, outcome, ..
                } => tracing::warn!(?change, ?outcome, "a change that the rule does not know"),
                Output::EpochEnded(end) => {
                    // The rule of a fixed committee ends no epoch; were it otherwise, going on would be wrong.
                    let why = format!("epoch {} has ended", end.record.epoch);
                    self.hands.health.stop(StopReason::Epoch(why));
                }
                Output::Halted(halt) => {
                    let why = StopReason::Forked(halt.to_string());
                    self.hands.health.stop(why);
                }
                Output::Certified(certificate) => {
                    tracing::trace!(index = %certificate.index, "certified");
                    self.hands.metrics.certificates.inc();
                }
                to_peers @ (Output::Broadcast(_)
                | Output::Send { .. }
                | Output::SendBlock { .. }
                | Output::Serve { .. }
                | Output::ServeReplay { .. }
                | Output::ServeCertificate { .. }) => self.send(to_peers),
            }
        }
    }

    /// One question a step, so that whoever asks much holds up little: an answer is copied from two windows of at most
    /// 512 and 4096 rounds.
    fn answer(&self) {
        let Ok(question) = self.ears.questions.try_recv() else {
            return;
        };
        let standing = self.replica.reputation(question.validator);
        // Who asked may have gone.
        let _: Result<(), _> = question.reply.try_send(standing);
    }

    fn send(&self, output: Output) {
        let links = &self.hands.links;
        match output {
            Output::Broadcast(block) => {
                links.broadcast(Lane::Blocks, &Message::encode_block(&block));
                self.hands.metrics.proposed.inc();
            }
            Output::Send { to, message } => {
                // An own block sent again is bulk: on the control lane it would hold up requests.
                let lane = match &message {
                    Message::Block(block) => {
                        self.charge(to, block.len());
                        Lane::CatchUp
                    }
                    Message::Fetched(_)
                    | Message::EpochEnd(_)
                    | Message::Fetch(_)
                    | Message::NotHeld(_)
                    | Message::Replay { .. }
                    | Message::FetchHistory { .. }
                    | Message::FetchCertificate { .. }
                    | Message::Certificate(_)
                    | Message::FetchCommits { .. } => Lane::Control,
                    Message::Commits { .. } => Lane::CatchUp,
                };
                links.send(to, lane, message.encode());
            }
            Output::SendBlock { to, block } => {
                self.charge(to, block.encoded_len());
                let (header, payload) = (block.signed_header(), block.payload().bytes());
                links.send(to, Lane::CatchUp, Message::encode_fetched(header, payload));
            }
            Output::Serve { to, refs } => self.hands.serve.push(to, Request::Blocks(refs)),
            Output::ServeReplay { to, after } => {
                self.hands.serve.push(to, Request::Replay(after));
            }
            Output::ServeCertificate {
                to,
                at_least,
                newest,
            } => {
                let request = Request::Certificate { at_least, newest };
                self.hands.serve.push(to, request);
            }
            Output::ProposalWanted { .. }
            | Output::Persist { .. }
            | Output::Sign { .. }
            | Output::Commit(_)
            | Output::Outcome { .. }
            | Output::Evidence(_)
            | Output::Change { .. }
            | Output::EpochEnded(_)
            | Output::Halted(_)
            | Output::Certified(_) => unreachable!("carried out by the caller"),
        }
    }

    fn charge(&self, to: ValidatorIndex, bytes: usize) {
        self.hands.allowances.charge(to, Instant::now(), bytes);
    }

    fn propose(&mut self, round: Round, room: PayloadRoom) {
        let open = room == PayloadRoom::Open && self.may_propose_payload();
        let chunks = if open {
            self.hands.intake.take()
        } else {
            Vec::new()
        };
        let transactions: Vec<_> = chunks
            .iter()
            .flat_map(|chunk| chunk.transactions().iter())
            .collect();
        let payload = Payload::from_transactions(&transactions);
        drop(transactions);
        if !chunks.is_empty() {
            self.hands.intake.set_proposed(round, chunks);
        }
        let now = self.clock.now();
        let content = ProposalContent {
            timestamp_ms: wall_clock_ms(),
            payload,
        };
        self.replica.handle_proposal(now, round, content);
        self.look_at_pending(now);
    }

    /// Waits for the disk when it is far behind: then nothing else would help.
    fn persist(&self, mut job: Job) {
        while let Err(error) = self.hands.persist.send_timeout(job, NAP) {
            match error {
                SendTimeoutError::Timeout(back) if !self.hands.health.is_stopping() => job = back,
                SendTimeoutError::Timeout(_) | SendTimeoutError::Disconnected(_) => return,
            }
        }
    }

    fn commit(&self, commit: Arc<Commit>) {
        let metrics = &self.hands.metrics;
        metrics.commits.inc();
        metrics.committed_blocks.inc_by(commit.blocks.len() as u64);
        let valid = commit.blocks.iter().filter(|block| !block.void);
        let count = valid
            .map(|block| u64::from(block.block.payload().count()))
            .sum();
        metrics.committed_transactions.inc_by(count);
        if let Some(path) = commit.path {
            let path = match path {
                Path::Fast => "fast",
                Path::Slow => "slow",
                Path::Indirect => "indirect",
            };
            Metrics::count(&metrics.decisions, "path", path, 1);
        }
        let skipped = commit.record.skipped.len() as u64;
        Metrics::count(&metrics.decisions, "path", "skipped", skipped);
        self.hands.log.push(commit);
    }

    fn settle(&mut self, round: Round, outcome: Outcome) {
        let chunks = self.hands.intake.take_proposed(round);
        if chunks.is_empty() {
            return;
        }
        if let Outcome::Sequenced { index } = outcome {
            chunks.iter().for_each(|chunk| chunk.resolve(index));
        } else {
            tracing::info!(%round, ?outcome, "an own block was not ordered; its payload is submitted again");
            self.hands.intake.put_back(chunks);
            self.look_at_pending(self.clock.now());
        }
    }

    fn show_status(&mut self, started: Instant) {
        let now = Instant::now();
        let busy = now.duration_since(started);
        self.hands.metrics.core_step.observe(busy.as_secs_f64());
        self.hands
            .metrics
            .core_busy_us
            .inc_by(u64::try_from(busy.as_micros()).unwrap_or(u64::MAX));
        if now.duration_since(self.status_at) >= STATUS_EVERY {
            self.status_at = now;
            self.hands
                .metrics
                .core_queue
                .set(level(self.ears.inputs.len()));
            *self.hands.status.lock() = self.replica.status();
        }
    }
}
