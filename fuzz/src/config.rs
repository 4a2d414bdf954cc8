//! Configuration as people write it.

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::LazyLock;

use probity::{CommitteeFile, Config, ConfigError, TransactionKind, ValidatorInfo, write_seed};
use probity_core::crypto::Keypair;
use probity_core::{EpochTerms, Profile};

/// Reads `data` as the text of `committee.toml`, or as the free part of `node-0.toml`.
///
/// - Nothing panics, and every refusal says something.
/// - A committee that is accepted is written and read back as the same one.
/// - A node's values that are accepted are within their bounds, its tuning among them.
///
/// # Panics
/// When one of these promises is broken.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    // Only what looks like the fields of a node is worth a write to a disk.
    if text.contains('=') && !text.contains("validators") {
        check_node(text);
        return;
    }
    match text.parse::<CommitteeFile>() {
        Ok(committee) => check_committee(&committee),
        Err(refused) => check_refusal(&refused),
    }
}

fn check_committee(committee: &CommitteeFile) {
    assert!(committee.committee().is_ok(), "accepted, but no committee");
    let written = committee
        .to_toml()
        .expect("stakes that were read can be written");
    let again: CommitteeFile = written.parse().expect("what was written can be read");
    assert_eq!(again, *committee, "a committee is read back as another one");
}

fn check_refusal(refused: &ConfigError) {
    assert!(!refused.to_string().is_empty());
    // Walks to the cause: each layer must be printable.
    let mut cause: Option<&dyn Error> = refused.source();
    while let Some(error) = cause {
        assert!(!error.to_string().is_empty());
        cause = error.source();
    }
}

/// The files that the text may not choose stand above it: naming one again is an error of TOML.
fn check_node(text: &str) {
    let place = Place::get();
    let whole = format!("{FIXED}{text}");
    place
        .write(whole.as_bytes())
        .expect("the directory is ours");
    match Config::load(&place.node) {
        Ok(config) => {
            assert!(config.tuning.check().is_ok(), "tuning out of its bounds");
            assert!(config.retain_bytes <= config.storage_limit_bytes);
            assert_eq!(config.me.map(|me| me.0), Some(0));
        }
        Err(refused) => check_refusal(&refused),
    }
}

const FIXED: &str = "committee = 'committee.toml'\nsigning_key_file = 'signing'\n\
                     network_key_file = 'network'\nvalidator = 0\n";

/// A network of one validator on the disk, to be started with other words each time.
struct Place {
    node: PathBuf,
    _directory: tempfile::TempDir,
}

impl Place {
    fn get() -> &'static Self {
        static PLACE: LazyLock<Place> = LazyLock::new(Place::make);
        &PLACE
    }

    /// In place: a file that is emptied and filled again makes the file system write it out at once.
    fn write(&self, text: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.node)?;
        file.write_all(text)?;
        file.set_len(text.len() as u64)
    }

    fn make() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let seeds = [[0x51; 32], [0x52; 32]];
        for (name, seed) in ["signing", "network"].iter().zip(&seeds) {
            write_seed(&directory.path().join(name), seed).expect("a new key file");
        }
        let committee = CommitteeFile {
            profile: Profile::Dual30,
            transactions: TransactionKind::Opaque,
            epochs: EpochTerms::default(),
            validators: vec![ValidatorInfo {
                name: "validator-0".to_owned(),
                signing_key: Keypair::from_seed(&seeds[0]).public(),
                network_key: *Keypair::from_seed(&seeds[1]).public().as_bytes(),
                address: ([127, 0, 0, 1], 7000).into(),
                stake: 1,
            }],
        };
        let text = committee.to_toml().expect("a stake of 1");
        fs::write(directory.path().join("committee.toml"), text).expect("the directory is ours");
        Self {
            node: directory.path().join("node-0.toml"),
            _directory: directory,
        }
    }
}
