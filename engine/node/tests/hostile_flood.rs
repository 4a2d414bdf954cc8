//! A committee member that sends more than anybody can use: its share of the work is bounded.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use common::attacker::{Siege, count, invented};
use common::{signed, wait_until};
use probity::{Keypair, QuicTransport};
use probity_core::block::Payload;
use probity_core::limits::REQUEST_REFS_MAX;
use probity_core::{BlockRef, Message, Round, ValidatorIndex};
use probity_transport::{Lane, PeerId, Transport as _};

/// Sends without pause until it is dropped.
struct Flood {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Flood {
    fn start(siege: &Siege, (to, lane): (PeerId, Lane), frames: Vec<Bytes>) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&ends);
        let transport: Arc<QuicTransport> = Arc::clone(&siege.attacker.transport);
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                for frame in frames.iter().cycle().take(256) {
                    transport.send(to, lane, frame.clone());
                }
                std::thread::park_timeout(Duration::from_millis(1));
            }
        });
        Self {
            ends,
            thread: Some(thread),
        }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

#[test]
fn blocks_of_the_far_future_are_verified_but_not_kept_and_the_node_goes_on() {
    let mut siege = Siege::start();
    let verified = siege.counts("probity_verified_blocks_total");
    for number in 0..200 {
        let mut header = siege.attacker.first_header();
        header.round = Round(1_000_000 + number);
        let below = Round(header.round.0 - 1);
        for parent in &mut header.parents[1..] {
            *parent = invented(below, parent.author, number);
        }
        let block = siege.attacker.sign(header, Payload::empty());
        siege.broadcast(Lane::Blocks, &Message::encode_block(&block));
    }
    wait_until("every block is verified", || {
        let now = siege.counts("probity_verified_blocks_total");
        now.iter()
            .zip(&verified)
            .all(|(now, before)| now - before >= 200)
    });
    siege.assert_goes_on();
    let asks_for = |wanted: fn(&Message) -> bool| siege.attacker.messages.iter().any(wanted);
    assert!(asks_for(|message| matches!(
        message,
        Message::Replay { .. }
    )));
    assert!(
        !asks_for(|message| matches!(message, Message::Fetch(_))),
        "nothing hangs on a block that is not kept"
    );
    let status = siege.nodes[0].status();
    assert!(status.frontier < Round(1_000_000), "{status:?}");
}

#[test]
fn invented_parents_hold_up_nobody_and_the_node_goes_on() {
    let mut siege = Siege::start();
    let base = siege.attacker.whole_round(Round::GENESIS);
    for ahead in 1..60 {
        let mut header = siege.attacker.first_header();
        header.round = base.plus(ahead + 1);
        for parent in &mut header.parents[1..] {
            *parent = invented(base.plus(ahead), parent.author, ahead);
        }
        let block = siege.attacker.sign(header, Payload::empty());
        siege.broadcast(Lane::Blocks, &Message::encode_block(&block));
    }
    siege.assert_goes_on();
    wait_until("the invented blocks are asked for", || {
        siege.attacker.listen();
        let asked = siege.attacker.messages.iter();
        asked.filter(|m| matches!(m, Message::Fetch(_))).count() > 0
    });
    let asked = std::mem::take(&mut siege.attacker.messages);
    for message in asked {
        if let Message::Fetch(refs) = message {
            siege.broadcast(Lane::Control, &Message::NotHeld(refs).encode());
        }
    }
    siege.assert_goes_on();
}

#[test]
fn a_flood_of_requests_for_unknown_blocks_is_dropped_and_the_node_goes_on() {
    let mut siege = Siege::start();
    let request = |number| {
        let name = |at| invented(Round(number), ValidatorIndex(0), at);
        let most = u32::try_from(REQUEST_REFS_MAX).unwrap();
        Message::Fetch((0..most).map(name).collect()).encode()
    };
    let frames: Vec<Bytes> = (0..256).map(request).collect();
    let target = siege.peers[0].id;
    let flood = Flood::start(&siege, (target, Lane::Control), frames);
    wait_until("requests are dropped", || {
        siege.attacker.listen();
        count(&siege.nodes[0], "probity_serve_dropped_total") > 0
    });
    siege.assert_goes_on();
    drop(flood);
    siege.assert_goes_on();
}

/// Blocks of nearly the greatest size that node 0 has made.
fn large_blocks(siege: &mut Siege) -> Vec<BlockRef> {
    let client = Keypair::from_seed(&[101; 32]);
    let chain = *siege.attacker.committee.chain();
    let batch: Vec<Bytes> = (0..4000).map(|k| signed(chain, &client, k)).collect();
    for answer in siege.nodes[0].submit_batch_blocking(batch) {
        answer.unwrap();
    }
    let mut large = Vec::new();
    wait_until("node 0 makes large blocks", || {
        siege.attacker.listen();
        large = siege.attacker.larger_than(100 << 10);
        !large.is_empty()
    });
    large
}

#[test]
fn a_flood_of_requests_for_large_blocks_is_dropped_and_the_node_goes_on() {
    let mut siege = Siege::start();
    let large = large_blocks(&mut siege);
    let refs = large
        .iter()
        .copied()
        .cycle()
        .take(REQUEST_REFS_MAX)
        .collect();
    let target = siege.peers[0].id;
    let before = count(&siege.nodes[0], "probity_serve_dropped_total");
    let frames = vec![Message::Fetch(refs).encode()];
    let flood = Flood::start(&siege, (target, Lane::Control), frames);
    wait_until("requests are dropped", || {
        siege.attacker.listen();
        count(&siege.nodes[0], "probity_serve_dropped_total") > before
    });
    siege.assert_goes_on();
    drop(flood);
    siege.assert_goes_on();
}

#[test]
fn a_flood_of_replay_requests_is_dropped_and_the_node_goes_on() {
    let mut siege = Siege::start();
    let large = large_blocks(&mut siege);
    let after = Round(large[0].round.0 - 1);
    let target = siege.peers[0].id;
    let frames = vec![Message::Replay { epoch: 0, after }.encode()];
    let flood = Flood::start(&siege, (target, Lane::Control), frames);
    wait_until("requests are dropped", || {
        siege.attacker.listen();
        count(&siege.nodes[0], "probity_serve_dropped_total") > 0
    });
    siege.assert_goes_on();
    drop(flood);
    siege.assert_goes_on();
}

#[test]
fn a_flood_of_blocks_that_are_dear_to_verify_leaves_the_others_their_turn() {
    let mut siege = Siege::start_with(|config| config.tuning.verify_threads = 1);
    let client = Keypair::from_seed(&[101; 32]);
    let chain = *siege.attacker.committee.chain();
    let mut transactions: Vec<Vec<u8>> = (0..1000)
        .map(|k| signed(chain, &client, k).to_vec())
        .collect();
    *transactions.last_mut().unwrap().last_mut().unwrap() ^= 1;
    let payload = Payload::from_transactions(&transactions);
    let mut header = siege.attacker.first_header();
    header.payload = payload.describe();
    let frame = Message::encode_block(&siege.attacker.sign(header, payload));
    let target = siege.peers[0].id;
    let flood = Flood::start(&siege, (target, Lane::Blocks), vec![frame]);
    let dropped = "probity_verify_dropped_total";
    wait_until("more comes than can be verified", || {
        count(&siege.nodes[0], dropped) > 0
    });
    siege.assert_goes_on();
    drop(flood);
    let rejected = "probity_rejected_messages_total{peer=\"3\",rule=\"transaction\"}";
    assert!(count(&siege.nodes[0], rejected) > 0);
    siege.assert_goes_on();
}
