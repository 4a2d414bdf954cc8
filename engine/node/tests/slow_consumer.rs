//! A reader that does not read stops its node's payload, not its votes; and it misses nothing.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::time::Duration;

use common::{bound, next, wait_until};
use probity::{
    CommitIndex, CommitsEnd, Config, Keypair, MemoryNetwork, MemoryStorage, Node, TransactionKind,
};
use probity_transport::PeerId;

const LAG: u64 = 20;

#[test]
fn a_slow_reader_holds_back_payload_and_nothing_else() {
    let nodes: Vec<Node> = bound(4, TransactionKind::Opaque)
        .into_iter()
        .map(|(mut config, transport)| {
            config.tuning.application_lag_commits = LAG;
            let builder = Node::builder(config).storage(MemoryStorage::new());
            builder.transport(transport).start().unwrap()
        })
        .collect();
    let mut slow = nodes[0].commits_after(CommitIndex::GENESIS);
    let mut number = 0_u32;
    wait_until("the reader lags", || {
        number += 1;
        drop(nodes[1].submit_blocking(number.to_le_bytes().to_vec().into()));
        nodes[0].status().application_lag > LAG
    });

    let held = nodes[0].submit_blocking("held back".into()).unwrap();
    let voted = nodes[0].status().last_commit;
    let passed = nodes[1].submit_blocking("passes".into()).unwrap();
    passed.committed_blocking().unwrap();
    wait_until("the node goes on", || {
        nodes[0].status().last_commit > CommitIndex(voted.0 + 10)
    });
    assert_eq!(held.outcome(), None);

    let mut expected = CommitIndex::GENESIS;
    while held.outcome().is_none() {
        let commit = next(&mut slow);
        expected = expected.next();
        assert_eq!(commit.index(), expected);
    }
    held.committed_blocking().unwrap();
}

#[test]
fn a_stream_that_ended_at_once_holds_nothing_back() {
    let mut config = Config::single(Keypair::from_seed(&[1; 32])).unwrap();
    config.tuning.application_lag_commits = 1;
    let transport = MemoryNetwork::new().transport(PeerId::new([1; 32]));
    let builder = Node::builder(config).storage(MemoryStorage::new());
    let node = builder.transport(transport).start().unwrap();
    // Its owner looks at it later, or never.
    let ahead = node.commits_after(CommitIndex(3));
    assert!(matches!(ahead.why_ended(), Some(CommitsEnd::Ahead { .. })));
    wait_until("the node is far behind what it was asked for", || {
        node.status().last_commit > CommitIndex(5)
    });
    assert_eq!(node.status().application_lag, 0);
    let taken = node.submit_blocking("goes on".into()).unwrap();
    wait_until("it is ordered", || taken.outcome().is_some());
}

#[test]
fn a_reader_may_wait_for_ever() {
    let config = Config::single(Keypair::from_seed(&[1; 32])).unwrap();
    let transport = MemoryNetwork::new().transport(PeerId::new([1; 32]));
    let builder = Node::builder(config).storage(MemoryStorage::new());
    let node = builder.transport(transport).start().unwrap();
    let mut stream = node.commits_after(CommitIndex::GENESIS);
    let first = stream.next_timeout(Duration::MAX).unwrap().unwrap();
    assert_eq!(first.index(), CommitIndex(1));
    let second = stream.next_event_timeout(Duration::MAX).unwrap();
    assert!(second.is_some());
}
