use std::fs;
use std::path::PathBuf;

use probity::{Config, LmdbStorage};
use probity_core::block::preimage;
use probity_core::crypto::{Digest, Keypair};
use probity_core::record::{Record, RecordTable, epoch_key};
use probity_core::{EquivocationProof, Profile, Round, Slot, ValidatorIndex};
use probity_storage::{Batch, Storage as _, Table};
use tempfile::TempDir;

use super::*;
use crate::arguments::{ClusterOptions, TransactionKind};

/// A directory that `init` made, and the keys of its validators.
struct Network {
    home: TempDir,
    committee: Committee,
    keys: Vec<Keypair>,
}

fn network() -> Network {
    let home = tempfile::tempdir().unwrap();
    let options = ClusterOptions {
        validators: 4,
        profile: Profile::Dual30,
        transactions: TransactionKind::Signed,
        epoch_length: None,
    };
    crate::cluster::init(&home.path().join("net"), &options).unwrap();
    let config = |at| Config::load(home.path().join(format!("net/node-{at}.toml"))).unwrap();
    let keys = (0..4).map(|at| config(at).signing).collect();
    let committee = read_committee(&home.path().join("net/committee.toml"));
    Network {
        committee: committee.unwrap().1,
        keys,
        home,
    }
}

impl Network {
    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Proof that a validator signed two headers of a round.
    fn proof(&self, author: u16, round: u32) -> EquivocationProof {
        let slot = Slot {
            round: Round(round),
            author: ValidatorIndex(author),
        };
        let side = |byte| {
            let digest = Digest([byte; 32]);
            let message = preimage(self.committee.chain(), 0, slot, &digest);
            (digest, self.keys[slot.author.position()].sign(&message))
        };
        EquivocationProof::new(slot, side(1), side(2)).unwrap()
    }

    fn file(&self, proofs: Vec<EquivocationProof>) -> EvidenceFile {
        EvidenceFile::new(&self.committee, proofs).unwrap()
    }

    fn verify(&self, bytes: &[u8]) -> Result<String, Failure> {
        let file = self.path("evidence");
        fs::write(&file, bytes).unwrap();
        verify(&VerifyEvidenceArguments {
            file,
            committee: self.path("net/committee.toml"),
        })
    }

    fn export(&self) -> Result<String, Failure> {
        export(&ExportEvidenceArguments {
            data: self.path("data"),
            committee: self.path("net/committee.toml"),
            out: self.path("out"),
        })
    }

    /// A store as a validator leaves it behind.
    fn store(&self, chain: &Digest, proofs: &[EquivocationProof]) {
        let storage = LmdbStorage::open(self.path("data")).unwrap();
        let mut batch = Batch::new();
        let chain = Bytes::copy_from_slice(chain.as_bytes());
        batch.put(Table::new(RecordTable::Epoch as u8), epoch_key(0), chain);
        for proof in proofs {
            let Record { table, key, value } = Record::evidence(0, proof);
            batch.put(Table::new(table as u8), key, value);
        }
        storage.write(&batch).unwrap();
    }
}

fn fault(result: Result<String, Failure>) -> String {
    match result {
        Err(Failure::Fault(why)) => why,
        other => panic!("not exit code 1: {other:?}"),
    }
}

fn usage(result: Result<String, Failure>) -> String {
    match result {
        Err(Failure::Usage(why)) => why,
        other => panic!("not exit code 2: {other:?}"),
    }
}

#[test]
fn proofs_that_hold_are_listed() {
    let network = network();
    let file = network.file(vec![network.proof(2, 9), network.proof(1, 7)]);
    let text = network.verify(&file.encode()).unwrap();
    let expected = "validator 1 (validator-1) signed two headers of round 7 in epoch 0\n\
                    validator 2 (validator-2) signed two headers of round 9 in epoch 0\n";
    assert_eq!(text, expected);
}

#[test]
fn what_proves_nothing_is_a_fault_with_its_reason() {
    let network = network();
    let mut forged = network.proof(1, 7);
    forged.second.1.0[9] ^= 1;
    let bytes = network.file(vec![forged]).encode();
    let why = fault(network.verify(&bytes));
    assert!(
        why.contains("the proof against validator 1 in round 7 does not hold"),
        "{why}"
    );

    let other = self::network();
    let foreign = other.file(vec![other.proof(1, 7)]).encode();
    let why = fault(network.verify(&foreign));
    for part in [network.committee.chain(), other.committee.chain()] {
        assert!(why.contains(&part.to_string()), "{why}");
    }
}

#[test]
fn what_is_no_evidence_file_is_a_misuse() {
    let network = network();
    let bytes = network.file(vec![network.proof(1, 7)]).encode();
    assert!(usage(network.verify(b"something else")).contains("not an evidence file"));
    assert!(usage(network.verify(&bytes[..99])).contains("too early"));
    let mut longer = bytes.to_vec();
    longer.push(0);
    assert!(usage(network.verify(&longer)).contains("left over"));
    let absent = VerifyEvidenceArguments {
        file: network.path("absent"),
        committee: network.path("net/committee.toml"),
    };
    assert!(usage(verify(&absent)).contains("cannot be read"));
    let no_committee = VerifyEvidenceArguments {
        file: network.path("evidence"),
        committee: network.path("absent.toml"),
    };
    assert!(usage(verify(&no_committee)).contains("absent.toml"));
}

#[test]
fn what_a_validator_stored_is_exported_and_verifies() {
    let network = network();
    assert!(usage(network.export()).contains("is no directory"));
    let chain = *network.committee.chain();
    network.store(&chain, &[]);
    assert!(fault(network.export()).contains("holds no evidence"));
    network.store(&chain, &[network.proof(3, 5), network.proof(0, 8)]);
    assert!(network.export().unwrap().starts_with("wrote 2 proofs"));
    let bytes = fs::read(network.path("out")).unwrap();
    let text = network.verify(&bytes).unwrap();
    assert!(
        text.starts_with("validator 0 (validator-0) signed two headers of round 8"),
        "{text}"
    );
    assert!(
        usage(network.export()).contains("cannot be written"),
        "never overwritten"
    );
    network.store(&Digest([7; 32]), &[]);
    assert!(fault(network.export()).contains("belongs to another network"));
}
