//! A whole cluster in one thread: one event heap, one virtual clock, one seed.
//!
//! ```text
//!   plan ─▶ World ── pops the next event ─▶ a process's Replica ─▶ outputs ─▶ disk, network, application
//!             ▲                                                        │
//!             └──────────── new events: frames, writes, ticks ◀────────┘      checkers look at every step
//! ```
//!
//! The replicas, their codec and their verifier are the real ones. Clock, network, disk and clients are models, and
//! the same plan gives the same run, event by event.

use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use bytes::Bytes;
use probity_core::crypto::{Digest, PublicKey};
use probity_core::testing::{self, marks};
use probity_core::{Block, Committee, IdMap, Message, Time, ValidatorIndex};

use crate::adversary::twin_side;
use crate::application::{MakeApplication, States};
use crate::checker::{self, Checker, Observation, Scene, Violation};
use crate::network::Network;
use crate::plan::{Plan, PlanError};
use crate::random::Random;
use crate::seats::seats;
use crate::signer::Signer;
use crate::trace::Trace;

mod carry_out;
mod clients;
mod deliver;
mod epochs;
mod event;
mod faults;
mod heal;
mod look;
mod process;
mod serve;

pub(crate) use clients::number_of;
pub use clients::submitted_at;
pub(crate) use event::Event;
pub use heal::Liveness;
pub(crate) use process::Process;

use event::Scheduled;

/// The virtual time at which a run begins.
pub const START: Time = Time(1_000_000);
/// The wall clock at that time, in milliseconds.
const START_WALL_MS: u64 = 1_700_000_000_000;
/// Events after which a run is stopped as one that never ends.
const EVENTS_MAX: u64 = 40_000_000;

/// A simulated cluster.
pub struct World {
    plan: Arc<Plan>,
    /// The first epoch's.
    committee: Arc<Committee>,
    /// By epoch, as far as somebody has come.
    committees: BTreeMap<u64, Arc<Committee>>,
    /// Everybody who ever takes part.
    keys: Vec<PublicKey>,
    /// The highest epoch that somebody has reached.
    epochs: u64,
    now: Time,
    heap: BinaryHeap<Scheduled>,
    order: u64,
    random: Random,
    network: Network,
    processes: Vec<Process>,
    /// By validator: its processes. Two for a twin.
    of_validator: Vec<Vec<usize>>,
    blocks: IdMap<Digest, Arc<Block>>,
    /// By epoch.
    checkers: BTreeMap<u64, Vec<Box<dyn Checker>>>,
    /// Those that look at all epochs.
    observers: Vec<Box<dyn Checker>>,
    make_application: Option<MakeApplication>,
    states: States,
    liveness: Liveness,
    submitted: u64,
    faults_fired: BTreeMap<&'static str, u64>,
    trace: Trace,
    violation: Option<Violation>,
    events: u64,
    frames: u64,
}

impl World {
    /// The cluster of a plan, before anything has happened.
    ///
    /// # Errors
    /// When the plan names what does not exist.
    pub fn of_plan(plan: Plan) -> Result<Self, PlanError> {
        // Marks are the thread's; what ran on it before is of no interest.
        let _ = marks::take();
        let committee = Arc::new(plan.check()?);
        let random = Random::new(plan.seed).fork(1);
        let network = Network::new(&plan.network, plan.validators(), random.fork(2));
        let keys = seats(plan.validators())
            .map(|v| testing::keypair(v).public())
            .collect();
        let mut world = Self {
            committees: BTreeMap::from([(0, Arc::clone(&committee))]),
            committee,
            keys,
            epochs: 0,
            now: START,
            heap: BinaryHeap::new(),
            order: 0,
            network,
            processes: Vec::new(),
            of_validator: vec![Vec::new(); plan.validators()],
            blocks: IdMap::default(),
            checkers: BTreeMap::new(),
            observers: checker::across_epochs(),
            make_application: None,
            states: States::default(),
            liveness: Liveness::default(),
            submitted: 0,
            faults_fired: BTreeMap::new(),
            trace: Trace::default(),
            violation: None,
            events: 0,
            frames: 0,
            random,
            plan: Arc::new(plan),
        };
        world.make_processes();
        world.schedule_plan();
        Ok(world)
    }

    /// Runs this application on every validator, and compares its state after every commit.
    #[must_use]
    pub fn with_application(mut self, make: MakeApplication) -> Self {
        for process in &mut self.processes {
            process.application = Some(make());
        }
        self.make_application = Some(make);
        self
    }

    /// Adds a checker, or whatever else wants to look at everything.
    #[must_use]
    pub fn with_checker(mut self, checker: Box<dyn Checker>) -> Self {
        self.observers.push(checker);
        self
    }

    /// Keeps the trace as text.
    #[must_use]
    pub fn with_text(mut self) -> Self {
        self.trace = Trace::with_text();
        self
    }

    fn make_processes(&mut self) {
        let plan = Arc::clone(&self.plan);
        let signatures = plan.committee.signatures;
        for validator in seats(self.keys.len()) {
            let sin = plan.sinners.iter().find(|s| s.validator == validator.0);
            let twin = sin.is_some_and(|sinner| sinner.sin == "twin");
            for copy in 0..=u64::from(twin) {
                let id = self.processes.len();
                let chance = self.random.fork(1_000 + id as u64);
                let sin = sin.and_then(|sinner| crate::adversary::named(&sinner.sin));
                let sin = sin.map(|named| (named.make)(chance));
                let signer = Signer::new(validator, signatures);
                let committee = Arc::clone(&self.committee);
                let mut process = Process::new(validator, committee, sin, signer);
                process.key_is_stolen = plan.is_stolen(validator);
                if twin && plan.script.is_empty() {
                    process.hears = twin_side(plan.seed, plan.validators(), copy);
                }
                self.of_validator[validator.position()].push(id);
                self.processes.push(process);
            }
        }
    }

    fn schedule_plan(&mut self) {
        for process in 0..self.processes.len() {
            self.start(process);
            if !self.plan.epochs.is_empty() {
                for at in 0..self.plan.epochs.changes.len() {
                    let at_us = self.plan.epochs.changes[at].at_ms * 1_000;
                    self.schedule(START.plus_us(at_us), Event::Change { process, at });
                }
                self.schedule(
                    self.now.plus_us(epochs::FOLLOW_EVERY_US),
                    Event::Follow { process },
                );
            }
            if self.processes[process].is_sinner() {
                self.schedule(self.now, Event::Wake { process });
            } else if self.plan.clients.every_ms > 0 && self.has_clients(process) {
                let first = self.random.below(self.plan.clients.every_ms * 1_000);
                self.schedule(self.now.plus_us(first), Event::Client { process });
            }
        }
        for (at, fault) in self.plan.clone().faults.iter().enumerate() {
            if fault.at_ms < self.plan.faulty_ms {
                self.schedule(START.plus_us(fault.at_ms * 1_000), Event::FaultBegins(at));
            }
        }
        let heal_at = START.plus_us(self.plan.faulty_ms * 1_000);
        self.schedule(heal_at, Event::Heal);
    }

    fn schedule(&mut self, at: Time, event: Event) {
        self.order += 1;
        self.heap.push(Scheduled {
            at,
            order: self.order,
            event,
        });
    }

    /// Runs to the end: through the faults, the healing, and until every correct validator is live again.
    pub fn run(&mut self) -> Option<&Violation> {
        while self.step() {}
        self.violation.as_ref()
    }

    /// Carries out the next event; `false` when the run is over.
    pub fn step(&mut self) -> bool {
        if self.violation.is_some() || self.liveness.is_over() {
            return false;
        }
        let Some(Scheduled { at, event, .. }) = self.heap.pop() else {
            return false;
        };
        self.events += 1;
        if self.events > EVENTS_MAX {
            self.break_promise("a run ends", None, format!("more than {EVENTS_MAX} events"));
            return false;
        }
        self.now = at;
        if let Some(process) = self.paused(&event) {
            self.processes[process].held.push(event);
            return true;
        }
        self.happen(event);
        self.check_liveness();
        true
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Frame {
                from,
                to,
                life,
                frame,
            } => {
                if self.processes[to].is_alive(life) {
                    self.receive(from, to, &frame);
                }
            }
            Event::Leave { from, to, frame } => self.send(from, to, &frame),
            Event::Written { process, life } => {
                if self.processes[process].is_alive(life) {
                    self.written(process);
                }
            }
            Event::Tick { process, life } => {
                // A tick that an earlier deadline has replaced would be followed by another one, for ever. One that was
                // due in a pause is late.
                let tick_at = self.processes[process].tick_at;
                let due = tick_at.is_some_and(|tick_at| tick_at <= self.now);
                if due && self.processes[process].is_alive(life) {
                    self.processes[process].tick_at = None;
                    let now = self.now;
                    self.with(process, |replica| replica.handle_tick(now));
                }
            }
            Event::Wake { process } => self.wake_sinner(process),
            Event::Client { process } => self.client(process),
            Event::Change { process, at } => self.ask_change(process, at),
            Event::Follow { process } => self.ask_follow(process),
            Event::Proposal {
                process,
                life,
                round,
                room,
            } => {
                if self.processes[process].is_alive(life) {
                    self.propose(process, round, room);
                    self.drain(process);
                }
            }
            Event::FaultBegins(fault) => self.begin_fault(fault),
            Event::FaultEnds(fault) => self.end_fault(fault),
            Event::FlapTurns { fault, apart } => self.turn_flap(fault, apart),
            Event::Restart { process, life } => {
                if self.processes[process].life == life && self.processes[process].is_down() {
                    self.start(process);
                }
            }
            Event::Resume { process } => self.resume(process),
            Event::Links => self.refresh_links(),
            Event::Heal => self.heal(),
        }
    }

    /// The paused process that an event would reach; it does nothing until it goes on.
    fn paused(&self, event: &Event) -> Option<usize> {
        let process = event.process()?;
        (self.processes[process].paused_until > self.now).then_some(process)
    }

    /// What came during a pause happens all at once.
    fn resume(&mut self, process: usize) {
        if self.processes[process].paused_until > self.now {
            return; // A longer pause began meanwhile.
        }
        for event in std::mem::take(&mut self.processes[process].held) {
            self.schedule(self.now, event);
        }
    }

    /// Sends a frame to a member of the process's epoch.
    fn send(&mut self, from: usize, to: ValidatorIndex, frame: &Bytes) {
        if self.processes[from].committee.member(to).is_some() {
            self.send_to(from, self.address(from, to), frame);
        }
    }

    /// Sends a frame to a validator, over the network.
    fn send_to(&mut self, from: usize, to: ValidatorIndex, frame: &Bytes) {
        let sender = &self.processes[from];
        let me = sender.validator;
        if !sender.hears[to.position()] || sender.is_crashed() {
            return;
        }
        let left_at = self.now.plus_us(sender.slow_us);
        for at in 0..self.of_validator[to.position()].len() {
            let receiver = self.of_validator[to.position()][at];
            let apart = self.is_apart(from, receiver);
            if apart || !self.processes[receiver].hears[me.position()] {
                continue;
            }
            self.frames += 1;
            let slow_us = self.processes[receiver].slow_us;
            let life = self.processes[receiver].life;
            for arrival in self
                .network
                .send(left_at, (me, to), frame.len())
                .into_iter()
                .flatten()
            {
                let frame = if arrival.corrupt {
                    self.flip_a_bit(frame)
                } else {
                    frame.clone()
                };
                let event = Event::Frame {
                    from: me,
                    to: receiver,
                    life,
                    frame,
                };
                self.schedule(arrival.at.plus_us(slow_us), event);
            }
        }
    }

    /// Whether the script puts two processes on different sides in the sender's round.
    fn is_apart(&self, from: usize, to: usize) -> bool {
        if self.plan.script.is_empty() || self.liveness.has_begun() {
            return false;
        }
        let replica = self.processes[from].replica.as_ref();
        let round = replica.map_or(0, |replica| replica.status().round.0.max(1) as usize);
        let split = round.checked_sub(1).and_then(|at| self.plan.script.get(at));
        split.is_some_and(|split| split >> from & 1 != split >> to & 1)
    }

    fn flip_a_bit(&mut self, frame: &Bytes) -> Bytes {
        let mut bytes = frame.to_vec();
        let bit = self.random.below(bytes.len() as u64 * 8);
        if let Some(byte) = bytes.get_mut(usize::try_from(bit / 8).unwrap_or(usize::MAX)) {
            *byte ^= 1 << (bit % 8);
        }
        bytes.into()
    }

    /// Sends a message to a member of the process's epoch.
    fn send_message(&mut self, from: usize, to: ValidatorIndex, message: &Message) {
        self.send_from(from, to, &message.encode());
    }

    /// Shows something that a correct validator did to every checker.
    fn observe(&mut self, process: usize, seen: &Observation<'_>) {
        if self.processes[process].is_sinner() || self.violation.is_some() {
            return;
        }
        let looked = &self.processes[process];
        let Some(validator) = looked.me else {
            return;
        };
        let scene = Scene {
            now: self.now,
            process,
            validator,
            committee: &looked.committee,
            origin: looked.origin,
            keys: &self.keys,
            disk: &looked.disk,
            blocks: &self.blocks,
            plan: &self.plan,
            links: &looked.links,
        };
        let plan = &self.plan;
        let of_epoch = self.checkers.entry(looked.committee.epoch());
        let of_epoch = of_epoch.or_insert_with(|| checker::all(plan));
        for checker in of_epoch.iter_mut().chain(&mut self.observers) {
            if let Err(how) = checker.look(&scene, seen) {
                self.violation = Some(Violation {
                    promise: checker.promise().to_owned(),
                    at: self.now,
                    validator: Some(scene.validator),
                    how,
                });
                return;
            }
        }
    }

    fn break_promise(&mut self, promise: &str, validator: Option<ValidatorIndex>, how: String) {
        self.violation.get_or_insert(Violation {
            promise: promise.to_owned(),
            at: self.now,
            validator,
            how,
        });
    }
}
