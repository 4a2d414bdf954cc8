//! Asking for blocks that nobody has (R33).

use std::collections::BTreeMap;

use probity_core::crypto::Digest;
use probity_core::limits::{FETCH_RETRY_MAX_US, FETCH_RETRY_US};
use probity_core::{BlockRef, Link, Message, Mode, Round, Time, ValidatorIndex};

use crate::draw::{block, equal, genesis, refs, row};
use crate::hand::{Hand, Takes};

/// A replica to which validator 3 shows a block with a parent that nobody else has seen.
fn asked_for_what_one_has() -> (Hand, BlockRef) {
    let committee = equal(4, Mode::Graded, 8);
    let mut hand = Hand::new(&committee, 0, Takes::Nothing);
    (1..4).for_each(|peer| hand.link(peer, Link::Up));
    let first = row(&committee, 1, 1..3, &genesis(&committee));
    first.iter().for_each(|block| hand.take(block));
    let missing = BlockRef {
        round: Round(1),
        author: ValidatorIndex(3),
        digest: Digest([7; 32]),
    };
    let mut parents = refs(&first);
    parents.push(missing);
    hand.take(&block(&committee, (2, 3), &parents));
    (hand, missing)
}

/// A Byzantine author may name a parent that does not exist. Each peer is asked at once, and after that only now and
/// then: an unpaused circle of requests and refusals would keep every validator busy forever.
#[test]
fn a_block_that_nobody_holds_is_asked_for_with_pauses() {
    let (mut hand, nobodys) = asked_for_what_one_has();
    let start = hand.now;
    let mut asked: BTreeMap<Time, Vec<ValidatorIndex>> = BTreeMap::new();
    let mut requests = 0;
    while hand.now < start.plus_us(20 * FETCH_RETRY_MAX_US) {
        let fetches = hand.fetches();
        if fetches.is_empty() {
            let due = hand.replica.next_deadline().expect("it is asked for again");
            hand.tick(due);
            continue;
        }
        for (peer, reference) in fetches {
            assert_eq!(reference, nobodys);
            asked.entry(hand.now).or_default().push(peer);
            requests += 1;
            assert!(requests <= 64, "asked in a circle: {asked:?}");
            hand.hear(peer, &Message::NotHeld(vec![reference]));
        }
    }
    let mut at_once = asked[&start].clone();
    assert!(at_once.len() <= 4, "{at_once:?}");
    at_once.sort_unstable();
    at_once.dedup();
    assert_eq!(at_once.len(), 3, "R33: everybody is asked at once");
    let times: Vec<Time> = asked.keys().copied().collect();
    for pair in times.windows(2) {
        let pause = pair[1].since_us(pair[0]);
        assert!(pause >= FETCH_RETRY_US, "a pause of {pause} us");
    }
    // The requests of the first circle were answered at once and are no reason for a longer pause.
    let first = times[1].since_us(times[0]);
    assert!(first < 2 * FETCH_RETRY_US, "the first pause is {first} us");
    let last = times[times.len() - 1].since_us(times[times.len() - 2]);
    assert!(last >= FETCH_RETRY_MAX_US, "pauses double: {last} us");
    assert!(times.len() > 10, "it is asked for as long as it is needed");
}

/// The one peer that holds the block was asked, and its answer was lost. It is asked again in every circle, however
/// surely the others refuse.
#[test]
fn whoever_did_not_answer_is_asked_again() {
    let (mut hand, missing) = asked_for_what_one_has();
    let holder = ValidatorIndex(3);
    let end = hand.now.plus_us(20 * FETCH_RETRY_MAX_US);
    let mut asked = 0;
    while hand.now < end {
        let due = hand.replica.next_deadline().expect("it is asked for again");
        for (peer, reference) in hand.fetches() {
            assert_eq!(reference, missing);
            if peer == holder {
                asked += 1;
            } else {
                hand.hear(peer, &Message::NotHeld(vec![reference]));
            }
        }
        hand.tick(due);
    }
    assert!(asked >= 5, "asked {asked} times");
}
