//! A reader that does not read stops its node's payload, not its votes; and it misses nothing.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{bound, next, wait_until};
use probity::{CommitIndex, MemoryStorage, Node, TransactionKind};

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
