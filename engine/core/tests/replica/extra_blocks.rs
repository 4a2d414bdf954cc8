//! Second blocks of a slot, which an equivocator may make without end: taken within a budget, never lost (R6).

use std::collections::BTreeMap;
use std::sync::Arc;

use probity_core::limits::{EXTRA_BLOCK_BYTES_MAX, FETCH_RETRY_MAX_US};
use probity_core::{Block, BlockRef, Committee, Link, Mode, Round, ValidatorIndex};

use crate::draw::{big, block, block_with, equal, genesis, refs, row};
use crate::hand::{Hand, Takes};

/// The validator that makes more than one block of a slot.
const EQUIVOCATOR: u16 = 9;
/// So many big blocks fit into the budget.
const FIT: u16 = 4;

struct Extra {
    committee: Arc<Committee>,
    hand: Hand,
    first: Vec<Arc<Block>>,
    extra: Vec<Arc<Block>>,
}

/// Ten validators, one of which listens and proposes nothing; the others' first blocks are here. The equivocator made
/// one block more than fits.
fn ten(mode: Mode, gc_depth: u32) -> Extra {
    let committee = equal(10, mode, gc_depth);
    let mut hand = Hand::new(&committee, 0, Takes::Nothing);
    (1..10).for_each(|peer| hand.link(peer, Link::Up));
    let below = genesis(&committee);
    let first = row(&committee, 1, 1..10, &below);
    first.iter().for_each(|block| hand.take(block));
    let slot = (1, EQUIVOCATOR);
    let extra = |mark| block_with(&committee, slot, &below, big(mark));
    let extra: Vec<_> = (1..=5).map(extra).collect();
    let bytes = extra[0].encoded_len();
    assert!(usize::from(FIT) * bytes <= EXTRA_BLOCK_BYTES_MAX);
    assert!(usize::from(FIT + 1) * bytes > EXTRA_BLOCK_BYTES_MAX);
    Extra {
        committee,
        hand,
        first,
        extra,
    }
}

impl Extra {
    /// A round 2 block that needs this block of the equivocator.
    fn child_of(&self, author: u16, parent: &Block) -> Arc<Block> {
        let mut parents = refs(&self.first[..8]);
        parents.push(parent.reference());
        block(&self.committee, (2, author), &parents)
    }

    /// Uses the budget up: each block that fits is needed by another author's block.
    fn use_budget_up(&mut self) -> Vec<Arc<Block>> {
        let mut children = Vec::new();
        for author in 1..=FIT {
            let parent = Arc::clone(&self.extra[usize::from(author) - 1]);
            let child = self.child_of(author, &parent);
            self.hand.take(&child);
            assert!(asks_for(&mut self.hand, &parent.reference()), "R33");
            self.hand.take(&parent);
            children.push(child);
        }
        assert_eq!(self.hand.status().suspended_blocks, 0, "all were taken");
        children
    }
}

fn asks_for(hand: &mut Hand, reference: &BlockRef) -> bool {
    let fetches = hand.fetches();
    fetches.iter().any(|(_, asked)| asked == reference)
}

/// An honest block may name any block of an equivocator's slot. Over the budget such a parent waits, but it is wanted
/// again until it is here; dropped for good, its children could never be accepted.
#[test]
fn an_asked_for_block_over_the_budget_is_wanted_again() {
    let mut test = ten(Mode::Graded, 8);
    test.use_budget_up();
    let over = Arc::clone(&test.extra[4]);
    let child = test.child_of(5, &over);
    test.hand.take(&child);
    let before = test.hand.status().accepted_blocks;
    for _ in 0..3 {
        assert!(asks_for(&mut test.hand, &over.reference()));
        test.hand.take(&over);
        assert_eq!(test.hand.status().accepted_blocks, before, "over budget");
        assert!(!asks_for(&mut test.hand, &over.reference()), "not at once");
        test.hand.wait_us(FETCH_RETRY_MAX_US);
    }
    assert_eq!(test.hand.status().suspended_blocks, 1, "its child waits");
}

/// Weight `f` may be all Byzantine and prove nothing; `f + 1` holds an honest author, whose block must be acceptable.
#[test]
fn a_block_that_weight_above_f_needs_is_taken_over_the_budget() {
    let mut test = ten(Mode::Graded, 8);
    test.use_budget_up();
    let over = Arc::clone(&test.extra[4]);
    for author in 5..8 {
        let child = test.child_of(author, &over);
        test.hand.take(&child);
    }
    let before = test.hand.status().accepted_blocks;
    assert!(asks_for(&mut test.hand, &over.reference()));
    test.hand.take(&over);
    let status = test.hand.status();
    assert_eq!(status.accepted_blocks, before, "f need it");
    assert_eq!(status.suspended_blocks, 3);

    let child = test.child_of(8, &over);
    test.hand.take(&child);
    test.hand.wait_us(FETCH_RETRY_MAX_US);
    assert!(asks_for(&mut test.hand, &over.reference()));
    test.hand.take(&over);
    let status = test.hand.status();
    assert_eq!(status.accepted_blocks, before + 5, "f + 1 need it");
    assert_eq!(status.suspended_blocks, 0);
}

/// The budget is renewed by gc window. A whole round may be skipped, so the gc round jumps: over the very round that
/// starts a window, here 4, from 3 to 5. The budget must be renewed all the same.
#[test]
fn a_gc_round_that_jumps_into_a_new_window_renews_the_budget() {
    let gc_depth = 4;
    let skipped = 2 * gc_depth;
    let mut test = ten(Mode::Classic, gc_depth);
    let children = test.use_budget_up();
    let committee = Arc::clone(&test.committee);
    let others = row(&committee, 2, FIT + 1..10, &refs(&test.first));
    others.iter().for_each(|block| test.hand.take(block));
    let mut below: BTreeMap<u16, BlockRef> = BTreeMap::new();
    for block in children.iter().chain(&others) {
        below.insert(block.author().0, block.reference());
    }
    let mut gc_rounds = Vec::new();
    let mut newest = Vec::new();
    for round in 3..=skipped + 5 {
        let mut above = BTreeMap::new();
        for author in 1..10 {
            // No block two rounds up sees a quorum that links the same block of the skipped round.
            let without = match round {
                _ if round == skipped + 1 => [1, 2],
                _ if round == skipped + 2 => [1, 3],
                _ => [0, 0],
            };
            let leaves_out = |of: u16| {
                without
                    .iter()
                    .any(|by| *by > 0 && (author - 1 + by) % 9 == of - 1)
            };
            let parents = below.iter().filter(|(of, _)| !leaves_out(**of));
            newest = parents.map(|(_, parent)| *parent).collect();
            let block = block(&committee, (round, author), &newest);
            above.insert(author, block.reference());
            test.hand.take(&block);
            gc_rounds.push(test.hand.status().gc_round.0);
        }
        below = above;
    }
    let led = |round: &u32| {
        test.hand
            .commits
            .iter()
            .any(|c| c.record.leader.round == Round(*round))
    };
    let rounds: Vec<u32> = (skipped - 1..=skipped + 1).filter(led).collect();
    assert_eq!(rounds, [skipped - 1, skipped + 1], "the round is skipped");
    assert!(gc_rounds.contains(&(gc_depth - 1)), "{gc_rounds:?}");
    assert!(!gc_rounds.contains(&(2 * gc_depth)), "{gc_rounds:?}");

    let (round, before) = (skipped + 5, test.hand.status().accepted_blocks);
    let extra = block_with(&committee, (round, EQUIVOCATOR), &newest, big(9));
    let mut named: Vec<BlockRef> = below.values().copied().collect();
    named.retain(|parent| parent.author != ValidatorIndex(EQUIVOCATOR));
    named.push(extra.reference());
    test.hand.take(&block(&committee, (round + 1, 1), &named));
    assert!(asks_for(&mut test.hand, &extra.reference()), "R33");
    test.hand.take(&extra);
    assert_eq!(test.hand.status().accepted_blocks, before + 2, "R6");
}
