//! A storage that fails stops its node, and no other.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::sync::Arc;

use common::{PATIENCE, assert_same, bound, next, read};
use probity::{CommitIndex, MemoryStorage, Node, State, StopReason, SubmitError, TransactionKind};
use probity_storage::{Fault, Faulty};

#[test]
fn a_failed_write_stops_the_node_and_the_others_go_on() {
    let faulty = Arc::new(Faulty::new(MemoryStorage::new()));
    let nodes: Vec<Node> = bound(4, TransactionKind::Opaque)
        .into_iter()
        .enumerate()
        .map(|(index, (config, transport))| {
            let builder = Node::builder(config).transport(transport);
            let builder = if index == 3 {
                builder.storage(Arc::clone(&faulty))
            } else {
                builder.storage(MemoryStorage::new())
            };
            builder.start().unwrap()
        })
        .collect();
    let taken = nodes[3].submit_blocking("before".into()).unwrap();
    taken.committed_blocking().unwrap();

    let mut stream = nodes[3].commits_after(CommitIndex::GENESIS);
    let waiting = nodes[3].submit_blocking("in vain".into()).unwrap();
    faulty.fail_at(1, Fault::WriteError);
    while let Ok(commit) = stream.next_timeout(PATIENCE) {
        drop(commit.expect("the stream ends in time"));
    }
    let State::Stopped {
        why: StopReason::Storage(why),
    } = nodes[3].status().state
    else {
        panic!("{:?}", nodes[3].status().state)
    };
    assert!(why.contains("injected"), "{why}");
    // Who waits for a commit is told the same.
    let outcome = waiting.committed_blocking();
    let reason = StopReason::Storage(why);
    assert_eq!(outcome, Err(SubmitError::Stopped(reason)));

    let taken = nodes[0].submit_blocking("after".into()).unwrap();
    let index = taken.committed_blocking().unwrap();
    let left = read(&nodes[0], CommitIndex::GENESIS, 2);
    let right = read(&nodes[1], CommitIndex::GENESIS, 2);
    assert_same(&left, &right);
    let with_it = read(&nodes[0], CommitIndex(index.0 - 1), 1);
    assert_eq!(with_it[0].index(), index);
    next(&mut nodes[2].commits_after(CommitIndex::GENESIS));
}
