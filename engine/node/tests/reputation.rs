//! A running node says why a validator's score is what it is, and its storage says the same afterwards.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::sync::Arc;

use common::{Network, PATIENCE, again, bound};
use probity::{
    CommitIndex, LmdbStorage, Node, ReputationError, TransactionKind, ValidatorIndex, replay_scores,
};
use probity_core::ONE;
use probity_storage::Storage;

const ALL: [ValidatorIndex; 4] = [
    ValidatorIndex(0),
    ValidatorIndex(1),
    ValidatorIndex(2),
    ValidatorIndex(3),
];

fn wait_until_scored(node: &Node, rounds: u32) {
    let mut commits = node.commits_after(CommitIndex::GENESIS);
    while node.reputation(ALL[0], 0).unwrap().unwrap().scored_rounds < rounds {
        let commit = commits.next_timeout(PATIENCE).unwrap();
        assert!(commit.is_some(), "no rounds are scored");
    }
}

#[test]
fn a_running_node_explains_the_scores_of_its_epoch_only() {
    let network = Network::start(4, TransactionKind::Opaque);
    let node = &network.nodes[0];
    wait_until_scored(node, 20);
    for validator in ALL {
        let standing = node.reputation(validator, 0).unwrap().unwrap();
        assert_eq!(standing.validator, validator);
        assert!(!standing.slashed && standing.rho == ONE && standing.weight > 0);
        assert!(standing.merit_share.is_some());
        let points: u64 = standing.rounds.iter().map(|r| u64::from(r.points)).sum();
        assert_eq!(points, standing.points);
    }
    assert_eq!(node.reputation(ValidatorIndex(4), 0), Ok(None));
    let (asked, running) = (1, 0);
    let not_held = ReputationError::NotHeld { asked, running };
    assert_eq!(node.reputation(ALL[0], asked), Err(not_held));
}

#[test]
fn many_may_ask_at_once_and_commits_go_on() {
    let network = Network::start(4, TransactionKind::Opaque);
    let node = &network.nodes[0];
    wait_until_scored(node, 4);
    let before = node.status().last_commit;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for turn in 0..400 {
                    let validator = ALL[turn % 4];
                    let standing = node.reputation(validator, 0).unwrap().unwrap();
                    assert_eq!(standing.validator, validator);
                }
            });
        }
    });
    let next = node.commits_after(before).next_timeout(PATIENCE).unwrap();
    assert!(next.is_some(), "commits have ended");
}

#[test]
fn a_stopped_node_says_so_and_its_storage_still_explains() {
    let home = tempfile::tempdir().unwrap();
    let (config, transport) = bound(1, TransactionKind::Opaque).pop().unwrap();
    let committee = Arc::clone(&config.committee);
    let restarted = again(&config, 1);
    let storage: Arc<dyn Storage> = Arc::new(LmdbStorage::open(home.path()).unwrap());
    let replay = |storage: &Arc<dyn Storage>| {
        let mut last = CommitIndex::GENESIS;
        let scores = replay_scores(storage, &committee, &mut |c| last = c.record.index).unwrap();
        (last, scores.map(|scores| scores.standings()))
    };
    assert_eq!(replay(&storage), (CommitIndex::GENESIS, None));
    let start = |config, transport, storage: &Arc<dyn Storage>| {
        let node = Node::builder(config).storage(Arc::clone(storage));
        node.transport(transport).start().unwrap()
    };
    let node = start(config, transport, &storage);
    wait_until_scored(&node, 10);
    node.stop();
    assert!(matches!(
        node.reputation(ALL[0], 0),
        Err(ReputationError::Stopped(_))
    ));
    let (last, standings) = replay(&storage);
    assert_eq!(last, node.status().last_commit);
    drop(node);

    // What it says when it starts again is what was replayed, or what came after.
    let transport = common::bind(&restarted);
    let node = start(restarted, transport, &storage);
    let standing = node.reputation(ALL[0], 0).unwrap().unwrap();
    assert!(standing.scored_rounds >= standings.unwrap()[0].scored_rounds);
}
