//! A validator that comes back on its disk catches up and goes on where it was.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::BTreeMap;

use common::{again, assert_same, bind, bound, digests, next, read, transactions, wait_until};
use probity::{
    CommitIndex, CommitsEnd, Config, EpochTerms, Keypair, LmdbStorage, MemoryNetwork,
    MemoryStorage, Node, Profile, TransactionKind,
};
use probity_transport::PeerId;

fn submit(node: &Node, from: u32, to: u32) {
    let batch = (from..to)
        .map(|k| k.to_le_bytes().to_vec().into())
        .collect();
    for answer in node.submit_batch_blocking(batch) {
        answer.unwrap().committed_blocking().unwrap();
    }
}

#[test]
fn a_restarted_node_catches_up_with_the_same_sequence() {
    let home = tempfile::tempdir().unwrap();
    let open = |config: &Config| {
        LmdbStorage::open(home.path().join(config.me.unwrap().to_string())).unwrap()
    };
    let mut bound = bound(4, TransactionKind::Opaque);
    let restarted = again(&bound[3].0, 4);
    let mut nodes: Vec<Node> = bound
        .drain(..)
        .map(|(config, transport)| {
            let storage = open(&config);
            Node::builder(config)
                .storage(storage)
                .transport(transport)
                .start()
                .unwrap()
        })
        .collect();
    submit(&nodes[0], 0, 100);
    let stopped = nodes.pop().unwrap();
    let before = read(&stopped, CommitIndex::GENESIS, 100);
    stopped.stop();
    drop(stopped);

    submit(&nodes[0], 100, 300);
    let transport = bind(&restarted);
    let storage = open(&restarted);
    let node = Node::builder(restarted)
        .storage(storage)
        .transport(transport)
        .start()
        .unwrap();
    submit(&node, 300, 310);

    let whole = read(&node, CommitIndex::GENESIS, 310);
    assert_eq!(digests(&whole[..before.len()]), digests(&before));
    let others = read(&nodes[0], CommitIndex::GENESIS, 310);
    assert_same(&whole, &others);
    assert_eq!(transactions(&whole), transactions(&others));
    let mut slots = BTreeMap::new();
    for block in others.iter().flat_map(|commit| &commit.blocks) {
        let reference = block.block.reference();
        assert_eq!(
            slots.insert(reference.slot(), reference),
            None,
            "one block a slot"
        );
    }
}

fn alone(seed: u8, storage: MemoryStorage) -> Result<Node, probity::Error> {
    let config = Config::single(Keypair::from_seed(&[seed; 32])).unwrap();
    let transport = MemoryNetwork::new().transport(PeerId::new([1; 32]));
    Node::builder(config)
        .storage(storage)
        .transport(transport)
        .start()
}

#[test]
fn streams_deliver_what_was_committed_before_a_stop_and_then_say_why_they_end() {
    let storage = MemoryStorage::new();
    let node = alone(1, storage).unwrap();
    submit(&node, 0, 10);
    let mut stream = node.commits_after(CommitIndex::GENESIS);
    node.stop();
    let mut seen = 0;
    while let Some(commit) = stream.next_blocking() {
        seen += commit.transactions().count();
    }
    assert_eq!(seen, 10);
    assert!(matches!(stream.why_ended(), Some(CommitsEnd::Stopped(_))));
}

#[test]
fn an_application_that_is_ahead_is_told_so() {
    let node = alone(1, MemoryStorage::new()).unwrap();
    submit(&node, 0, 1);
    let mut stream = node.commits_after(CommitIndex(1_000_000));
    assert_eq!(stream.next_blocking(), None);
    assert!(matches!(stream.why_ended(), Some(CommitsEnd::Ahead { .. })));
}

#[test]
fn a_store_of_another_network_is_refused() {
    let storage = MemoryStorage::new();
    let node = alone(1, storage.clone()).unwrap();
    submit(&node, 0, 1);
    node.stop();
    let error = alone(2, storage)
        .err()
        .expect("the store belongs to another network");
    assert!(matches!(error, probity::Error::Recover(_)), "{error}");
}

#[test]
fn a_store_of_another_network_is_called_that_also_when_epochs_have_ended_in_it() {
    let start = |seed, storage| {
        let terms = EpochTerms {
            length_ms: Some(10),
            ..EpochTerms::default()
        };
        let kind = (Profile::default(), TransactionKind::Opaque);
        let signing = vec![Keypair::from_seed(&[seed; 32])];
        let mut configs = Config::in_process_with(signing, kind, terms).unwrap();
        let transport = MemoryNetwork::new().transport(PeerId::new([1; 32]));
        Node::builder(configs.remove(0))
            .storage(storage)
            .transport(transport)
            .start()
    };
    let storage = MemoryStorage::new();
    let node: Node = start(1, storage.clone()).unwrap();
    wait_until("an epoch has ended", || node.epoch() > 0);
    node.stop();
    let error = start(2, storage).err().expect("it belongs to another one");
    let probity::Error::Recover(why) = error else {
        panic!("{error}")
    };
    assert!(why.contains("another network"), "{why}");
}

#[test]
fn old_history_is_removed_and_readers_that_need_it_are_told() {
    let mut config = Config::single(Keypair::from_seed(&[1; 32])).unwrap();
    config.retain_bytes = 0;
    let transport = MemoryNetwork::new().transport(PeerId::new([1; 32]));
    let storage = MemoryStorage::new();
    let node = Node::builder(config)
        .storage(storage.clone())
        .transport(transport)
        .start()
        .unwrap();
    let mut stream = node.commits_after(CommitIndex::GENESIS);
    let mut submitted = 0;
    // Far more commits than memory keeps.
    while next(&mut stream).index() < CommitIndex(2_000) {
        if node.status().waiting_transactions == 0 {
            drop(node.submit_blocking(u32::to_le_bytes(submitted).to_vec().into()));
            submitted += 1;
        }
    }
    drop(stream);
    let mut late = node.commits_after(CommitIndex::GENESIS);
    assert_eq!(late.next_blocking(), None);
    let Some(CommitsEnd::Removed { first, .. }) = late.why_ended() else {
        panic!("{:?}", late.why_ended())
    };
    assert!(*first > CommitIndex(1_000));
    assert!(
        node.commits_after(CommitIndex(first.0 - 1))
            .next_blocking()
            .is_some()
    );
    node.stop();
    let node = alone(1, storage).unwrap();
    submit(&node, submitted, submitted + 1);
}
