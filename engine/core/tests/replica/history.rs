//! Asking for a collected block together with its history (R6, R33), and peers that do not keep to it.

use std::collections::BTreeSet;
use std::sync::Arc;

use probity_core::limits::HISTORY_BLOCKS_MAX;
use probity_core::{Block, BlockRef, Committee, Link, Message, Mode, Round, ValidatorIndex};

use crate::draw::{block, equal, genesis, refs, row};
use crate::hand::{Hand, Takes, message};

const GC_DEPTH: u32 = 16;
const ROUNDS: u32 = 4 * GC_DEPTH;
/// The one whose chain nobody heard.
const UNHEARD: u16 = 6;

/// A replica that has committed far, and a chain that it has not heard of yet.
struct Scene {
    hand: Hand,
    /// Round by round from 1.
    chain: Vec<Arc<Block>>,
}

fn scene() -> Scene {
    let committee = equal(7, Mode::Graded, GC_DEPTH);
    let mut hand = Hand::new(&committee, 0, Takes::Nothing);
    (1..7).for_each(|peer| hand.link(peer, Link::Up));
    let chain = grow(&committee, &mut hand);
    hand.sent.clear();
    Scene { hand, chain }
}

/// Shows the replica `ROUNDS` rounds of five others; the chain grows beside them.
fn grow(committee: &Arc<Committee>, hand: &mut Hand) -> Vec<Arc<Block>> {
    let mut below = genesis(committee)[1..6].to_vec();
    let mut own = genesis(committee)[usize::from(UNHEARD)];
    let mut chain = Vec::new();
    for round in 1..=ROUNDS {
        let parents: Vec<BlockRef> = below.iter().copied().chain([own]).collect();
        let unheard = block(committee, (round, UNHEARD), &parents);
        own = unheard.reference();
        chain.push(unheard);
        let blocks = row(committee, round, 1..6, &below);
        blocks.iter().for_each(|block| hand.take(block));
        below = refs(&blocks);
    }
    chain
}

impl Scene {
    fn gc_round(&self) -> u32 {
        self.hand.status().gc_round.0
    }

    fn of_round(&self, round: u32) -> Arc<Block> {
        Arc::clone(&self.chain[round as usize - 1])
    }

    /// Shows the part of the chain that is not collected.
    fn show(&mut self) {
        for round in self.gc_round() + 1..=ROUNDS {
            let block = self.of_round(round);
            self.hand.take(&block);
        }
    }

    /// The histories asked for since the last look.
    fn histories(&mut self) -> Vec<(ValidatorIndex, Round, Vec<BlockRef>)> {
        let sent = std::mem::take(&mut self.hand.sent);
        let history = |(to, message)| {
            let Message::FetchHistory { above, refs } = message else {
                return None;
            };
            Some((to, above, refs))
        };
        sent.into_iter().filter_map(history).collect()
    }

    fn send(&mut self, from: ValidatorIndex, block: &Block) {
        let Message::Block(bytes) = message(block) else {
            unreachable!("a block is sent as one");
        };
        self.hand.hear(from, &Message::Fetched(bytes));
    }

    fn remembered(&self) -> usize {
        self.hand.status().remembered_blocks
    }
}

/// One request names the highest collected block and the floor; the answer brings the rest, and nothing else is asked.
#[test]
fn a_history_is_asked_for_once() {
    let mut scene = scene();
    let (gc_round, before) = (scene.gc_round(), scene.remembered());
    scene.show();
    let top = scene.of_round(gc_round).reference();
    let floor = gc_round - 2 * GC_DEPTH;
    let author = ValidatorIndex(UNHEARD);
    assert_eq!(scene.histories(), [(author, Round(floor), vec![top])]);
    for round in (floor + 1..=gc_round).rev() {
        let block = scene.of_round(round);
        scene.send(author, &block);
    }
    assert_eq!(scene.histories(), []);
    assert_eq!(scene.remembered(), before + 2 * GC_DEPTH as usize);
    assert_eq!(scene.hand.status().missing_blocks, 0);
    let below = scene.of_round(floor);
    scene.send(author, &below);
    assert_eq!(scene.remembered(), before + 2 * GC_DEPTH as usize);
}

/// It sends the block that was named, and of its history nothing: the next peer is asked after one pause, and once.
#[test]
fn a_peer_that_breaks_off_costs_one_pause() {
    let mut scene = scene();
    let gc_round = scene.gc_round();
    scene.show();
    let first = scene.histories()[0].0;
    let top = scene.of_round(gc_round);
    scene.send(first, &top);
    assert_eq!(scene.histories(), [], "the rest is expected");
    scene.hand.wait_us(1_000_000);
    let asked = scene.histories();
    let next = scene.of_round(gc_round - 1).reference();
    assert!(asked.iter().all(|(_, _, refs)| *refs == [next]));
    let second = asked[0].0;
    assert_ne!(second, first);
    let floor = gc_round - 2 * GC_DEPTH;
    for round in (floor + 1..gc_round).rev() {
        let block = scene.of_round(round);
        scene.send(second, &block);
    }
    assert_eq!(scene.histories(), []);
    assert_eq!(scene.hand.status().missing_blocks, 0);
}

/// Blocks of a history are taken as parents of held blocks and in no other way: not ahead of their children, not twice,
/// and nothing that nobody named.
#[test]
fn what_no_held_block_names_is_not_taken() {
    let mut scene = scene();
    let (gc_round, before) = (scene.gc_round(), scene.remembered());
    scene.show();
    let author = scene.histories()[0].0;
    for round in gc_round - 5..gc_round {
        let block = scene.of_round(round);
        scene.send(author, &block);
    }
    assert_eq!(scene.remembered(), before, "their children are not here");
    for _ in 0..2 {
        let top = scene.of_round(gc_round);
        scene.send(author, &top);
    }
    assert_eq!(scene.remembered(), before + 1);
}

/// Whoever holds the chain serves it, also if it makes no block of its own meanwhile: what was asked for first, then the
/// uncommitted blocks beneath, children first, and nothing from the floor down.
#[test]
fn a_history_is_served_down_to_the_floor() {
    let mut scene = scene();
    let gc_round = scene.gc_round();
    scene.show();
    let author = scene.histories()[0].0;
    for round in (gc_round - 2 * GC_DEPTH + 1..=gc_round).rev() {
        let block = scene.of_round(round);
        scene.send(author, &block);
    }
    scene.hand.sent.clear();
    let asks = |above, round: u32| Message::FetchHistory {
        above: Round(above),
        refs: vec![scene.of_round(round).reference()],
    };
    let request = asks(gc_round - 10, gc_round - 2);
    let endless = asks(0, ROUNDS);
    let asker = ValidatorIndex(3);
    scene.hand.hear(asker, &request);
    let rounds = served(&mut scene.hand);
    let expected: Vec<u32> = (gc_round - 9..=gc_round - 2).rev().collect();
    assert_eq!(rounds, expected);
    scene.hand.hear(asker, &endless);
    assert!(served(&mut scene.hand).len() <= HISTORY_BLOCKS_MAX + 1);
}

/// The rounds of the blocks sent, in order; no block twice.
fn served(hand: &mut Hand) -> Vec<u32> {
    let mut seen = BTreeSet::new();
    let mut rounds = Vec::new();
    for (_, message) in std::mem::take(&mut hand.sent) {
        let Message::Fetched(bytes) = message else {
            continue;
        };
        assert!(seen.insert(bytes.clone()), "sent once");
        let round = bytes[42..46].try_into().expect("four bytes");
        rounds.push(u32::from_le_bytes(round));
    }
    rounds
}
