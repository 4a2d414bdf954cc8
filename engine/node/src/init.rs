//! A new network's files: keys, the committee, and one configuration for each validator.
//!
//! ```text
//!   dir/committee.toml
//!   dir/node-0.toml …
//!   dir/keys/            0700
//!   dir/keys/node-0.signing, dir/keys/node-0.network …      0600
//! ```

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use probity_core::crypto::{Digest, Keypair};
use probity_core::limits::VALIDATORS_MAX;
use probity_core::{EpochTerms, Profile};
use thiserror::Error;

use crate::config::{CommitteeFile, ConfigError, NodeFile, ValidatorInfo};
use crate::keys::{KeyFileError, Seed, generate_seed, sync_directory_of, write_seed};
use crate::transaction::TransactionKind;

/// What the new network shall be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InitOptions {
    /// How many validators, of equal stake.
    pub validators: usize,
    /// How many faults are tolerated, and at which speed.
    pub profile: Profile,
    /// Which transactions are valid.
    pub transactions: TransactionKind,
    /// When epochs end, and who may change the committee.
    pub epochs: EpochTerms,
    /// Where the validators are reached.
    pub addresses: Addresses,
}

/// Where the validators of a new network are reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Addresses {
    /// All on this machine, at consecutive ports.
    Loopback {
        /// The port of validator 0.
        base_port: u16,
    },
    /// One for each validator, by index.
    Listed(Vec<SocketAddr>),
}

/// What was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InitReport {
    /// Chain id of the first epoch, which is the network's id.
    pub network: Digest,
    /// The committee's file, the same for all validators.
    pub committee: PathBuf,
    /// The validators' files, by index.
    pub nodes: Vec<PathBuf>,
    /// Every secret key file.
    pub keys: Vec<PathBuf>,
}

/// Why no network was set up, or not all of it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InitError {
    /// An option is not allowed; nothing was written.
    #[error("{option} = {value} is not allowed; allowed: {allowed}")]
    Option {
        /// Its name.
        option: &'static str,
        /// Its value.
        value: String,
        /// What it may be instead.
        allowed: &'static str,
    },
    /// Files of a network are there already; nothing was written.
    #[error("nothing written, for these exist: {}", list(paths))]
    Exists {
        /// All that are in the way.
        paths: Vec<PathBuf>,
    },
    /// The operating system refused; some files may have been written.
    #[error("cannot {op} {}", path.display())]
    Io {
        /// What was tried.
        op: &'static str,
        /// On what.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A key could not be made or written.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The options make no committee; nothing was written.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// Sets up a network in `dir`, which is made if need be: new keys, the committee, the validators'
/// files.
///
/// # Errors
/// Nothing is ever overwritten: when any file exists, none is written.
pub fn init(dir: &Path, options: &InitOptions) -> Result<InitReport, InitError> {
    let addresses = options.listed_addresses()?;
    let mut validators = Vec::with_capacity(addresses.len());
    let mut secrets: Vec<(PathBuf, Seed)> = Vec::with_capacity(2 * addresses.len());
    let mut nodes = Vec::with_capacity(addresses.len());
    for (index, address) in addresses.iter().enumerate() {
        let (signing, network) = (generate_seed()?, generate_seed()?);
        validators.push(ValidatorInfo {
            name: format!("validator-{index}"),
            signing_key: Keypair::from_seed(&signing).public(),
            network_key: *Keypair::from_seed(&network).public().as_bytes(),
            address: *address,
            stake: 1,
        });
        secrets.push((dir.join(signing_key_name(index)), signing));
        secrets.push((dir.join(network_key_name(index)), network));
        nodes.push((
            dir.join(format!("node-{index}.toml")),
            node_text(index, *address),
        ));
    }
    let committee = CommitteeFile {
        profile: options.profile,
        transactions: options.transactions.clone(),
        epochs: options.epochs.clone(),
        validators,
    };
    let network = *committee.committee()?.chain();
    let committee = (dir.join("committee.toml"), committee.to_toml()?);

    let keys_dir = dir.join("keys");
    let targets = nodes
        .iter()
        .chain([&committee])
        .map(|(path, _)| path)
        .chain([&keys_dir]);
    refuse_existing(targets)?;
    make_private_dir(dir, DirIs::MaybeThere)?;
    make_private_dir(&keys_dir, DirIs::New)?;
    for (path, seed) in &secrets {
        write_seed(path, seed)?;
    }
    for (path, text) in [&committee].into_iter().chain(&nodes) {
        write_new(path, text)?;
    }
    Ok(InitReport {
        network,
        committee: committee.0,
        nodes: nodes.into_iter().map(|(path, _)| path).collect(),
        keys: secrets.into_iter().map(|(path, _)| path).collect(),
    })
}

impl InitOptions {
    /// One address for each validator, all different and usable.
    fn listed_addresses(&self) -> Result<Vec<SocketAddr>, InitError> {
        let fault = |option, value: String, allowed| InitError::Option {
            option,
            value,
            allowed,
        };
        if !(1..=VALIDATORS_MAX).contains(&self.validators) {
            return Err(fault("validators", self.validators.to_string(), "1 to 256"));
        }
        let addresses: Vec<SocketAddr> = match &self.addresses {
            Addresses::Listed(addresses) => addresses.clone(),
            Addresses::Loopback { base_port } => (*base_port..=u16::MAX)
                .take(self.validators)
                .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
                .collect(),
        };
        if addresses.len() != self.validators {
            let value = format!("{} addresses", addresses.len());
            return Err(fault(
                "addresses",
                value,
                "one for each validator, ports up to 65535",
            ));
        }
        for (index, address) in addresses.iter().enumerate() {
            let usable = address.port() != 0 && !address.ip().is_unspecified();
            if !usable || addresses[..index].contains(address) {
                let allowed = "different ones that peers reach, with a port above 0";
                return Err(fault("addresses", address.to_string(), allowed));
            }
        }
        Ok(addresses)
    }
}

fn signing_key_name(index: usize) -> String {
    format!("keys/node-{index}.signing")
}

fn network_key_name(index: usize) -> String {
    format!("keys/node-{index}.network")
}

/// One validator's file; what it leaves out has its default.
fn node_text(index: usize, address: SocketAddr) -> String {
    let node = NodeFile {
        committee: "committee.toml".to_owned(),
        validator: Some(u16::try_from(index).expect("a committee has at most 256 members")),
        signing_key_file: signing_key_name(index),
        network_key_file: network_key_name(index),
        listen: Some(address.to_string()),
        data: format!("data/node-{index}"),
        retain: Some("2GiB".to_owned()),
        storage_limit: Some("16GiB".to_owned()),
        contacts: Vec::new(),
        tuning: Default::default(),
    };
    toml::to_string(&node).expect("texts and small integers are always expressible")
}

fn refuse_existing<'a>(targets: impl Iterator<Item = &'a PathBuf>) -> Result<(), InitError> {
    // A dangling link counts as existing too.
    let paths: Vec<PathBuf> = targets
        .filter(|p| p.symlink_metadata().is_ok())
        .cloned()
        .collect();
    if paths.is_empty() {
        Ok(())
    } else {
        Err(InitError::Exists { paths })
    }
}

/// Whether a directory may exist before it is made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum DirIs {
    MaybeThere,
    New,
}

fn make_private_dir(path: &Path, dir_is: DirIs) -> Result<(), InitError> {
    let recursive = dir_is == DirIs::MaybeThere;
    let made = DirBuilder::new()
        .recursive(recursive)
        .mode(0o700)
        .create(path);
    let fault = |op| {
        move |source| InitError::Io {
            op,
            path: path.to_owned(),
            source,
        }
    };
    made.map_err(fault("make directory"))?;
    sync_directory_of(path).map_err(fault("sync the directory of"))
}

fn write_new(path: &Path, text: &str) -> Result<(), InitError> {
    let fault = |op| {
        move |source| InitError::Io {
            op,
            path: path.to_owned(),
            source,
        }
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(fault("create"))?;
    file.write_all(text.as_bytes()).map_err(fault("write"))?;
    file.sync_all().map_err(fault("sync"))?;
    sync_directory_of(path).map_err(fault("sync the directory of"))
}

fn list(paths: &[PathBuf]) -> String {
    let shown: Vec<String> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use probity_core::ValidatorIndex;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn options(validators: usize) -> InitOptions {
        InitOptions {
            validators,
            profile: Profile::Dual30,
            transactions: TransactionKind::SignedEnvelope,
            epochs: EpochTerms::default(),
            addresses: Addresses::Loopback { base_port: 7000 },
        }
    }

    #[test]
    fn every_validator_of_a_new_network_can_load_its_configuration() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("net/a");
        let report = init(&dir, &options(4)).unwrap();
        assert_eq!((report.nodes.len(), report.keys.len()), (4, 8));
        for (index, path) in report.nodes.iter().enumerate() {
            let config = Config::load(path).unwrap();
            assert_eq!(config.me.map(ValidatorIndex::position), Some(index));
            assert_eq!(*config.committee.chain(), report.network);
            assert_eq!(config.listen, config.validators[index].address);
            assert_eq!(usize::from(config.listen.port()), 7000 + index);
            assert_eq!(config.data, dir.join(format!("data/node-{index}")));
            assert_eq!(config.retain_bytes, Config::RETAIN_BYTES);
            assert_eq!(config.storage_limit_bytes, Config::STORAGE_LIMIT_BYTES);
        }
    }

    #[test]
    fn secrets_are_private() {
        let temp = tempfile::tempdir().unwrap();
        let report = init(&temp.path().join("net"), &options(1)).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        for key in &report.keys {
            assert_eq!(mode(key), 0o600);
            assert_eq!(mode(key.parent().unwrap()), 0o700);
        }
    }

    #[test]
    fn nothing_is_overwritten_and_nothing_else_written() {
        for name in ["committee.toml", "node-2.toml", "keys"] {
            let temp = tempfile::tempdir().unwrap();
            let target = temp.path().join(name);
            fs::write(&target, "precious").unwrap();
            let refused = init(temp.path(), &options(4)).unwrap_err();
            assert!(refused.to_string().contains(name), "{refused}");
            assert!(matches!(refused, InitError::Exists { paths } if paths == [target.clone()]));
            assert_eq!(fs::read_to_string(target).unwrap(), "precious");
            assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn impossible_options_write_nothing() {
        let listed = |addresses: &[&str]| InitOptions {
            addresses: Addresses::Listed(addresses.iter().map(|a| a.parse().unwrap()).collect()),
            ..options(2)
        };
        let high = Addresses::Loopback { base_port: 65_535 };
        let bad = [
            options(0),
            options(257),
            InitOptions {
                addresses: high,
                ..options(2)
            },
            listed(&["127.0.0.1:1"]),
            listed(&["127.0.0.1:1", "127.0.0.1:1"]),
            listed(&["127.0.0.1:1", "0.0.0.0:2"]),
            listed(&["127.0.0.1:1", "127.0.0.1:0"]),
        ];
        for options in bad {
            let temp = tempfile::tempdir().unwrap();
            let refused = init(temp.path(), &options);
            assert!(
                matches!(refused, Err(InitError::Option { .. })),
                "{options:?}"
            );
            assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
        }
    }
}
