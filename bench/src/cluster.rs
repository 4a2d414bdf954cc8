//! A whole network in this process: its configuration, its validators, and their ends.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use probity::{
    Addresses, CommitStream, Config, EpochTerms, InitOptions, Node, TransactionKind as Check,
};
use probity_core::crypto::{Digest, Keypair};
use probity_core::{Commit, CommitIndex, Committee};
use probity_storage::{MemoryStorage, Storage};
use probity_transport::{MemoryNetwork, QuicTransport};
use tempfile::TempDir;

use crate::Failure;
use crate::arguments::{ClusterOptions, LocalOptions, StorageKind, TransactionKind, TransportKind};
use crate::check::Strangers;

/// Room that a storage gets on top of twice the history it keeps.
const STORAGE_ROOM_BYTES: u64 = 8 << 30;

/// A network that is configured and not running yet.
pub(crate) struct Plan {
    configs: Vec<Config>,
    storage: StorageKind,
    transport: TransportKind,
    home: Home,
}

/// Where a network keeps its data.
enum Home {
    /// Removed when it is dropped.
    Temporary(TempDir),
    Kept(PathBuf),
    Memory,
}

impl Home {
    fn path(&self) -> Option<&Path> {
        match self {
            Self::Temporary(dir) => Some(dir.path()),
            Self::Kept(path) => Some(path),
            Self::Memory => None,
        }
    }
}

/// A running network.
pub(crate) struct Cluster {
    /// The validators, by index.
    pub(crate) nodes: Vec<Node>,
    storages: Vec<Arc<dyn Storage>>,
    /// Who they are in the first epoch.
    pub(crate) committee: Arc<Committee>,
    /// Commits that every validator has before the run.
    pub(crate) after: CommitIndex,
    _home: Home,
}

/// The transaction check that an option means.
pub(crate) fn check_of(kind: TransactionKind) -> Check {
    match kind {
        TransactionKind::Signed => Check::SignedEnvelope,
        TransactionKind::Opaque => Check::Opaque,
    }
}

/// Writes a new network into `dir`, at loopback ports that are free now.
pub(crate) fn init(dir: &Path, options: &ClusterOptions) -> Result<probity::InitReport, Failure> {
    let options = InitOptions {
        validators: options.validators,
        profile: options.profile,
        transactions: check_of(options.transactions),
        epochs: options.terms(),
        addresses: Addresses::Listed(free_addresses(options.validators)?),
    };
    probity::init(dir, &options).map_err(Failure::fault)
}

/// Different loopback addresses that nobody listens on.
fn free_addresses(count: usize) -> Result<Vec<SocketAddr>, Failure> {
    let bind = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0));
    // All are held until all are known, or the system would offer one twice.
    let sockets: Result<Vec<UdpSocket>, _> = (0..count).map(|_| bind()).collect();
    let addresses = sockets.and_then(|all| all.iter().map(UdpSocket::local_addr).collect());
    addresses.map_err(|why| Failure::Fault(format!("no free UDP port on loopback: {why}")))
}

impl Plan {
    /// Makes or reads the configuration of every validator.
    pub(crate) fn new(options: &LocalOptions) -> Result<Self, Failure> {
        let (mut configs, home) = match &options.data {
            Some(dir) => (
                from_directory(dir, &options.cluster)?,
                Home::Kept(dir.clone()),
            ),
            None => in_process(options)?,
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        for config in &mut configs {
            config.retain_bytes = options.retain;
            let wanted = options
                .retain
                .saturating_mul(2)
                .saturating_add(STORAGE_ROOM_BYTES);
            config.storage_limit_bytes = config.storage_limit_bytes.max(wanted);
            // The validators share the processors, and each brings other threads along.
            config.tuning.verify_threads = (cores / options.cluster.validators).max(1);
        }
        let LocalOptions {
            storage, transport, ..
        } = *options;
        Ok(Self {
            configs,
            storage,
            transport,
            home,
        })
    }

    /// Chain id of the first epoch, for which transactions are signed.
    pub(crate) fn network(&self) -> Digest {
        *self.configs[0].committee.chain()
    }

    /// Where the data is, if it is on a disk.
    pub(crate) fn home(&self) -> Option<&Path> {
        self.home.path()
    }

    /// Whether an earlier run may have left transactions behind.
    pub(crate) fn strangers(&self) -> Strangers {
        match self.home {
            Home::Temporary(_) | Home::Memory => Strangers::Impossible,
            Home::Kept(_) => Strangers::Possible,
        }
    }

    /// Starts every validator.
    pub(crate) fn start(self) -> Result<Cluster, Failure> {
        let Self {
            configs,
            storage,
            transport,
            home,
        } = self;
        let storages: Result<Vec<_>, Failure> =
            configs.iter().map(|config| open(storage, config)).collect();
        let storages = storages?;
        let committee = Arc::clone(&configs[0].committee);
        let nodes = match transport {
            TransportKind::Quic => start_over_quic(configs, &storages)?,
            TransportKind::Memory => start_in_memory(configs, &storages)?,
        };
        let last = nodes.iter().map(last_commit).min();
        let after = last.unwrap_or(CommitIndex::GENESIS);
        Ok(Cluster {
            nodes,
            storages,
            committee,
            after,
            _home: home,
        })
    }
}

impl Cluster {
    /// What all storages hold, in bytes.
    pub(crate) fn stored_bytes(&self) -> u64 {
        let used = |storage: &Arc<dyn Storage>| storage.space().map_or(0, |space| space.used_bytes);
        self.storages.iter().map(used).sum()
    }

    /// What validator 0 has stored.
    pub(crate) fn storage(&self) -> &Arc<dyn Storage> {
        &self.storages[0]
    }

    /// Stops every validator.
    pub(crate) fn stop(&self) {
        self.nodes.iter().for_each(Node::stop);
    }
}

/// The validators of a directory that `init` made, or that is made now.
fn from_directory(dir: &Path, options: &ClusterOptions) -> Result<Vec<Config>, Failure> {
    let committee = dir.join("committee.toml");
    let is_empty = fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none());
    if is_empty {
        init(dir, options)?;
    } else if !committee.exists() {
        let dir = dir.display();
        return Err(Failure::Fault(format!(
            "{dir} is not empty and holds no committee.toml"
        )));
    }
    let found = probity::CommitteeFile::load(&committee).map_err(Failure::fault)?;
    let describe = |validators, profile, kind: &Check, terms: &EpochTerms| {
        let lasting = terms
            .length_ms
            .map_or("without end".to_owned(), |ms| format!("of {ms} ms"));
        format!("{validators} validators, {profile}, {kind}, epochs {lasting}")
    };
    let there = describe(
        found.validators.len(),
        found.profile,
        &found.transactions,
        &found.epochs,
    );
    let asked = describe(
        options.validators,
        options.profile,
        &check_of(options.transactions),
        &options.terms(),
    );
    if asked != there {
        let committee = committee.display();
        return Err(Failure::Fault(format!(
            "{committee} is for {there}; asked for were {asked}"
        )));
    }
    let load = |index| Config::load(dir.join(format!("node-{index}.toml")));
    (0..found.validators.len())
        .map(load)
        .collect::<Result<_, _>>()
        .map_err(Failure::fault)
}

/// Validators with new keys, at ports that the system chooses when they start.
fn in_process(options: &LocalOptions) -> Result<(Vec<Config>, Home), Failure> {
    let home = match options.storage {
        StorageKind::Memory => Home::Memory,
        StorageKind::Lmdb => {
            let dir = tempfile::Builder::new().prefix("probity-bench-").tempdir();
            let dir =
                dir.map_err(|why| Failure::Fault(format!("no temporary directory: {why}")))?;
            Home::Temporary(dir)
        }
    };
    let seeds: Result<Vec<_>, _> = (0..options.cluster.validators)
        .map(|_| probity::generate_seed())
        .collect();
    let seeds = seeds.map_err(Failure::fault)?;
    let signing = seeds.iter().map(|seed| Keypair::from_seed(seed)).collect();
    let check = check_of(options.cluster.transactions);
    let (cluster, terms) = (&options.cluster, options.cluster.terms());
    let mut configs = Config::in_process_with(signing, (cluster.profile, check), terms)
        .map_err(Failure::fault)?;
    for (index, config) in configs.iter_mut().enumerate() {
        config.data = home
            .path()
            .unwrap_or(Path::new(""))
            .join(format!("node-{index}"));
    }
    Ok((configs, home))
}

fn open(kind: StorageKind, config: &Config) -> Result<Arc<dyn Storage>, Failure> {
    match kind {
        StorageKind::Memory => Ok(Arc::new(MemoryStorage::new())),
        StorageKind::Lmdb => {
            let storage = config.open_lmdb().map_err(Failure::fault)?;
            Ok(Arc::new(storage))
        }
    }
}

/// Binds every endpoint, then tells everybody where the others listen.
fn start_over_quic(
    mut configs: Vec<Config>,
    storages: &[Arc<dyn Storage>],
) -> Result<Vec<Node>, Failure> {
    let bind = |config: &Config| config.bind_quic().map_err(Failure::fault);
    let transports: Result<Vec<QuicTransport>, Failure> = configs.iter().map(bind).collect();
    let transports = transports?;
    for config in &mut configs {
        for (validator, transport) in config.validators.iter_mut().zip(&transports) {
            validator.address = transport.local_address();
        }
    }
    let start = |((config, transport), storage): ((Config, QuicTransport), &Arc<dyn Storage>)| {
        let node = Node::builder(config)
            .storage(Arc::clone(storage))
            .transport(transport);
        node.start().map_err(Failure::fault)
    };
    configs
        .into_iter()
        .zip(transports)
        .zip(storages)
        .map(start)
        .collect()
}

fn start_in_memory(
    configs: Vec<Config>,
    storages: &[Arc<dyn Storage>],
) -> Result<Vec<Node>, Failure> {
    let network = MemoryNetwork::new();
    let start = |(config, storage): (Config, &Arc<dyn Storage>)| {
        let transport = network.transport(config.peer_id());
        let node = Node::builder(config)
            .storage(Arc::clone(storage))
            .transport(transport);
        node.start().map_err(Failure::fault)
    };
    configs.into_iter().zip(storages).map(start).collect()
}

/// The last commit that a validator has.
fn last_commit(node: &Node) -> CommitIndex {
    node.status().last_commit
}

/// What a stream of commits has next.
pub(crate) enum Next {
    /// A commit.
    Commit(Arc<Commit>),
    /// None yet.
    Quiet,
    /// None ever again, and why.
    Ended(String),
}

/// Waits for the next commit at most this long.
pub(crate) fn next_commit(stream: &mut CommitStream, patience: Duration) -> Next {
    match stream.next_timeout(patience) {
        Ok(Some(commit)) => Next::Commit(commit),
        Ok(None) => Next::Quiet,
        Err(end) => Next::Ended(end.to_string()),
    }
}
