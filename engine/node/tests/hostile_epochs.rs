//! A member lies about epochs: its fellow validators stay in theirs, and remember nothing of it (R32).

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use bytes::{BufMut, Bytes, BytesMut};
use common::attacker::{Siege, count};
use common::wait_until;
use probity_core::block::{CommitVote, Payload};
use probity_core::crypto::Digest;
use probity_core::{
    COMMIT_RECORD_VERSION, Charter, CommitCertificate, CommitIndex, CommitRecord, EpochEnd,
    Message, Roster, Round, Seat, SignedVotes,
};
use probity_transport::Lane;

/// An end of an epoch after which the attacker decides alone, with as many of its own votes as an end needs.
fn forged(siege: &Siege, epoch: u64) -> EpochEnd {
    let attacker = &siege.attacker;
    let committee = &attacker.committee;
    let charter = Charter {
        roster: Roster::new(vec![Seat::newcomer(attacker.signing.public(), 1)]).unwrap(),
        bounds: committee.bounds(),
        total: committee.thresholds().total,
    };
    let record = CommitRecord {
        version: COMMIT_RECORD_VERSION,
        epoch,
        index: CommitIndex(1),
        previous: *committee.chain(),
        leader: attacker.genesis(attacker.me),
        blocks: Vec::new(),
        timestamp_ms: 1,
        skipped: Vec::new(),
        schedule: 0,
        reputation: Digest::ZERO,
        next: charter.digest(),
    };
    let vote = CommitVote {
        index: record.index,
        digest: record.digest(),
    };
    let mut header = attacker.first_header();
    header.commit_votes = vec![vote];
    let block = attacker.sign(header, Payload::empty());
    EpochEnd {
        certificate: CommitCertificate {
            index: vote.index,
            digest: vote.digest,
            votes: vec![SignedVotes::of(&block); 4],
        },
        record,
        charter,
    }
}

#[test]
fn a_forged_end_of_the_epoch_is_counted_and_nobody_leaves_it() {
    let mut siege = Siege::start();
    let end = forged(&siege, 0);
    let mut unsigned = end.clone();
    unsigned.certificate.votes.clear();
    let mut other = end.clone();
    other.charter.bounds.crashed += 1;
    let mut long = BytesMut::from(&end.encode()[..]);
    long.put_u8(0);
    let cases = [
        ("four times one vote", end.encode()),
        ("no votes", unsigned.encode()),
        ("a charter that the record does not name", other.encode()),
        ("a byte too many", long.freeze()),
        ("no end at all", Bytes::from_static(b"the end")),
    ];
    for (what, bytes) in cases {
        let frame = Message::EpochEnd(bytes).encode();
        siege.assert_rejected((what, "epoch_end"), Lane::Control, &frame);
    }
    siege.assert_goes_on();
    assert!(siege.nodes.iter().all(|node| node.epoch() == 0));
}

/// Memory of this process that belongs to it alone, in bytes.
fn memory_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let mut pages = statm
        .split(' ')
        .map(|pages| pages.parse::<usize>().unwrap());
    let (resident, shared) = (pages.nth(1).unwrap(), pages.next().unwrap());
    (resident - shared) * 4096
}

#[test]
fn what_belongs_to_other_epochs_is_not_kept_and_answered_now_and_then() {
    const FRAMES: u64 = 3_000;
    const BYTES: usize = 100_000;
    let mut siege = Siege::start();
    siege.attacker.listen();
    siege.attacker.messages.clear();
    let before = memory_bytes();
    let started = std::time::Instant::now();
    for number in 0..FRAMES {
        // Each names an epoch of its own, and none was ever seen before.
        let frame = siege.attacker.altered(|header| header.epoch = 1 + number);
        let mut padded = BytesMut::from(&frame[..]);
        padded.resize(BYTES, u8::try_from(number % 251).unwrap());
        siege.broadcast(Lane::Blocks, &padded.freeze());
        for message in [
            Message::Replay {
                epoch: 1 + number,
                after: Round(7),
            },
            Message::EpochEnd(forged_later(&siege, number)),
        ] {
            siege.broadcast(Lane::Control, &message.encode());
        }
        siege.attacker.listen();
    }
    let seen = || {
        let of = |node| count(node, "probity_other_epoch_messages_total");
        siege.nodes.iter().map(of).min().unwrap()
    };
    wait_until("a good part of it has arrived", || seen() > FRAMES / 4);
    let lasted = started.elapsed();
    siege.assert_goes_on();
    let grown = memory_bytes().saturating_sub(before);
    assert!(grown < 200 << 20, "{} MiB", grown >> 20);
    // About four epochs in a row each node says something at most ten times a second.
    let answers = siege.attacker.messages.iter();
    let answers = answers
        .filter(|message| matches!(message, Message::Replay { .. } | Message::EpochEnd(_)))
        .count();
    let allowed = 3 * 4 * (10 * (lasted.as_millis() / 1_000 + 2) + 10);
    assert!((answers as u128) < allowed, "{answers} in {lasted:?}");
    assert!(siege.nodes.iter().all(|node| node.epoch() == 0));
}

fn forged_later(siege: &Siege, number: u64) -> Bytes {
    if number > 50 {
        // Signing takes longer than refusing.
        return Bytes::from_static(b"the end");
    }
    forged(siege, 1 + number % 2).encode()
}
