//! Blocks, messages and streams, valid and with one fault each.

use std::io;

use bytes::{Bytes, BytesMut};
use probity_core::block::{CommitVote, EquivocationProof, genesis_ref};
use probity_core::crypto::Digest;
use probity_core::{
    Block, BlockRef, COMMIT_RECORD_VERSION, Charter, CommitCertificate, CommitIndex, CommitRecord,
    EpochEnd, EpochEvidence, EvidenceFile, Header, Message, PROTOCOL_VERSION, Payload, Proposal,
    Round, SignedVotes, Slot, ValidatorIndex,
};
use probity_fuzz::committee::{VALIDATORS, committee, keypair};
use probity_transport::{FRAME_BYTES_MAX, encode_frame};

use super::write;

pub(super) fn write_all() -> io::Result<()> {
    let blocks = Blocks::make();
    let mut messages = messages(&blocks);
    messages.extend(certified(&blocks));
    for (name, bytes) in block_inputs(&blocks) {
        write("decode_block", &name, &bytes)?;
    }
    for (name, message) in &messages {
        write("decode_block", &format!("message-{name}"), message)?;
        write("decode_frame", name, &stream(&[message]))?;
    }
    for (name, record) in records(&commit_record(&blocks)) {
        write("decode_block", name, &record)?;
    }
    for (name, file) in evidence_files(&blocks) {
        write("decode_block", name, &file)?;
    }
    for (name, bytes) in stream_inputs(&messages) {
        write("decode_frame", name, &bytes)?;
    }
    Ok(())
}

/// Two rounds of everybody's blocks, and one of the third round with everything a block can carry.
struct Blocks {
    first: Vec<Block>,
    second: Vec<Block>,
    laden: Block,
}

impl Blocks {
    fn make() -> Self {
        let authors = || (0..VALIDATORS).map(ValidatorIndex);
        let genesis: Vec<_> = authors()
            .map(|author| genesis_ref(committee(), author).expect("a member"))
            .collect();
        let first: Vec<_> = authors()
            .map(|author| sign(header(author, &genesis), Payload::empty()))
            .collect();
        let parents: Vec<_> = first.iter().map(Block::reference).collect();
        let second: Vec<_> = authors()
            .map(|author| sign(header(author, &parents), transactions(author)))
            .collect();
        let laden = laden(&first, &second);
        Self {
            first,
            second,
            laden,
        }
    }
}

fn laden(first: &[Block], second: &[Block]) -> Block {
    let parents: Vec<_> = second.iter().skip(1).map(Block::reference).collect();
    let mut header = header(ValidatorIndex(1), &parents);
    header.commit_votes = (1..=8)
        .map(|index| CommitVote {
            index: CommitIndex(index),
            digest: digest(index),
        })
        .collect();
    let twin = |block: &Block, timestamp_ms| {
        let header = Header {
            timestamp_ms,
            ..block.header().clone()
        };
        let block = sign(header, block.payload().clone());
        (block.header_digest(), *block.signature())
    };
    let equivocation = |block: &Block| {
        let slot = block.reference().slot();
        EquivocationProof::new(slot, twin(block, 1), twin(block, 2)).expect("two headers")
    };
    header.evidence = first.iter().map(equivocation).collect();
    sign(header, transactions(ValidatorIndex(1)))
}

/// A header above `parents`, which are of one round.
fn header(author: ValidatorIndex, parents: &[BlockRef]) -> Header {
    let own = parents.iter().filter(|parent| parent.author == author);
    let others = parents.iter().filter(|parent| parent.author != author);
    let round = parents
        .iter()
        .map(|parent| parent.round)
        .max()
        .unwrap_or(Round::GENESIS)
        .next();
    Header {
        version: PROTOCOL_VERSION,
        chain: *committee().chain(),
        epoch: committee().epoch(),
        round,
        author,
        timestamp_ms: 1_700_000_000_000 + u64::from(round.0),
        payload: Payload::empty().describe(),
        parents: own.chain(others).copied().collect(),
        evidence: Vec::new(),
        commit_votes: Vec::new(),
    }
}

fn sign(mut header: Header, payload: Payload) -> Block {
    header.payload = payload.describe();
    let author = header.author;
    let proposal = Proposal::new(header, payload);
    let signature = keypair(author).sign(&proposal.preimage());
    proposal.seal(signature)
}

fn transactions(author: ValidatorIndex) -> Payload {
    let last = vec![b'x'; 300 + usize::from(author.0)];
    Payload::from_transactions(&[&b"first"[..], b"", b"third", &last])
}

fn digest(seed: u64) -> Digest {
    let mut bytes = [0xd0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    Digest(bytes)
}

fn encoded(block: &Block) -> Vec<u8> {
    [&block.signed_header()[..], &block.payload().bytes()[..]].concat()
}

/// Valid blocks, and some with one fault each.
fn block_inputs(blocks: &Blocks) -> Vec<(String, Vec<u8>)> {
    let mut inputs = vec![("empty".to_owned(), Vec::new())];
    for block in blocks
        .first
        .iter()
        .chain(&blocks.second)
        .chain([&blocks.laden])
    {
        let name = format!("valid-round-{}-author-{}", block.round(), block.author());
        inputs.push((name, encoded(block)));
    }
    let laden = encoded(&blocks.laden);
    let mut fault = |name: &str, bytes: Vec<u8>| inputs.push((format!("fault-{name}"), bytes));
    fault("cut-header", laden[..100].to_vec());
    fault(
        "cut-signature",
        laden[..blocks.laden.signed_header().len() - 1].to_vec(),
    );
    fault("cut-payload", laden[..laden.len() - 1].to_vec());
    fault("trailing", [&laden[..], b"!"].concat());
    let mut flipped = laden.clone();
    flipped[50] ^= 1;
    fault("signature", flipped);

    let parents: Vec<_> = blocks.first.iter().map(Block::reference).collect();
    let author = ValidatorIndex(0);
    fault(
        "too-few-parents",
        encoded(&sign(header(author, &parents[..2]), Payload::empty())),
    );
    let mut reversed = header(author, &parents);
    reversed.parents.reverse();
    fault("parent-order", encoded(&sign(reversed, Payload::empty())));
    let same_round = Header {
        round: Round(1),
        ..header(author, &parents)
    };
    fault("parent-round", encoded(&sign(same_round, Payload::empty())));
    let far_ahead = Header {
        round: Round(1000),
        ..header(author, &parents)
    };
    fault("far-ahead", encoded(&sign(far_ahead, Payload::empty())));
    let other_epoch = Header {
        epoch: 7,
        ..header(author, &parents)
    };
    fault("epoch", encoded(&sign(other_epoch, Payload::empty())));
    inputs
}

/// One message of every kind about blocks.
fn messages(blocks: &Blocks) -> Vec<(&'static str, Bytes)> {
    let refs: Vec<_> = blocks.second.iter().map(Block::reference).collect();
    let slot = Slot {
        round: Round(9),
        author: ValidatorIndex(3),
    };
    let unknown = BlockRef {
        round: slot.round,
        author: slot.author,
        digest: digest(9),
    };
    let laden = &blocks.laden;
    vec![
        ("block", Message::encode_block(laden)),
        (
            "fetched",
            Message::encode_fetched(laden.signed_header(), laden.payload().bytes()),
        ),
        ("fetch", Message::Fetch(refs).encode()),
        ("fetch-most", Message::Fetch(vec![unknown; 64]).encode()),
        ("not-held", Message::NotHeld(vec![unknown]).encode()),
        (
            "replay",
            Message::Replay {
                epoch: 0,
                after: Round(12),
            }
            .encode(),
        ),
        (
            "fetch-history",
            Message::FetchHistory {
                above: Round(12),
                refs: vec![unknown; 2],
            }
            .encode(),
        ),
    ]
}

/// One message of every kind about certified commits.
fn certified(blocks: &Blocks) -> Vec<(&'static str, Bytes)> {
    vec![
        (
            "epoch-end",
            Message::EpochEnd(epoch_end(blocks).encode()).encode(),
        ),
        (
            "fetch-certificate",
            Message::FetchCertificate {
                epoch: 0,
                at_least: CommitIndex(9),
            }
            .encode(),
        ),
        (
            "certificate",
            Message::Certificate(certificate(blocks).encode()).encode(),
        ),
        (
            "no-certificate",
            Message::Certificate(Bytes::new()).encode(),
        ),
        (
            "fetch-commits",
            Message::FetchCommits {
                first: CommitIndex(3),
                count: 64,
            }
            .encode(),
        ),
        (
            "commits",
            Message::Commits {
                first: CommitIndex(3),
                records: vec![commit_record(blocks).encode(); 2],
            }
            .encode(),
        ),
    ]
}

/// The end of the first epoch, with a vote for another commit.
fn epoch_end(blocks: &Blocks) -> EpochEnd {
    let charter = Charter {
        roster: committee().roster().clone(),
        bounds: committee().bounds(),
        total: committee().thresholds().total,
    };
    let record = CommitRecord {
        next: charter.digest(),
        ..commit_record(blocks)
    };
    EpochEnd {
        certificate: CommitCertificate {
            index: record.index,
            digest: record.digest(),
            votes: vec![SignedVotes::of(&blocks.laden)],
        },
        record,
        charter,
    }
}

/// Files with the proofs of the laden block: as of the first epoch, and as of the second one with the end before it.
fn evidence_files(blocks: &Blocks) -> [(&'static str, Bytes); 2] {
    let ends = [epoch_end(blocks)];
    let file = |epoch: u64, ends: &[EpochEnd]| {
        let proofs = blocks.laden.header().evidence.clone();
        let proofs = vec![EpochEvidence { epoch, proofs }];
        let file = EvidenceFile::new(committee(), ends, proofs);
        file.expect("few proofs").expect("some").encode()
    };
    [
        ("evidence-file", file(0, &[])),
        ("evidence-file-of-later", file(1, &ends)),
    ]
}

/// A certificate with the votes of three validators.
fn certificate(blocks: &Blocks) -> CommitCertificate {
    let voters = blocks.second.iter().take(3);
    CommitCertificate {
        index: CommitIndex(3),
        digest: digest(3),
        votes: voters.map(SignedVotes::of).collect(),
    }
}

/// A commit of the first two rounds.
fn commit_record(blocks: &Blocks) -> CommitRecord {
    let all = blocks.first.iter().chain(&blocks.second);
    CommitRecord {
        version: COMMIT_RECORD_VERSION,
        epoch: 0,
        index: CommitIndex(3),
        previous: digest(2),
        leader: blocks.second[0].reference(),
        blocks: all
            .enumerate()
            .map(|(at, block)| (block.reference(), at % 3 == 0))
            .collect(),
        timestamp_ms: 1_700_000_000_000,
        skipped: vec![blocks.laden.reference().slot(); 3],
        schedule: 1,
        reputation: digest(4),
        next: Digest::ZERO,
    }
}

/// The record, and what must not pass for one.
fn records(record: &CommitRecord) -> Vec<(&'static str, Vec<u8>)> {
    let sound = record.encode().to_vec();
    let first = record.blocks[0].0.digest;
    let digest_at = sound
        .windows(32)
        .rposition(|window| window == first.as_bytes());
    let mut flag = sound.clone();
    flag[digest_at.expect("the record names its blocks") + 32] = 2;
    vec![
        ("record-trailing", [&sound[..], b"!"].concat()),
        ("record-cut", sound[..sound.len() - 1].to_vec()),
        ("record-void-flag-2", flag),
        ("record", sound),
    ]
}

fn stream(bodies: &[&Bytes]) -> Vec<u8> {
    let mut stream = BytesMut::new();
    for body in bodies {
        encode_frame(body, &mut stream).expect("messages are legal frames");
    }
    stream.to_vec()
}

/// Streams of several frames, and broken ones.
fn stream_inputs(messages: &[(&'static str, Bytes)]) -> Vec<(&'static str, Vec<u8>)> {
    let bodies: Vec<_> = messages.iter().map(|(_, message)| message).collect();
    let all = stream(&bodies);
    let header = |length: usize| {
        u32::try_from(length)
            .expect("a length")
            .to_le_bytes()
            .to_vec()
    };
    let long = stream(&[&Bytes::from(vec![0; 70 * 1024])]);
    vec![
        ("no-bytes", Vec::new()),
        ("half-header", all[..3].to_vec()),
        ("half-body", all[..all.len() / 2].to_vec()),
        ("empty-frame-after-others", [&all[..], &header(0)].concat()),
        (
            "largest-announced",
            [&header(FRAME_BYTES_MAX)[..], b"and little else"].concat(),
        ),
        ("too-large-announced", header(FRAME_BYTES_MAX + 1)),
        ("longer-than-one-allocation", [&long[..], &all].concat()),
        ("all-messages", all),
    ]
}
