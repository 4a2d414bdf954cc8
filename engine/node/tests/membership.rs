//! Validators join and leave by vote, and what would break the committee is refused (R30, R32).

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::BTreeSet;

use bytes::Bytes;
use common::clients::{Clients, events_until};
use common::mortal::{Mortal, rule_of};
use common::{digests, read, wait_until};
use probity::{
    Change, ChangeError, ChangeOutcome, CommitIndex, EpochEvent, EpochTerms, LmdbStorage, Node,
    ReputationError, RosterError, State, StreamEvent, SubmitError, TransactionKind, ValidatorIndex,
    VotedChanges,
};
use probity_core::crypto::PublicKey;
use probity_core::record::{RecordTable, commit_key, epoch_key};
use probity_storage::{Batch, Storage as _, Table};

/// Epochs that end when the validators ask for it.
fn voted() -> EpochTerms {
    EpochTerms {
        length_ms: None,
        rule: rule_of(&VotedChanges),
    }
}

/// Four validators and one that the committee's file does not list, all started; and its position.
fn four_and_a_joiner() -> (Mortal, usize) {
    let mut mortal = Mortal::new(4, TransactionKind::Opaque, voted());
    let joiner = mortal.add_joiner();
    mortal.start_all();
    (mortal, joiner)
}

/// Everybody asks for the same. For the last ones it may be decided already, and refused for that.
fn ask_all(nodes: &[Node], change: &Change) {
    for node in nodes {
        match node.propose_change(change.clone()) {
            Ok(())
            | Err(ChangeError::Refused(RosterError::Unknown(_)) | ChangeError::NotMember) => {}
            Err(why) => panic!("{change:?}: {why}"),
        }
    }
}

/// These members ask for the changes and for the epoch's end, until the next one has begun.
fn end_epoch(mortal: &Mortal, members: &[usize], changes: &[Change]) {
    let nodes: Vec<Node> = members.iter().map(|at| mortal.node(*at).clone()).collect();
    let epoch = nodes[0].epoch();
    for change in changes.iter().chain([&Change::EndEpoch]) {
        ask_all(&nodes, change);
    }
    wait_until("the next epoch has begun", || {
        nodes.iter().all(|node| node.epoch() > epoch)
    });
}

fn submit(node: &Node, transaction: &'static str) -> CommitIndex {
    let taken = node.submit_blocking(Bytes::from(transaction)).unwrap();
    taken.committed_blocking().unwrap()
}

fn effective(event: &EpochEvent) -> usize {
    let changes = event.changes.iter();
    let effective = changes.filter(|change| change.outcome == ChangeOutcome::Effective);
    effective.count()
}

/// Reads a node's sequence until all of these have come.
fn assert_all_come(node: &Node, mut missing: BTreeSet<Bytes>) {
    let mut stream = node.commits_after(CommitIndex::GENESIS);
    while !missing.is_empty() {
        for transaction in common::next(&mut stream).transactions() {
            missing.remove(&transaction);
        }
    }
}

#[test]
fn a_fifth_validator_joins_and_one_leaves() {
    let (mortal, joiner) = four_and_a_joiner();
    let nodes = mortal.nodes();
    let fifth = &nodes[joiner];
    assert_eq!(fifth.status().state, State::Following);
    let refused = |node: &Node| node.submit_blocking(Bytes::from_static(b"?")).unwrap_err();
    assert_eq!(refused(fifth), SubmitError::NotMember);
    let vote = fifth.propose_change(Change::EndEpoch);
    assert_eq!(vote, Err(ChangeError::NotMember));
    let clients = Clients::start(&nodes[..3], 3);

    ask_all(&nodes[..4], &mortal.joining(joiner));
    ask_all(&nodes[..4], &Change::EndEpoch);
    wait_until("the fifth is a member", || {
        fifth.status().state == State::Running
    });
    assert_eq!(fifth.committee().size(), 5);
    wait_until("everybody is in the next epoch", || {
        nodes.iter().all(|node| node.epoch() == 1)
    });
    submit(fifth, "from the fifth");

    ask_all(&nodes, &mortal.leaving(3));
    ask_all(&nodes, &Change::EndEpoch);
    let left = &nodes[3];
    wait_until("the fourth is no member", || {
        left.status().state == State::Following
    });
    assert_eq!(refused(left), SubmitError::NotMember);
    let staying = [0, 1, 2, joiner].map(|at| &nodes[at]);
    wait_until("the others are four", || {
        staying.iter().all(|node| node.committee().size() == 4)
    });
    let index = submit(fifth, "without the fourth");
    wait_until("it is in the sequence everywhere", || {
        staying
            .iter()
            .all(|node| node.status().last_commit >= index)
    });
    let mut committed = clients.stop();
    committed.extend(["from the fifth", "without the fourth"].map(Bytes::from));
    let events = events_until(&nodes[0], 1);
    assert_eq!((effective(&events[0]), effective(&events[1])), (2, 2));
    assert_eq!((events[0].roster.len(), events[1].roster.len()), (5, 4));
    assert_all_come(&nodes[0], committed);
}

#[test]
fn a_joiners_sequence_begins_where_it_became_a_member_and_outlives_a_restart() {
    let (mut mortal, joiner) = four_and_a_joiner();
    let nodes = mortal.nodes();
    submit(&nodes[0], "before");
    ask_all(&nodes[..4], &mortal.joining(joiner));
    ask_all(&nodes[..4], &Change::EndEpoch);
    let fifth = &nodes[joiner];
    wait_until("the fifth is a member", || {
        fifth.status().state == State::Running
    });
    submit(fifth, "behind");
    let origin = events_until(&nodes[0], 0)[0].last_commit;
    let (mine, others) = (read(fifth, origin, 1), read(&nodes[0], origin, 1));
    assert_eq!(digests(&mine)[0], digests(&others)[0]);
    drop(nodes);
    mortal.stop(joiner);
    mortal.start(joiner);
    let node = mortal.node(joiner);
    assert_eq!((node.status().state, node.epoch()), (State::Running, 1));
    submit(node, "again");
    let mut whole = node.commits_after(CommitIndex::GENESIS);
    assert!(whole.next_blocking().is_none());
}

/// The first validator has left and is gone for good; the one after it is alone, and not in the committee's file.
#[test]
fn a_joiner_needs_nobody_of_the_first_epoch_if_it_is_told_of_a_member() {
    let mut mortal = Mortal::new(1, TransactionKind::Opaque, voted());
    let [second, third] = [mortal.add_joiner(), mortal.add_joiner()];
    mortal.start(0);
    mortal.start(second);
    end_epoch(&mortal, &[0], &[mortal.joining(second)]);
    wait_until("the second is a member", || {
        mortal.node(second).status().state == State::Running
    });
    end_epoch(&mortal, &[0, second], &[mortal.leaving(0)]);
    end_epoch(&mortal, &[second], &[]);
    mortal.stop(0);
    submit(mortal.node(second), "while it is alone");

    mortal.contacts = vec![second];
    mortal.start(third);
    end_epoch(&mortal, &[second], &[mortal.joining(third)]);
    wait_until("the third is a member", || {
        mortal.node(third).status().state == State::Running
    });
    assert_eq!(mortal.node(third).committee().size(), 2);
    let index = submit(mortal.node(third), "from the third");
    wait_until("it is in the sequence of the second", || {
        mortal.node(second).status().last_commit >= index
    });
}

#[test]
fn a_change_that_would_break_the_committee_is_refused_and_says_why() {
    let (mortal, joiner) = four_and_a_joiner();
    let node = mortal.node(0);
    let Change::Stake { key, contact, .. } = mortal.joining(joiner) else {
        unreachable!("a stake is")
    };
    let stake = |stake, contact: &[u8]| Change::Stake {
        key,
        stake,
        contact: Bytes::copy_from_slice(contact),
    };
    let refused = |change| node.propose_change(change).unwrap_err();
    let overflow = refused(stake(u64::MAX, &contact));
    assert_eq!(overflow, ChangeError::Refused(RosterError::StakeOverflow));
    let unknown = RosterError::Unknown(*key.as_bytes());
    assert_eq!(refused(stake(0, b"")), ChangeError::Refused(unknown));
    assert_eq!(refused(stake(1, b"")), ChangeError::Contact);
    assert_eq!(refused(stake(1, b"here")), ChangeError::Contact);
    // Also of those that only the committee's file says how to reach.
    for at in 0..4 {
        let taken = mortal.contact(at).encode();
        assert_eq!(refused(stake(1, &taken)), ChangeError::NetworkKeyTaken);
    }
    // What no validator reads would make an own block that nobody takes: a key for clients only, a contact without end.
    let for_clients = |bytes: &[u8; 32]| PublicKey::committee(bytes).is_err();
    let mut keys = (0..=u8::MAX).map(|byte| [byte; 32]).filter(for_clients);
    let key = keys.find_map(|bytes| PublicKey::client(&bytes).ok());
    let weak = Change::Stake {
        key: key.unwrap(),
        stake: 1,
        contact: contact.clone(),
    };
    assert_eq!(refused(weak), ChangeError::Unreadable);
    for zeros in [300, 70_000] {
        let mut contact = contact.to_vec();
        let colon = contact.iter().rposition(|byte| *byte == b':').unwrap();
        contact.splice(colon + 1..=colon, vec![b'0'; zeros]);
        let leaving = Change::Stake {
            key: mortal.key(1).public(),
            stake: 0,
            contact: contact.into(),
        };
        assert_eq!(refused(leaving), ChangeError::Unreadable);
    }
    let bounds = probity::FaultBounds {
        byzantine: 400_000,
        ..node.committee().bounds()
    };
    let bounds = refused(Change::Bounds(bounds));
    let named = matches!(bounds, ChangeError::Refused(RosterError::Bounds(_)));
    assert!(named, "{bounds}");
    // What is handed in as a transaction would be this validator's vote.
    let smuggled = node.submit_blocking(Change::EndEpoch.encode()).unwrap_err();
    assert!(matches!(smuggled, SubmitError::Fault(_)), "{smuggled}");
}

#[test]
fn what_fits_no_more_when_enough_have_asked_is_refused_in_the_sequence() {
    let (mortal, _) = four_and_a_joiner();
    let nodes = mortal.nodes();
    let members = &nodes[..4];
    (0..4).for_each(|at| ask_all(members, &mortal.leaving(at)));
    ask_all(members, &Change::EndEpoch);
    let event = &events_until(&nodes[0], 0)[0];
    let outcomes: Vec<_> = event.changes.iter().map(|change| &change.outcome).collect();
    assert_eq!(
        effective(event),
        4,
        "three leave, and the epoch ends: {outcomes:?}"
    );
    let gone = ChangeOutcome::Refused(RosterError::Size { seats: 0 });
    assert!(outcomes.contains(&&gone), "{outcomes:?}");
    wait_until("one validator is left and goes on", || {
        let running = |node: &&Node| node.status().state == State::Running;
        members.iter().filter(running).count() == 1
    });
}

#[test]
fn where_the_rule_takes_no_votes_nobody_asks() {
    let mut mortal = Mortal::new(1, TransactionKind::Opaque, EpochTerms::default());
    mortal.start_all();
    let refused = mortal.node(0).propose_change(Change::EndEpoch).unwrap_err();
    assert!(matches!(refused, ChangeError::NoVotes { .. }), "{refused}");
}

#[test]
fn a_validator_that_waits_for_many_changes_is_told_when_they_are_too_many() {
    let (mortal, joiner) = four_and_a_joiner();
    let Change::Stake { key, contact, .. } = mortal.joining(joiner) else {
        unreachable!("a stake is")
    };
    let change = |stake| Change::Stake {
        key,
        stake,
        contact: contact.clone(),
    };
    let node = mortal.node(0);
    for stake in 1..=64 {
        node.propose_change(change(stake)).unwrap();
    }
    // They are ordered, and nobody else asks for the same.
    let mut stream = node.commits_after(CommitIndex::GENESIS);
    let mut ordered = 0;
    while ordered < 64 {
        ordered += common::next(&mut stream).transactions().count();
    }
    let refused = node.propose_change(change(65));
    assert_eq!(refused, Err(ChangeError::TooMany));
    // Another one's vote is its own.
    mortal.node(1).propose_change(change(65)).unwrap();
}

/// All that the returning one knew have left and are gone for good; it stayed a member.
#[test]
fn a_member_that_was_away_needs_nobody_of_its_epoch_if_it_is_told_of_a_member() {
    let mut mortal = Mortal::new(4, TransactionKind::Opaque, voted());
    let joiners = [0; 4].map(|_| mortal.add_joiner());
    mortal.start_all();
    mortal.stop(3);
    let joining = joiners.map(|at| mortal.joining(at));
    end_epoch(&mortal, &[0, 1, 2], &joining);
    wait_until("the new ones are members", || {
        let running = |at: &usize| mortal.node(*at).status().state == State::Running;
        joiners.iter().all(running)
    });
    let leaving = [0, 1, 2].map(|at| mortal.leaving(at));
    let all = [&[0, 1, 2], &joiners[..]].concat();
    end_epoch(&mortal, &all, &leaving);
    end_epoch(&mortal, &joiners, &[]);
    (0..3).for_each(|at| mortal.stop(at));
    submit(mortal.node(joiners[0]), "among the new ones");

    mortal.contacts = vec![joiners[0]];
    mortal.start(3);
    let back = mortal.node(3).clone();
    wait_until("the returned one is where the others are", || {
        back.epoch() == 3 && back.status().state == State::Running
    });
    submit(&back, "from the returned one");
}

/// Others see all that an epoch decided; a part of it would be another answer.
#[test]
fn who_left_an_epoch_without_its_last_commits_tells_no_part_of_what_it_decided() {
    let mut mortal = Mortal::new(1, TransactionKind::Opaque, voted());
    let joiner = mortal.add_joiner();
    mortal.start(0);
    let node = mortal.node(0).clone();
    node.propose_change(mortal.joining(joiner)).unwrap();
    node.propose_change(Change::EndEpoch).unwrap();
    let last = events_until(&node, 0)[0].last_commit;
    let changes = |node: &Node| {
        let event = node.commits_after(last).next_event_blocking();
        let Some(StreamEvent::Epoch(event)) = event else {
            panic!("{event:?}")
        };
        event.changes.len()
    };
    assert_eq!(changes(&node), 2);
    assert!(node.reputation(ValidatorIndex(0), 0).unwrap().is_some());
    drop(node);
    mortal.stop(0);
    // As if it had been away when the last commit was made.
    let storage = LmdbStorage::open(mortal.data(0)).unwrap();
    let table = |table: RecordTable| Table::new(table as u8);
    let mut batch = Batch::new();
    let before = last.0 - 1;
    batch.put(
        table(RecordTable::Tip),
        epoch_key(0),
        Bytes::copy_from_slice(&before.to_le_bytes()),
    );
    let (from, to) = (commit_key(last), commit_key(last.next()));
    batch.remove_range(table(RecordTable::Commits), from, to);
    storage.write(&batch).unwrap();
    drop(storage);
    mortal.start(0);
    let node = mortal.node(0);
    assert_eq!(changes(node), 0);
    // Nor scores of somewhere in the middle.
    let standing = node.reputation(ValidatorIndex(0), 0);
    let not_held = matches!(standing, Err(ReputationError::NotHeld { asked: 0, .. }));
    assert!(not_held, "{standing:?}");
}
