use std::io;
use std::path::{Path, PathBuf};

use probity_core::CommitteeError;
use thiserror::Error;

use crate::keys::KeyFileError;

/// Why a configuration is refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("cannot read {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Not TOML, or a field is missing, unknown or of the wrong type; the message shows the line.
    #[error("{}: {message}", file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// What is wrong, and where.
        message: String,
    },
    /// A field has a value that is not allowed.
    #[error("{}: {field} = {value:?} is not allowed; allowed: {allowed}", file.display())]
    Value {
        /// The file; empty for a configuration that was not read from one.
        file: PathBuf,
        /// The field, for example `validators[2].stake`.
        field: String,
        /// The value given.
        value: String,
        /// What may be there instead.
        allowed: &'static str,
    },
    /// The validators make no committee.
    #[error("{}: validators: {source}", file.display())]
    Committee {
        /// The file; empty for a committee that was not read from one.
        file: PathBuf,
        /// What is wrong with them.
        source: CommitteeError,
    },
    /// An own key that the committee does not list for this validator.
    #[error(
        "the committee does not list {} as this validator's {field}",
        hex::encode(key)
    )]
    NotListed {
        /// `signing_key` or `network_key`.
        field: &'static str,
        /// The public key.
        key: [u8; 32],
    },
    /// The secret in a key file is not that of the listed public key.
    #[error(
        "{}: {field}: {} holds the secret of {}, but the committee lists {}",
        file.display(), key_file.display(), hex::encode(found.as_slice()), hex::encode(listed.as_slice())
    )]
    KeyMismatch {
        /// The node's file.
        file: PathBuf,
        /// The field that names the key file.
        field: &'static str,
        /// The key file.
        key_file: PathBuf,
        /// The public key of the secret that is there.
        found: Box<[u8; 32]>,
        /// The public key that the committee lists.
        listed: Box<[u8; 32]>,
    },
    /// A key file is refused, or no key could be made.
    #[error(transparent)]
    Key(#[from] KeyFileError),
}

impl ConfigError {
    /// Says which file the fault is in, where that was not known.
    pub(super) fn in_file(mut self, path: &Path) -> Self {
        if let Self::Value { file, .. } | Self::Committee { file, .. } = &mut self {
            path.clone_into(file);
        }
        self
    }

    /// A value that is not allowed, in a file still to be named by [`in_file`](Self::in_file).
    pub(super) fn value(
        field: impl Into<String>,
        value: impl Into<String>,
        allowed: &'static str,
    ) -> Self {
        Self::Value {
            file: PathBuf::new(),
            field: field.into(),
            value: value.into(),
            allowed,
        }
    }
}

/// The text of `file`, read as TOML.
pub(super) fn read_toml<T: serde::de::DeserializeOwned>(file: &Path) -> Result<T, ConfigError> {
    let text = std::fs::read_to_string(file).map_err(|source| ConfigError::Read {
        file: file.to_owned(),
        source,
    })?;
    parse_toml(&text, file)
}

/// `text` as TOML; `file` is where it came from, empty for nowhere.
pub(super) fn parse_toml<T: serde::de::DeserializeOwned>(
    text: &str,
    file: &Path,
) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|why| ConfigError::Syntax {
        file: file.to_owned(),
        message: why.to_string().trim_end().to_owned(),
    })
}
