//! What a node is told before it starts: who decides, which validator it is, how it is tuned.
//!
//! ```text
//!   committee.toml   the same for all: profile, transaction check, validators   CommitteeFile
//!   node-N.toml      one validator's: its number, key files, directory, tuning  ┐
//!   key files        its two secrets                                            ┴▶ Config
//! ```
//!
//! Everything is checked when it is loaded. A [`ConfigError`] names the file, the field, the value
//! and what is allowed instead.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use probity_core::crypto::{Keypair, PublicKey};
use probity_core::{Committee, EpochTerms, Profile, ValidatorIndex};
use probity_storage::{LmdbOptions, LmdbStorage, StorageError};
use probity_transport::{NetworkKey, PeerId, QuicOptions, QuicTransport, TransportError};

use crate::contact::Contact;
use crate::keys::{Seed, generate_seed};
use crate::transaction::{ClientCheck, TransactionKind};

mod committee_file;
mod error;
mod node_file;
mod tuning;
mod units;

pub use committee_file::{CommitteeFile, ValidatorInfo};
pub use error::ConfigError;
pub(crate) use node_file::NodeFile;
pub use tuning::Tuning;

/// Everything that one validator is started with, its secrets included: therefore it can neither be
/// copied nor printed.
pub struct Config {
    /// Who decides in the first epoch; who does later follows from the sequence.
    pub committee: Arc<Committee>,
    /// Which transactions are valid.
    pub transactions: TransactionKind,
    /// The first epoch's validators with names, keys and addresses, by index.
    pub validators: Vec<ValidatorInfo>,
    /// Which of them this one is; none for one that joins later.
    pub me: Option<ValidatorIndex>,
    /// Whom else it asks how epochs have ended, besides the first epoch's validators: of use where none of these is a member
    /// any more. Nobody is believed for being listed here.
    pub contacts: Vec<Contact>,
    /// Signs its blocks.
    pub signing: Keypair,
    /// The seed of the key that it shows to its peers.
    pub network_seed: Seed,
    /// Where it waits for its peers.
    pub listen: SocketAddr,
    /// Its own directory, for all that it stores.
    pub data: PathBuf,
    /// Bytes of history kept for the application and for peers, older than what the protocol needs.
    pub retain_bytes: u64,
    /// Bytes that the storage of [`open_lmdb`](Self::open_lmdb) may take in all; when they are used up the node stops.
    pub storage_limit_bytes: u64,
    /// What may be changed without agreement.
    pub tuning: Tuning,
}

impl Config {
    /// Bytes of history kept by default: with four validators a minute or two of full load with signed transactions of 512
    /// bytes, a day when idle.
    pub const RETAIN_BYTES: u64 = 2 << 30;
    /// Bytes that the storage may take by default: room for the history, the protocol's own window
    /// and the free pages that the database leaves.
    pub const STORAGE_LIMIT_BYTES: u64 = 16 << 30;

    /// Reads `node-N.toml`, the committee that it names, and the key files.
    ///
    /// # Errors
    /// When a file cannot be read, a value is not allowed, or a secret key is not the listed one's.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        NodeFile::load(path.as_ref())?.into_config(path.as_ref())
    }

    /// The validator of `committee` that `signing` belongs to, with defaults for all else: it
    /// listens on its listed address and stores in `data`.
    ///
    /// # Errors
    /// When the committee is refused or does not list these two keys for one validator.
    pub fn new(
        committee: &CommitteeFile,
        signing: Keypair,
        network_seed: Seed,
        data: PathBuf,
    ) -> Result<Self, ConfigError> {
        let members = Arc::new(committee.committee()?);
        let key = signing.public();
        let position = committee
            .validators
            .iter()
            .position(|v| v.signing_key == key);
        let unlisted = || ConfigError::NotListed {
            field: "signing_key",
            key: *key.as_bytes(),
        };
        let position = position.ok_or_else(unlisted)?;
        let me = members.indices().nth(position).ok_or_else(unlisted)?;
        let mine = &committee.validators[position];
        let shown = Keypair::from_seed(&network_seed).public();
        if *shown.as_bytes() != mine.network_key {
            return Err(ConfigError::NotListed {
                field: "network_key",
                key: *shown.as_bytes(),
            });
        }
        let keys = (signing, network_seed);
        Ok(Self::with(
            committee,
            members,
            (mine.address, data),
            (keys, Some(me)),
        ))
    }

    /// A validator that the committee's file does not list: its node follows the epochs until a change makes it a member. It
    /// listens on `listen` and stores in `data`.
    ///
    /// # Errors
    /// When the committee is refused, or lists one of the two keys.
    pub fn joining(
        committee: &CommitteeFile,
        (signing, network_seed): (Keypair, Seed),
        listen: SocketAddr,
        data: PathBuf,
    ) -> Result<Self, ConfigError> {
        let members = Arc::new(committee.committee()?);
        let shown = *Keypair::from_seed(&network_seed).public().as_bytes();
        let own = |info: &&ValidatorInfo| {
            info.signing_key == signing.public() || info.network_key == shown
        };
        if let Some(listed) = committee.validators.iter().find(own) {
            let allowed = "keys that committee.toml does not list";
            return Err(ConfigError::value("validator", &listed.name, allowed));
        }
        let keys = (signing, network_seed);
        Ok(Self::with(committee, members, (listen, data), (keys, None)))
    }

    fn with(
        committee: &CommitteeFile,
        members: Arc<Committee>,
        (listen, data): (SocketAddr, PathBuf),
        ((signing, network_seed), me): ((Keypair, Seed), Option<ValidatorIndex>),
    ) -> Self {
        Self {
            committee: members,
            transactions: committee.transactions.clone(),
            listen,
            validators: committee.validators.clone(),
            me,
            contacts: Vec::new(),
            signing,
            network_seed,
            data,
            retain_bytes: Self::RETAIN_BYTES,
            storage_limit_bytes: Self::STORAGE_LIMIT_BYTES,
            tuning: Tuning::default(),
        }
    }

    /// A network of one validator inside this process, for any bytes as transactions.
    ///
    /// # Errors
    /// When the operating system gives no random bytes for the network key.
    pub fn single(signing: Keypair) -> Result<Self, ConfigError> {
        let mut configs =
            Self::in_process(vec![signing], Profile::default(), TransactionKind::Opaque)?;
        Ok(configs.pop().expect("one keypair makes one configuration"))
    }

    /// Validators of equal stake inside this process, by index, with new network keys. Addresses
    /// are placeholders: use an in-memory transport, or set them before the start.
    ///
    /// # Errors
    /// When the committee is refused, or there are no random bytes for the network keys.
    pub fn in_process(
        signing: Vec<Keypair>,
        profile: Profile,
        transactions: TransactionKind,
    ) -> Result<Vec<Self>, ConfigError> {
        Self::in_process_with(signing, (profile, transactions), EpochTerms::default())
    }

    /// The same with terms for its epochs.
    ///
    /// # Errors
    /// As for [`in_process`](Self::in_process).
    pub fn in_process_with(
        signing: Vec<Keypair>,
        (profile, transactions): (Profile, TransactionKind),
        epochs: EpochTerms,
    ) -> Result<Vec<Self>, ConfigError> {
        let mut validators = Vec::with_capacity(signing.len());
        let mut seeds = Vec::with_capacity(signing.len());
        for (index, keypair) in signing.iter().enumerate() {
            let seed = generate_seed()?;
            validators.push(ValidatorInfo {
                name: format!("validator-{index}"),
                signing_key: keypair.public(),
                network_key: *Keypair::from_seed(&seed).public().as_bytes(),
                address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                stake: 1,
            });
            seeds.push(seed);
        }
        let committee = CommitteeFile {
            profile,
            transactions,
            epochs,
            validators,
        };
        let make = |(index, (keypair, seed))| {
            Self::new(
                &committee,
                keypair,
                seed,
                PathBuf::from(format!("data/node-{index}")),
            )
        };
        signing
            .into_iter()
            .zip(seeds)
            .enumerate()
            .map(make)
            .collect()
    }

    /// The transaction check that the committee agreed on, for its network; `None` if it does not come with the engine.
    #[must_use]
    pub fn check(&self) -> Option<Arc<dyn ClientCheck>> {
        self.transactions.check(*self.committee.chain())
    }

    /// Opens LMDB in [`data`](Self::data), within [`storage_limit_bytes`](Self::storage_limit_bytes). The directory is made if
    /// there is none.
    ///
    /// # Errors
    /// When the directory cannot be used: another process has it open, it holds something else or something damaged.
    pub fn open_lmdb(&self) -> Result<LmdbStorage, StorageError> {
        let options = LmdbOptions {
            limit_bytes: self.storage_limit_bytes,
            ..LmdbOptions::default()
        };
        LmdbStorage::open_with(&self.data, &options)
    }

    /// Binds a QUIC endpoint to [`listen`](Self::listen), with the key that its peers know it by.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn bind_quic(&self) -> Result<QuicTransport, TransportError> {
        let identity = NetworkKey::from_seed(*self.network_seed);
        let options = QuicOptions::for_network(*self.committee.chain().as_bytes());
        QuicTransport::bind(self.listen, identity, options)
    }

    /// Who this validator is on its links, by the key of [`bind_quic`](Self::bind_quic).
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        PeerId::new(*Keypair::from_seed(&self.network_seed).public().as_bytes())
    }

    /// The key that signs this validator's blocks, as peers know it.
    #[must_use]
    pub fn signing_key(&self) -> PublicKey {
        self.signing.public()
    }
}

#[cfg(test)]
mod tests;
