//! Four validators in four processes on this machine, each with its own load.
//!
//! ```text
//! cargo run --release -p probity --example four_nodes -- --data /tmp/four
//! kill -9 <pid of validator 2>                     # the others go on
//! cargo run --release -p probity --example four_nodes -- --data /tmp/four --only 2
//! ```
//!
//! The first start makes keys and configurations in the directory, at ports that are free then. Every
//! second each process prints where it stands. `node-N.log` holds the same lines, and the digest of
//! the sequence at every 100th commit. A commit's digest covers the commit before it, so two
//! validators that name the same digest have the same sequence up to there. This prints every commit
//! that they do not agree on, so it should print nothing:
//!
//! ```text
//! grep -h '^commit ' /tmp/four/node-*.log | sort -u | cut -d' ' -f2 | uniq -d
//! ```

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use clap::Parser;
use probity::{
    Addresses, CommitIndex, Config, Digest, Envelope, EpochTerms, InitOptions, Keypair, Node,
    Profile, SubmitError, TransactionKind,
};

const VALIDATORS: usize = 4;
/// Each validator's clients submit this many transactions in every pause: 200 a second.
const BATCH: usize = 10;
const PAUSE: Duration = Duration::from_millis(50);
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
const DIGEST_EVERY_COMMITS: u64 = 100;

/// Four validators in four processes on this machine, each with its own load.
#[derive(Parser)]
struct Arguments {
    /// Where keys, configurations, data and logs are; made on first use.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Run this one validator in the foreground, 0 to 3.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..4))]
    only: Option<u8>,
    /// End when standard input does: so no process outlives the one that started it.
    #[arg(long, hide = true)]
    child: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    if !arguments.data.join("committee.toml").exists() {
        init(&arguments.data)?;
    }
    let Some(validator) = arguments.only else {
        return run_all(&arguments.data);
    };
    if arguments.child {
        thread::spawn(|| {
            let _ = io::stdin().read_to_end(&mut Vec::new());
            std::process::exit(0);
        });
    }
    run_one(&arguments.data, validator)
}

/// Makes a network with ports that are free now.
fn init(data: &Path) -> Result<(), Box<dyn Error>> {
    // All sockets are held until all ports are known, or one might be offered twice.
    let sockets: Vec<UdpSocket> = (0..VALIDATORS)
        .map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<Result<_, _>>()?;
    let addresses: Vec<SocketAddr> = sockets
        .iter()
        .map(UdpSocket::local_addr)
        .collect::<Result<_, _>>()?;
    let options = InitOptions {
        validators: VALIDATORS,
        profile: Profile::default(),
        transactions: TransactionKind::SignedEnvelope,
        epochs: EpochTerms::default(),
        addresses: Addresses::Listed(addresses),
    };
    let report = probity::init(data, &options)?;
    println!("new network {} in {}", report.network, data.display());
    Ok(())
}

/// Starts every validator as a process of its own, and says when one ends.
fn run_all(data: &Path) -> Result<(), Box<dyn Error>> {
    let mut children: Vec<(usize, Child)> = Vec::with_capacity(VALIDATORS);
    for validator in 0..VALIDATORS {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("--data")
            .arg(data)
            .args(["--only", &validator.to_string(), "--child"]);
        // The child reads the end of this pipe when this process ends, however it ends.
        let child = command.stdin(Stdio::piped()).spawn()?;
        println!("validator {validator} is process {}", child.id());
        children.push((validator, child));
    }
    while !children.is_empty() {
        thread::sleep(Duration::from_millis(200));
        children.retain_mut(|(validator, child)| match child.try_wait() {
            Ok(None) => true,
            Ok(Some(status)) => {
                println!(
                    "validator {validator} ended ({status}); start it again with --only {validator}"
                );
                false
            }
            Err(why) => {
                println!("validator {validator} is lost: {why}");
                false
            }
        });
    }
    Ok(())
}

/// Runs one validator with its load until the process is killed.
fn run_one(data: &Path, validator: u8) -> Result<(), Box<dyn Error>> {
    let config = Config::load(data.join(format!("node-{validator}.toml")))?;
    let network = *config.committee.chain();
    let (storage, transport) = (config.open_lmdb()?, config.bind_quic()?);
    let node = Node::builder(config)
        .storage(storage)
        .transport(transport)
        .start()?;

    let mut log = Log::open(data, validator)?;
    log.line(&format!("starts at commit {}", node.status().last_commit))?;
    let client = node.clone();
    thread::spawn(move || {
        if let Err(why) = submit(&client, network) {
            eprintln!("validator {validator}: no more load: {why}");
        }
    });
    follow(&node, &mut log)
}

/// Submits signed transactions for ever. What a busy validator does not take is left out.
fn submit(node: &Node, network: Digest) -> Result<(), Box<dyn Error>> {
    let seed = probity::generate_seed()?;
    let client = Keypair::from_seed(&seed);
    let mut sent = 0u128;
    loop {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        let expires_ms = u64::try_from(now.as_millis())? + 30_000;
        let sign = |key: u128| -> Bytes {
            let body = format!("transaction {key}");
            let idempotency_key = key.to_le_bytes();
            let body = body.as_bytes();
            Envelope {
                network,
                namespace: 0,
                idempotency_key,
                expires_ms,
                body,
            }
            .sign(&client)
        };
        let batch = (sent..sent + BATCH as u128).map(sign).collect();
        sent += BATCH as u128;
        for answer in node.submit_batch_blocking(batch) {
            match answer {
                Ok(_) | Err(SubmitError::Busy { .. }) => {}
                Err(why) => return Err(why.into()),
            }
        }
        thread::sleep(PAUSE);
    }
}

/// Reads the whole sequence from its first commit, and prints where it stands.
fn follow(node: &Node, log: &mut Log) -> Result<(), Box<dyn Error>> {
    let mut commits = node.commits_after(CommitIndex::GENESIS);
    let mut transactions = 0;
    let mut digest = "none yet".to_owned();
    let mut report_at = Instant::now() + REPORT_INTERVAL;
    loop {
        let left = report_at.saturating_duration_since(Instant::now());
        if let Some(commit) = commits.next_timeout(left)? {
            transactions += commit.transactions().count();
            if commit.index().0 % DIGEST_EVERY_COMMITS == 0 {
                digest = format!("commit {} digest {}", commit.index(), commit.digest);
                log.note(&digest)?;
            }
        }
        if left.is_zero() {
            let (status, at) = (node.status(), commits.position());
            let peers = status.peers_up;
            log.line(&format!(
                "round {}  peers {peers}  commit {at}  transactions {transactions}  {}",
                status.round,
                shorten(&digest),
            ))?;
            report_at = Instant::now() + REPORT_INTERVAL;
        }
    }
}

/// The first digits are enough for eyes.
fn shorten(digest: &str) -> &str {
    let end = digest.rfind(' ').map_or(0, |space| space + 1) + 16;
    digest.get(..end).unwrap_or(digest)
}

/// Standard output and a file.
struct Log {
    validator: u8,
    file: File,
}

impl Log {
    fn open(data: &Path, validator: u8) -> io::Result<Self> {
        let path = data.join(format!("node-{validator}.log"));
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { validator, file })
    }

    /// A line for both.
    fn line(&mut self, text: &str) -> io::Result<()> {
        println!("validator {}  {text}", self.validator);
        self.note(text)
    }

    /// A line for the file.
    fn note(&mut self, text: &str) -> io::Result<()> {
        // In one write, so that a kill leaves no half line before the next start's.
        self.file.write_all(format!("{text}\n").as_bytes())
    }
}
