use std::fs;
use std::path::PathBuf;

use probity::{Config, LmdbStorage};
use probity_core::crypto::{Digest, Keypair};
use probity_core::record::{Record, RecordTable, epoch_key};
use probity_core::testing::{certified_end, equivocation};
use probity_core::{
    Charter, EpochEnd, EpochEvidence, EquivocationProof, Profile, Roster, Round, Seat,
};
use probity_storage::{Batch, Storage as _, Table};
use tempfile::TempDir;

use super::*;
use crate::arguments::{ClusterOptions, TransactionKind};

/// A directory that `init` made, the keys of its validators, and two epochs of theirs. In the second one a joiner has the
/// place of validator 0.
struct Network {
    home: TempDir,
    committee: Arc<Committee>,
    second: Arc<Committee>,
    end: EpochEnd,
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
    let mut keys: Vec<Keypair> = (0..4).map(|at| config(at).signing).collect();
    keys.push(Keypair::from_seed(&JOINER));
    let committee = read_committee(&home.path().join("net/committee.toml"));
    let committee = committee.unwrap().1;
    let mut seats = committee.roster().seats().to_vec();
    seats[0] = Seat::newcomer(keys[4].public(), seats[0].stake);
    let charter = Charter {
        roster: Roster::new(seats).unwrap(),
        bounds: committee.bounds(),
        total: committee.thresholds().total,
    };
    let end = certified_end(&committee, &charter, &keys);
    Network {
        second: end.next_committee(&committee).unwrap(),
        committee,
        end,
        keys,
        home,
    }
}

const JOINER: [u8; 32] = [77; 32];

impl Network {
    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Proof that a validator of the first epoch signed two headers of a round.
    fn proof(&self, author: usize, round: u32) -> EquivocationProof {
        equivocation(&self.committee, &self.keys[author], Round(round))
    }

    /// The same of the second epoch.
    fn late_proof(&self, author: usize, round: u32) -> EquivocationProof {
        equivocation(&self.second, &self.keys[author], Round(round))
    }

    fn file(&self, proofs: Vec<EquivocationProof>) -> EvidenceFile {
        self.file_of(vec![EpochEvidence { epoch: 0, proofs }])
    }

    fn file_of(&self, epochs: Vec<EpochEvidence>) -> EvidenceFile {
        let ends = [self.end.clone()];
        let file = EvidenceFile::new(&self.committee, &ends, epochs);
        file.unwrap().unwrap()
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

    /// A store as a validator leaves it behind, with these proofs by epoch.
    fn store(&self, chain: &Digest, proofs: &[(u64, EquivocationProof)]) {
        let mut batch = Batch::new();
        let chain = Bytes::copy_from_slice(chain.as_bytes());
        batch.put(Table::new(RecordTable::Epoch as u8), epoch_key(0), chain);
        for (epoch, proof) in proofs {
            let Record { table, key, value } = Record::evidence(*epoch, proof);
            batch.put(Table::new(table as u8), key, value);
        }
        self.write(&batch);
    }

    /// The same once the first epoch has ended.
    fn store_end(&self, end: &EpochEnd) {
        let mut batch = Batch::new();
        for Record { table, key, value } in end.records(&self.second) {
            batch.put(Table::new(table as u8), key, value);
        }
        self.write(&batch);
    }

    fn write(&self, batch: &Batch) {
        let storage = LmdbStorage::open(self.path("data")).unwrap();
        storage.write(batch).unwrap();
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
        why.contains("the proof against validator 1 in round 7 of epoch 0 does not hold"),
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
fn proofs_of_later_epochs_need_no_more_than_the_first_committee() {
    let network = network();
    let late = EpochEvidence {
        epoch: 1,
        proofs: vec![network.late_proof(2, 4), network.late_proof(4, 6)],
    };
    let early = EpochEvidence {
        epoch: 0,
        proofs: vec![network.proof(0, 9)],
    };
    let bytes = network.file_of(vec![early, late.clone()]).encode();
    let joiner = hex::encode(network.keys[4].public().as_bytes());
    let expected = format!(
        "validator 0 (validator-0) signed two headers of round 9 in epoch 0\n\
         validator 0 (key {joiner}) signed two headers of round 6 in epoch 1\n\
         validator 2 (validator-2) signed two headers of round 4 in epoch 1\n"
    );
    assert_eq!(network.verify(&bytes).unwrap(), expected);

    // An end that only one of four has voted for, and one that is not in the file at all.
    let charter = &network.end.charter;
    let alone = certified_end(&network.committee, charter, &network.keys[..1]);
    let forged = EvidenceFile::new(&network.committee, &[alone], vec![late.clone()]);
    let why = fault(network.verify(&forged.unwrap().unwrap().encode()));
    assert!(why.contains("the end of epoch 0 is not certified"), "{why}");
    let missing = EvidenceFile::new(&network.committee, &[], vec![late]);
    assert!(missing.unwrap_err().to_string().contains("but there are 0"));

    // The proofs of one epoch as if they were of the other.
    let moved = EpochEvidence {
        epoch: 1,
        proofs: vec![network.proof(2, 9)],
    };
    let why = fault(network.verify(&network.file_of(vec![moved]).encode()));
    assert!(why.contains("round 9 of epoch 1 does not hold"), "{why}");
}

#[test]
fn hostile_files_are_refused_whatever_is_wrong_with_them() {
    let network = network();
    let late = EpochEvidence {
        epoch: 1,
        proofs: vec![network.late_proof(3, 4)],
    };
    let bytes = network.file_of(vec![late]).encode();
    assert!(network.verify(&bytes).is_ok());
    for cut in (0..bytes.len()).step_by(61) {
        usage(network.verify(&bytes[..cut]));
    }
    for at in (0..bytes.len()).step_by(17) {
        let mut changed = bytes.to_vec();
        changed[at] ^= 0x20;
        assert!(network.verify(&changed).is_err(), "at {at}");
    }
    // Numbers that promise four billion of something.
    for at in [42, 46] {
        let mut changed = bytes.to_vec();
        changed[at..at + 4].fill(0xff);
        assert!(usage(network.verify(&changed)).contains("malformed"));
    }
    // A file of holes, longer than any evidence file may be.
    let path = network.path("long");
    let long = File::create_new(&path).unwrap();
    long.set_len(EVIDENCE_FILE_BYTES_MAX as u64 * 4).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&long, &bytes, 0).unwrap();
    let refused = verify(&VerifyEvidenceArguments {
        file: path,
        committee: network.path("net/committee.toml"),
    });
    assert!(usage(refused).contains("at most 268435456"));
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
    network.store(
        &chain,
        &[(0, network.proof(3, 5)), (0, network.proof(0, 8))],
    );
    assert!(
        network
            .export()
            .unwrap()
            .starts_with("wrote 2 proofs of epochs 0 ")
    );
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

#[test]
fn proofs_of_every_stored_epoch_are_exported_with_the_ends_between() {
    let network = network();
    let chain = *network.committee.chain();
    let proofs = [(0, network.proof(3, 5)), (1, network.late_proof(4, 8))];
    network.store(&chain, &proofs);
    network.store_end(&network.end);
    let said = network.export().unwrap();
    assert!(said.starts_with("wrote 2 proofs of epochs 0, 1 "), "{said}");
    let text = network
        .verify(&fs::read(network.path("out")).unwrap())
        .unwrap();
    assert!(text.ends_with("round 8 in epoch 1\n"), "{text}");
    fs::remove_file(network.path("out")).unwrap();
    // A store whose end of the epoch its committee has not certified.
    let charter = &network.end.charter;
    network.store_end(&certified_end(
        &network.committee,
        charter,
        &network.keys[..1],
    ));
    assert!(fault(network.export()).contains("belongs to another network"));
}
