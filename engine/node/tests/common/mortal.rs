//! Networks whose epochs end, and whose validators stop, start, join and leave.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use probity::{
    Change, CommitteeFile, Config, Contact, EpochRule, EpochTerms, Keypair, LmdbStorage, Node,
    Profile, TransactionKind, Tuning, ValidatorInfo,
};
use probity_transport::{NetworkKey, QuicOptions, QuicTransport};

use super::wait_until;

/// The name that a committee's file has for a rule.
pub(crate) fn rule_of(rule: &dyn EpochRule) -> String {
    rule.name().to_owned()
}

/// Validators over QUIC and LMDB, which may be stopped and started one by one.
pub(crate) struct Mortal {
    committee: CommitteeFile,
    seats: Vec<Place>,
    /// History that each keeps from its next start on, in bytes.
    pub(crate) retain_bytes: u64,
    /// How far each's application may lag from its next start on, in commits.
    pub(crate) lag_commits: u64,
    /// Whom those that start from now on are told of, by position.
    pub(crate) contacts: Vec<usize>,
    home: tempfile::TempDir,
}

/// One validator, running or not.
struct Place {
    signing: [u8; 32],
    network: [u8; 32],
    address: SocketAddr,
    bound: Option<QuicTransport>,
    node: Option<Node>,
}

impl Mortal {
    pub(crate) fn new(n: u8, transactions: TransactionKind, epochs: EpochTerms) -> Self {
        let mut mortal = Self {
            committee: CommitteeFile {
                profile: Profile::default(),
                transactions,
                epochs,
                validators: Vec::new(),
            },
            seats: Vec::new(),
            retain_bytes: Config::RETAIN_BYTES,
            lag_commits: Tuning::default().application_lag_commits,
            contacts: Vec::new(),
            home: tempfile::tempdir().unwrap(),
        };
        // The endpoints' protocol names the network, which their addresses do not change.
        for number in 0..n {
            mortal.list(number, SocketAddr::from((Ipv4Addr::LOCALHOST, 1)));
        }
        for number in 0..n {
            let place = mortal.place(number + 1);
            mortal.committee.validators[usize::from(number)].address = place.address;
            mortal.seats.push(place);
        }
        mortal
    }

    fn list(&mut self, number: u8, address: SocketAddr) {
        let [signing, network] = seeds(number + 1);
        self.committee.validators.push(ValidatorInfo {
            name: format!("validator-{number}"),
            signing_key: Keypair::from_seed(&signing).public(),
            network_key: *Keypair::from_seed(&network).public().as_bytes(),
            address,
            stake: 1,
        });
    }

    fn place(&self, number: u8) -> Place {
        let [signing, network] = seeds(number);
        let bound = self.bind(network, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        Place {
            signing,
            network,
            address: bound.local_address(),
            bound: Some(bound),
            node: None,
        }
    }

    fn bind(&self, network: [u8; 32], address: SocketAddr) -> QuicTransport {
        let chain = *self.committee.committee().unwrap().chain();
        let options = QuicOptions::for_network(*chain.as_bytes());
        QuicTransport::bind(address, NetworkKey::from_seed(network), options).unwrap()
    }

    /// One more, which the committee's file does not list; its position.
    pub(crate) fn add_joiner(&mut self) -> usize {
        let number = u8::try_from(self.seats.len()).unwrap();
        let place = self.place(number + 1);
        self.seats.push(place);
        usize::from(number)
    }

    pub(crate) fn start_all(&mut self) {
        (0..self.seats.len()).for_each(|at| self.start(at));
    }

    pub(crate) fn start(&mut self, at: usize) {
        let place = &mut self.seats[at];
        let (address, network) = (place.address, place.network);
        let bound = place.bound.take();
        let transport = bound.unwrap_or_else(|| self.bind(network, address));
        let place = &self.seats[at];
        let signing = Keypair::from_seed(&place.signing);
        let data = self.data(at);
        let seed = network.into();
        let mut config = if at < self.committee.validators.len() {
            Config::new(&self.committee, signing, seed, data.clone()).unwrap()
        } else {
            let keys = (signing, seed);
            Config::joining(&self.committee, keys, address, data.clone()).unwrap()
        };
        config.tuning.verify_threads = 1;
        config.tuning.application_lag_commits = self.lag_commits;
        config.retain_bytes = self.retain_bytes;
        config.contacts = self.contacts.iter().map(|at| self.contact(*at)).collect();
        let node = Node::builder(config)
            .storage(LmdbStorage::open(data).unwrap())
            .transport(transport)
            .start()
            .unwrap();
        self.seats[at].node = Some(node);
    }

    /// Stops one, and waits until its storage and its address are free.
    pub(crate) fn stop(&mut self, at: usize) {
        let node = self.seats[at].node.take().unwrap();
        node.stop();
        drop(node);
        let data = self.data(at);
        wait_until("the storage is free", || LmdbStorage::open(&data).is_ok());
    }

    pub(crate) fn node(&self, at: usize) -> &Node {
        self.seats[at].node.as_ref().unwrap()
    }

    pub(crate) fn nodes(&self) -> Vec<Node> {
        let nodes = self.seats.iter().filter_map(|place| place.node.clone());
        nodes.collect()
    }

    /// The change that makes one a member, with as much stake as the others.
    pub(crate) fn joining(&self, at: usize) -> Change {
        Change::Stake {
            key: self.key(at).public(),
            stake: 1,
            contact: self.contact(at).encode(),
        }
    }

    /// How one is reached.
    pub(crate) fn contact(&self, at: usize) -> Contact {
        let place = &self.seats[at];
        Contact {
            network_key: *Keypair::from_seed(&place.network).public().as_bytes(),
            address: place.address,
        }
    }

    /// The change that takes one's seat away.
    pub(crate) fn leaving(&self, at: usize) -> Change {
        Change::Stake {
            key: Keypair::from_seed(&self.seats[at].signing).public(),
            stake: 0,
            contact: Bytes::new(),
        }
    }

    /// One's signing key.
    pub(crate) fn key(&self, at: usize) -> Keypair {
        Keypair::from_seed(&self.seats[at].signing)
    }

    /// Where one keeps its data.
    pub(crate) fn data(&self, at: usize) -> PathBuf {
        self.home.path().join(at.to_string())
    }

    /// What all of them were started with.
    pub(crate) fn committee(&self) -> Arc<probity::Committee> {
        Arc::new(self.committee.committee().unwrap())
    }
}

fn seeds(number: u8) -> [[u8; 32]; 2] {
    [[number; 32], [number + 100; 32]]
}
