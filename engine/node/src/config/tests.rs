use super::*;
use crate::init::{Addresses, InitOptions, init};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tempfile::TempDir;

/// A network of four in a directory of its own.
fn network() -> TempDir {
    let temp = tempfile::tempdir().unwrap();
    let options = InitOptions {
        validators: 4,
        profile: Profile::Dual30,
        transactions: TransactionKind::SignedEnvelope,
        epochs: EpochTerms::default(),
        addresses: Addresses::Loopback { base_port: 7000 },
    };
    init(temp.path(), &options).unwrap();
    temp
}

/// Replaces text in one file of a new network, then loads validator 0: the refusal, if any.
fn load_with(file: &str, old: &str, new: &str) -> Result<Config, String> {
    let temp = network();
    let path = temp.path().join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(old), "{old:?} is not in {text}");
    fs::write(&path, text.replacen(old, new, 1)).unwrap();
    Config::load(temp.path().join("node-0.toml")).map_err(|why| why.to_string())
}

fn assert_refused(file: &str, [old, new]: [&str; 2], named: &[&str]) {
    let Err(message) = load_with(file, old, new) else {
        panic!("{new:?} was taken")
    };
    for name in named.iter().chain([&file]) {
        assert!(message.contains(name), "{name:?} is not named: {message}");
    }
}

#[test]
fn every_wrong_field_of_the_committee_is_named() {
    let zero_key = format!("signing_key = \"{}\"", "00".repeat(32));
    let cases: [(&str, &str, &[&str]); 11] = [
        (
            "\"dual30\"",
            "\"dual31\"",
            &["profile", "dual31", "classic33"],
        ),
        (
            "\"signed-envelope/1\"",
            "\"raw\"",
            &["transactions", "raw", "opaque/1"],
        ),
        (
            "name = \"validator-0\"",
            "name = \"a b\"",
            &["validators[0].name", "a b"],
        ),
        (
            "name = \"validator-1\"",
            "name = \"validator-0\"",
            &["validators[1].name", "no other"],
        ),
        (
            "127.0.0.1:7002",
            "127.0.0.1:7001",
            &["validators[2].address", "127.0.0.1:7001"],
        ),
        (
            "127.0.0.1:7002",
            "localhost:7002",
            &["validators[2].address", "localhost:7002"],
        ),
        (
            "127.0.0.1:7002",
            "0.0.0.0:7002",
            &["validators[2].address", "0.0.0.0:7002"],
        ),
        ("stake = 1", "stake = 0", &["validators[0].stake", "\"0\""]),
        ("stake = 1", "stake = -3", &["validators[0].stake", "-3"]),
        ("stake = 1", "stake = \"many\"", &["stake", "many"]),
        ("stake = 1", "stake = 1\ncolour = 2", &["colour"]),
    ];
    for (old, new, named) in cases {
        assert_refused("committee.toml", [old, new], named);
    }
    let named = ["validators[0].signing_key", "64 hex digits"];
    assert_refused(
        "committee.toml",
        ["signing_key = \"", "signing_key = \"0"],
        &named,
    );
    let old = ["signing_key = \"", &format!("{zero_key}\n# \"")];
    assert_refused("committee.toml", old, &named);
    let tiny = "stake = 9223372036854775807";
    assert_refused(
        "committee.toml",
        ["stake = 1", tiny],
        &["validators", "weight 0"],
    );
}

#[test]
fn every_wrong_field_of_a_node_is_named() {
    let cases: [(&str, &str, &[&str]); 15] = [
        ("validator = 0", "validator = 4", &["validator", "\"4\""]),
        ("validator = 0", "validator = -1", &["validator", "-1"]),
        ("validator = 0", "", &["validator-0", "does not list"]),
        (
            "validator = 0",
            "validator = 1",
            &["signing_key_file", "node-0.signing"],
        ),
        (
            "node-0.network",
            "node-1.network",
            &["network_key_file", "node-1.network"],
        ),
        (
            "listen = \"127.0.0.1:7000\"",
            "listen = \"here\"",
            &["listen", "here"],
        ),
        ("2GiB", "2GB", &["retain", "2GB", "GiB"]),
        ("2GiB", "20GiB", &["retain", "20GiB", "storage_limit"]),
        (
            "[tuning]",
            "[tuning]\nspeed = 3",
            &["speed", "min_round_delay"],
        ),
        (
            "[tuning]",
            "[tuning]\nmin_round_delay = \"2\"",
            &["tuning.min_round_delay", "ms"],
        ),
        (
            "[tuning]",
            "[tuning]\nmin_round_delay = \"1s\"",
            &["tuning.min_round_delay", "1s"],
        ),
        (
            "[tuning]",
            "[tuning]\nidle_round_delay = \"3s\"",
            &["tuning.idle_round_delay", "2s"],
        ),
        (
            "[tuning]",
            "[tuning]\nintake_bytes = \"1MiB\"",
            &["tuning.intake_bytes", "2MiB"],
        ),
        (
            "[tuning]",
            "[tuning]\nblock_bytes = \"3MiB\"",
            &["tuning.block_bytes", "2MiB"],
        ),
        (
            "[tuning]",
            "[tuning]\nverify_threads = 0",
            &["tuning.verify_threads", "1 to 256"],
        ),
    ];
    for (old, new, named) in cases {
        assert_refused("node-0.toml", [old, new], named);
    }
}

#[test]
fn contacts_are_read_and_false_ones_refused() {
    let listed = Keypair::from_seed(&[7; 32]).public();
    let key = hex::encode(listed.as_bytes());
    let table = |key: &str, address: &str| {
        format!("[[contacts]]\nnetwork_key = \"{key}\"\naddress = \"{address}\"\n[tuning]")
    };
    let read = load_with("node-0.toml", "[tuning]", &table(&key, "192.0.2.1:7000"));
    let [contact] = read.ok().unwrap().contacts[..] else {
        panic!("one contact");
    };
    assert_eq!(contact.network_key, *listed.as_bytes());
    assert_eq!(contact.address, "192.0.2.1:7000".parse().unwrap());
    for (key, address, named) in [
        ("00", "192.0.2.1:7000", "contacts[0].network_key"),
        (&key[..], "nowhere:7000", "contacts[0].address"),
        (&key[..], "0.0.0.0:7000", "contacts[0].address"),
    ] {
        assert_refused("node-0.toml", ["[tuning]", &table(key, address)], &[named]);
    }
    let many = table(&key, "192.0.2.1:7000")
        .replace("[tuning]", "")
        .repeat(257)
        + "[tuning]";
    assert_refused("node-0.toml", ["[tuning]", &many], &["contacts", "257"]);
}

#[test]
fn tuning_is_read_and_the_rest_has_its_default() {
    let new = "[tuning]\nmin_round_delay = \"5ms\"\nintake_bytes = \"8MiB\"\nverify_threads = 3\n\
               application_lag_commits = 9\nblock_bytes = \"1MiB\"\nintake_transactions = 10";
    let tuning = load_with("node-0.toml", "[tuning]", new)
        .ok()
        .unwrap()
        .tuning;
    let expected = Tuning {
        min_round_delay: Duration::from_millis(5),
        intake_bytes: 8 << 20,
        block_bytes: 1 << 20,
        verify_threads: 3,
        application_lag_commits: 9,
        intake_transactions: 10,
        ..Tuning::default()
    };
    assert_eq!(tuning, expected);
    assert!(Tuning::default().check().is_ok());
}

#[test]
fn a_minimal_file_is_enough() {
    let temp = network();
    let text = "committee = \"committee.toml\"\nvalidator = 0\ndata = \"d\"\n\
                signing_key_file = \"keys/node-0.signing\"\n\
                network_key_file = \"keys/node-0.network\"\n";
    fs::write(temp.path().join("small.toml"), text).unwrap();
    let config = Config::load(temp.path().join("small.toml")).ok().unwrap();
    assert_eq!(config.listen, config.validators[0].address);
    assert_eq!(config.tuning, Tuning::default());
    assert_eq!(config.committee.check(), "signed-envelope/1");
}

#[test]
fn an_exposed_key_file_stops_the_load() {
    let temp = network();
    let key = temp.path().join("keys/node-0.network");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = Config::load(temp.path().join("node-0.toml"))
        .err()
        .unwrap()
        .to_string();
    assert!(
        refused.contains("node-0.network") && refused.contains("0644"),
        "{refused}"
    );
}

#[test]
fn a_missing_file_is_named() {
    let refused = Config::load("/nowhere/node-0.toml").err().unwrap();
    assert!(
        refused.to_string().contains("/nowhere/node-0.toml"),
        "{refused}"
    );
}

#[test]
fn a_committee_file_is_read_as_it_was_written() {
    let temp = network();
    let path = temp.path().join("committee.toml");
    let mut file = CommitteeFile::load(&path).unwrap();
    file.profile = Profile::Fast20;
    file.transactions = TransactionKind::Opaque;
    file.validators[3].stake = 5;
    fs::write(&path, file.to_toml().unwrap()).unwrap();
    assert_eq!(CommitteeFile::load(&path).unwrap(), file);
    file.validators[0].stake = u64::MAX;
    assert!(file.to_toml().is_err());
}

#[test]
fn every_choice_of_the_committee_changes_the_network() {
    let temp = network();
    let file = CommitteeFile::load(&temp.path().join("committee.toml")).unwrap();
    let chain = |file: &CommitteeFile| *file.committee().unwrap().chain();
    let opaque = CommitteeFile {
        transactions: TransactionKind::Opaque,
        ..file.clone()
    };
    let classic = CommitteeFile {
        profile: Profile::Classic33,
        ..file.clone()
    };
    let mut mortal = file.clone();
    mortal.epochs.length_ms = Some(1_000);
    let mut voted = file.clone();
    voted.epochs.rule = "voted-changes/1".to_owned();
    let mut heavier = file.clone();
    heavier.validators[0].stake = 2;
    for other in [opaque, classic, mortal, voted, heavier] {
        assert_ne!(chain(&other), chain(&file));
    }
}

#[test]
fn terms_of_epochs_are_read_back_and_checked() {
    let temp = network();
    let path = temp.path().join("committee.toml");
    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.contains("epochs"), "the default is left out: {text}");
    let with = |terms: &str| {
        let text = text.replacen("[[validators]]", &format!("{terms}\n[[validators]]"), 1);
        text.parse::<CommitteeFile>()
    };
    let file = with("[epochs]\nlength = \"90s\"\nrule = \"voted-changes/1\"\n").unwrap();
    assert_eq!(file.epochs.length_ms, Some(90_000));
    assert_eq!(file.epochs.rule, "voted-changes/1");
    let again: CommitteeFile = file.to_toml().unwrap().parse().unwrap();
    assert_eq!(again, file);
    for (terms, named) in [
        ("length = \"1h\"", "epochs.length"),
        ("length = \"0s\"", "1ms or more"),
        ("rule = \"\"", "epochs.rule"),
        ("rul = \"x\"", "rul"),
    ] {
        let refused = with(&format!("[epochs]\n{terms}\n")).unwrap_err();
        assert!(refused.to_string().contains(named), "{refused}");
    }
    // Also where no file was read: every commit would end an epoch.
    let mut file = file;
    file.epochs.length_ms = Some(0);
    let refused = file.committee().unwrap_err();
    assert!(refused.to_string().contains("epochs.length"), "{refused}");
}

#[test]
fn one_who_joins_later_is_not_listed() {
    let temp = network();
    let file = CommitteeFile::load(&temp.path().join("committee.toml")).unwrap();
    let listen = "127.0.0.1:7009".parse().unwrap();
    let join = |key| {
        let keys = (key, generate_seed().unwrap());
        Config::joining(&file, keys, listen, PathBuf::new())
    };
    let config = join(Keypair::from_seed(&[1; 32])).ok().unwrap();
    assert_eq!((config.me, config.listen), (None, listen));
    let own = crate::keys::load_signing_key(&temp.path().join("keys/node-0.signing")).unwrap();
    let refused = join(own).err().unwrap().to_string();
    assert!(refused.contains("validator-0"), "{refused}");
}

#[test]
fn in_process_validators_share_one_committee() {
    let keypairs = (0..4).map(|n| Keypair::from_seed(&[n; 32])).collect();
    let kind = TransactionKind::SignedEnvelope;
    let configs = Config::in_process(keypairs, Profile::Dual30, kind)
        .ok()
        .unwrap();
    for (index, config) in configs.iter().enumerate() {
        assert_eq!(config.me.map(ValidatorIndex::position), Some(index));
        assert_eq!(config.committee.chain(), configs[0].committee.chain());
        assert_eq!(config.signing_key(), config.validators[index].signing_key);
    }
    let single = Config::single(Keypair::from_seed(&[1; 32])).ok().unwrap();
    assert_eq!(
        (single.committee.size(), single.committee.check()),
        (1, "opaque/1")
    );
}

#[test]
fn a_key_that_is_not_listed_is_refused() {
    let temp = network();
    let file = CommitteeFile::load(&temp.path().join("committee.toml")).unwrap();
    let stranger = Keypair::from_seed(&[1; 32]);
    let seed = generate_seed().unwrap();
    let refused = Config::new(&file, stranger, seed, PathBuf::new())
        .err()
        .unwrap();
    assert!(matches!(
        refused,
        ConfigError::NotListed {
            field: "signing_key",
            ..
        }
    ));
}
