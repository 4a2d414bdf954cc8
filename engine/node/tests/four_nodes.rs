//! Validators over QUIC and LMDB agree on one order of signed transactions.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{Network, assert_same, read, signed, transactions};
use probity::{CommitIndex, Keypair, State, TransactionKind};

/// Submits `count` transactions to each node and compares what all of them deliver.
fn agree(n: u8, count: u64) {
    let network = Network::start(n, TransactionKind::SignedEnvelope);
    let mut submitted = Vec::new();
    let mut expected = Vec::new();
    for (at, node) in (0..).zip(&network.nodes) {
        let client = Keypair::from_seed(&[100 + at; 32]);
        let batch: Vec<_> = (0..count)
            .map(|k| signed(network.chain, &client, k))
            .collect();
        expected.extend(batch.iter().cloned());
        submitted.extend(
            node.submit_batch_blocking(batch)
                .into_iter()
                .map(Result::unwrap),
        );
    }
    let indices: Vec<_> = submitted
        .iter()
        .map(|taken| taken.committed_blocking().unwrap())
        .collect();
    let delivered: Vec<_> = network
        .nodes
        .iter()
        .map(|node| read(node, CommitIndex::GENESIS, expected.len()))
        .collect();
    for other in &delivered[1..] {
        assert_same(&delivered[0], other);
        assert_eq!(transactions(&delivered[0]), transactions(other));
    }
    let mut ordered = transactions(&delivered[0]);
    ordered.sort();
    expected.sort();
    assert_eq!(ordered, expected, "each transaction is ordered once");
    let last = delivered[0].last().unwrap().index();
    assert!(indices.iter().all(|index| *index <= last));
    for node in &network.nodes {
        let status = node.status();
        assert_eq!(
            (status.state, status.validators),
            (State::Running, usize::from(n))
        );
        assert_eq!(status.peers_up, usize::from(n) - 1);
    }
}

#[test]
fn four_nodes_deliver_the_same_sequence() {
    agree(4, 500);
}

#[test]
fn one_node_agrees_with_itself() {
    agree(1, 50);
}

#[test]
fn two_nodes_agree() {
    agree(2, 50);
}

#[test]
fn three_nodes_agree() {
    agree(3, 50);
}

#[test]
fn status_says_how_many_may_crash() {
    for (n, tolerated) in [(1, 0), (2, 0), (4, 1)] {
        let network = Network::start(n, TransactionKind::Opaque);
        assert_eq!(
            network.nodes[0].status().crashes_tolerated,
            tolerated,
            "{n} validators"
        );
    }
}
