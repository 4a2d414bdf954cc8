//! A validator whose blocks nobody heard for long is heard again: its chain of collected blocks has to be grounded (R6),
//! in a few round trips, not in one for each round (R33).

use std::ops::Range;
use std::sync::Arc;

use probity_core::{Block, Mode, Round};

use crate::draw::equal;
use crate::lab::Lab;

/// The validators that hear each other all the time: a quorum of the seven.
const CORE: Range<u16> = 0..5;
const GC_DEPTH: u32 = 16;
/// Requests for collected blocks that one validator needs until it links those that return; without histories it would
/// be one for each round above the floor, `2 * GC_DEPTH`.
const REQUESTS_MAX: usize = 4;

/// Lets everybody run while the others do not hear `unheard`, and then hear it again; returns the round of that.
fn come_back(lab: &mut Lab, unheard: &Range<u16>) -> u32 {
    lab.run_to(&(0..7), 3);
    for from in unheard.clone() {
        let others = (0..7).filter(|to| !unheard.contains(to));
        lab.lost.extend(others.map(|to| (from, to)));
    }
    lab.run_to(&(0..7), 5 * GC_DEPTH);
    lab.lost.clear();
    lab.grounding_requests.fill(0);
    lab.hand(0).status().round.0
}

/// Every validator links new blocks of the returning ones, and asked for little to get there.
fn assert_grounded_with_few_requests(lab: &Lab, (unheard, since): (&Range<u16>, u32)) {
    for node in CORE {
        for author in unheard.clone() {
            let new = |own: &Arc<Block>| {
                let mut parents = own.parents().iter();
                parents.any(|parent| parent.author.0 == author && parent.round > Round(since))
            };
            assert!(
                lab.hand(node).own.iter().any(new),
                "{node} links {author} again"
            );
        }
        let requests = lab.grounding_requests[usize::from(node)];
        assert!(requests <= REQUESTS_MAX, "{node} asked {requests} times");
    }
}

fn assert_comes_back(unheard: &Range<u16>) {
    let mut lab = Lab::new(&equal(7, Mode::Graded, GC_DEPTH), 7, &[]);
    let since = come_back(&mut lab, unheard);
    lab.run_to(&(0..7), since + 4);
    assert_grounded_with_few_requests(&lab, (unheard, since));
    lab.agreed();
}

/// Its chain is longer than what anybody remembers.
#[test]
fn the_chain_of_one_that_nobody_heard_is_fetched_at_once() {
    assert_comes_back(&(6..7));
}

/// They heard each other: each chain stands on the other one.
#[test]
fn two_chains_that_stand_on_each_other_are_fetched_at_once() {
    assert_comes_back(&(5..7));
}
