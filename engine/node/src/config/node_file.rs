use std::net::SocketAddr;
use std::path::Path;

use probity_core::crypto::{Keypair, PublicKey};
use probity_core::limits::VALIDATORS_MAX;
use serde::{Deserialize, Serialize};

use super::committee_file::{peer_address, public_key};
use super::error::read_toml;
use super::{CommitteeFile, Config, ConfigError, Tuning, ValidatorInfo, units};
use crate::contact::Contact;
use crate::keys::{load_network_seed, load_signing_key};

/// One validator's file as it stands. Paths are relative to the file's directory.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeFile {
    pub(crate) committee: String,
    /// None for one that joins later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) validator: Option<u16>,
    pub(crate) signing_key_file: String,
    pub(crate) network_key_file: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) listen: Option<String>,
    pub(crate) data: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) retain: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) storage_limit: Option<String>,
    /// Besides those that the committee's file lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) contacts: Vec<RawContact>,
    #[serde(default)]
    pub(crate) tuning: RawTuning,
}

/// A `[[contacts]]` table.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawContact {
    network_key: String,
    address: String,
}

impl RawContact {
    fn read(&self, at: usize) -> Result<Contact, ConfigError> {
        let field = |name: &str| format!("contacts[{at}].{name}");
        let network_key = *public_key(field("network_key"), &self.network_key)?.as_bytes();
        let address = peer_address(field("address"), &self.address)?;
        Ok(Contact {
            network_key,
            address,
        })
    }
}

/// The `[tuning]` table; what is left out has its default.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawTuning {
    min_round_delay: Option<String>,
    idle_round_delay: Option<String>,
    intake_transactions: Option<usize>,
    intake_bytes: Option<String>,
    block_bytes: Option<String>,
    verify_threads: Option<usize>,
    application_lag_commits: Option<u64>,
}

impl NodeFile {
    pub(super) fn load(path: &Path) -> Result<Self, ConfigError> {
        read_toml(path)
    }

    /// Checks every value and reads the files that this one names; `path` is its own.
    pub(super) fn into_config(self, path: &Path) -> Result<Config, ConfigError> {
        let beside = |name: &str| path.parent().unwrap_or(Path::new("")).join(name);
        let committee_path = beside(&self.committee);
        let committee = CommitteeFile::load(&committee_path)?;
        let (signing_file, network_file) = (
            beside(&self.signing_key_file),
            beside(&self.network_key_file),
        );
        let signing = load_signing_key(&signing_file)?;
        let network_seed = load_network_seed(&network_file)?;
        let data = beside(&self.data);
        let mut config = match self.validator {
            Some(validator) => {
                let mine = committee.validators.get(usize::from(validator));
                let mine = mine.ok_or_else(|| {
                    let allowed = "the position of a validator in the committee, from 0";
                    ConfigError::value("validator", validator.to_string(), allowed).in_file(path)
                })?;
                check_keys(
                    path,
                    mine,
                    [
                        (&signing_file, &signing.public()),
                        (&network_file, &Keypair::from_seed(&network_seed).public()),
                    ],
                )?;
                Config::new(&committee, signing, network_seed, data)
                    .map_err(|why| why.in_file(&committee_path))?
            }
            None => {
                let listen = self.listen.as_ref().ok_or_else(|| {
                    let allowed = "an own IP address and port, where no validator is named";
                    ConfigError::value("listen", "", allowed).in_file(path)
                })?;
                let listen = parse_listen(listen).map_err(|why| why.in_file(path))?;
                Config::joining(&committee, (signing, network_seed), listen, data)
                    .map_err(|why| why.in_file(path))?
            }
        };
        self.apply(&mut config).map_err(|why| why.in_file(path))?;
        Ok(config)
    }

    /// Sets what differs from the defaults.
    fn apply(&self, config: &mut Config) -> Result<(), ConfigError> {
        if let Some(text) = &self.listen {
            config.listen = parse_listen(text)?;
        }
        if let Some(text) = &self.retain {
            config.retain_bytes = units::bytes("retain", text)?;
        }
        if let Some(text) = &self.storage_limit {
            config.storage_limit_bytes = units::bytes("storage_limit", text)?;
        }
        if config.retain_bytes > config.storage_limit_bytes {
            let value = units::show_bytes(config.retain_bytes);
            return Err(ConfigError::value("retain", value, "at most storage_limit"));
        }
        config.contacts = self.read_contacts()?;
        self.tuning.apply(&mut config.tuning)?;
        config.tuning.check()
    }

    fn read_contacts(&self) -> Result<Vec<Contact>, ConfigError> {
        if self.contacts.len() > VALIDATORS_MAX {
            let count = self.contacts.len().to_string();
            let allowed = "at most as many as a committee has validators";
            return Err(ConfigError::value("contacts", count, allowed));
        }
        let numbered = self.contacts.iter().enumerate();
        numbered.map(|(at, raw)| raw.read(at)).collect()
    }
}

fn parse_listen(text: &str) -> Result<SocketAddr, ConfigError> {
    text.parse().map_err(|_| {
        let allowed = "an own IP address and port, for example 0.0.0.0:7000";
        ConfigError::value("listen", text, allowed)
    })
}

/// The secrets have to be those of the keys listed: for signing first, then for links.
fn check_keys(
    path: &Path,
    listed: &ValidatorInfo,
    [signing, network]: [(&Path, &PublicKey); 2],
) -> Result<(), ConfigError> {
    let pairs = [
        ("signing_key_file", signing, *listed.signing_key.as_bytes()),
        ("network_key_file", network, listed.network_key),
    ];
    for (field, (key_file, found), listed) in pairs {
        if *found.as_bytes() != listed {
            return Err(ConfigError::KeyMismatch {
                file: path.to_owned(),
                field,
                key_file: key_file.to_owned(),
                found: Box::new(*found.as_bytes()),
                listed: Box::new(listed),
            });
        }
    }
    Ok(())
}

impl RawTuning {
    fn apply(&self, tuning: &mut Tuning) -> Result<(), ConfigError> {
        if let Some(text) = &self.min_round_delay {
            tuning.min_round_delay = units::duration("tuning.min_round_delay", text)?;
        }
        if let Some(text) = &self.idle_round_delay {
            tuning.idle_round_delay = units::duration("tuning.idle_round_delay", text)?;
        }
        if let Some(text) = &self.intake_bytes {
            let bytes = units::bytes("tuning.intake_bytes", text)?;
            tuning.intake_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        }
        if let Some(text) = &self.block_bytes {
            let bytes = units::bytes("tuning.block_bytes", text)?;
            tuning.block_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        }
        let Tuning {
            intake_transactions,
            verify_threads,
            application_lag_commits,
            ..
        } = tuning;
        *intake_transactions = self.intake_transactions.unwrap_or(*intake_transactions);
        *verify_threads = self.verify_threads.unwrap_or(*verify_threads);
        *application_lag_commits = self
            .application_lag_commits
            .unwrap_or(*application_lag_commits);
        Ok(())
    }
}
