//! A parent is named by round, author and digest. A digest that is real and stands elsewhere is not that parent (R5).

use std::sync::Arc;

use probity_core::{Block, BlockRef, Link, Mode, Round, ValidatorIndex};

use crate::draw::{block, equal, genesis, refs, row};
use crate::hand::{Hand, Takes};
use crate::lab::Lab;

/// The same digest under another name.
fn renamed(block: &Block, round: u32, author: u16) -> BlockRef {
    BlockRef {
        round: Round(round),
        author: ValidatorIndex(author),
        ..block.reference()
    }
}

/// The liar's only block of round 1, named as that of everybody, would be a quorum of parents by itself.
#[test]
fn one_block_under_many_names_is_no_quorum() {
    let committee = equal(4, Mode::Graded, 8);
    let mut hand = Hand::new(&committee, 0, Takes::Nothing);
    (1..4).for_each(|peer| hand.link(peer, Link::Up));
    let own = block(&committee, (1, 3), &genesis(&committee));
    hand.take(&own);
    let names: Vec<BlockRef> = (0..4).map(|author| renamed(&own, 1, author)).collect();
    hand.take(&block(&committee, (2, 3), &names));
    assert_eq!(hand.status().accepted_blocks, 1, "only its first block");
    assert_eq!(hand.status().suspended_blocks, 1, "its parents are missing");
}

/// Named in the wrong round, a held block is missing, and is asked for under that name.
#[test]
fn a_held_block_of_another_round_is_asked_for() {
    let committee = equal(4, Mode::Graded, 8);
    let mut hand = Hand::new(&committee, 0, Takes::Nothing);
    (1..4).for_each(|peer| hand.link(peer, Link::Up));
    let first = row(&committee, 1, 1..4, &genesis(&committee));
    let second = row(&committee, 2, 1..4, &refs(&first));
    first
        .iter()
        .chain(&second)
        .for_each(|block| hand.take(block));
    let accepted = hand.status().accepted_blocks;
    let mut parents = refs(&second);
    parents[0] = renamed(&first[0], 2, 1);
    hand.take(&block(&committee, (3, 3), &parents));
    hand.wait_us(1);
    assert_eq!(hand.status().accepted_blocks, accepted);
    let asked = hand.fetches();
    assert!(asked.iter().all(|(_, asked)| *asked == parents[0]));
    assert!(!asked.is_empty());
}

/// Named in a collected round, a live block neither halts whoever takes the child, nor makes the child one to link.
#[test]
fn a_live_block_named_in_a_collected_round_halts_nobody() {
    let committee = equal(4, Mode::Graded, 6);
    let mut lab = Lab::new(&committee, 3, &[]);
    lab.run_to(&(0..3), 20);
    let gc_round = lab.hand(0).status().gc_round;
    assert!(gc_round > Round(2));
    let round = lab.hand(0).status().round.0 - 1;
    let below = lab.round(0..3, round - 1);
    let live = Arc::clone(lab.own(0, round - 1).unwrap());
    let mut parents = below;
    parents.push(renamed(&live, gc_round.0 - 1, 3));
    let poison = block(&committee, (round, 3), &parents);
    lab.play(&poison, 0..3);
    lab.run_to(&(0..3), round + 20);
    let links = |own: &Arc<Block>| own.parents().contains(&poison.reference());
    assert!(!lab.hands.iter().flat_map(|hand| &hand.own).any(links));
    assert!(lab.agreed() > 20);
}
