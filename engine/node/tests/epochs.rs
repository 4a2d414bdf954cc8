//! Epochs follow each other on four validators over QUIC and LMDB (R32): nothing is lost, nothing comes twice.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::clients::{Clients, assert_once, events_until};
use common::mortal::{Mortal, rule_of};
use common::{digests, read, wait_until};
use probity::{
    CommitIndex, CommitsEnd, Config, EpochTerms, FixedCommittee, Keypair, MemoryNetwork,
    MemoryStorage, Node, Profile, State, TransactionKind, ValidatorIndex,
};
use probity_transport::PeerId;

/// Epochs that last so long.
fn lasting(length: Duration) -> EpochTerms {
    EpochTerms {
        length_ms: Some(u64::try_from(length.as_millis()).unwrap()),
        rule: rule_of(&FixedCommittee),
    }
}

#[test]
fn several_epochs_in_a_row_under_load_lose_and_double_nothing() {
    let mut mortal = Mortal::new(4, TransactionKind::Opaque, lasting(Duration::from_secs(2)));
    mortal.start_all();
    let nodes = mortal.nodes();
    let clients = Clients::start(&nodes, 1);
    let watched = nodes[0].clone();
    let gaps = thread::spawn(move || gaps(&watched, 4));
    let (ordinary, around) = gaps.join().unwrap();
    let committed = clients.stop();
    println!(
        "{} transactions, largest gap between commits: {ordinary:?} within an epoch, {around:?} at {} changes",
        committed.len(),
        4,
    );
    assert!(around < Duration::from_secs(5), "{around:?}");
    assert_once(&nodes, &committed);
    let events: Vec<_> = nodes.iter().map(|node| events_until(node, 3)).collect();
    for node in &events[1..] {
        for (mine, theirs) in events[0].iter().zip(node) {
            assert_eq!((mine.epoch, &mine.roster), (theirs.epoch, &theirs.roster));
            assert_eq!(mine.next.chain(), theirs.next.chain());
            assert!(mine.changes.is_empty() && !mine.slashing_alarm);
            assert_eq!(
                mine.roster.iter().map(|seat| seat.weight).sum::<u64>(),
                1_000_000
            );
        }
    }
    let status = nodes[0].status();
    assert!(status.state == State::Running && status.epoch >= 4);
    // Scores of every epoch so far, from storage or from the core.
    for epoch in 0..=nodes[0].epoch() {
        let standing = nodes[0].reputation(ValidatorIndex(1), epoch);
        assert!(standing.unwrap().is_some(), "epoch {epoch}");
    }
    assert!(nodes[0].reputation(ValidatorIndex(1), 99).is_err());
}

/// The largest pause between two commits, as a reader sees it: within an epoch, and from one to the next.
fn gaps(node: &Node, changes: u64) -> (Duration, Duration) {
    let mut stream = node.commits_after(CommitIndex::GENESIS);
    let (mut ordinary, mut around) = (Duration::ZERO, Duration::ZERO);
    let mut before: Option<(Instant, u64)> = None;
    loop {
        let commit = common::next(&mut stream);
        let (now, epoch) = (Instant::now(), commit.record.epoch);
        match before {
            Some((at, of)) if of == epoch => ordinary = ordinary.max(now - at),
            Some((at, _)) => around = around.max(now - at),
            None => {}
        }
        before = Some((now, epoch));
        if epoch == changes {
            return (ordinary, around);
        }
    }
}

#[test]
fn a_validator_that_crashes_around_the_change_goes_on_in_the_next_epoch() {
    let mut mortal = Mortal::new(4, TransactionKind::Opaque, lasting(Duration::from_secs(1)));
    mortal.start_all();
    let steady = mortal.nodes()[..3].to_vec();
    let clients = Clients::start(&steady, 2);
    // Down before an epoch ends, while it ends, and for more than one of them.
    for away in [1, 2, 4] {
        let epoch = steady[0].epoch();
        mortal.stop(3);
        let away = epoch + away;
        wait_until("the others go on", || steady[0].epoch() >= away);
        mortal.start(3);
        let node = mortal.node(3).clone();
        wait_until("the returned one is in the same epoch", || {
            node.status().state == State::Running && node.epoch() == steady[0].epoch()
        });
    }
    let back = mortal.node(3).clone();
    let taken = back
        .submit_blocking(Bytes::from_static(b"I am back"))
        .unwrap();
    taken.committed_blocking().unwrap();
    let mut committed = clients.stop();
    committed.insert(Bytes::from_static(b"I am back"));
    // What it was away for it has as well, for the others still keep it (R35).
    assert_once(&mortal.nodes(), &committed);
}

#[test]
fn a_validator_away_for_longer_than_its_peers_keep_history_leaves_those_epochs_out() {
    let mut mortal = Mortal::new(4, TransactionKind::Opaque, lasting(Duration::from_secs(1)));
    mortal.retain_bytes = 0;
    mortal.start_all();
    let steady = mortal.nodes()[..3].to_vec();
    let clients = Clients::start(&steady, 4);
    wait_until("an epoch has ended", || steady[0].epoch() >= 1);
    let seen = mortal.node(3).status().last_commit;
    mortal.stop(3);
    let away = steady[0].epoch() + 4;
    wait_until("the others go on", || steady[0].epoch() >= away);
    mortal.start(3);
    let back = mortal.node(3).clone();
    wait_until("the returned one is where the others are", || {
        back.epoch() == steady[0].epoch() && back.status().last_commit > seen
    });
    // Its application is told that it needs another one's state, and goes on from there.
    let mut stream = back.commits_after(seen);
    while stream.next_blocking().is_some() {}
    let Some(CommitsEnd::Removed { first, .. }) = stream.why_ended() else {
        panic!("{:?}", stream.why_ended());
    };
    let taken = back
        .submit_blocking(Bytes::from_static(b"I am back"))
        .unwrap();
    let index = taken.committed_blocking().unwrap();
    assert!(index >= *first);
    wait_until("another one has it as well", || {
        steady[0].status().last_commit >= index
    });
    let mine = read(&back, CommitIndex(index.0 - 1), 1);
    let others = read(&steady[0], CommitIndex(index.0 - 1), 1);
    assert_eq!(digests(&mine)[0], digests(&others)[0]);
    assert!(!clients.stop().is_empty());
}

#[test]
fn an_application_that_takes_its_time_gets_all_that_its_validator_was_away_for() {
    let mut mortal = Mortal::new(4, TransactionKind::Opaque, lasting(Duration::from_secs(2)));
    mortal.start_all();
    let steady = mortal.nodes()[..3].to_vec();
    let clients = Clients::start(&steady, 5);
    wait_until("something is committed", || {
        mortal.node(3).status().last_commit > CommitIndex(20)
    });
    mortal.stop(3);
    let away = steady[0].epoch() + 2;
    wait_until("the others go on", || steady[0].epoch() >= away);
    mortal.lag_commits = 10;
    mortal.start(3);
    let mut stream = mortal.node(3).commits_after(CommitIndex::GENESIS);
    // Longer than a validator waits for commits that nobody has any more.
    thread::sleep(Duration::from_secs(6));
    let mut expected = CommitIndex::GENESIS;
    loop {
        let commit = common::next(&mut stream);
        expected = expected.next();
        assert_eq!(commit.index(), expected);
        if commit.record.epoch > away {
            break;
        }
    }
    assert!(!clients.stop().is_empty());
}

#[test]
fn a_validator_that_was_cut_off_for_several_epochs_gets_all_that_it_missed() {
    let signing = (1..=4).map(|seed| Keypair::from_seed(&[seed; 32]));
    let kind = (Profile::default(), TransactionKind::Opaque);
    let terms = lasting(Duration::from_secs(2));
    let configs = Config::in_process_with(signing.collect(), kind, terms).unwrap();
    let ids: Vec<PeerId> = configs.iter().map(Config::peer_id).collect();
    let network = MemoryNetwork::new();
    let start = |(mut config, id): (Config, &PeerId)| {
        config.tuning.verify_threads = 1;
        let builder = Node::builder(config).storage(MemoryStorage::new());
        builder.transport(network.transport(*id)).start().unwrap()
    };
    let nodes: Vec<Node> = configs.into_iter().zip(&ids).map(start).collect();
    let cut_off = nodes[3].clone();
    wait_until("something is committed", || {
        cut_off.status().last_commit > CommitIndex(5)
    });
    ids[..3]
        .iter()
        .for_each(|other| network.cut(*other, ids[3]));
    let epoch = cut_off.epoch();
    wait_until("the others are further, and a while has passed", || {
        nodes[0].epoch() >= epoch + 3
    });
    assert_eq!(cut_off.epoch(), epoch);
    ids[..3]
        .iter()
        .for_each(|other| network.heal(*other, ids[3]));
    let mut stream = cut_off.commits_after(CommitIndex::GENESIS);
    while common::next(&mut stream).record.epoch < epoch + 3 {}
}

#[test]
fn all_stop_at_once_and_start_again_in_the_epoch_that_they_had_come_to() {
    let mut mortal = Mortal::new(
        4,
        TransactionKind::Opaque,
        lasting(Duration::from_millis(500)),
    );
    mortal.start_all();
    let mut expected = BTreeSet::new();
    for round in 0..4u8 {
        let nodes = mortal.nodes();
        let epoch = nodes[0].epoch();
        let clients = Clients::start(&nodes, 10 + round);
        wait_until("the next epoch begins somewhere", || {
            nodes.iter().any(|node| node.epoch() > epoch)
        });
        expected.extend(clients.stop());
        drop(nodes);
        // Some have entered the next epoch, and some perhaps not.
        (0..4).for_each(|at| mortal.stop(at));
        mortal.start_all();
    }
    let nodes = mortal.nodes();
    let last = nodes[1]
        .submit_blocking(Bytes::from_static(b"last"))
        .unwrap();
    last.committed_blocking().unwrap();
    expected.insert(Bytes::from_static(b"last"));
    assert_once(&nodes, &expected);
    assert!(nodes[0].epoch() >= 3, "epoch {}", nodes[0].epoch());
}
