//! One run from start to end: sign, start, load, drain, compare, report.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use probity::{Node, Tuning};
use probity_core::limits::TRANSACTION_BYTES_MAX;

use crate::Failure;
use crate::arguments::{ClusterOptions, LocalOptions, TransactionKind};
use crate::check::{Strangers, Verdict, check};
use crate::cluster::{Cluster, Plan};
use crate::explain;
use crate::ledger::Ledger;
use crate::load::{Client, Load};
use crate::machine::{self, Machine};
use crate::pool::{Pace, Pool, SIGNED_BYTES_MIN, SigningPlan};
use crate::reader::{Delivered, Progress, Reader};
use crate::report::{LatencyMs, Report};

mod watch;

use watch::{Window, take_recent, watch};

/// Clients of each validator that together keep it busy: while one waits for its answer, the other
/// hands over.
const SATURATING_CLIENTS: usize = 2;
/// How long validators may take until the first commit, and to deliver what was accepted.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often something awaited is looked for.
const GLANCE: Duration = Duration::from_millis(10);

/// Runs it, and prints what came of it.
pub(crate) fn run(options: &LocalOptions) -> Result<(), Failure> {
    let capacity = capacity(options)?;
    let plan = Plan::new(options)?;
    if let Some(home) = plan.home() {
        println!(
            "data in {} ({})",
            home.display(),
            machine::file_system(home)
        );
    }
    let pool = Arc::new(make_pool(options, &plan, capacity));
    let ledger = Arc::new(Ledger::new(capacity));
    let signed_bytes = machine::anonymous_bytes();
    let strangers = plan.strangers();
    let cluster = plan.start()?;
    let readers = Readers::start(&cluster, &pool, &ledger)?;
    let run = Run {
        options,
        nodes: &cluster.nodes,
        progress: &readers.progress,
        pool,
        ledger,
    };
    let loaded = run.load();
    let drained = loaded.as_ref().map_or(Ok(()), |_| run.drain());
    let rest = take_recent(run.progress);
    let memory_bytes = machine::anonymous_bytes();
    let stored_bytes = cluster.stored_bytes();
    let ledger = run.ledger;
    let delivered = readers.stop();
    cluster.stop();

    let mut verdict = check(&delivered, &ledger, strangers);
    verdict.problems.extend(drained.err());
    let mut window = match loaded {
        Ok(window) => window,
        Err(why) => {
            verdict.problems.push(why);
            return conclude(&verdict, 0, strangers);
        }
    };
    window
        .latencies
        .add(&rest)
        .expect("both have the same bounds");
    let mut report = report(options, &window, &delivered);
    report.stored_bytes = stored_bytes;
    report.rss_bytes_max = report.rss_bytes_max.max(memory_bytes);
    let grown = memory_bytes.saturating_sub(signed_bytes);
    report.rss_bytes_per_validator = grown / options.cluster.validators as u64;
    report.sequences_identical = verdict.sequences_identical;
    println!("\n{report}");
    if let Some(path) = &options.json {
        write_json(path, &report)?;
    }
    if let Some(path) = &options.plot {
        explain::plot_stored(cluster.storage(), &cluster.committee, path)?;
    }
    conclude(&verdict, window.accepted, strangers)
}

/// Says that all is well, or what is not.
fn conclude(verdict: &Verdict, accepted: u64, strangers: Strangers) -> Result<(), Failure> {
    if !verdict.problems.is_empty() {
        return Err(Failure::Fault(verdict.problems.join("\nerror: ")));
    }
    let compared = verdict.compared_to;
    println!(
        "all {accepted} accepted transactions delivered once by every validator, in one order"
    );
    match strangers {
        Strangers::Impossible => println!("sequences compared from the start to commit {compared}"),
        Strangers::Possible => println!("sequences of this run compared to commit {compared}"),
    }
    Ok(())
}

fn write_json(path: &Path, report: &Report) -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(report).map_err(Failure::fault)?;
    text.push('\n');
    fs::write(path, text)
        .map_err(|why| Failure::Fault(format!("cannot write {}: {why}", path.display())))
}

/// How many transactions to prepare. More than can be committed, when that is not known before.
fn capacity(options: &LocalOptions) -> Result<usize, Failure> {
    let LocalOptions {
        cluster,
        duration,
        size,
        ..
    } = options;
    let signed = cluster.transactions == TransactionKind::Signed;
    if signed && *size < SIGNED_BYTES_MIN {
        return Err(Failure::Usage(format!(
            "--size {size} is not allowed for signed transactions; allowed: {SIGNED_BYTES_MIN} to {TRANSACTION_BYTES_MAX}"
        )));
    }
    if signed && options.rate.is_none() && *duration > Pace::FREE_MAX {
        return Err(Failure::Usage(format!(
            "--duration {duration:?} is not allowed without --rate: signed transactions expire; allowed: up to {:?}",
            Pace::FREE_MAX
        )));
    }
    // The ledger takes 5 bytes for each, and a bit at each validator.
    let bytes_each = if signed { size + 6 } else { 6 };
    let fitting =
        usize::try_from(machine::available_bytes() / 3).unwrap_or(usize::MAX) / bytes_each;
    let lasting = |rate: u64| {
        let total = u128::from(rate) * duration.as_millis();
        usize::try_from(total.div_ceil(1000)).unwrap_or(usize::MAX)
    };
    let Some(rate) = options.rate else {
        // At the end of the load the validators' queues are full of what they have accepted.
        let queued = cluster.validators * Tuning::default().intake_transactions;
        return Ok(fitting.min(lasting(rate_hoped_for(cluster)).saturating_add(queued)));
    };
    let wanted = lasting(rate);
    if wanted > fitting {
        let allowed = fitting as u128 * 1000 / duration.as_millis();
        return Err(Failure::Usage(format!(
            "--rate {rate} is not allowed: {wanted} transactions do not fit a third of the free memory; allowed: up to {allowed}"
        )));
    }
    Ok(wanted)
}

/// More transactions a second than this machine will get committed.
fn rate_hoped_for(cluster: &ClusterOptions) -> u64 {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    match cluster.transactions {
        // Every validator verifies every signature, so processors are shared among them.
        TransactionKind::Signed => {
            (90_000 * cores as u64 / cluster.validators as u64).clamp(10_000, 150_000)
        }
        TransactionKind::Opaque => 1_000_000,
    }
}

fn make_pool(options: &LocalOptions, plan: &Plan, transactions: usize) -> Pool {
    match options.cluster.transactions {
        TransactionKind::Opaque => Pool::opaque(transactions, options.size),
        TransactionKind::Signed => {
            println!("signing up to {transactions} transactions ...");
            let started = Instant::now();
            let duration = options.duration;
            let pool = Pool::signed(&SigningPlan {
                network: plan.network(),
                transactions,
                transaction_bytes: options.size,
                pace: options
                    .rate
                    .map_or(Pace::Free(duration), |_| Pace::Even(duration)),
            });
            let (seconds, mib) = (started.elapsed().as_secs_f64(), pool.bytes() >> 20);
            println!("signed {transactions} transactions in {seconds:.1} s; they take {mib} MiB");
            pool
        }
    }
}

/// Everything that a run holds while its validators work.
struct Run<'a> {
    options: &'a LocalOptions,
    nodes: &'a [Node],
    progress: &'a [Arc<Progress>],
    pool: Arc<Pool>,
    ledger: Arc<Ledger>,
}

impl Run<'_> {
    /// Loads the validators for the duration asked for, and measures.
    fn load(&self) -> Result<Window, String> {
        let nodes = self.nodes;
        let per_validator = if self.options.rate.is_some() {
            1
        } else {
            SATURATING_CLIENTS
        };
        let starts = self.ledger.elapsed();
        let load = Load {
            pool: Arc::clone(&self.pool),
            ledger: Arc::clone(&self.ledger),
            starts,
            ends: starts + self.options.duration,
            clients: nodes.len() * per_validator,
            next_chunk: AtomicUsize::new(0),
            accepted: AtomicU64::new(0),
            ended_early: AtomicUsize::new(0),
        };
        let (window, faults) = thread::scope(|scope| {
            let client = |number| {
                let validator = number % nodes.len();
                let client = Client {
                    number,
                    validator,
                    node: &nodes[validator],
                    load: &load,
                };
                scope.spawn(move || client.run(self.options.rate))
            };
            let clients: Vec<_> = (0..load.clients).map(client).collect();
            let window = watch(&load, self.progress);
            let faults: Vec<String> = clients
                .into_iter()
                .filter_map(|client| client.join().expect("a client does not panic").err())
                .collect();
            (window, faults)
        });
        if !faults.is_empty() {
            return Err(faults.join("\nerror: "));
        }
        if load.ended_early.load(Ordering::Relaxed) > 0 {
            let (count, seconds) = (self.pool.transactions(), window.lasted.as_secs_f64());
            println!("all {count} transactions prepared were used up after {seconds:.1} s");
        }
        // The clients' last answers may have come after the window closed.
        Ok(Window {
            accepted: load.accepted.load(Ordering::Relaxed),
            ..window
        })
    }

    /// Waits until every validator has delivered all that was accepted and stands at one commit.
    fn drain(&self) -> Result<(), String> {
        let accepted = (0..self.ledger.len())
            .filter(|at| self.ledger.accepted(*at))
            .count() as u64;
        let progress = self.progress;
        let deadline = Instant::now() + PATIENCE;
        let all = |reached: &dyn Fn(&Progress) -> bool| {
            while !progress.iter().all(|progress| reached(progress)) {
                if Instant::now() > deadline {
                    return false;
                }
                thread::sleep(GLANCE);
            }
            true
        };
        if !all(&|progress| progress.delivered.load(Ordering::Acquire) >= accepted) {
            let seconds = PATIENCE.as_secs();
            return Err(format!(
                "not all was delivered {seconds} s after the load ended"
            ));
        }
        let index = |progress: &Arc<Progress>| progress.last_index.load(Ordering::Acquire);
        let target = progress.iter().map(index).max().unwrap_or(0);
        if !all(&|progress| progress.last_index.load(Ordering::Acquire) >= target) {
            return Err(format!("not every validator reached commit {target}"));
        }
        Ok(())
    }
}

/// One reader a validator.
struct Readers {
    progress: Vec<Arc<Progress>>,
    threads: Vec<thread::JoinHandle<Delivered>>,
}

impl Readers {
    /// Starts them, and waits until all validators are linked and each reader has read a commit.
    fn start(cluster: &Cluster, pool: &Arc<Pool>, ledger: &Arc<Ledger>) -> Result<Self, Failure> {
        let mut readers = Self {
            progress: Vec::new(),
            threads: Vec::new(),
        };
        for (validator, node) in cluster.nodes.iter().enumerate() {
            let progress = Arc::new(Progress::new());
            let reader = Reader {
                validator,
                after: cluster.after,
                pool: Arc::clone(pool),
                ledger: Arc::clone(ledger),
                progress: Arc::clone(&progress),
            };
            let stream = node.commits_after(cluster.after);
            let thread = thread::Builder::new().name(format!("reader-{validator}"));
            let thread = thread
                .spawn(move || reader.run(stream))
                .map_err(Failure::fault)?;
            readers.progress.push(progress);
            readers.threads.push(thread);
        }
        let deadline = Instant::now() + PATIENCE;
        let others = cluster.nodes.len() - 1;
        let ready = |(node, progress): (&Node, &Arc<Progress>)| {
            progress.last_index.load(Ordering::Acquire) > 0 && node.status().peers_up == others
        };
        while !cluster.nodes.iter().zip(&readers.progress).all(ready) {
            if Instant::now() > deadline {
                let why = format!(
                    "no links and commits everywhere within {} s",
                    PATIENCE.as_secs()
                );
                return Err(Failure::Fault(why));
            }
            thread::sleep(GLANCE);
        }
        Ok(readers)
    }

    fn stop(self) -> Vec<Delivered> {
        self.progress.iter().for_each(|progress| progress.stop());
        let join = |thread: thread::JoinHandle<Delivered>| thread.join();
        let joined = self.threads.into_iter().map(join);
        joined
            .map(|seen| seen.expect("a reader does not panic"))
            .collect()
    }
}

fn report(options: &LocalOptions, window: &Window, delivered: &[Delivered]) -> Report {
    let LocalOptions {
        cluster,
        size,
        storage,
        transport,
        ..
    } = options;
    let seconds = window.lasted.as_secs_f64();
    let accepted_per_s = window.accepted as f64 / seconds;
    Report {
        validators: cluster.validators,
        profile: cluster.profile.to_string(),
        transactions: cluster.transactions.to_string(),
        size_bytes: *size,
        transport: transport.to_string(),
        storage: storage.to_string(),
        crypto_backend: probity_core::crypto::backend().to_owned(),
        duration_s: seconds,
        offered_tx_per_s: options.rate.map_or(accepted_per_s, |rate| rate as f64),
        committed_tx_per_s: window.committed as f64 / seconds,
        latency_ms: LatencyMs::of(&window.latencies),
        commits: window.commits,
        rounds_per_s: window.rounds as f64 / seconds,
        epoch_changes: window.epoch_changes,
        gap_ms_max: window.gap.as_secs_f64() * 1e3,
        change_gap_ms_max: window.change_gap.as_secs_f64() * 1e3,
        decisions: delivered[0].decisions.into(),
        cpu_us_per_tx: window.cpu.as_secs_f64() * 1e6 / window.committed.max(1) as f64,
        rss_bytes_max: window.rss_bytes_max,
        rss_bytes_per_validator: 0,
        stored_bytes: 0,
        sequences_identical: false,
        machine: Machine::this(),
    }
}
