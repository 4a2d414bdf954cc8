//! Every mistake planted into the commit rule is seen by the comparison with the slow reference.
//!
//! The drawn DAGs of `order_matches_reference` meet each of them within a few hundred seeds. What a whole replica
//! does wrong, or only one validator of several, is for the simulator to see. Run with
//! `cargo test --config 'target.x86_64-unknown-linux-gnu.rustflags=["--cfg","probity_planted"]' --test planted_order`.

#![cfg(probity_planted)]
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use probity_core::planted::{self, Bug};
use probity_core::testing::{
    AnswerCommit, Chance, Committed, Committer, RandomDag, delivery, reference_answer,
};

/// The bugs that blocks, votes and the order alone can show.
const ORDER: [Bug; 29] = [
    Bug::CertificateLow,
    Bug::SkipCertificateLow,
    Bug::SlowLow,
    Bug::FastCommitLow,
    Bug::FastSkipLow,
    Bug::WeakLow,
    Bug::WeakHigh,
    Bug::VoidDropped,
    Bug::VoidByArrival,
    Bug::WeightPerBlock,
    Bug::WeakVotesPerBlock,
    Bug::SecondVoteIgnored,
    Bug::LateCandidateUnblamed,
    Bug::ParentsOfAnyRound,
    Bug::SkipOnOneBlamed,
    Bug::AnchorNear,
    Bug::AnchorOverUndecided,
    Bug::IndirectByLocalView,
    Bug::AnchorSkipForgotten,
    Bug::GreatestDigest,
    Bug::OrderByDigest,
    Bug::OrderByArrival,
    Bug::LeaderFirst,
    Bug::StopAtLastCommitted,
    Bug::SecondUncommitted,
    Bug::UpperMedian,
    Bug::TimestampFalls,
    Bug::GcRoundHigh,
    Bug::LeadersByWindow,
];

const SEEDS: u64 = 2_000;

#[test]
fn the_reference_sees_every_bug_of_the_order() {
    std::panic::set_hook(Box::new(|_| {})); // thousands of caught panics are no news
    let mut unseen = Vec::new();
    for bug in ORDER {
        planted::set(Some(bug));
        match (0..SEEDS).find(|seed| !agrees(*seed)) {
            Some(seed) => println!("{bug}: seed {seed}"),
            None => unseen.push(bug),
        }
        planted::set(None);
    }
    let sound = (0..200).all(agrees);
    drop(std::panic::take_hook());
    assert!(sound, "without a bug there is nothing to see");
    assert!(unseen.is_empty(), "not seen: {unseen:?}");
}

/// Whether the real rule ends with what the reference says, under two orders of arrival.
fn agrees(seed: u64) -> bool {
    let run = || {
        let dag = RandomDag::draw(seed);
        let mut chance = Chance::new(seed ^ 0x0b5e_77e7);
        [10, 200].into_iter().all(|noise| {
            let mut committer = Committer::new(Arc::clone(&dag.shape.committee));
            for block in delivery(&dag.blocks, noise, &mut chance) {
                committer.insert(block);
            }
            let answer = reference_answer(&dag.shape.committee, committer.accepted());
            let commits: Vec<AnswerCommit> = committer.commits().iter().map(plain).collect();
            committer.decisions() == answer.decisions && commits == answer.commits
        })
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or(false)
}

fn plain(committed: &Committed) -> AnswerCommit {
    AnswerCommit {
        leader: committed.record.leader,
        blocks: committed.record.blocks.clone(),
        timestamp_ms: committed.record.timestamp_ms,
        skipped: committed.record.skipped.clone(),
        gc_round: committed.gc_round,
    }
}
