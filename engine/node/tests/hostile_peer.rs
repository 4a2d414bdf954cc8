//! A committee member with valid keys that says whatever does harm: it is counted, and the others go on.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::time::{Duration, Instant};

use bytes::Bytes;
use common::attacker::{Siege, invented};
use common::{next, now_ms, wait_until};
use probity::{CommitIndex, EvidenceFile, Node};
use probity_core::block::{CommitVote, EquivocationProof, Header, Payload};
use probity_core::crypto::{Digest, Signature};
use probity_core::limits::REQUEST_REFS_MAX;
use probity_core::{Message, Round, ValidatorIndex};
use probity_transport::{
    Event, InboxLimits, Lane, NetworkKey, QuicOptions, QuicTransport, RecvStatus, Transport as _,
    inbox,
};

const ATTACKER: ValidatorIndex = ValidatorIndex(3);
const TAG_BLOCK: u8 = 1;
const TAG_FETCH: u8 = 3;
const TAG_NOT_HELD: u8 = 4;
const TAG_REPLAY: u8 = 5;
/// Bytes of a header in front of its list of parents.
const HEADER_FIXED_BYTES: usize = 2 + 32 + 8 + 4 + 2 + 8 + 32 + 4 + 4;

/// Bytes without pattern that are the same in every run.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn tagged(tag: u8, rest: &[u8]) -> Bytes {
    [&[tag], rest].concat().into()
}

#[test]
fn frames_without_sense_are_counted_on_every_lane_and_the_node_goes_on() {
    let mut siege = Siege::start();
    let good = siege.attacker.altered(|_| {});
    let cut = |length: usize| good.slice(..length);
    let mut many_parents = good.to_vec();
    many_parents[1 + HEADER_FIXED_BYTES..][..2].copy_from_slice(&[0xff; 2]);
    let refs = Message::Fetch(vec![invented(Round(1), ValidatorIndex(0), 0)]).encode();
    let too_many_refs = u8::try_from(REQUEST_REFS_MAX + 1).unwrap();
    let cases: [(&str, Bytes, &str); 17] = [
        ("noise", tagged(0x77, &noise(1000, 1)), "frame"),
        ("no tag's tag", tagged(0, &[]), "frame"),
        ("an unknown tag", tagged(6, &good[1..]), "frame"),
        ("a request without a count", tagged(TAG_FETCH, &[]), "frame"),
        ("a request cut short", refs.slice(..refs.len() - 1), "frame"),
        (
            "a request and a byte",
            [&refs[..], &[0]].concat().into(),
            "frame",
        ),
        (
            "a count of too many",
            tagged(TAG_FETCH, &[too_many_refs]),
            "frame",
        ),
        ("a count of 255", tagged(TAG_NOT_HELD, &[255; 500]), "frame"),
        ("half a round", tagged(TAG_REPLAY, &[1, 0]), "frame"),
        (
            "a round and a byte",
            tagged(TAG_REPLAY, &[1, 0, 0, 0, 0]),
            "frame",
        ),
        ("a block of nothing", tagged(TAG_BLOCK, &[]), "malformed"),
        (
            "a block of noise",
            tagged(TAG_BLOCK, &noise(50, 2)),
            "malformed",
        ),
        ("half a header", cut(good.len() / 2), "malformed"),
        ("half a signature", cut(good.len() - 32), "malformed"),
        ("65,535 parents", many_parents.into(), "malformed"),
        (
            "a block and a byte",
            [&good[..], &[0]].concat().into(),
            "payload",
        ),
        (
            "a large block of noise",
            tagged(TAG_BLOCK, &noise(3 << 20, 3)),
            "malformed",
        ),
    ];
    for lane in Lane::ALL {
        for (what, frame, rule) in &cases {
            siege.assert_rejected((what, rule), lane, frame);
        }
        siege.assert_goes_on();
    }
    // The transport itself sends no empty frame; what it does with a received one, its own tests say.
    let dropped = siege.attacker.transport.stats().frames_dropped;
    siege.broadcast(Lane::Control, &Bytes::new());
    assert_eq!(siege.attacker.transport.stats().frames_dropped, dropped + 3);
}

#[test]
fn every_rule_that_a_block_breaks_is_counted_by_name_and_the_node_goes_on() {
    type Change = fn(&mut Header);
    let cases: [(&str, &str, Change); 14] = [
        ("another version", "version", |h| h.version += 1),
        ("another chain", "chain", |h| h.chain = Digest([9; 32])),
        ("round 0", "round", |h| h.round = Round::GENESIS),
        ("an author beyond the committee", "author", |h| {
            h.author = ValidatorIndex(4)
        }),
        ("the greatest author", "author", |h| {
            h.author = ValidatorIndex(u16::MAX)
        }),
        ("no parents", "parent_order", |h| h.parents.clear()),
        ("another one's block first", "parent_order", |h| {
            h.parents.swap(0, 1)
        }),
        ("parents that fall", "parent_order", |h| {
            h.parents.swap(1, 2)
        }),
        ("a parent twice", "parent_order", |h| {
            h.parents[2] = h.parents[1]
        }),
        ("too little weight below", "parent_quorum", |h| {
            h.parents.truncate(2)
        }),
        ("a parent of its own round", "parent_round", |h| {
            h.parents[1].round = h.round
        }),
        ("a parent beyond the committee", "author", |h| {
            h.parents[3].author = ValidatorIndex(u16::MAX);
        }),
        ("a false genesis", "genesis", |h| {
            h.parents[1].digest = Digest([9; 32])
        }),
        ("a proof of nothing", "evidence", |h| {
            let signed = |byte| (Digest([byte; 32]), Signature([0; 64]));
            h.evidence = vec![EquivocationProof {
                round: Round(1),
                author: ValidatorIndex(0),
                first: signed(1),
                second: signed(2),
            }];
        }),
    ];
    let mut siege = Siege::start();
    for (what, rule, change) in cases {
        let frame = siege.attacker.altered(change);
        siege.assert_rejected((what, rule), Lane::Blocks, &frame);
        siege.assert_goes_on();
    }
}

#[test]
fn a_forged_author_is_counted_and_the_node_goes_on() {
    let mut siege = Siege::start();
    for author in (0..3).map(ValidatorIndex) {
        let frame = siege.attacker.altered(|header| {
            header.author = author;
            header.parents.swap(0, 1 + author.position());
            header.parents[1..].sort_by_key(|parent| parent.author);
        });
        siege.assert_rejected(("a forged author", "signature"), Lane::Blocks, &frame);
        let mut fetched = frame.to_vec();
        fetched[0] = 2;
        siege.assert_rejected(
            ("a forged author", "signature"),
            Lane::CatchUp,
            &fetched.into(),
        );
    }
    siege.assert_goes_on();
    let round = siege.attacker.whole_round(Round::GENESIS);
    let honest = siege.attacker.blocks[&round].values().next().unwrap();
    let pushed = tagged(TAG_BLOCK, honest);
    siege.assert_rejected(
        ("another one's block", "wrong_author"),
        Lane::Blocks,
        &pushed,
    );
    siege.assert_goes_on();
}

#[test]
fn a_payload_that_breaks_a_rule_is_counted_and_the_node_goes_on() {
    let mut siege = Siege::start();
    let good = siege.transaction();
    let mut forged = good.to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let forged = Bytes::from(forged);
    let payload = |transactions: &[&[u8]]| Payload::from_transactions(transactions);
    let truthful = |payload: Payload| (payload.describe(), payload);
    let mut short_table = payload(&[&good]).describe();
    short_table.count = 2;
    let mut huge = payload(&[&good]).describe();
    (huge.bytes, huge.count) = (u32::MAX, u32::MAX);
    let oversized = vec![0; (64 << 10) + 1];
    let cases = [
        (
            "another payload",
            "payload",
            (payload(&[&good]).describe(), payload(&[&forged])),
        ),
        (
            "no payload",
            "payload",
            (payload(&[&good]).describe(), Payload::empty()),
        ),
        ("a payload of 4 GiB", "payload", (huge, payload(&[&good]))),
        (
            "a table that does not fit",
            "malformed",
            (short_table, payload(&[&good])),
        ),
        (
            "a transaction too large",
            "payload",
            truthful(payload(&[&oversized])),
        ),
        (
            "a forged transaction",
            "transaction",
            truthful(payload(&[&good, &forged])),
        ),
        (
            "an empty transaction",
            "transaction",
            truthful(payload(&[&good, b""])),
        ),
        (
            "noise for a transaction",
            "transaction",
            truthful(payload(&[&noise(200, 4)])),
        ),
    ];
    for (what, rule, (described, payload)) in cases {
        let mut header = siege.attacker.first_header();
        header.payload = described;
        let frame = Message::encode_block(&siege.attacker.sign(header, payload));
        siege.assert_rejected((what, rule), Lane::Blocks, &frame);
        siege.assert_goes_on();
    }
}

#[test]
fn the_greatest_values_of_a_valid_block_harm_nobody() {
    let mut siege = Siege::start();
    let mut own: Option<probity_core::BlockRef> = None;
    for step in 0..5 {
        let after = own.map_or(Round::GENESIS, |own| own.round);
        siege.attacker.whole_round(after);
        let mut header = siege.attacker.fresh_header();
        header.timestamp_ms = u64::MAX - step;
        if let Some(own) = own {
            header.parents[0] = own;
        }
        header.commit_votes = [0, 1, u64::MAX]
            .map(|index| CommitVote {
                index: CommitIndex(index),
                digest: Digest([7; 32]),
            })
            .to_vec();
        let block = siege.attacker.sign(header, Payload::empty());
        own = Some(block.reference());
        siege.broadcast(Lane::Blocks, &Message::encode_block(&block));
    }
    for frame in [
        Message::Replay {
            epoch: 0,
            after: Round(u32::MAX),
        },
        Message::NotHeld(vec![invented(Round(u32::MAX), ValidatorIndex(u16::MAX), 1)]),
        Message::Fetch(vec![invented(Round(u32::MAX), ValidatorIndex(u16::MAX), 1)]),
        Message::Fetch(Vec::new()),
    ] {
        siege.broadcast(Lane::Control, &frame.encode());
    }
    siege.assert_goes_on();
    for node in &siege.nodes {
        let stamps = attackers_commits(node, 5);
        assert!(stamps.iter().all(|stamp| *stamp <= now_ms() + 1000));
    }
}

#[test]
fn requests_for_the_greatest_numbers_harm_nobody() {
    let mut siege = Siege::start();
    let greatest = CommitIndex(u64::MAX);
    let frames = [
        Message::FetchCommits {
            first: greatest,
            count: 64,
        },
        Message::FetchCertificate {
            epoch: 0,
            at_least: greatest,
        },
        Message::FetchCertificate {
            epoch: u64::MAX,
            at_least: greatest,
        },
        Message::Commits {
            first: greatest,
            records: vec![Bytes::from_static(b"?"); 2],
        },
        Message::FetchHistory {
            above: Round(u32::MAX),
            refs: vec![invented(Round(u32::MAX), ValidatorIndex(u16::MAX), 1)],
        },
        Message::Replay {
            epoch: u64::MAX,
            after: Round(u32::MAX),
        },
    ]
    .map(|message| message.encode());
    let answers = |siege: &Siege| {
        let messages = siege.attacker.messages.iter();
        messages
            .filter(|message| matches!(message, Message::Commits { .. }))
            .count()
    };
    // What is said while a link comes up may be lost.
    let mut sent_at = None::<Instant>;
    wait_until("every node answers", || {
        if sent_at.is_none_or(|at| at.elapsed() > Duration::from_secs(1)) {
            let send = |frame| siege.broadcast(Lane::Control, frame);
            frames.iter().for_each(send);
            sent_at = Some(Instant::now());
        }
        siege.attacker.listen();
        answers(&siege) >= 3
    });
    siege.assert_goes_on();
}

/// The timestamps of all commits until the one with the attacker's block number `count`.
fn attackers_commits(node: &Node, count: usize) -> Vec<u64> {
    let mut stream = node.commits_after(CommitIndex::GENESIS);
    let (mut stamps, mut seen) = (Vec::new(), 0);
    while seen < count {
        let commit = next(&mut stream);
        stamps.push(commit.record.timestamp_ms);
        let authors = commit.blocks.iter().map(|block| block.block.author());
        seen += authors.filter(|author| *author == ATTACKER).count();
    }
    stamps
}

/// Two blocks of one slot, each with a transaction of its own, both signed.
fn two_of_one_slot(siege: &mut Siege) -> [Bytes; 2] {
    let header = siege.attacker.fresh_header();
    let one = |siege: &mut Siege| {
        let payload = Payload::from_transactions(&[siege.transaction()]);
        let mut header = header.clone();
        header.payload = payload.describe();
        Message::encode_block(&siege.attacker.sign(header, payload))
    };
    [one(siege), one(siege)]
}

#[test]
fn two_blocks_for_one_slot_are_evidence_and_the_node_goes_on() {
    let mut siege = Siege::start();
    let evidence = "probity_evidence_total";
    for slots in 1..=3 {
        for frame in two_of_one_slot(&mut siege) {
            siege.broadcast(Lane::Blocks, &frame);
        }
        wait_until("every node has evidence", || {
            siege.counts(evidence) == [slots; 3]
        });
        siege.assert_goes_on();
        siege.attacker.next_round();
    }
    for node in &siege.nodes {
        let accusations = node.evidence().unwrap();
        assert_eq!(accusations.len(), 3, "R12: they are stored");
        let sinner = siege.attacker.signing.public();
        let guilty = accusations.iter().all(|a| a.key == sinner && a.epoch == 0);
        assert!(guilty, "{accusations:?}");
        let file = node.evidence_file().unwrap().unwrap();
        let read = EvidenceFile::decode(&file.encode()).unwrap();
        assert_eq!(read.verify(&siege.attacker.committee), Ok(accusations));
    }
}

#[test]
fn nodes_that_are_told_different_blocks_for_one_slot_find_out_and_agree() {
    let mut siege = Siege::start();
    let [left, right] = two_of_one_slot(&mut siege);
    let [first, others @ ..] = &siege.peers[..] else {
        panic!("three peers")
    };
    siege.attacker.send(first.id, Lane::Blocks, left);
    for other in others {
        siege.attacker.send(other.id, Lane::Blocks, right.clone());
    }
    wait_until("every node has evidence", || {
        siege.counts("probity_evidence_total") == [1; 3]
    });
    siege.assert_goes_on();
}

#[test]
fn a_stranger_never_becomes_a_peer_and_the_node_goes_on() {
    let mut siege = Siege::start();
    let options = QuicOptions::for_network(*siege.attacker.committee.chain().as_bytes());
    let refused = siege.counts("probity_refused_peers_total");
    // Of two peers the lower key dials, and this stranger is to dial all of them.
    let lowest = siege.peers.iter().map(|peer| peer.id).min().unwrap();
    let key = (0_u64..)
        .map(|number| {
            let mut seed = [0; 32];
            seed[..8].copy_from_slice(&number.to_le_bytes());
            NetworkKey::from_seed(seed)
        })
        .find(|key| key.public() < lowest)
        .unwrap();
    let stranger = QuicTransport::bind("127.0.0.1:0".parse().unwrap(), key, options).unwrap();
    let (inbox, ears) = inbox(InboxLimits::default());
    stranger.set_peers(&siege.peers);
    stranger.start(inbox);
    wait_until("every node has refused the stranger", || {
        let now = siege.counts("probity_refused_peers_total");
        now.iter().zip(&refused).all(|(now, before)| now > before)
    });
    siege.assert_goes_on();
    let mut events: Vec<Event> = Vec::new();
    let heard = ears.recv_batch(&mut events, 1, Duration::from_millis(1));
    assert_eq!(heard, RecvStatus::TimedOut, "{events:?}");
}
