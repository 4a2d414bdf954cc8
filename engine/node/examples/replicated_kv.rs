//! A key-value store on top of the sequence, which keeps its commit index together with its state.
//!
//! ```text
//! cargo run --release -p probity --example replicated_kv -- --data /tmp/kv
//! kill -9 <its pid>
//! cargo run --release -p probity --example replicated_kv -- --data /tmp/kv
//! ```
//!
//! The state and the index of the last commit in it are written in one batch: both are on the disk,
//! or neither is. After a restart the application asks for the commits after that index, and each
//! put is applied exactly once, however the process ended. To show it, the whole state is rebuilt
//! from the first commit at each start and compared with the one that was kept.
//!
//! One validator here, over QUIC and LMDB; with four, nothing in this file would change but the
//! number in [`InitOptions`].

use std::collections::BTreeMap;
use std::error::Error;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser;
use probity::{
    Addresses, Commit, CommitIndex, CommitsEnd, Config, EpochTerms, InitOptions, LmdbStorage, Node,
    Profile, SubmitError, TransactionKind,
};
use probity_storage::{Batch, Scan, Storage, Table};

const PAIRS: Table = Table::new(0);
const APPLIED: Table = Table::new(1);
const APPLIED_KEY: &[u8] = b"applied";

/// The load: this many puts in every pause, over this many keys.
const BATCH: u64 = 10;
const PAUSE: Duration = Duration::from_millis(20);
const KEYS: u64 = 1000;
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Commits that are written in one batch, at most.
const BATCH_COMMITS_MAX: usize = 256;

/// A key-value store on top of the sequence.
#[derive(Parser)]
struct Arguments {
    /// Where everything is kept; made on first use.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
}

fn main() -> Result<(), Box<dyn Error>> {
    let data = Arguments::parse().data;
    if !data.join("committee.toml").exists() {
        init(&data)?;
    }
    let node = start(&data)?;
    let mut store = Store::open(&data.join("application"))?;
    println!("process {}", std::process::id());
    println!(
        "resumes after commit {}: {}",
        store.applied.index,
        store.describe()?
    );
    match rebuild(&node, store.applied)? {
        Some(hash) if hash == store.hash()? => println!("the same state as rebuilt from commit 1"),
        Some(hash) => return Err(format!("the state rebuilt from commit 1 has hash {hash}").into()),
        None => println!("not rebuilt for comparison: the first commits are no longer kept"),
    }
    let (client, first) = (node.clone(), store.applied.puts);
    thread::spawn(move || {
        if let Err(why) = submit(&client, first) {
            eprintln!("no more load: {why}");
        }
    });
    apply(&node, &mut store)
}

fn init(data: &Path) -> Result<(), Box<dyn Error>> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let options = InitOptions {
        validators: 1,
        profile: Profile::default(),
        transactions: TransactionKind::Opaque,
        epochs: EpochTerms::default(),
        addresses: Addresses::Listed(vec![socket.local_addr()?]),
    };
    probity::init(data, &options)?;
    Ok(())
}

fn start(data: &Path) -> Result<Node, Box<dyn Error>> {
    let config = Config::load(data.join("node-0.toml"))?;
    let (storage, transport) = (config.open_lmdb()?, config.bind_quic()?);
    Ok(Node::builder(config)
        .storage(storage)
        .transport(transport)
        .start()?)
}

/// Submits puts for ever, numbered from `first`.
fn submit(node: &Node, first: u64) -> Result<(), SubmitError> {
    let mut next = first;
    loop {
        let put = |n: u64| Bytes::from(format!("key-{}={n}", n % KEYS));
        for answer in node.submit_batch_blocking((next..next + BATCH).map(put).collect()) {
            match answer {
                Ok(_) | Err(SubmitError::Busy { .. }) => {}
                Err(why) => return Err(why),
            }
        }
        next += BATCH;
        thread::sleep(PAUSE);
    }
}

/// Applies every commit after the last one applied, and prints the state each second.
fn apply(node: &Node, store: &mut Store) -> Result<(), Box<dyn Error>> {
    let mut commits = node.commits_after(store.applied.index);
    let mut report_at = Instant::now() + REPORT_INTERVAL;
    loop {
        let left = report_at.saturating_duration_since(Instant::now());
        // Waits for one commit, and takes along what else is there.
        let mut waiting: Vec<_> = commits.next_timeout(left)?.into_iter().collect();
        while waiting.len() < BATCH_COMMITS_MAX {
            let Some(commit) = commits.next_timeout(Duration::ZERO)? else {
                break;
            };
            waiting.push(commit);
        }
        if !waiting.is_empty() {
            store.apply(waiting.iter().map(AsRef::as_ref))?;
        }
        if left.is_zero() {
            println!("commit {}: {}", store.applied.index, store.describe()?);
            report_at = Instant::now() + REPORT_INTERVAL;
        }
    }
}

/// The hash of the state at `applied`, from the first commit on; `None` when that is no longer kept.
fn rebuild(node: &Node, applied: Applied) -> Result<Option<String>, Box<dyn Error>> {
    let mut pairs = BTreeMap::new();
    let mut commits = node.commits_after(CommitIndex::GENESIS);
    while commits.position() < applied.index {
        let Some(commit) = commits.next_blocking() else {
            return match commits.why_ended() {
                Some(CommitsEnd::Removed { .. }) => Ok(None),
                end => Err(format!("the rebuild ended: {end:?}").into()),
            };
        };
        for transaction in commit.transactions() {
            if let Some((key, value)) = parse(&transaction) {
                pairs.insert(key, value);
            }
        }
    }
    let mut hasher = blake3::Hasher::new();
    pairs
        .iter()
        .for_each(|(key, value)| hash_pair(&mut hasher, (key, value)));
    Ok(Some(hasher.finalize().to_hex()[..16].to_owned()))
}

/// How far the state is.
#[derive(Clone, Copy, Debug)]
struct Applied {
    /// The last commit in it.
    index: CommitIndex,
    /// Puts in it, all in all.
    puts: u64,
}

/// The pairs, and how far they are.
struct Store {
    storage: LmdbStorage,
    applied: Applied,
}

impl Store {
    fn open(path: &Path) -> Result<Self, Box<dyn Error>> {
        let storage = LmdbStorage::open(path)?;
        let applied = match storage.read(APPLIED, APPLIED_KEY)? {
            None => Applied {
                index: CommitIndex::GENESIS,
                puts: 0,
            },
            Some(bytes) => {
                let (index, puts) = bytes.split_at_checked(8).ok_or("a short index")?;
                let number = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes);
                Applied {
                    index: CommitIndex(number(index)?),
                    puts: number(puts)?,
                }
            }
        };
        Ok(Self { storage, applied })
    }

    /// Writes the puts of these commits and their last index, all or nothing.
    fn apply<'a>(
        &mut self,
        commits: impl Iterator<Item = &'a Commit>,
    ) -> Result<(), Box<dyn Error>> {
        let mut batch = Batch::new();
        let mut applied = self.applied;
        for commit in commits {
            assert_eq!(
                commit.index(),
                applied.index.next(),
                "commits come without a gap"
            );
            applied.index = commit.index();
            for transaction in commit.transactions() {
                // Anybody may have submitted it: what is no put is passed over, on every validator.
                if let Some((key, value)) = parse(&transaction) {
                    batch.put(PAIRS, key, value);
                    applied.puts += 1;
                }
            }
        }
        let bytes = [applied.index.0.to_le_bytes(), applied.puts.to_le_bytes()].concat();
        batch.put(APPLIED, APPLIED_KEY, bytes);
        self.storage.write(&batch)?;
        self.applied = applied;
        Ok(())
    }

    fn hash(&self) -> Result<String, Box<dyn Error>> {
        let mut hasher = blake3::Hasher::new();
        self.storage.scan(PAIRS, b"", &mut |key, value| {
            hash_pair(&mut hasher, (key, value));
            Scan::Continue
        })?;
        Ok(hasher.finalize().to_hex()[..16].to_owned())
    }

    fn describe(&self) -> Result<String, Box<dyn Error>> {
        Ok(format!(
            "{} puts, state {}",
            self.applied.puts,
            self.hash()?
        ))
    }
}

/// `key=value`, with a key that the storage takes.
fn parse(transaction: &Bytes) -> Option<(Bytes, Bytes)> {
    let at = transaction.iter().position(|byte| *byte == b'=')?;
    let is_key = (1..=probity_storage::KEY_BYTES_MAX).contains(&at);
    is_key.then(|| (transaction.slice(..at), transaction.slice(at + 1..)))
}

fn hash_pair(hasher: &mut blake3::Hasher, (key, value): (&[u8], &[u8])) {
    for part in [key, value] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
}
