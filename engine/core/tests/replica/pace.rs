//! How long a leader is waited for (R9).

use probity_core::limits::LEADER_TIMEOUT_MIN_US;
use probity_core::{Mode, Round};

use crate::draw::{equal, genesis, refs, row};
use crate::hand::{Hand, Takes};

const IDLE_US: u64 = 200_000;

#[test]
fn a_round_that_idles_beyond_the_timeout_does_not_double_it() {
    let committee = equal(4, Mode::Graded, 64);
    let mut hand = Hand::idling(&committee, 0, (Takes::All, IDLE_US));
    let first = row(&committee, 1, 1..4, &genesis(&committee)[1..]);
    hand.wait_us(1_000);
    first.iter().for_each(|block| hand.take(block));
    hand.wait_us(2 * IDLE_US);
    assert_eq!(hand.status().round, Round(2), "the quorum is there");
    assert_eq!(hand.status().leader_timeout_us, LEADER_TIMEOUT_MIN_US);
}

#[test]
fn a_leader_that_stays_away_doubles_it() {
    let committee = equal(4, Mode::Graded, 64);
    // Of the blocks of round 1 one is missing each time; once it is the primary's.
    let doubled = (1..4u16).any(|absent| {
        let mut hand = Hand::new(&committee, 0, Takes::All);
        (1..4).for_each(|peer| hand.link(peer, probity_core::Link::Up));
        let present = row(&committee, 1, 1..4, &genesis(&committee)[1..]);
        let present: Vec<_> = present
            .into_iter()
            .filter(|block| block.author().0 != absent)
            .collect();
        present.iter().for_each(|block| hand.take(block));
        hand.wait_us(10 * LEADER_TIMEOUT_MIN_US);
        assert_eq!(refs(&present).len(), 2);
        assert_eq!(hand.status().round, Round(2));
        hand.status().leader_timeout_us == 2 * LEADER_TIMEOUT_MIN_US
    });
    assert!(
        doubled,
        "the primary of round 1 is one of them, or this validator"
    );
}
