//! Encodings, digests and leader orders that stored and signed data depend on (R2, R3, R29).
//!
//! A difference here is a new protocol version. `PROBITY_REDRAW=1` writes the vectors anew.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use probity_core::block::{CommitVote, EquivocationProof, genesis_ref};
use probity_core::crypto::{Digest, Signature};
use probity_core::testing::{
    Committer, Draft, Signing, certified_end, committee, full_dag, keypair, proposal, sign, slots,
    slots_with_scores,
};
use probity_core::{
    Block, BlockRef, COMMIT_RECORD_VERSION, Charter, CommitCertificate, CommitIndex, CommitRecord,
    Committee, DecodeError, EpochEnd, EpochEvidence, EvidenceFile, FaultBounds, Message, Mode,
    Payload, Proposal, Round, SignedVotes, Slot, ValidatorIndex,
};

fn four() -> Committee {
    committee(
        &[1; 4],
        FaultBounds {
            mode: Mode::Graded,
            byzantine: 1,
            crashed: 0,
        },
        64,
    )
}

fn seven() -> Committee {
    committee(
        &[1, 2, 3, 4, 5, 6, 7],
        FaultBounds {
            mode: Mode::Classic,
            byzantine: 9,
            crashed: 0,
        },
        64,
    )
}

fn numbered(number: u8) -> BlockRef {
    BlockRef {
        round: Round(u32::from(number)),
        author: ValidatorIndex(u16::from(number)),
        digest: Digest([number; 32]),
    }
}

/// A block with something in every field.
fn full_block(committee: &Committee) -> Block {
    let parents = committee
        .indices()
        .map(|a| genesis_ref(committee, a).unwrap())
        .collect();
    let draft = Draft {
        round: Round(1),
        author: ValidatorIndex(2),
        parents,
        timestamp_ms: 0x0102_0304,
    };
    let payload = Payload::from_transactions(&[&b"one"[..], b"", b"three"]);
    let mut header = proposal(committee, draft, payload.clone()).header().clone();
    let side = |byte| (Digest([byte; 32]), Signature([byte; 64]));
    let slot = Slot {
        round: Round(7),
        author: ValidatorIndex(3),
    };
    header.evidence = vec![EquivocationProof::new(slot, side(9), side(8)).unwrap()];
    header.commit_votes = vec![CommitVote {
        index: CommitIndex(5),
        digest: Digest([6; 32]),
    }];
    sign(Proposal::new(header, payload))
}

/// Proofs of the first and the third epoch, and the ends between.
fn evidence_file(first: &Committee) -> EvidenceFile {
    let keys = [0, 1, 2].map(|at| keypair(ValidatorIndex(at)));
    let charter = |committee: &Committee| Charter {
        roster: committee.roster().clone(),
        bounds: committee.bounds(),
        total: committee.thresholds().total,
    };
    let end = certified_end(first, &charter(first), &keys);
    let second = end.next_committee(first).unwrap();
    let ends = [
        end.clone(),
        certified_end(&second, &charter(&second), &keys),
    ];
    let proof = full_block(first).header().evidence[0].clone();
    let mut other = proof.clone();
    other.round = Round(6);
    let of = |epoch, proofs| EpochEvidence { epoch, proofs };
    let proofs = vec![of(2, vec![proof.clone()]), of(0, vec![proof, other])];
    EvidenceFile::new(first, &ends, proofs).unwrap().unwrap()
}

fn record() -> CommitRecord {
    CommitRecord {
        version: COMMIT_RECORD_VERSION,
        epoch: 1,
        index: CommitIndex(2),
        previous: Digest([3; 32]),
        leader: numbered(5),
        blocks: vec![(numbered(4), true), (numbered(5), false)],
        timestamp_ms: 6,
        skipped: vec![Slot {
            round: Round(7),
            author: ValidatorIndex(8),
        }],
        schedule: 9,
        reputation: Digest([10; 32]),
        next: Digest::ZERO,
    }
}

/// An epoch's end with one signed vote, which names another commit.
fn epoch_end(committee: &Committee) -> EpochEnd {
    let charter = Charter {
        roster: committee.roster().clone(),
        bounds: committee.bounds(),
        total: committee.thresholds().total,
    };
    let record = CommitRecord {
        next: charter.digest(),
        ..record()
    };
    EpochEnd {
        certificate: CommitCertificate {
            index: record.index,
            digest: record.digest(),
            votes: vec![SignedVotes::of(&full_block(committee))],
        },
        record,
        charter,
    }
}

fn certificate(block: &Block) -> CommitCertificate {
    CommitCertificate {
        index: CommitIndex(5),
        digest: Digest([6; 32]),
        votes: vec![SignedVotes::of(block)],
    }
}

fn messages(block: &Block) -> Vec<(&'static str, Bytes)> {
    let refs = || vec![numbered(1), numbered(2)];
    vec![
        ("block", Message::encode_block(block)),
        (
            "fetched",
            Message::encode_fetched(block.signed_header(), block.payload().bytes()),
        ),
        ("fetch", Message::Fetch(refs()).encode()),
        ("not held", Message::NotHeld(refs()).encode()),
        (
            "replay",
            Message::Replay {
                epoch: 3,
                after: Round(0x0a0b),
            }
            .encode(),
        ),
        (
            "fetch history",
            Message::FetchHistory {
                above: Round(0x0c0d),
                refs: refs(),
            }
            .encode(),
        ),
        (
            "epoch end",
            Message::EpochEnd(epoch_end(&four()).encode()).encode(),
        ),
        (
            "fetch certificate",
            Message::FetchCertificate {
                epoch: 3,
                at_least: CommitIndex(0x0e0f),
            }
            .encode(),
        ),
        (
            "certificate",
            Message::Certificate(certificate(block).encode()).encode(),
        ),
        (
            "fetch commits",
            Message::FetchCommits {
                first: CommitIndex(0x1011),
                count: 64,
            }
            .encode(),
        ),
        (
            "commits",
            Message::Commits {
                first: CommitIndex(2),
                records: vec![record().encode(), Bytes::from_static(b"x")],
            }
            .encode(),
        ),
    ]
}

fn frozen(name: &str, actual: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/vectors")
        .join(name);
    if std::env::var_os("PROBITY_REDRAW").is_some() {
        std::fs::write(&path, actual).unwrap();
    }
    assert_eq!(actual, std::fs::read_to_string(&path).unwrap(), "{name}");
}

#[test]
fn blocks_are_frozen() {
    let block = full_block(&four());
    let lines = [
        ("preimage", hex::encode(block.preimage())),
        ("signed header", hex::encode(block.signed_header())),
        ("payload", hex::encode(block.payload().bytes())),
        ("body digest", block.body_digest().to_string()),
        ("header digest", block.header_digest().to_string()),
        ("digest", block.reference().digest.to_string()),
    ];
    let text: String = lines.map(|(name, hex)| format!("{name}: {hex}\n")).concat();
    frozen("block.hex", &text);
}

#[test]
fn commit_records_are_frozen() {
    let record = record();
    let text = format!(
        "record: {}\ndigest: {}\n",
        hex::encode(record.encode()),
        record.digest()
    );
    frozen("commit_record.hex", &text);
}

#[test]
fn evidence_files_are_frozen() {
    let file = evidence_file(&four());
    let text = format!("file: {}\n", hex::encode(file.encode()));
    frozen("evidence_file.hex", &text);
}

#[test]
fn messages_are_frozen() {
    let mut text = String::new();
    for (name, frame) in messages(&full_block(&four())) {
        writeln!(text, "{name}: {}", hex::encode(&frame)).unwrap();
    }
    frozen("messages.hex", &text);
}

#[test]
fn an_epochs_end_has_one_encoding_and_anything_else_is_refused() {
    let end = epoch_end(&four());
    let bytes = end.encode();
    assert_eq!(EpochEnd::decode(&bytes), Ok(end));
    for length in 0..bytes.len() {
        assert!(
            EpochEnd::decode(&bytes.slice(..length)).is_err(),
            "cut at {length}"
        );
    }
    let trailing = Bytes::from([&bytes[..], &[0]].concat());
    assert_eq!(EpochEnd::decode(&trailing), Err(DecodeError::Trailing));
}

#[test]
fn chains_and_genesis_blocks_are_frozen() {
    let mut text = String::new();
    for (name, committee) in [("four", four()), ("seven", seven())] {
        writeln!(text, "{name} chain: {}", committee.chain()).unwrap();
        for author in committee.indices() {
            writeln!(
                text,
                "{name} genesis {author}: {}",
                committee.genesis(author).unwrap()
            )
            .unwrap();
        }
    }
    frozen("genesis.hex", &text);
}

#[test]
fn leader_orders_are_frozen() {
    let mut text = String::new();
    for (name, committee) in [("four", four()), ("seven", seven())] {
        for round in (1..=10).map(Round) {
            let order: Vec<String> = slots(&committee, round)
                .iter()
                .map(ToString::to_string)
                .collect();
            writeln!(text, "{name} {round}: {}", order.join(" ")).unwrap();
        }
    }
    frozen("leaders.txt", &text);
}

/// R28, R29: keys from scores, and a leader dropped for a bad one.
#[test]
fn leader_orders_under_scores_are_frozen() {
    let mut text = String::new();
    let cases = [
        ("four", four(), vec![100, 99, 90, 62]),
        ("four less one", four(), vec![100, 99, 90, 56]),
        ("seven", seven(), vec![700, 600, 650, 500, 690, 450, 640]),
        ("seven at most", seven(), vec![512 << 20; 7]),
    ];
    for (name, committee, scores) in cases {
        for round in (1..=10).map(Round) {
            let order: Vec<String> = slots_with_scores(&committee, &scores, round)
                .iter()
                .map(ToString::to_string)
                .collect();
            writeln!(text, "{name} {round}: {}", order.join(" ")).unwrap();
        }
    }
    frozen("leaders_scored.txt", &text);
}

/// R21, R26: the table's digest after the first and last commit of full rounds.
#[test]
fn reputation_tables_are_frozen() {
    let mut text = String::new();
    for (name, committee) in [("four", four()), ("seven", seven())] {
        let committee = Arc::new(committee);
        let mut committer = Committer::new(Arc::clone(&committee));
        for block in full_dag(&committee, 10, Signing::Zero) {
            committer.insert(block);
        }
        let commits = committer.commits();
        for commit in [commits.first().unwrap(), commits.last().unwrap()] {
            let record = &commit.record;
            let (round, digest) = (record.leader.round, record.reputation);
            writeln!(text, "{name} leader of {round}: {digest}").unwrap();
        }
    }
    frozen("reputation.hex", &text);
}

#[test]
fn records_round_trip_and_refuse_what_is_not_canonical() {
    let bytes = record().encode();
    assert_eq!(CommitRecord::decode(&bytes).unwrap(), record());
    for length in 0..bytes.len() {
        assert!(
            CommitRecord::decode(&bytes.slice(..length)).is_err(),
            "cut at {length}"
        );
    }
    let trailing = Bytes::from([&bytes[..], &[0]].concat());
    assert!(CommitRecord::decode(&trailing).is_err());
    for at in 0..bytes.len() {
        let mut flipped = bytes.to_vec();
        flipped[at] ^= 1;
        // A flip is another record or none, never a second spelling of this one.
        if let Ok(other) = CommitRecord::decode(&Bytes::from(flipped.clone())) {
            assert_ne!(other, record());
            assert_eq!(&other.encode()[..], flipped);
        }
    }
}

fn assert_certificate_is_canonical(bytes: &Bytes) {
    let certificate = CommitCertificate::decode(bytes).unwrap();
    assert_eq!(certificate.encode(), bytes);
    for length in 0..bytes.len() {
        let cut = CommitCertificate::decode(&bytes.slice(..length));
        assert!(cut.is_err(), "cut at {length}");
    }
    let trailing = Bytes::from([&bytes[..], &[0]].concat());
    assert!(CommitCertificate::decode(&trailing).is_err());
}

#[test]
fn messages_round_trip_and_refuse_what_is_not_canonical() {
    for (name, frame) in messages(&full_block(&four())) {
        let message = Message::decode(&frame).unwrap();
        assert_eq!(message.encode(), frame, "{name}");
        if matches!(
            message,
            Message::Block(_) | Message::Fetched(_) | Message::EpochEnd(_)
        ) {
            continue; // the block inside is the verifier's business
        }
        if let Message::Certificate(bytes) = message {
            assert_certificate_is_canonical(&bytes);
            continue;
        }
        for length in 0..frame.len() {
            assert!(
                Message::decode(&frame.slice(..length)).is_err(),
                "{name} cut at {length}"
            );
        }
        assert!(
            Message::decode(&Bytes::from([&frame[..], &[0]].concat())).is_err(),
            "{name}"
        );
    }
    assert!(Message::decode(&Bytes::new()).is_err());
    for tag in (0..=u8::MAX).filter(|tag| !(1..=11).contains(tag)) {
        assert!(
            Message::decode(&Bytes::from(vec![tag, 0, 0, 0, 0])).is_err(),
            "tag {tag}"
        );
    }
    let too_many = [&[3, 65][..], &[0; 65 * 38]].concat();
    assert!(Message::decode(&Bytes::from(too_many)).is_err());
}
