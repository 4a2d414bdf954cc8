//! Epochs follow each other on four validators over QUIC and LMDB (R32): nothing is lost, nothing comes twice.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::mortal::{Mortal, rule_of};
use common::{PATIENCE, assert_same, digests, now_ms, read, transactions, wait_until};
use probity::{
    Change, ChangeError, ChangeOutcome, CommitIndex, EpochEvent, EpochTerms, FixedCommittee, Node,
    RosterError, State, StreamEvent, SubmitError, TransactionKind, VotedChanges,
};

/// Epochs that last so long.
fn lasting(length: Duration) -> EpochTerms {
    EpochTerms {
        length_ms: Some(u64::try_from(length.as_millis()).unwrap()),
        rule: rule_of(&FixedCommittee),
    }
}

/// Epochs that end when the validators ask for it.
fn voted() -> EpochTerms {
    EpochTerms {
        length_ms: None,
        rule: rule_of(&VotedChanges),
    }
}

/// Clients of one node, one transaction after the other, until they are told to stop.
struct Clients {
    stop: Arc<AtomicBool>,
    committed: Arc<Mutex<BTreeSet<Bytes>>>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Clients {
    /// Two for each node; every transaction is waited for, and must be committed.
    fn start(nodes: &[Node], mark: u8) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let committed = Arc::new(Mutex::new(BTreeSet::new()));
        let client = |number: usize| {
            let (node, stop) = (nodes[number % nodes.len()].clone(), Arc::clone(&stop));
            let committed = Arc::clone(&committed);
            let head = [mark, u8::try_from(number).unwrap()];
            thread::spawn(move || {
                for count in 0u32.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let transaction = Bytes::from([&head[..], &count.to_le_bytes()].concat());
                    let taken = node.submit_blocking(transaction.clone()).unwrap();
                    taken
                        .committed_blocking()
                        .expect("its receipt outlives the epoch");
                    committed.lock().unwrap().insert(transaction);
                }
            })
        };
        let threads = (0..2 * nodes.len()).map(client).collect();
        Self {
            stop,
            committed,
            threads,
        }
    }

    /// Everything that was committed.
    fn stop(self) -> BTreeSet<Bytes> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        Arc::into_inner(self.committed)
            .unwrap()
            .into_inner()
            .unwrap()
    }
}

/// The events of a node's whole sequence until an epoch has ended.
fn events_until(node: &Node, epoch: u64) -> Vec<Arc<EpochEvent>> {
    let mut stream = node.commits_after(CommitIndex::GENESIS);
    let (mut events, mut last) = (Vec::new(), CommitIndex::GENESIS);
    loop {
        match stream.next_event_timeout(PATIENCE).unwrap().unwrap() {
            StreamEvent::Commit(commit) => {
                assert_eq!(commit.index(), last.next());
                assert_eq!(
                    commit.record.epoch,
                    events.len() as u64,
                    "an event is between epochs"
                );
                last = commit.index();
            }
            StreamEvent::Epoch(event) => {
                assert_eq!(
                    (event.epoch, event.last_commit),
                    (events.len() as u64, last)
                );
                events.push(event);
                if events.len() as u64 > epoch {
                    return events;
                }
            }
        }
    }
}

/// Every node has the same sequence, with each of these in it once.
fn assert_once(nodes: &[Node], expected: &BTreeSet<Bytes>) {
    let delivered: Vec<_> = nodes
        .iter()
        .map(|node| read(node, CommitIndex::GENESIS, expected.len()))
        .collect();
    let found = transactions(&delivered[0]);
    let once: BTreeSet<Bytes> = found.iter().cloned().collect();
    assert_eq!(found.len(), once.len(), "nothing comes twice");
    assert!(once.is_superset(expected), "nothing is lost");
    for other in &delivered[1..] {
        assert_same(&delivered[0], other);
        assert_eq!(transactions(other), found);
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
        let standing = nodes[0].reputation(probity::ValidatorIndex(1), epoch);
        assert!(standing.unwrap().is_some(), "epoch {epoch}");
    }
    assert!(nodes[0].reputation(probity::ValidatorIndex(1), 99).is_err());
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

/// Everybody asks for the same.
fn ask_all(nodes: &[Node], change: &Change) {
    for node in nodes {
        node.propose_change(change.clone()).unwrap();
    }
}

#[test]
fn a_fifth_validator_joins_and_one_leaves() {
    let mut mortal = Mortal::new(4, TransactionKind::Opaque, voted());
    let joiner = mortal.add_joiner();
    mortal.start_all();
    let nodes = mortal.nodes();
    let fifth = nodes[joiner].clone();
    assert_eq!(fifth.status().state, State::Following);
    let refused = fifth.submit_blocking(Bytes::from_static(b"?")).unwrap_err();
    assert_eq!(refused, SubmitError::NotMember);
    assert_eq!(
        fifth.propose_change(Change::EndEpoch),
        Err(ChangeError::NotMember)
    );
    let clients = Clients::start(&nodes[..3], 3);

    ask_all(&nodes[..4], &mortal.joining(joiner));
    ask_all(&nodes[..4], &Change::EndEpoch);
    wait_until("the fifth is a member", || {
        fifth.status().state == State::Running
    });
    assert_eq!(fifth.committee().size(), 5);
    let taken = fifth
        .submit_blocking(Bytes::from_static(b"from the fifth"))
        .unwrap();
    taken.committed_blocking().unwrap();

    let members: Vec<Node> = nodes.clone();
    ask_all(&members, &mortal.leaving(3));
    ask_all(&members, &Change::EndEpoch);
    wait_until("the fourth is no member", || {
        nodes[3].status().state == State::Following
    });
    assert_eq!(
        nodes[3]
            .submit_blocking(Bytes::from_static(b"!"))
            .unwrap_err(),
        SubmitError::NotMember
    );
    wait_until("the others are four", || {
        [0, 1, 2, joiner]
            .iter()
            .all(|at| nodes[*at].committee().size() == 4)
    });
    let taken = fifth
        .submit_blocking(Bytes::from_static(b"without the fourth"))
        .unwrap();
    let index = taken.committed_blocking().unwrap();
    wait_until("it is in the sequence everywhere", || {
        [0, 1, 2, joiner]
            .iter()
            .all(|at| nodes[*at].status().last_commit >= index)
    });
    let mut committed = clients.stop();
    committed.extend(["from the fifth", "without the fourth"].map(Bytes::from));
    let (events, changes) = (events_until(&nodes[0], 1), |event: &EpochEvent| {
        let effective = event.changes.iter();
        let effective = effective.filter(|change| change.outcome == ChangeOutcome::Effective);
        effective.count()
    });
    assert_eq!([changes(&events[0]), changes(&events[1])], [2, 2]);
    assert_eq!(events[0].roster.len(), 5);
    let mut missing = committed;
    let mut stream = nodes[0].commits_after(CommitIndex::GENESIS);
    while !missing.is_empty() {
        for transaction in common::next(&mut stream).transactions() {
            missing.remove(&transaction);
        }
    }
    drop(stream);

    // A joiner's sequence begins where it became a member, and it goes on there after a restart.
    let origin = events[0].last_commit;
    let mine = read(&fifth, origin, 1);
    assert_eq!(digests(&mine)[0], digests(&read(&nodes[0], origin, 1))[0]);
    drop((fifth, nodes, members));
    mortal.stop(joiner);
    mortal.start(joiner);
    let node = mortal.node(joiner);
    assert_eq!((node.status().state, node.epoch()), (State::Running, 2));
    node.submit_blocking(Bytes::from_static(b"again"))
        .unwrap()
        .committed_blocking()
        .unwrap();
    assert!(
        node.commits_after(CommitIndex::GENESIS)
            .next_blocking()
            .is_none()
    );
}

#[test]
fn a_change_that_would_break_the_committee_is_refused_and_says_why() {
    let mut mortal = Mortal::new(4, TransactionKind::Opaque, voted());
    let joiner = mortal.add_joiner();
    mortal.start_all();
    let node = mortal.node(0);
    let Change::Stake { key, contact, .. } = mortal.joining(joiner) else {
        unreachable!("a stake is")
    };
    let stake = |stake, contact: &Bytes| Change::Stake {
        key,
        stake,
        contact: contact.clone(),
    };
    let refused = |change| node.propose_change(change).unwrap_err();
    let overflow = refused(stake(u64::MAX, &contact));
    assert_eq!(overflow, ChangeError::Refused(RosterError::StakeOverflow));
    let unknown = refused(stake(0, &Bytes::new()));
    assert!(
        matches!(unknown, ChangeError::Refused(RosterError::Unknown(_))),
        "{unknown}"
    );
    assert_eq!(refused(stake(1, &Bytes::new())), ChangeError::Contact);
    assert_eq!(
        refused(stake(1, &Bytes::from_static(b"here"))),
        ChangeError::Contact
    );
    let bounds = probity::FaultBounds {
        byzantine: 400_000,
        ..node.committee().bounds()
    };
    let bounds = refused(Change::Bounds(bounds));
    assert!(
        matches!(bounds, ChangeError::Refused(RosterError::Bounds(_))),
        "{bounds}"
    );
    // What is handed in as a transaction would be this validator's vote.
    let smuggled = node.submit_blocking(Change::EndEpoch.encode()).unwrap_err();
    assert!(matches!(smuggled, SubmitError::Fault(_)), "{smuggled}");

    // What fits when it is asked for and not any more when enough have asked is refused in the sequence.
    let nodes = mortal.nodes();
    let (first, second) = (mortal.leaving(0), mortal.leaving(1));
    let third = mortal.leaving(2);
    let fourth = mortal.leaving(3);
    for change in [&first, &second, &third, &fourth] {
        ask_all(&nodes[..4], change);
    }
    ask_all(&nodes[..4], &Change::EndEpoch);
    let events = events_until(&nodes[0], 0);
    let outcomes: Vec<_> = events[0]
        .changes
        .iter()
        .map(|change| &change.outcome)
        .collect();
    let effective = outcomes
        .iter()
        .filter(|o| ***o == ChangeOutcome::Effective)
        .count();
    assert_eq!(
        effective, 4,
        "three leave, and the epoch ends: {outcomes:?}"
    );
    let gone =
        |o: &&ChangeOutcome| matches!(o, ChangeOutcome::Refused(RosterError::Size { seats: 0 }));
    assert!(outcomes.iter().copied().any(|o| gone(&o)), "{outcomes:?}");
    wait_until("one validator is left and goes on", || {
        let left = nodes[..4]
            .iter()
            .filter(|node| node.status().state == State::Running);
        left.count() == 1
    });
    let fixed = Mortal::new(
        1,
        TransactionKind::Opaque,
        lasting(Duration::from_secs(3600)),
    );
    let mut fixed = fixed;
    fixed.start_all();
    let refused = fixed.node(0).propose_change(Change::EndEpoch).unwrap_err();
    assert!(matches!(refused, ChangeError::NoVotes { .. }), "{refused}");
    let _ = now_ms();
}
