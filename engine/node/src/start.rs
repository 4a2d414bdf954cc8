//! Wires a node's threads together, and ends them in order.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use probity_core::{CommitIndex, EpochRule, FixedCommittee, Recovered, Replica, VotedChanges};
use probity_transport::{InboxLimits, InboxReceiver, Transport, inbox};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::chronicle::{Chronicle, Past};
use crate::commits::CommitLog;
use crate::config::Config;
use crate::core_queue::core_queue;
use crate::core_thread::{Clock, Core, Ears, Habits, Hands};
use crate::desk::{Desk, Question};
use crate::error::Error;
use crate::health::{Health, panicked, spawn};
use crate::intake::{self, Intake, IntakeLimits};
use crate::links::{Identity, Links};
use crate::metrics::Metrics;
use crate::node::{NodeBuilder, Shared};
use crate::persist::{Durable, Job, Persister};
use crate::records::Records;
use crate::retention::Retention;
use crate::serve::{ServeQueue, serve_queue};
use crate::transaction::{ClientCheck, WithChanges};
use crate::verified::Verified;
use crate::verify_pool::{self, Verifier};
use crate::wake::Bell;

/// Questions that wait for the core.
const QUESTIONS: usize = 16;
/// Requests that wait for the disk.
const PERSIST_QUEUE: usize = 1024;

/// Reads the store, joins the threads to each other, and starts them.
pub(crate) fn start(builder: NodeBuilder) -> Result<Shared, Error> {
    let (inbox, receiver) = inbox(InboxLimits::default());
    let (shared, threads) = Prepared::new(builder)?.join(receiver)?;
    if let Err(error) = threads.start(&shared) {
        shared.health.stop(crate::health::StopReason::Requested);
        shared.health.finish();
        return Err(error);
    }
    shared.links.list();
    shared.links.transport().start(inbox);
    Ok(shared)
}

/// What was found in the store, and everything that more than one thread holds.
struct Prepared {
    config: Config,
    check: Arc<dyn ClientCheck>,
    habits: Habits,
    clock: Clock,
    replica: Option<Replica>,
    retention: Retention,
    bell: Bell,
    questions: Receiver<Question>,
    shared: Shared,
}

impl Prepared {
    fn new(builder: NodeBuilder) -> Result<Self, Error> {
        let NodeBuilder {
            config,
            storage,
            transport,
            check,
            rule,
        } = builder;
        config.tuning.check()?;
        let storage = storage.ok_or(Error::Missing("storage"))?;
        let transport = transport.ok_or(Error::Missing("transport"))?;
        let habits = habits(&config, rule)?;
        let check = with_changes(check_of(&config, check)?, &habits);
        let records = Records(Arc::clone(&storage));
        let (chronicle, past) = Chronicle::load(records.clone(), Arc::clone(&config.committee))?;
        let chronicle = Arc::new(chronicle);
        let retention = Retention::load(&*storage, &past, config.retain_bytes)?;

        let health = Arc::new(Health::default());
        let metrics = Arc::new(Metrics::new());
        let links = Arc::new(links(&config, transport, &past));
        let clock = Clock::start();
        let (replica, last) = recover(&records, (&links, &chronicle, &past), (&habits, clock))?;
        let log = CommitLog::new(
            Arc::clone(&storage),
            Arc::clone(&chronicle),
            Arc::clone(&health),
            last,
        );
        log.set_first(retention.first());
        let bell = Bell::default();
        let intake = Intake::new(
            intake_limits(&config),
            Arc::clone(&check),
            (&health, &metrics),
            bell.clone(),
        );
        if replica.is_some() {
            intake.open();
        }
        let (question_sender, questions) = bounded(QUESTIONS);
        let shared = Shared {
            intake: Arc::new(intake),
            log: Arc::new(log),
            links,
            chronicle,
            storage,
            desk: Desk::new(question_sender, bell.clone()),
            replica: Arc::new(Mutex::new(replica.as_ref().map(Replica::status))),
            health,
            metrics,
        };
        Ok(Self {
            config,
            check,
            habits,
            clock,
            replica,
            retention,
            bell,
            questions,
            shared,
        })
    }

    /// The queues between the threads, and what each of them does.
    fn join(self, receiver: InboxReceiver) -> Result<(Shared, Threads), Error> {
        let shared = self.shared;
        let (health, metrics) = (&shared.health, &shared.metrics);
        let pool = verify_threads(self.config.tuning.verify_threads, health)?;
        let pool = Arc::new(pool);
        let (core, inputs) = core_queue(self.bell.clone());
        let (persist_sender, jobs) = bounded(PERSIST_QUEUE);
        let records = Records(Arc::clone(&shared.storage));
        let (serve, server) = serve_queue(records, Arc::clone(&shared.links), (health, metrics));
        let (again, turns) = bounded(verify_pool::TURNS_WAITING);
        let durable = Durable::default();
        let persister = Persister {
            storage: Arc::clone(&shared.storage),
            jobs,
            durable: durable.clone(),
            core: self.bell.clone(),
            retention: self.retention,
            log: Arc::clone(&shared.log),
            health: Arc::clone(health),
            metrics: Arc::clone(metrics),
        };
        let verifier = Arc::new(Verifier {
            again,
            links: Arc::clone(&shared.links),
            serve: serve.clone(),
            check: self.check,
            health: Arc::clone(health),
            metrics: Arc::clone(metrics),
            core,
            pool: Arc::clone(&pool),
            verified: Verified::default(),
        });
        let ears = Ears {
            inputs,
            questions: self.questions,
            bell: self.bell,
            durable,
        };
        let hands = hands(&shared, self.config, (persist_sender, serve));
        let core = Core::new((self.replica, self.habits), self.clock, ears, hands);
        let dispatcher = Arc::clone(&verifier);
        let intake = Arc::clone(&shared.intake);
        let threads = Threads {
            intake: Box::new(move || intake::run(&intake, &pool)),
            core: Box::new(move || core.run()),
            dispatch: Box::new(move || verify_pool::run(&dispatcher, &receiver)),
            turns: Box::new(move || verify_pool::give_turns(&verifier, &turns)),
            serve: Box::new(move || server.run()),
            persist: Box::new(move || persister.run()),
        };
        Ok((shared, threads))
    }
}

/// The check that the committee agreed on, given or built in.
fn check_of(
    config: &Config,
    given: Option<Arc<dyn ClientCheck>>,
) -> Result<Arc<dyn ClientCheck>, Error> {
    let named = config.committee.check();
    let check = given.or_else(|| config.check());
    match check {
        Some(check) if check.name() == named => Ok(check),
        other => Err(Error::Check {
            named: named.to_owned(),
            given: other.map(|check| check.name().to_owned()),
        }),
    }
}

/// The check of transactions; those that ask for changes are valid where changes are voted for.
fn with_changes(check: Arc<dyn ClientCheck>, habits: &Habits) -> Arc<dyn ClientCheck> {
    if habits.rule.name() == VotedChanges.name() {
        Arc::new(WithChanges(check))
    } else {
        check
    }
}

fn links(config: &Config, transport: Arc<dyn Transport>, past: &Past) -> Links {
    let identity = Identity {
        key: config.signing.public(),
        network_key: config.peer_id(),
    };
    let before = past.before.as_ref().map(|(before, _)| Arc::clone(before));
    let epochs = (before, Arc::clone(&past.running));
    let listed = (config.validators.clone(), config.contacts.clone());
    Links::new(transport, &identity, listed, epochs)
}

fn intake_limits(config: &Config) -> IntakeLimits {
    IntakeLimits {
        transactions: config.tuning.intake_transactions,
        bytes: config.tuning.intake_bytes,
        block_bytes: config.tuning.block_bytes,
    }
}

/// What the core speaks to.
fn hands(shared: &Shared, config: Config, (persist, serve): (Sender<Job>, ServeQueue)) -> Hands {
    Hands {
        signing: config.signing,
        persist,
        links: Arc::clone(&shared.links),
        serve,
        intake: Arc::clone(&shared.intake),
        log: Arc::clone(&shared.log),
        chronicle: Arc::clone(&shared.chronicle),
        lag_max: config.tuning.application_lag_commits,
        status: Arc::clone(&shared.replica),
        health: Arc::clone(&shared.health),
        metrics: Arc::clone(&shared.metrics),
    }
}

/// The replica of the running epoch, and the last commit; no replica for who is no member.
fn recover(
    records: &Records,
    (links, chronicle, past): (&Links, &Chronicle, &Past),
    (habits, clock): (&Habits, Clock),
) -> Result<(Option<Replica>, CommitIndex), Error> {
    let epoch = links.epoch();
    let Some(me) = epoch.me() else {
        chronicle.check_chain(epoch.committee())?;
        let last = past.before.as_ref().map(|(_, end)| end.record.index);
        return Ok((None, last.unwrap_or(CommitIndex::GENESIS)));
    };
    let recovered = Recovered::load(records, epoch.committee(), me).map_err(Error::recover)?;
    let last = recovered.last_commit();
    let config = habits.config(&epoch, me);
    Ok((Some(Replica::new(config, recovered, clock.now())), last))
}

/// How this node's replicas are made, with the epoch rule that the committee's file names.
fn habits(config: &Config, given: Option<Arc<dyn EpochRule>>) -> Result<Habits, Error> {
    let us = |delay: std::time::Duration| u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
    let named = &config.committee.epochs().rule;
    let rule: Arc<dyn EpochRule> = match given {
        Some(rule) => rule,
        None if *named == VotedChanges.name() => Arc::new(VotedChanges),
        None => Arc::new(FixedCommittee),
    };
    if rule.name() != named {
        return Err(Error::Rule {
            named: named.clone(),
            given: rule.name().to_owned(),
        });
    }
    Ok(Habits {
        min_round_delay_us: us(config.tuning.min_round_delay),
        idle_round_delay_us: us(config.tuning.idle_round_delay),
        rule,
    })
}

fn verify_threads(count: usize, health: &Arc<Health>) -> Result<ThreadPool, Error> {
    let health = Arc::clone(health);
    let pool = ThreadPoolBuilder::new()
        .num_threads(count)
        .thread_name(|index| format!("probity-verify-{index}"))
        .panic_handler(move |panic| health.stop(panicked("verify", panic.as_ref())))
        .build()?;
    Ok(pool)
}

type Body = Box<dyn FnOnce() + Send>;

/// What each thread does.
struct Threads {
    intake: Body,
    core: Body,
    dispatch: Body,
    turns: Body,
    serve: Body,
    persist: Body,
}

impl Threads {
    /// Starts them all, and one more that waits for their end and then stops the transport.
    fn start(self, shared: &Shared) -> Result<(), Error> {
        let health = &shared.health;
        // The order in which they are waited for: each is fed by those before it.
        let handles = [
            spawn("intake", health, self.intake)?,
            spawn("core", health, self.core)?,
            spawn("dispatch", health, self.dispatch)?,
            spawn("turns", health, self.turns)?,
            spawn("serve", health, self.serve)?,
            spawn("persist", health, self.persist)?,
        ];
        let (links, log, intake) = (
            Arc::clone(&shared.links),
            Arc::clone(&shared.log),
            Arc::clone(&shared.intake),
        );
        let ended = Arc::clone(health);
        spawn("keeper", health, move || {
            for handle in handles {
                // A panic was caught inside the thread.
                let _: Result<(), _> = JoinHandle::join(handle);
            }
            intake.abandon();
            let stop = AssertUnwindSafe(|| links.transport().stop());
            if let Err(panic) = catch_unwind(stop) {
                // Whoever waits for the end must not wait for ever.
                ended.stop(panicked("keeper", panic.as_ref()));
            }
            ended.finish();
            log.close();
        })?;
        Ok(())
    }
}
