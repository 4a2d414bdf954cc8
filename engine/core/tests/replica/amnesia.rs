//! Own blocks that come from the network (R37): proof that the disk forgot or the key runs twice, unless they are the
//! stored ones.

use std::sync::Arc;

use probity_core::{Block, BlockRef, Committee, Mode, Outcome, Round, ValidatorIndex};

use crate::draw::{block, equal, genesis, refs, row};
use crate::hand::{Hand, Takes, message};

const ME: u16 = 0;
const PEER: ValidatorIndex = ValidatorIndex(1);
const ROUNDS: u32 = 5;

struct Run {
    committee: Arc<Committee>,
    hand: Hand,
    /// The newest blocks of the others.
    newest: Vec<BlockRef>,
    round: u32,
}

/// A validator that proposed in every round up to `P` = `ROUNDS`.
fn run() -> Run {
    let committee = equal(4, Mode::Graded, 4);
    let mut run = Run {
        hand: Hand::new(&committee, ME, Takes::All),
        newest: genesis(&committee)[1..].to_vec(),
        committee,
        round: 0,
    };
    run.advance(ROUNDS - 1);
    assert_eq!(run.hand.status().round, Round(ROUNDS));
    run
}

impl Run {
    /// The others go on for some rounds, linking each other only.
    fn advance(&mut self, rounds: u32) {
        for _ in 0..rounds {
            self.round += 1;
            let others = row(&self.committee, self.round, 1..4, &self.newest);
            others.iter().for_each(|block| self.hand.take(block));
            self.hand.wait_us(2_000);
            self.newest = refs(&others);
        }
    }

    /// A valid block under our key that this replica did not make.
    fn foreign(&self, round: u32) -> Arc<Block> {
        let mut below = genesis(&self.committee);
        for round in 1..round {
            let mut authors = row(&self.committee, round, 1..4, &below[1..]);
            authors.insert(0, block(&self.committee, (round, ME), &below));
            below = refs(&authors);
        }
        block(&self.committee, (round, ME), &below)
    }

    fn hear(&mut self, block: &Block) {
        self.hand.hear(PEER, &message(block));
    }

    /// Whether it proposes no more, however far the others go.
    fn is_silent(&mut self) -> bool {
        let (wanted, own) = (self.hand.wanted.len(), self.hand.own.len());
        self.advance(3);
        self.hand.wait_us(10_000_000);
        (wanted, own) == (self.hand.wanted.len(), self.hand.own.len())
    }
}

/// Peers answer requests with whatever they hold, so an own block comes back for innocent reasons.
#[test]
fn an_own_block_that_is_the_stored_one_is_no_amnesia() {
    let mut run = run();
    let own = run.hand.own.clone();
    own.iter().for_each(|block| run.hear(block));
    assert!(!run.hand.status().amnesia);
    run.advance(8);
    assert!(run.hand.status().gc_round >= Round(ROUNDS));
    own.iter().for_each(|block| run.hear(block));
    assert!(!run.hand.status().amnesia, "they are collected");
    assert!(!run.is_silent());
}

/// After a crash between `Sign` and the acceptance of the own block, the header is signed again (R36), and a peer may
/// have the block already: the same block.
#[test]
fn an_own_block_that_is_being_signed_again_is_no_amnesia() {
    let mut run = run();
    run.hand.takes = Takes::Persists;
    run.advance(1);
    run.hand.restart();
    assert_eq!(run.hand.to_sign.len(), 1, "R36");
    let round = run.hand.status().round;
    let mut twin = run.hand.clone();
    twin.takes = Takes::All;
    twin.sign();
    let sent = Arc::clone(twin.own.last().unwrap());
    assert_eq!(sent.round(), round);
    run.hear(&sent);
    assert!(!run.hand.status().amnesia);
    run.hand.takes = Takes::All;
    run.hand.sign();
    assert_eq!(run.hand.own.last().unwrap().reference(), sent.reference());
    assert!(!run.is_silent());
}

/// Above `P`: this replica signed it and forgot, or somebody else holds the key.
#[test]
fn an_own_block_above_the_highest_own_round_stops_proposing() {
    let mut run = run();
    let foreign = run.foreign(ROUNDS + 1);
    run.hear(&foreign);
    assert!(run.hand.status().amnesia);
    assert!(run.is_silent());
}

/// At or below `P`: the slot holds two signed blocks already, and the next one could be a third.
#[test]
fn another_own_block_at_or_below_the_highest_own_round_stops_proposing() {
    for round in 1..=ROUNDS {
        let mut run = run();
        assert_eq!(run.hand.status().gc_round, Round(0));
        let foreign = run.foreign(round);
        let stored = run.hand.own.iter().find(|own| own.round() == Round(round));
        assert_ne!(stored.unwrap().reference(), foreign.reference());
        run.hear(&foreign);
        assert!(run.hand.status().amnesia, "round {round}");
        assert!(run.is_silent(), "round {round}");
    }
}

/// A stale disk shows itself while the next own block is under way: the header that it forgot is of the very round
/// that it is about to sign. Signed and sent, the block in flight would be the second one of its slot.
#[test]
fn an_own_block_in_flight_is_dropped_when_the_disk_forgot() {
    for takes in [Takes::Nothing, Takes::Proposals, Takes::Persists] {
        let mut run = run();
        run.hand.takes = takes;
        run.advance(1);
        let foreign = run.foreign(ROUNDS + 1);
        let sent = run.hand.own.len();
        run.hear(&foreign);
        assert!(run.hand.status().amnesia, "{takes:?}");
        run.hand.takes = Takes::All;
        let (round, room) = *run.hand.wanted.last().unwrap();
        assert_eq!(round, Round(ROUNDS + 1));
        if takes == Takes::Nothing {
            run.hand.answer(round, room);
        }
        run.hand.confirm();
        run.hand.sign();
        assert_eq!(run.hand.own.len(), sent, "{takes:?}: nothing is sent");
        if takes != Takes::Persists {
            assert!(
                !run.hand.signed.contains(&round),
                "{takes:?}: nothing is signed"
            );
        }
        let end = (round, Outcome::Collected);
        assert!(run.hand.outcomes.contains(&end), "{takes:?}: R24");
        assert!(run.is_silent(), "{takes:?}");
    }
}
