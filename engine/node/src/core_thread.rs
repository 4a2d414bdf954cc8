//! The thread that decides: it owns the replica, and carries out what the replica asks for.
//!
//! ```text
//!   inputs ─▶ Replica of epoch e ─▶ outputs ─▶ carried out ── the epoch has ended ─▶ Replica of epoch e + 1
//! ```
//!
//! One that is no member of the committee has no replica: it follows how epochs end until it is one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender};
use parking_lot::Mutex;
use probity_core::crypto::Keypair;
use probity_core::{
    BlockRef, Change, CommitIndex, Delivery, EpochEnd, EpochRule, Link, Pending, PersistTicket,
    Replica, ReplicaStatus, Round, Time, ValidatorIndex,
};

use crate::chronicle::Chronicle;
use crate::commits::CommitLog;
use crate::core_queue::{Input, Inputs};
use crate::desk::Question;
use crate::health::{Health, NAP};
use crate::intake::Intake;
use crate::links::{Epoch, Links};
use crate::metrics::{Metrics, level};
use crate::peer::Peer;
use crate::persist::{Durable, Job};
use crate::serve::{Request, ServeQueue};
use crate::wake::Bell;

mod changes;
mod epochs;
mod outputs;

/// Inputs taken before the outputs are looked at.
const INPUTS_PER_STEP: usize = 64;
/// How often the status snapshot is renewed at most.
const STATUS_EVERY: Duration = Duration::from_millis(5);

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
    pub(crate) inputs: Inputs,
    pub(crate) questions: Receiver<Question>,
    pub(crate) bell: Bell,
    pub(crate) durable: Durable,
}

/// What the core speaks to; it outlasts epochs.
pub(crate) struct Hands {
    pub(crate) signing: Keypair,
    pub(crate) persist: Sender<Job>,
    pub(crate) links: Arc<Links>,
    pub(crate) serve: ServeQueue,
    pub(crate) intake: Arc<Intake>,
    pub(crate) log: Arc<CommitLog>,
    pub(crate) chronicle: Arc<Chronicle>,
    pub(crate) lag_max: u64,
    pub(crate) status: Arc<Mutex<Option<ReplicaStatus>>>,
    pub(crate) health: Arc<Health>,
    pub(crate) metrics: Arc<Metrics>,
}

/// How replicas are made, the same for all epochs.
pub(crate) struct Habits {
    pub(crate) min_round_delay_us: u64,
    pub(crate) idle_round_delay_us: u64,
    pub(crate) rule: Arc<dyn EpochRule>,
}

/// The core thread.
pub(crate) struct Core {
    // None for who is no member.
    replica: Option<Replica>,
    epoch: Arc<Epoch>,
    habits: Habits,
    clock: Clock,
    ears: Ears,
    hands: Hands,
    /// What is durable, as the persisting thread counts.
    durable: PersistTicket,
    /// The last ticket given to it, and the one before the replica's first: a later replica may begin anew.
    last_ticket: PersistTicket,
    ticket_base: u64,
    pending: Pending,
    /// Whether the application was too far behind for commits to be installed.
    lagged: bool,
    /// When the last commit was output, or could be again; others were shown to be two epochs further since.
    progressed_at: Instant,
    is_overtaken: bool,
    /// When it was learned how this epoch has ended, if that was before its commits were here.
    behind_since: Option<Instant>,
    /// The epoch before was left without all of its commits, and none has come since.
    has_skipped: bool,
    /// Changes to ask for, and those in own blocks whose end is not known.
    changes: VecDeque<Change>,
    proposed_changes: BTreeMap<Round, Vec<Change>>,
    /// The epoch has ended; the next one is entered when all outputs are carried out.
    ended: Option<Arc<EpochEnd>>,
    asked_at: Instant,
    status_at: Instant,
}

impl Core {
    pub(crate) fn new(
        (replica, habits): (Option<Replica>, Habits),
        clock: Clock,
        ears: Ears,
        hands: Hands,
    ) -> Self {
        Self {
            replica,
            epoch: hands.links.epoch(),
            habits,
            clock,
            ears,
            hands,
            durable: PersistTicket::default(),
            last_ticket: PersistTicket::default(),
            ticket_base: 0,
            pending: Pending::None,
            lagged: false,
            progressed_at: Instant::now(),
            is_overtaken: false,
            behind_since: None,
            has_skipped: false,
            changes: VecDeque::new(),
            proposed_changes: BTreeMap::new(),
            ended: None,
            asked_at: Instant::now(),
            status_at: Instant::now(),
        }
    }

    /// Runs until the node stops.
    pub(crate) fn run(mut self) {
        self.bind_store();
        self.carry_out();
        while !self.hands.health.is_stopping() {
            self.wait();
            let started = Instant::now();
            self.take_inputs();
            self.carry_out();
            self.follow_on();
            self.answer();
            self.show_status(started);
        }
        *self.hands.status.lock() = self.replica.as_ref().map(Replica::status);
        self.hands.intake.abandon();
    }

    /// Sleeps until something arrives or is due.
    fn wait(&self) {
        if !self.ears.inputs.is_empty() || !self.ears.questions.is_empty() {
            return;
        }
        let now = self.clock.now();
        let due = self.replica.as_ref().and_then(Replica::next_deadline);
        let due = due.map(|at| Duration::from_micros(at.since_us(now)));
        self.ears.bell.wait(due.map_or(NAP, |due| due.min(NAP)));
    }

    fn take_inputs(&mut self) {
        let now = self.clock.now();
        self.look_at_durable(now);
        for _ in 0..INPUTS_PER_STEP {
            let Some(input) = self.ears.inputs.take() else {
                break;
            };
            self.hands.metrics.core_inputs.inc();
            self.handle(now, input);
        }
        self.look_at_pending(now);
        self.look_at_lag(now);
        if let Some(replica) = &mut self.replica
            && replica.next_deadline().is_some_and(|at| at <= now)
        {
            replica.handle_tick(now);
        }
    }

    fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::EpochEnd(from, end) => self.take_end(now, &from, end),
            Input::LaterEnd(from, end) => self.take_later_end(now, &from, &end),
            Input::Link(peer, link) => self.take_link(now, &peer, link),
            Input::Fetch(from, refs) => self.take_fetch(&from, (None, refs)),
            Input::FetchHistory(from, above, refs) => {
                self.take_fetch(&from, (Some(above), refs));
            }
            Input::FetchCommits(from, first, count) => {
                let request = Request::Commits { first, count };
                self.take_request(&from, request);
            }
            Input::FetchCertificate(from, epoch, at_least) => {
                self.take_fetch_certificate(&from, (epoch, at_least));
            }
            Input::Block(..)
            | Input::Votes(..)
            | Input::NotHeld(..)
            | Input::Replay(..)
            | Input::Certificate(..)
            | Input::Commits(..) => self.take_epochs_own(now, input),
        }
    }

    /// What only a member says, and only to a replica.
    fn take_epochs_own(&mut self, now: Time, input: Input) {
        let running = self.epoch.number();
        let Some(replica) = &mut self.replica else {
            return;
        };
        let may_ask = |from: &Peer| may_ask(&self.hands, from);
        match input {
            // What was verified before the epoch changed belongs to the one before.
            Input::Block(from, block) if block.block().header().epoch == running => {
                if let Some(from) = self.epoch.index(&from) {
                    replica.handle_block(now, Delivery { from, block });
                }
            }
            Input::Votes(epoch, votes) if epoch == running => replica.handle_votes(&votes),
            Input::NotHeld(from, refs) => {
                if let Some(from) = self.epoch.index(&from) {
                    replica.handle_not_held(now, from, &refs);
                }
            }
            Input::Replay(from, epoch, after) if epoch == running => {
                if let Some(index) = self.epoch.index(&from)
                    && may_ask(&from)
                {
                    replica.handle_replay(index, after);
                }
            }
            Input::Certificate(from, certificate) => {
                if let Some(from) = self.epoch.index(&from) {
                    let own = certificate.filter(|(epoch, _)| *epoch == running);
                    let own = own.map(|(_, certificate)| certificate);
                    replica.handle_certificate(now, from, own.as_ref());
                }
            }
            Input::Commits(from, first, records) => {
                if let Some(from) = self.epoch.index(&from) {
                    replica.handle_commits(now, from, (first, &records));
                }
            }
            Input::Block(..)
            | Input::Votes(..)
            | Input::Link(..)
            | Input::Fetch(..)
            | Input::FetchHistory(..)
            | Input::Replay(..)
            | Input::FetchCertificate(..)
            | Input::FetchCommits(..)
            | Input::EpochEnd(..)
            | Input::LaterEnd(..) => {}
        }
    }

    /// A member's request is the replica's to answer; anybody else's is answered from storage.
    fn take_fetch(&mut self, from: &Arc<Peer>, (above, refs): (Option<Round>, Vec<BlockRef>)) {
        if !may_ask(&self.hands, from) {
            return;
        }
        match (&mut self.replica, self.epoch.index(from), above) {
            (Some(replica), Some(from), None) => replica.handle_fetch(from, refs),
            (Some(replica), Some(from), Some(above)) => {
                replica.handle_fetch_history(from, above, refs);
            }
            (None, _, _) | (_, None, _) => self.hands.serve.push(from, Request::Blocks(refs)),
        }
    }

    /// The newest certificate is the replica's; all others are in storage (R35).
    fn take_fetch_certificate(&mut self, from: &Arc<Peer>, (epoch, at_least): (u64, CommitIndex)) {
        match (&mut self.replica, self.epoch.index(from)) {
            (Some(replica), Some(index)) if epoch == self.epoch.number() => {
                if may_ask(&self.hands, from) {
                    replica.handle_fetch_certificate(index, at_least);
                }
            }
            (_, _) => {
                let request = Request::Certificate {
                    epoch,
                    at_least,
                    newest: None,
                };
                self.take_request(from, request);
            }
        }
    }

    fn take_request(&self, from: &Arc<Peer>, request: Request) {
        if may_ask(&self.hands, from) {
            self.hands.serve.push(from, request);
        }
    }

    fn take_link(&mut self, now: Time, peer: &Arc<Peer>, link: Link) {
        match (&mut self.replica, self.epoch.index(peer)) {
            (Some(replica), Some(index)) => replica.handle_link(now, index, link),
            (None, _) if link == Link::Up => self.ask_end(peer),
            (None, _) | (_, None) => {}
        }
    }

    fn look_at_durable(&mut self, now: Time) {
        let durable = self.ears.durable.get();
        if durable <= self.durable {
            return;
        }
        self.durable = durable;
        let own = durable
            .0
            .checked_sub(self.ticket_base)
            .filter(|own| *own > 0);
        if let Some((replica, own)) = self.replica.as_mut().zip(own) {
            replica.handle_persisted(now, PersistTicket(own));
        }
    }

    fn look_at_pending(&mut self, now: Time) {
        let has = self.hands.intake.has_pending() || !self.changes.is_empty();
        let pending = if has && self.may_propose_payload() {
            Pending::Some
        } else {
            Pending::None
        };
        if pending != self.pending {
            self.pending = pending;
            if let Some(replica) = &mut self.replica {
                replica.handle_pending(now, pending);
            }
        }
    }

    /// R35: nothing is installed that the application could not take.
    fn look_at_lag(&mut self, now: Time) {
        let lags = !self.may_propose_payload();
        if lags != self.lagged {
            self.lagged = lags;
            // The standstill was the application's.
            self.progressed_at = Instant::now();
            self.tell_lag(now);
        }
    }

    fn tell_lag(&mut self, now: Time) {
        let intake = if self.lagged {
            probity_core::Intake::Closed
        } else {
            probity_core::Intake::Open
        };
        if let Some(replica) = &mut self.replica {
            replica.handle_intake(now, intake);
        }
    }

    fn may_propose_payload(&self) -> bool {
        self.hands.log.lag() <= self.hands.lag_max
    }

    /// One question a step, so that whoever asks much holds up little: an answer is copied from two windows of at most
    /// 512 and 4096 rounds.
    fn answer(&mut self) {
        let Ok(question) = self.ears.questions.try_recv() else {
            return;
        };
        // Who asked may have gone.
        match question {
            Question::Standing { of, epoch, reply } => {
                let _: Result<(), _> = reply.try_send(self.standing(of, epoch));
            }
            Question::Change { change, reply } => {
                let _: Result<(), _> = reply.try_send(self.take_change(*change));
            }
        }
    }

    /// A validator's standing, if the epoch is the one that runs here.
    fn standing(&self, of: ValidatorIndex, epoch: u64) -> Option<Option<probity_core::Standing>> {
        let replica = self.replica.as_ref()?;
        (epoch == self.epoch.number()).then(|| replica.reputation(of))
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
            *self.hands.status.lock() = self.replica.as_ref().map(Replica::status);
        }
    }
}

/// Whether a request is answered; one that is not, its peer makes again (R33, R34).
fn may_ask(hands: &Hands, from: &Peer) -> bool {
    let may = from.allowance.take_request(Instant::now());
    if !may {
        hands.metrics.serve_dropped.inc();
    }
    may
}
