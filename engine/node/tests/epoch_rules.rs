//! When epochs end, and what is kept of them: one validator in memory, whose epochs follow fast.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use common::next;
use probity::{
    Authority, Change, ChangeRequest, CommitIndex, CommitsEnd, Config, EpochRule, EpochTerms,
    Error, Keypair, MemoryNetwork, MemoryStorage, Node, Profile, StreamEvent, TransactionKind,
    ValidatorIndex, VotedChanges,
};
use probity_core::record::RecordTable;
use probity_core::{Block, CommitRecord};
use probity_storage::{Fault, Faulty, Scan, Storage, Table, Unacknowledged};
use probity_transport::PeerId;

/// The application ends an epoch every fortieth commit, or when a transaction says so.
#[derive(Debug)]
struct Decreed;

impl EpochRule for Decreed {
    fn name(&self) -> &str {
        "decreed/1"
    }

    fn requests(&self, block: &Block) -> Vec<ChangeRequest> {
        let decrees = block.payload().transactions();
        let decrees = decrees.filter(|transaction| transaction.as_ref() == b"enough");
        decrees
            .map(|_| ChangeRequest {
                change: Change::EndEpoch,
                authority: Authority::Application,
            })
            .collect()
    }

    fn ends(&self, record: &CommitRecord) -> bool {
        record.index.0.is_multiple_of(40)
    }
}

/// Every sixth commit ends an epoch.
#[derive(Debug)]
struct Brief;

impl EpochRule for Brief {
    fn name(&self) -> &str {
        "brief/1"
    }

    fn requests(&self, _block: &Block) -> Vec<ChangeRequest> {
        Vec::new()
    }

    fn ends(&self, record: &CommitRecord) -> bool {
        record.index.0.is_multiple_of(6)
    }
}

fn config(length_ms: Option<u64>, rule: &str) -> Config {
    let terms = EpochTerms {
        length_ms,
        rule: rule.to_owned(),
    };
    let keys = vec![Keypair::from_seed(&[1; 32])];
    let choice = (Profile::default(), TransactionKind::Opaque);
    let mut config = Config::in_process_with(keys, choice, terms)
        .unwrap()
        .remove(0);
    // Nobody submits much, and the tests wait for many commits.
    config.tuning.idle_round_delay = config.tuning.min_round_delay;
    config
}

fn start(
    config: Config,
    storage: &(impl Storage + Clone),
    rule: Option<Arc<dyn EpochRule>>,
) -> Result<Node, Error> {
    let transport = MemoryNetwork::new().transport(PeerId::new([1; 32]));
    let mut builder = Node::builder(config)
        .storage(storage.clone())
        .transport(transport);
    if let Some(rule) = rule {
        builder = builder.epoch_rule(rule);
    }
    builder.start()
}

#[test]
fn an_application_ends_epochs_by_a_rule_of_its_own() {
    let storage = MemoryStorage::new();
    let node = start(config(None, "decreed/1"), &storage, Some(Arc::new(Decreed))).unwrap();
    let mut stream = node.commits_after(CommitIndex::GENESIS);
    let mut ended = Vec::new();
    let mut asked = false;
    while ended.len() < 5 {
        match stream.next_event_blocking().unwrap() {
            StreamEvent::Commit(commit) if commit.index() >= CommitIndex(100) && !asked => {
                asked = true;
                let taken = node.submit_blocking(Bytes::from_static(b"enough")).unwrap();
                taken.committed_blocking().unwrap();
            }
            StreamEvent::Commit(_) => {}
            StreamEvent::Epoch(event) => ended.push(event),
        }
    }
    let by_decree = ended.iter().filter(|event| !event.changes.is_empty());
    assert_eq!(by_decree.count(), 1);
    let (first, second) = (ended[0].last_commit, ended[1].last_commit);
    assert_eq!((first, second), (CommitIndex(40), CommitIndex(80)));
    let refused = node.propose_change(Change::EndEpoch).unwrap_err();
    assert!(refused.to_string().contains("decreed/1"), "{refused}");
}

#[test]
fn the_rule_must_be_the_one_that_the_committee_names() {
    let storage = MemoryStorage::new();
    for (named, given) in [
        ("decreed/1", None),
        (
            "decreed/1",
            Some(Arc::new(VotedChanges) as Arc<dyn EpochRule>),
        ),
        (
            "voted-changes/1",
            Some(Arc::new(Decreed) as Arc<dyn EpochRule>),
        ),
    ] {
        let refused = start(config(None, named), &storage, given).err().unwrap();
        assert!(matches!(refused, Error::Rule { .. }), "{refused}");
        assert!(refused.to_string().contains(named), "{refused}");
    }
}

#[test]
fn history_is_removed_across_epochs_and_a_restart_goes_on_in_the_newest() {
    let storage = MemoryStorage::new();
    let brief = || {
        let mut config = config(Some(100), "fixed-committee/1");
        config.retain_bytes = 0;
        config
    };
    let node = start(brief(), &storage, None).unwrap();
    let mut stream = node.commits_after(CommitIndex::GENESIS);
    let mut submitted = 0u32;
    while next(&mut stream).index() < CommitIndex(3_000) || node.epoch() < 5 {
        if node.status().waiting_transactions == 0 {
            drop(node.submit_blocking(submitted.to_le_bytes().to_vec().into()));
            submitted += 1;
        }
    }
    let me = ValidatorIndex(0);
    let epoch = node.epoch();
    assert!(node.reputation(me, epoch - 1).unwrap().is_some());
    assert!(node.reputation(me, 0).is_err(), "nothing is left of it");
    let at = stream.position();
    node.stop();
    drop((node, stream));
    let node = start(brief(), &storage, None).unwrap();
    assert!(node.epoch() >= epoch);
    let mut late = node.commits_after(CommitIndex::GENESIS);
    assert_eq!(late.next_blocking(), None);
    let Some(CommitsEnd::Removed { first, .. }) = late.why_ended() else {
        panic!("{:?}", late.why_ended())
    };
    assert!(*first > CommitIndex(1_000), "{first}");
    let mut stream = node.commits_after(at);
    assert_eq!(next(&mut stream).index(), at.next());
    let ends = node.epoch() + 2;
    while node.epoch() < ends {
        next(&mut stream);
    }
}

/// The epochs of a table's records, each once.
fn epochs_in(storage: &MemoryStorage, of: RecordTable) -> BTreeSet<u64> {
    let mut epochs = BTreeSet::new();
    let visit = &mut |key: &[u8], _: &[u8]| {
        epochs.insert(u64::from_be_bytes(key[..8].try_into().unwrap()));
        Scan::Continue
    };
    storage.scan(Table::new(of as u8), &[], visit).unwrap();
    epochs
}

/// Every epoch is ended by a decree, which is noted, and has a certificate. They go with the commits, and what is left
/// is told whole.
#[test]
fn notes_and_certificates_of_epochs_whose_commits_are_removed_go_with_them() {
    let storage = MemoryStorage::new();
    let mut config = config(None, "decreed/1");
    config.retain_bytes = 0;
    let node = start(config, &storage, Some(Arc::new(Decreed))).unwrap();
    let mut stream = node.commits_after(CommitIndex::GENESIS);
    while next(&mut stream).index() < CommitIndex(4_000) {
        if node.status().waiting_transactions == 0 {
            drop(node.submit_blocking(Bytes::from_static(b"enough")));
        }
    }
    node.stop();
    drop((node, stream));
    let ended = epochs_in(&storage, RecordTable::EpochEnd);
    let noted = epochs_in(&storage, RecordTable::Notes);
    let oldest = *epochs_in(&storage, RecordTable::Headers).first().unwrap();
    assert!(ended.contains(&0), "ends stay");
    assert!(oldest > 10, "commits of {oldest} epochs are gone");
    let certified = epochs_in(&storage, RecordTable::Certificates);
    assert!(certified.first().is_none_or(|first| *first >= oldest));
    // What was in memory when they went was readable for longer.
    let first = *noted.first().unwrap();
    assert!(first > 10 && first <= oldest, "{first}, {oldest}");
}

#[test]
fn a_power_cut_at_any_write_around_the_changes_loses_nothing_that_was_acknowledged() {
    for cut in 1..=40 {
        for unacknowledged in [Unacknowledged::Whole, Unacknowledged::Absent] {
            let storage = Arc::new(Faulty::new(MemoryStorage::new()));
            storage.fail_at(cut, Fault::PowerCut(unacknowledged));
            let mut acknowledged = Vec::new();
            if let Ok(node) = start(config(None, "brief/1"), &storage, Some(Arc::new(Brief))) {
                for number in 0u32.. {
                    let transaction = Bytes::copy_from_slice(&number.to_le_bytes());
                    let taken = node.submit_blocking(transaction.clone());
                    if taken.and_then(|taken| taken.committed_blocking()).is_err() {
                        break;
                    }
                    acknowledged.push(transaction);
                }
            }
            let survivor = storage.power_cut();
            let node = start(config(None, "brief/1"), &survivor, Some(Arc::new(Brief))).unwrap();
            let ends = node.epoch() + 2;
            let mut stream = node.commits_after(CommitIndex::GENESIS);
            let mut found = Vec::new();
            while node.epoch() < ends {
                found.extend(next(&mut stream).transactions());
            }
            let all = acknowledged
                .iter()
                .all(|transaction| found.contains(transaction));
            assert!(all, "cut at write {cut}, {unacknowledged:?}");
            found.sort();
            let count = found.len();
            found.dedup();
            assert_eq!(found.len(), count, "cut at write {cut}, {unacknowledged:?}");
        }
    }
}

#[test]
fn a_stream_that_begins_behind_an_epoch_begins_with_its_event() {
    let storage = MemoryStorage::new();
    let node = start(config(None, "decreed/1"), &storage, Some(Arc::new(Decreed))).unwrap();
    let mut stream = node.commits_after(CommitIndex::GENESIS);
    while next(&mut stream).index() < CommitIndex(45) {}
    let mut again = node.commits_after(CommitIndex(40));
    assert!(
        matches!(again.next_event_blocking(), Some(StreamEvent::Epoch(event)) if event.epoch == 0)
    );
    assert!(
        matches!(again.next_event_blocking(), Some(StreamEvent::Commit(commit)) if commit.index() == CommitIndex(41))
    );
    // Who asks for commits alone hears of no epoch.
    let mut commits = node.commits_after(CommitIndex(39));
    assert_eq!(next(&mut commits).index(), CommitIndex(40));
    assert_eq!(next(&mut commits).index(), CommitIndex(41));
}
