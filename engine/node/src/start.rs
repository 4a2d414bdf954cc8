//! Wires a node's threads together, and ends them in order.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam::channel::bounded;
use parking_lot::Mutex;
use probity_core::crypto::Keypair;
use probity_core::record::{RecordSource as _, RecordTable, epoch_key};
use probity_core::{
    CommitIndex, EpochRule, FixedCommittee, RecoverError, Recovered, Replica, VotedChanges,
};
use probity_transport::{InboxLimits, PeerId, inbox};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::chronicle::{Chronicle, Past};
use crate::commits::CommitLog;
use crate::config::Config;
use crate::core_thread::{Clock, Core, Ears, Habits, Hands};
use crate::desk::Desk;
use crate::error::Error;
use crate::health::{Health, panicked, spawn};
use crate::intake::{self, Intake, IntakeLimits};
use crate::links::{Identity, Links};
use crate::metrics::Metrics;
use crate::node::{NodeBuilder, Shared};
use crate::persist::{Durable, Persister};
use crate::records::Records;
use crate::retention::Retention;
use crate::serve::serve_queue;
use crate::transaction::WithChanges;
use crate::verified::Verified;
use crate::verify_pool::{self, Verifier};
use crate::wake::{Bell, ToCore};

/// Inputs that wait for the core.
const CORE_QUEUE: usize = 4096;
/// Questions that wait for the core.
const QUESTIONS: usize = 16;
/// Requests that wait for the disk.
const PERSIST_QUEUE: usize = 1024;

#[expect(
    clippy::too_many_lines,
    reason = "the one list of what is joined to what"
)]
pub(crate) fn start(builder: NodeBuilder) -> Result<Shared, Error> {
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
    let check = check.unwrap_or_else(|| config.check());
    let check = if habits.rule.name() == VotedChanges.name() {
        Arc::new(WithChanges(check))
    } else {
        check
    };
    let records = Records(Arc::clone(&storage));
    let (chronicle, past) = Chronicle::load(records.clone(), Arc::clone(&config.committee))?;
    let chronicle = Arc::new(chronicle);
    let retention = Retention::load(&*storage, &past, config.retain_bytes)?;

    let health = Arc::new(Health::default());
    let metrics = Arc::new(Metrics::new());
    let identity = Identity {
        key: config.signing.public(),
        network_key: PeerId::new(*Keypair::from_seed(&config.network_seed).public().as_bytes()),
    };
    let before = past.before.as_ref().map(|(before, _)| Arc::clone(before));
    let epochs = (before, Arc::clone(&past.running));
    let links = Links::new(transport, &identity, config.validators.clone(), epochs);
    let links = Arc::new(links);
    let clock = Clock::start();
    let (replica, last) = recover(&records, (&links, &past), (&habits, clock))?;
    let log = CommitLog::new(
        Arc::clone(&storage),
        Arc::clone(&chronicle),
        Arc::clone(&health),
        last,
    );
    let log = Arc::new(log);
    log.set_first(retention.first());
    let bell = Bell::default();
    let limits = IntakeLimits {
        transactions: config.tuning.intake_transactions,
        bytes: config.tuning.intake_bytes,
        block_bytes: config.tuning.block_bytes,
    };
    let intake = Intake::new(
        limits,
        Arc::clone(&check),
        (&health, &metrics),
        bell.clone(),
    );
    let intake = Arc::new(intake);
    if replica.is_some() {
        intake.open();
    }

    let status = Arc::new(Mutex::new(replica.as_ref().map(Replica::status)));
    let pool = Arc::new(verify_threads(config.tuning.verify_threads, &health)?);
    let (core_sender, inputs) = bounded(CORE_QUEUE);
    let (question_sender, questions) = bounded(QUESTIONS);
    let (persist_sender, jobs) = bounded(PERSIST_QUEUE);
    let (serve, server) = serve_queue(records, Arc::clone(&links), (&health, &metrics));
    let (again, turns) = bounded(verify_pool::TURNS_WAITING);
    let (inbox, receiver) = inbox(InboxLimits::default());
    let durable = Durable::default();

    let persister = Persister {
        storage: Arc::clone(&storage),
        jobs,
        durable: durable.clone(),
        core: bell.clone(),
        retention,
        log: Arc::clone(&log),
        health: Arc::clone(&health),
        metrics: Arc::clone(&metrics),
    };
    let verifier = Verifier {
        again,
        links: Arc::clone(&links),
        serve: serve.clone(),
        check,
        health: Arc::clone(&health),
        metrics: Arc::clone(&metrics),
        core: ToCore {
            inputs: core_sender,
            bell: bell.clone(),
        },
        pool: Arc::clone(&pool),
        verified: Verified::default(),
    };
    let verifier = Arc::new(verifier);
    let dispatcher = Arc::clone(&verifier);
    let hands = Hands {
        signing: config.signing,
        persist: persist_sender,
        links: Arc::clone(&links),
        serve,
        intake: Arc::clone(&intake),
        log: Arc::clone(&log),
        chronicle: Arc::clone(&chronicle),
        lag_max: config.tuning.application_lag_commits,
        status: Arc::clone(&status),
        health: Arc::clone(&health),
        metrics: Arc::clone(&metrics),
    };
    let core = Core::new(
        (replica, habits),
        clock,
        Ears {
            inputs,
            questions,
            bell: bell.clone(),
            durable,
        },
        hands,
    );
    let shared = Shared {
        intake: Arc::clone(&intake),
        log,
        links,
        chronicle,
        storage,
        desk: Desk::new(question_sender, bell),
        replica: status,
        health,
        metrics,
    };
    let threads = Threads {
        intake: Box::new(move || intake::run(&intake, &pool)),
        core: Box::new(move || core.run()),
        dispatch: Box::new(move || verify_pool::run(&dispatcher, &receiver)),
        turns: Box::new(move || verify_pool::give_turns(&verifier, &turns)),
        serve: Box::new(move || server.run()),
        persist: Box::new(move || persister.run()),
    };
    if let Err(error) = threads.start(&shared) {
        shared.health.stop(crate::health::StopReason::Requested);
        shared.health.finish();
        return Err(error);
    }
    shared.links.list();
    shared.links.transport().start(inbox);
    Ok(shared)
}

/// The replica of the running epoch, and the last commit; no replica for who is no member.
fn recover(
    records: &Records,
    (links, past): (&Links, &Past),
    (habits, clock): (&Habits, Clock),
) -> Result<(Option<Replica>, CommitIndex), Error> {
    let epoch = links.epoch();
    let Some(me) = epoch.me() else {
        let key = epoch_key(epoch.number());
        let chain = records.read(RecordTable::Epoch, &key)?;
        if chain.is_some_and(|chain| chain.as_ref() != epoch.committee().chain().as_bytes()) {
            return Err(Error::recover(RecoverError::OtherChain));
        }
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
            links.transport().stop();
            ended.finish();
            log.close();
        })?;
        Ok(())
    }
}
