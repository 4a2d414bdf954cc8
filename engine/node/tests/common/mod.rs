//! Networks for the tests: QUIC on loopback and LMDB in temporary directories, unless said otherwise.

#![allow(dead_code, reason = "every test uses a part")]

pub(crate) mod attacker;
pub(crate) mod clients;
pub(crate) mod mortal;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use probity::{
    Commit, CommitIndex, CommitStream, Config, Envelope, Keypair, LmdbStorage, Node, Profile,
    TransactionKind,
};
use probity_core::crypto::Digest;
use probity_transport::QuicTransport;

/// Long enough for a machine that does much else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Configurations of `n` validators whose endpoints are bound, by index.
pub(crate) fn bound(n: u8, kind: TransactionKind) -> Vec<(Config, QuicTransport)> {
    let signing = (1..=n)
        .map(|seed| Keypair::from_seed(&[seed; 32]))
        .collect();
    let mut configs = Config::in_process(signing, Profile::default(), kind).unwrap();
    let transports: Vec<QuicTransport> = configs.iter().map(bind).collect();
    for config in &mut configs {
        for (validator, transport) in config.validators.iter_mut().zip(&transports) {
            validator.address = transport.local_address();
        }
    }
    configs.into_iter().zip(transports).collect()
}

/// Binds a validator's endpoint.
pub(crate) fn bind(config: &Config) -> QuicTransport {
    config.bind_quic().unwrap()
}

/// The same configuration once more, for a restart on the address `transport` is bound to.
pub(crate) fn again(config: &Config, seed: u8) -> Config {
    Config {
        contacts: Vec::new(),
        committee: Arc::clone(&config.committee),
        transactions: config.transactions.clone(),
        validators: config.validators.clone(),
        me: config.me,
        signing: Keypair::from_seed(&[seed; 32]),
        network_seed: config.network_seed.clone(),
        listen: config.validators[config.me.unwrap().position()].address,
        data: config.data.clone(),
        retain_bytes: config.retain_bytes,
        storage_limit_bytes: config.storage_limit_bytes,
        tuning: config.tuning.clone(),
    }
}

/// Validators over QUIC and LMDB, all started.
pub(crate) struct Network {
    pub(crate) nodes: Vec<Node>,
    pub(crate) home: tempfile::TempDir,
    pub(crate) chain: Digest,
}

impl Network {
    pub(crate) fn start(n: u8, kind: TransactionKind) -> Self {
        let home = tempfile::tempdir().unwrap();
        let bound = bound(n, kind);
        let chain = *bound[0].0.committee.chain();
        let start = |(config, transport): (Config, QuicTransport)| {
            let storage =
                LmdbStorage::open(home.path().join(config.me.unwrap().to_string())).unwrap();
            Node::builder(config)
                .storage(storage)
                .transport(transport)
                .start()
                .unwrap()
        };
        let nodes = bound.into_iter().map(start).collect();
        Self { nodes, home, chain }
    }
}

/// A valid transaction of `sender` with a body of its own.
pub(crate) fn signed(network: Digest, sender: &Keypair, number: u64) -> Bytes {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&number.to_le_bytes());
    let body = number.to_le_bytes();
    Envelope {
        network,
        namespace: 0,
        idempotency_key: key,
        expires_ms: now_ms() + 30_000,
        body: &body,
    }
    .sign(sender)
}

pub(crate) fn now_ms() -> u64 {
    u64::try_from(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_millis(),
    )
    .unwrap()
}

/// The next commit, or a failed test.
pub(crate) fn next(stream: &mut CommitStream) -> Arc<Commit> {
    let commit = stream.next_timeout(PATIENCE).expect("the node runs");
    commit.expect("a commit comes in time")
}

/// The commits after `after` until `count` transactions came.
pub(crate) fn read(node: &Node, after: CommitIndex, count: usize) -> Vec<Arc<Commit>> {
    let mut stream = node.commits_after(after);
    let (mut commits, mut seen) = (Vec::new(), 0);
    while seen < count {
        let commit = next(&mut stream);
        seen += commit.transactions().count();
        commits.push(commit);
    }
    commits
}

/// The transactions of commits, in order.
pub(crate) fn transactions(commits: &[Arc<Commit>]) -> Vec<Bytes> {
    commits
        .iter()
        .flat_map(|commit| commit.transactions().collect::<Vec<_>>())
        .collect()
}

/// Index and digest of commits.
pub(crate) fn digests(commits: &[Arc<Commit>]) -> Vec<(CommitIndex, Digest)> {
    commits
        .iter()
        .map(|commit| (commit.index(), commit.digest))
        .collect()
}

/// Asserts that two readers saw the same sequence as far as both read.
pub(crate) fn assert_same(left: &[Arc<Commit>], right: &[Arc<Commit>]) {
    let shared = left.len().min(right.len());
    assert!(shared > 0);
    assert_eq!(digests(&left[..shared]), digests(&right[..shared]));
}

/// Waits until `done`, or fails.
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
