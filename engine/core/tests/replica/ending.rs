//! What becomes of own blocks under way when an epoch ends (R24, R32).

use std::sync::Arc;

use probity_core::testing::keypair;
use probity_core::{Committee, EpochTerms, Link, Outcome, Payload, Profile, Round, ValidatorIndex};

use crate::hand::Takes;
use crate::lab::Lab;

/// Four equal validators whose epochs last so long.
fn short(length_ms: u64) -> Arc<Committee> {
    let stakes: Vec<_> = (0..4)
        .map(|at| (keypair(ValidatorIndex(at)).public(), 1))
        .collect();
    let terms = EpochTerms {
        length_ms: Some(length_ms),
        ..EpochTerms::default()
    };
    Arc::new(Committee::from_stakes_with(&stakes, Profile::Dual30, terms, "any/1").unwrap())
}

/// A lab whose last validator has a block with payload under way, up to its signature, while the others end the epoch.
fn last_commit_comes_before_the_signature() -> (Lab, Round) {
    let committee = short(20);
    let mut lab = Lab::new(&committee, 4, &[]);
    lab.run_to(&(0..4), 6);
    let slow = &mut lab.hands[3];
    slow.takes = Takes::Persists;
    slow.payloads
        .push_back(Payload::from_transactions(&[b"late"]));
    let limit = 100_000;
    for _ in 0..limit {
        if lab.hands[3]
            .commits
            .last()
            .is_some_and(|last| last.record.ends_epoch())
        {
            break;
        }
        lab.advance();
    }
    let round = *lab.hands[3].signed.last().unwrap();
    assert!(lab.hands[3].payloads.is_empty(), "its payload is under way");
    (lab, round)
}

fn run_to_the_end(lab: &mut Lab) {
    for _ in 0..100_000 {
        if lab.hands.iter().all(|hand| !hand.ends.is_empty()) {
            return;
        }
        lab.advance();
    }
    panic!("the epoch ends everywhere");
}

#[test]
fn the_payload_of_a_block_that_was_never_signed_comes_back() {
    let (mut lab, round) = last_commit_comes_before_the_signature();
    run_to_the_end(&mut lab);
    let outcomes = &lab.hands[3].outcomes;
    assert!(
        outcomes.contains(&(round, Outcome::EpochEnded)),
        "{outcomes:?}"
    );
}

#[test]
fn the_payload_of_a_block_that_was_signed_in_the_tail_comes_back_once() {
    let (mut lab, round) = last_commit_comes_before_the_signature();
    (0..3).for_each(|peer| lab.hands[3].link(peer, Link::Up));
    lab.hands[3].takes = Takes::All;
    lab.hands[3].sign();
    run_to_the_end(&mut lab);
    let outcomes = &lab.hands[3].outcomes;
    let ended = outcomes.iter().filter(|(of, _)| *of == round).count();
    assert_eq!(ended, 1, "{outcomes:?}");
    assert!(
        outcomes.contains(&(round, Outcome::EpochEnded)),
        "{outcomes:?}"
    );
}
