//! Configuration files, and transactions.

use std::io;

use probity::{CommitteeFile, Envelope, TransactionKind, ValidatorInfo};
use probity_core::crypto::Digest;
use probity_core::{Profile, ValidatorIndex};
use probity_fuzz::committee::keypair;

use super::write;

pub(super) fn write_all() -> io::Result<()> {
    for (name, text) in node_texts() {
        write("config", &format!("node-{name}"), text.as_bytes())?;
    }
    for (name, text) in committee_texts() {
        write("config", &format!("committee-{name}"), text.as_bytes())?;
    }
    for (name, bytes) in transactions() {
        write("transaction_envelope", name, &bytes)?;
    }
    Ok(())
}

/// What stands below the fields that the target fixes.
fn node_texts() -> Vec<(&'static str, &'static str)> {
    vec![
        ("least", "data = 'data'\n"),
        (
            "whole",
            "listen = '0.0.0.0:7000'\ndata = 'data'\nretain = '2GiB'\nstorage_limit = '16GiB'\n\
             [tuning]\nmin_round_delay = '2ms'\nidle_round_delay = '200ms'\n\
             intake_transactions = 8192\nintake_bytes = '32MiB'\nblock_bytes = '256KiB'\n\
             verify_threads = 3\napplication_lag_commits = 4096\n",
        ),
        (
            "retain-above-limit",
            "data = 'd'\nretain = '2TiB'\nstorage_limit = '1TiB'\n",
        ),
        (
            "delay-too-long",
            "data = 'd'\n[tuning]\nidle_round_delay = '3s'\n",
        ),
        (
            "overflow",
            "data = 'd'\nretain = '18446744073709551615TiB'\n",
        ),
        ("unknown-field", "data = 'd'\nspeed = 'high'\n"),
        ("field-twice", "data = 'd'\nvalidator = 1\n"),
    ]
}

fn committee_texts() -> Vec<(&'static str, String)> {
    let validator = |author| ValidatorInfo {
        name: format!("validator-{author}"),
        signing_key: keypair(ValidatorIndex(author)).public(),
        network_key: *keypair(ValidatorIndex(author + 100)).public().as_bytes(),
        address: ([192, 0, 2, 1], 7000 + author).into(),
        stake: 1 + u64::from(author),
    };
    let text = |validators: Vec<ValidatorInfo>, profile, transactions| {
        let file = CommitteeFile {
            profile,
            transactions,
            epochs: probity::EpochTerms::default(),
            validators,
        };
        file.to_toml().expect("small stakes")
    };
    let kinds = TransactionKind::BUILT_IN;
    let one = text(vec![validator(0)], Profile::Dual30, kinds[1].clone());
    let two = text(
        vec![validator(0), validator(1)],
        Profile::Classic33,
        kinds[0].clone(),
    );
    vec![
        (
            "twins",
            text(
                vec![validator(0), validator(0)],
                Profile::Fast20,
                kinds[0].clone(),
            ),
        ),
        ("none", text(Vec::new(), Profile::Dual25, kinds[0].clone())),
        ("stake-0", one.replace("stake = 1", "stake = 0")),
        (
            "short-key",
            one.replace("signing_key = \"", "signing_key = \"00"),
        ),
        ("cut", two[..two.len() / 2].to_owned()),
        ("one", one),
        ("two", two),
    ]
}

fn transactions() -> Vec<(&'static str, Vec<u8>)> {
    let envelope = Envelope {
        network: Digest([0x11; 32]),
        namespace: 7,
        idempotency_key: [1; 16],
        expires_ms: 1_700_000_030_000,
        body: b"pay bob 5",
    };
    let key = keypair(ValidatorIndex(0));
    let signed = |envelope: &Envelope<'_>| envelope.sign(&key).to_vec();
    let sound = signed(&envelope);
    let mut flipped = sound.clone();
    flipped[100] ^= 1;
    let mut identity = sound.clone();
    identity[37..69].fill(0);
    identity[37] = 1;
    vec![
        (
            "expired",
            signed(&Envelope {
                expires_ms: 1,
                ..envelope
            }),
        ),
        (
            "expires-too-late",
            signed(&Envelope {
                expires_ms: u64::MAX,
                ..envelope
            }),
        ),
        (
            "foreign",
            signed(&Envelope {
                network: Digest::ZERO,
                ..envelope
            }),
        ),
        (
            "no-body",
            signed(&Envelope {
                body: b"",
                ..envelope
            }),
        ),
        ("cut", sound[..sound.len() - 1].to_vec()),
        ("trailing", [&sound[..], b"!"].concat()),
        ("flipped", flipped),
        ("small-order-key", identity),
        ("sound", sound),
        ("empty", Vec::new()),
    ]
}
