use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use probity_core::crypto::PublicKey;
use probity_core::{Committee, EpochTerms, Profile};
use serde::{Deserialize, Serialize};

use super::error::{parse_toml, read_toml};
use super::{ConfigError, units};
use crate::contact::Contact;
use crate::transaction::{ALLOWED_CHECKS, TransactionKind};

/// What all validators agree on before they start: the content of `committee.toml`.
///
/// ```toml
/// profile = "dual30"
/// transactions = "signed-envelope/1"
///
/// [epochs]                    # may be left out: one epoch without end
/// length = "3600s"
/// rule = "voted-changes/1"
///
/// [[validators]]
/// name = "validator-0"
/// signing_key = "<64 hex digits>"
/// network_key = "<64 hex digits>"
/// address = "192.0.2.1:7000"
/// stake = 1
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommitteeFile {
    /// How many faults are tolerated, and at which speed.
    pub profile: Profile,
    /// Which transactions are valid.
    pub transactions: TransactionKind,
    /// When epochs end, and who may change the committee. Part of the chain id.
    pub epochs: EpochTerms,
    /// The validators of the first epoch, by index.
    pub validators: Vec<ValidatorInfo>,
}

/// What everybody knows about one validator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ValidatorInfo {
    /// For people only: 1 to 64 letters, digits, `-`, `_` or `.`.
    pub name: String,
    /// Verifies its blocks.
    pub signing_key: PublicKey,
    /// Its identity on every link: an Ed25519 public key.
    pub network_key: [u8; 32],
    /// Where its peers reach it.
    pub address: SocketAddr,
    /// Its stake, above zero; only ratios count.
    pub stake: u64,
}

/// As it stands in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCommittee {
    profile: String,
    transactions: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epochs: Option<RawEpochs>,
    validators: Vec<RawValidator>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEpochs {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    length: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawValidator {
    name: String,
    signing_key: String,
    network_key: String,
    address: String,
    /// TOML's integers are signed.
    stake: i64,
}

impl CommitteeFile {
    /// Reads and checks `committee.toml`.
    ///
    /// # Errors
    /// When the file cannot be read, or any value in it is not allowed; two validators may share
    /// neither name, key nor address.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let raw: RawCommittee = read_toml(path)?;
        Self::check(&raw).map_err(|why| why.in_file(path))
    }

    fn check(raw: &RawCommittee) -> Result<Self, ConfigError> {
        let file = Self::parse(raw)?;
        file.check_unique()?;
        file.committee()?;
        Ok(file)
    }

    /// The committee, with its thresholds and chain id.
    ///
    /// # Errors
    /// When the validators are none or too many, share a signing key, or one has hardly any stake; when epochs have no
    /// length at all.
    pub fn committee(&self) -> Result<Committee, ConfigError> {
        if self.epochs.length_ms == Some(0) {
            return Err(ConfigError::value("epochs.length", "0ms", "1ms or more"));
        }
        let stakes: Vec<_> = self
            .validators
            .iter()
            .map(|v| (v.signing_key, v.stake))
            .collect();
        let (terms, check) = (self.epochs.clone(), self.transactions.name());
        Committee::from_stakes_with(&stakes, self.profile, terms, check).map_err(|source| {
            ConfigError::Committee {
                file: Default::default(),
                source,
            }
        })
    }

    /// The name that the file gives to a signing key; none to that of who joined later.
    #[must_use]
    pub fn name_of(&self, key: &PublicKey) -> Option<&str> {
        let named = self.validators.iter().find(|v| v.signing_key == *key);
        named.map(|validator| validator.name.as_str())
    }

    /// The text that [`load`](Self::load) reads back.
    ///
    /// # Errors
    /// When a stake is above 2^63 - 1, which TOML cannot express.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        let validators: Result<_, ConfigError> = self
            .validators
            .iter()
            .enumerate()
            .map(|(at, v)| v.to_raw(at))
            .collect();
        let raw = RawCommittee {
            profile: self.profile.name().to_owned(),
            transactions: self.transactions.name().to_owned(),
            epochs: RawEpochs::of(&self.epochs),
            validators: validators?,
        };
        Ok(toml::to_string(&raw).expect("texts and signed integers are always expressible"))
    }

    fn parse(raw: &RawCommittee) -> Result<Self, ConfigError> {
        let profile = raw.profile.parse().map_err(|_| {
            let allowed = "dual30, classic33, dual25, dual20c, fast20";
            ConfigError::value("profile", &raw.profile, allowed)
        })?;
        let transactions = raw
            .transactions
            .parse()
            .map_err(|_| ConfigError::value("transactions", &raw.transactions, ALLOWED_CHECKS))?;
        let validators: Result<_, ConfigError> = raw
            .validators
            .iter()
            .enumerate()
            .map(|(at, v)| ValidatorInfo::parse(at, v))
            .collect();
        let epochs = raw.epochs.as_ref().map(RawEpochs::terms).transpose()?;
        Ok(Self {
            profile,
            transactions,
            epochs: epochs.unwrap_or_default(),
            validators: validators?,
        })
    }

    /// A list in which two validators share something was not meant.
    fn check_unique(&self) -> Result<(), ConfigError> {
        let mut seen = BTreeSet::new();
        for (at, validator) in self.validators.iter().enumerate() {
            let fields = [
                ("name", validator.name.clone()),
                ("signing_key", hex::encode(validator.signing_key.as_bytes())),
                ("network_key", hex::encode(validator.network_key)),
                ("address", validator.address.to_string()),
            ];
            for (field, value) in fields {
                if !seen.insert((field, value.clone())) {
                    let field = format!("validators[{at}].{field}");
                    return Err(ConfigError::value(field, value, "one that no other has"));
                }
            }
        }
        Ok(())
    }
}

/// Reads the text of a `committee.toml` that is already at hand.
impl FromStr for CommitteeFile {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        Self::check(&parse_toml(text, Path::new(""))?)
    }
}

impl RawEpochs {
    /// What stands in the file; nothing for the default.
    fn of(terms: &EpochTerms) -> Option<Self> {
        let EpochTerms { length_ms, rule } = terms;
        let default = EpochTerms::default();
        let length = |ms: u64| units::show_duration(Duration::from_millis(ms));
        (*terms != default).then(|| Self {
            length: length_ms.map(length),
            rule: (*rule != default.rule).then(|| rule.clone()),
        })
    }

    fn terms(&self) -> Result<EpochTerms, ConfigError> {
        let mut terms = EpochTerms::default();
        if let Some(text) = &self.length {
            let length = units::duration("epochs.length", text)?;
            let length_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
            terms.length_ms = Some(length_ms);
        }
        if let Some(rule) = &self.rule {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./".contains(&b);
            if !rule.bytes().all(plain) || !(1..=64).contains(&rule.len()) {
                let allowed = "1 to 64 letters, digits, '-', '_', '.' or '/'";
                return Err(ConfigError::value("epochs.rule", rule, allowed));
            }
            terms.rule.clone_from(rule);
        }
        Ok(terms)
    }
}

impl ValidatorInfo {
    /// How it is reached, as a change of the committee says it.
    #[must_use]
    pub fn contact(&self) -> Contact {
        Contact {
            network_key: self.network_key,
            address: self.address,
        }
    }

    fn parse(at: usize, raw: &RawValidator) -> Result<Self, ConfigError> {
        let field = |name| format!("validators[{at}].{name}");
        let name_is_plain = raw
            .name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if !name_is_plain || !(1..=64).contains(&raw.name.len()) {
            let allowed = "1 to 64 letters, digits, '-', '_' or '.'";
            return Err(ConfigError::value(field("name"), &raw.name, allowed));
        }
        let address = peer_address(field("address"), &raw.address)?;
        let stake = u64::try_from(raw.stake)
            .ok()
            .filter(|stake| *stake > 0)
            .ok_or_else(|| {
                ConfigError::value(
                    field("stake"),
                    raw.stake.to_string(),
                    "1 to 9223372036854775807",
                )
            })?;
        Ok(Self {
            name: raw.name.clone(),
            signing_key: public_key(field("signing_key"), &raw.signing_key)?,
            network_key: *public_key(field("network_key"), &raw.network_key)?.as_bytes(),
            address,
            stake,
        })
    }

    fn to_raw(&self, at: usize) -> Result<RawValidator, ConfigError> {
        let stake = i64::try_from(self.stake).map_err(|_| {
            let field = format!("validators[{at}].stake");
            ConfigError::value(field, self.stake.to_string(), "1 to 9223372036854775807")
        })?;
        Ok(RawValidator {
            name: self.name.clone(),
            signing_key: hex::encode(self.signing_key.as_bytes()),
            network_key: hex::encode(self.network_key),
            address: self.address.to_string(),
            stake,
        })
    }
}

/// Where somebody else is reached.
pub(super) fn peer_address(field: String, text: &str) -> Result<SocketAddr, ConfigError> {
    let address = text.parse::<SocketAddr>().ok();
    let address = address.filter(|it| it.port() != 0 && !it.ip().is_unspecified());
    address.ok_or_else(|| {
        let allowed = "an IP address and a port that peers reach, for example 192.0.2.1:7000";
        ConfigError::value(field, text, allowed)
    })
}

/// A canonical key of the prime-order group, from hex digits.
pub(super) fn public_key(field: String, text: &str) -> Result<PublicKey, ConfigError> {
    let mut bytes = [0; 32];
    let decoded = hex::decode_to_slice(text, &mut bytes).ok();
    decoded
        .and_then(|()| PublicKey::committee(&bytes).ok())
        .ok_or_else(|| {
            ConfigError::value(
                field,
                text,
                "an Ed25519 public key of full order as 64 hex digits",
            )
        })
}
