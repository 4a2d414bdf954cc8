//! Second blocks of a slot, which an equivocator may make without end: whoever stands on them pays, and none that a
//! correct validator stands on is lost (R6).

use std::collections::BTreeMap;
use std::sync::Arc;

use probity_core::limits::{EXTRA_GRANT_US, FETCH_RETRY_MAX_US, extra_bytes_max};
use probity_core::{Block, BlockRef, Committee, Link, Mode, Round};

use crate::draw::{big, block, block_with, equal, genesis, refs, row};
use crate::hand::{Hand, Takes};

/// The validator of four that makes more than one block of a slot.
const EQUIVOCATOR: u16 = 3;

fn listener(committee: &Arc<Committee>) -> Hand {
    let mut hand = Hand::new(committee, 0, Takes::Nothing);
    let others = 1..u16::try_from(committee.size()).unwrap();
    others.for_each(|peer| hand.link(peer, Link::Up));
    hand
}

fn asks_for(hand: &mut Hand, reference: &BlockRef) -> bool {
    let fetches = hand.fetches();
    fetches.iter().any(|(_, asked)| asked == reference)
}

/// Hands over whatever is asked for until nothing is.
fn answer(hand: &mut Hand, made: &BTreeMap<BlockRef, Arc<Block>>) {
    loop {
        let asked = hand.fetches();
        if asked.is_empty() {
            return;
        }
        for (_, reference) in asked {
            hand.take(&made[&reference]);
        }
    }
}

/// The equivocator of four gives each of the others a block of its own, as large as can be, and builds its next ones on
/// yet another that nobody saw:
///
/// ```text
/// 1   b1  b2  v0 v1 v2  w     v0 came here, v1 to validator 1, v2 to validator 2, w to nobody
/// 2   b1 -> b1 b2 v1          b2 -> b1 b2 v2          v0, v1, v2, w -> w b1 b2
/// 3   b1 -> b1 b2 v1 …
/// ```
///
/// Each variant is needed by one author's blocks only, and w by nobody's directly. All of them have to be taken at once,
/// round after round: otherwise nobody takes anybody's next block, no round has a quorum, nothing is committed, and what
/// was refused is refused for good.
#[test]
fn variants_that_others_took_first_are_taken_however_large() {
    let committee = equal(4, Mode::Graded, 16);
    let mut hand = listener(&committee);
    let now = hand.now;
    let mut made = BTreeMap::new();
    let mut make = |at, parents: &[BlockRef], payload| {
        let block = block_with(&committee, at, parents, payload);
        made.insert(block.reference(), Arc::clone(&block));
        (block, made.clone())
    };
    let below = genesis(&committee);
    let mut honest = [below[1], below[2]];
    let mut variants = [below[3]; 4];
    for round in 1..=8 {
        let mut next = honest;
        for author in [1, 2] {
            let mut parents = vec![honest[0], honest[1]];
            parents.rotate_left(usize::from(author) - 1);
            parents.push(variants[usize::from(author)]);
            if round == 1 {
                parents.push(below[0]);
            }
            parents[1..].sort_by_key(|parent| parent.author);
            let (block, made) = make((round, author), &parents, probity_core::Payload::empty());
            next[usize::from(author) - 1] = block.reference();
            hand.take(&block);
            answer(&mut hand, &made);
        }
        assert!(
            hand.status().frontier >= Round(round),
            "{:?}",
            hand.status()
        );
        let mut parents = vec![variants[3], honest[0], honest[1]];
        if round == 1 {
            parents.insert(1, below[0]);
        }
        for (variant, mark) in (0..4).zip(1..) {
            let (block, made) = make((round, EQUIVOCATOR), &parents, big(mark));
            variants[variant] = block.reference();
            if variant == 0 {
                hand.take(&block);
                answer(&mut hand, &made);
            }
        }
        honest = next;
    }
    assert_eq!(hand.now, now, "nothing had to wait");
    assert_eq!(hand.status().gc_round, Round(0), "in one window");
}

/// An author would pay for anything of its own. What only its blocks stand on waits, until another author's block that
/// stands on it comes: then it is asked for at once.
#[test]
fn its_own_author_does_not_pay_and_whoever_comes_later_does() {
    let committee = equal(4, Mode::Graded, 16);
    let mut hand = listener(&committee);
    let below = genesis(&committee);
    let first = row(&committee, 1, 1..4, &below);
    let second = row(&committee, 2, 1..3, &refs(&first));
    first
        .iter()
        .chain(&second)
        .for_each(|block| hand.take(block));
    let unseen = block_with(&committee, (1, EQUIVOCATOR), &below, big(1));
    let parents = [&first[0], &first[1], &unseen].map(|block| block.reference());
    let on_unseen = block(&committee, (2, EQUIVOCATOR), &parents);
    hand.take(&on_unseen);
    let before = hand.status().accepted_blocks;
    for _ in 0..3 {
        assert!(asks_for(&mut hand, &unseen.reference()), "R33");
        hand.take(&unseen);
        assert!(!asks_for(&mut hand, &unseen.reference()), "not at once");
        assert_eq!(hand.status().accepted_blocks, before);
        hand.wait_us(2 * FETCH_RETRY_MAX_US);
    }
    hand.fetches();
    hand.take(&unseen);
    let parents = [&second[0], &second[1], &on_unseen].map(|block| block.reference());
    hand.take(&block(&committee, (3, 1), &parents));
    assert!(asks_for(&mut hand, &unseen.reference()), "now it is needed");
    hand.take(&unseen);
    let status = hand.status();
    assert_eq!(status.accepted_blocks, before + 3, "{status:?}");
    assert_eq!(status.extra_bytes, unseen.encoded_len());
}

/// So many of the greatest blocks fit into one author's budget.
const FIT: u16 = 16;
/// The author whose block stands on as many, and on one more.
const PAYER: u16 = 18;

struct Spent {
    committee: Arc<Committee>,
    hand: Hand,
    first: Vec<Arc<Block>>,
    /// Second blocks of validators 1 to 17.
    extra: Vec<Arc<Block>>,
    child: Arc<Block>,
}

/// Seventeen of nineteen validators made a second block in round 1, and a block of another one stands on them all; its
/// budget pays for all but the last.
fn spent() -> Spent {
    let gc_depth = 4;
    let committee = equal(19, Mode::Graded, gc_depth);
    let mut hand = listener(&committee);
    let below = genesis(&committee);
    let first = row(&committee, 1, 1..=PAYER, &below);
    first.iter().for_each(|block| hand.take(block));
    let extra = |author| block_with(&committee, (1, author), &below, big(1));
    let extra: Vec<_> = (1..=FIT + 1).map(extra).collect();
    let bytes = extra[0].encoded_len();
    assert!(usize::from(FIT) * bytes <= extra_bytes_max(gc_depth));
    assert!(usize::from(FIT + 1) * bytes > extra_bytes_max(gc_depth));
    let mut parents = refs(&extra);
    parents.push(first[usize::from(PAYER) - 1].reference());
    parents.rotate_right(1);
    let child = block(&committee, (2, PAYER), &parents);
    hand.take(&child);
    assert!(asks_for(&mut hand, &extra[0].reference()), "R33");
    let before = hand.status().accepted_blocks;
    extra.iter().for_each(|block| hand.take(block));
    let status = hand.status();
    assert_eq!(status.accepted_blocks, before + u64::from(FIT));
    assert_eq!(status.extra_bytes, usize::from(FIT) * bytes);
    assert_eq!(status.suspended_blocks, 1, "the block that stands on them");
    let last = extra[usize::from(FIT)].reference();
    assert!(!asks_for(&mut hand, &last), "not at once");
    Spent {
        committee,
        hand,
        first,
        extra,
        child,
    }
}

#[test]
fn whoever_else_stands_on_it_pays_over_one_authors_budget() {
    let mut test = spent();
    let last = &test.extra[usize::from(FIT)];
    let mut parents = refs(&test.first);
    parents[usize::from(FIT)] = last.reference();
    test.hand.take(&block(&test.committee, (2, 1), &parents));
    assert!(asks_for(&mut test.hand, &last.reference()));
    let before = test.hand.status().accepted_blocks;
    test.hand.take(last);
    let status = test.hand.status();
    assert_eq!(status.accepted_blocks, before + 3, "{status:?}");
    assert_eq!(status.suspended_blocks, 0);
}

/// A budget may only delay: who knows whether the author that spent it was a correct one, shown too much by others.
#[test]
fn a_spent_budget_grows_with_time() {
    let mut test = spent();
    let last = &test.extra[usize::from(FIT)];
    let before = test.hand.status().accepted_blocks;
    test.hand.wait_us(EXTRA_GRANT_US - 1);
    assert!(!asks_for(&mut test.hand, &last.reference()), "not yet");
    test.hand.wait_us(1);
    assert!(asks_for(&mut test.hand, &last.reference()));
    test.hand.take(last);
    let status = test.hand.status();
    assert_eq!(status.accepted_blocks, before + 2, "{status:?}");
    assert_eq!(
        status.extra_bytes,
        usize::from(FIT) * last.encoded_len(),
        "one more is forgiven, no other"
    );
}

#[test]
fn collected_blocks_cost_nothing_any_more() {
    let mut test = spent();
    let last = Arc::clone(&test.extra[usize::from(FIT)]);
    let mut below = row(&test.committee, 2, 1..PAYER, &refs(&test.first));
    below.iter().for_each(|block| test.hand.take(block));
    let mut round = 2;
    while test.hand.status().gc_round == Round(0) {
        assert!(test.hand.status().extra_bytes > 0);
        round += 1;
        assert!(round < 20, "nothing is committed");
        below = row(&test.committee, round, 1..PAYER, &refs(&below));
        below.iter().for_each(|block| test.hand.take(block));
    }
    let status = test.hand.status();
    assert_eq!(status.extra_bytes, 0, "{status:?}");
    assert_eq!(status.suspended_blocks, 0, "R5: {:?}", test.child);
    let before = status.accepted_blocks;
    test.hand.take(&last);
    assert_eq!(test.hand.status().accepted_blocks, before, "collected");
}
