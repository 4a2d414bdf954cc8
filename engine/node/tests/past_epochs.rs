//! What a storage says about epochs that are over, to those who come later: scores, committees, evidence.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::mortal::{Mortal, rule_of};
use common::wait_until;
use probity::{
    CommitIndex, Committee, EpochTerms, Error, FixedCommittee, LmdbStorage, StoredEpoch,
    TransactionKind, ValidatorIndex, replay_scores, stored_epochs, stored_evidence,
};
use probity_core::block::preimage;
use probity_core::crypto::Digest;
use probity_core::record::{Record, RecordTable, commit_key};
use probity_core::{EquivocationProof, Round, Slot};
use probity_storage::{Batch, Storage, Table};

fn stored(record: Record) -> Batch {
    let mut batch = Batch::new();
    batch.put(Table::new(record.table as u8), record.key, record.value);
    batch
}

/// Four validators that have seen a few epochs; the first one is stopped, and its data is there to be looked at.
struct Past {
    mortal: Mortal,
    data: PathBuf,
    first: Arc<Committee>,
}

impl Past {
    fn new() -> Self {
        let terms = EpochTerms {
            length_ms: Some(u64::try_from(Duration::from_secs(1).as_millis()).unwrap()),
            rule: rule_of(&FixedCommittee),
        };
        let mut mortal = Mortal::new(4, TransactionKind::Opaque, terms);
        mortal.start_all();
        let node = mortal.node(0).clone();
        wait_until("three epochs are over", || node.epoch() >= 3);
        drop(node);
        mortal.stop(0);
        let (data, first) = (mortal.data(0), mortal.committee());
        Self {
            mortal,
            data,
            first,
        }
    }

    fn open(&self) -> Arc<dyn Storage> {
        Arc::new(LmdbStorage::open_existing(&self.data).unwrap())
    }

    fn epochs(&self, storage: &Arc<dyn Storage>) -> Vec<StoredEpoch> {
        let epochs = stored_epochs(storage, &self.first);
        epochs.collect::<Result<_, _>>().unwrap()
    }

    /// Proof that a validator signed two headers of an epoch's round.
    fn proof(&self, committee: &Committee, author: u16, round: u32) -> EquivocationProof {
        let key = self.mortal.key(usize::from(author));
        let slot = Slot {
            round: Round(round),
            author: ValidatorIndex(author),
        };
        let side = |byte| {
            let digest = Digest([byte; 32]);
            let message = preimage(committee.chain(), committee.epoch(), slot, &digest);
            (digest, key.sign(&message))
        };
        EquivocationProof::new(slot, side(1), side(2)).unwrap()
    }
}

#[test]
fn every_epoch_is_replayed_from_its_own_committee_until_it_is_removed() {
    let past = Past::new();
    let storage = past.open();
    let epochs = past.epochs(&storage);
    assert!(epochs.len() >= 4);
    let mut before = CommitIndex::GENESIS;
    for StoredEpoch { committee, end } in &epochs {
        let mut seen = Vec::new();
        let scores = replay_scores(&storage, committee, &mut |c| seen.push(c.record.index));
        let Some(scores) = scores.unwrap() else {
            assert!(end.is_none(), "only the newest one may be without a commit");
            continue;
        };
        assert_eq!(scores.committee().chain(), committee.chain());
        assert_eq!(seen[0], before.next(), "from the epoch's first commit");
        before = *seen.last().unwrap();
        if let Some(end) = end {
            assert_eq!(before, end.record.index);
        }
    }
    // Retention takes away the oldest.
    let last = epochs[1].end.as_ref().unwrap().record.index;
    let mut batch = Batch::new();
    let commits = Table::new(RecordTable::Commits as u8);
    batch.remove_range(commits, Bytes::new(), commit_key(last));
    storage.write(&batch).unwrap();
    let replay = |at: usize| replay_scores(&storage, &epochs[at].committee, &mut |_| {});
    let removed = replay(0).unwrap_err();
    assert!(
        matches!(removed, Error::EpochRemoved { epoch: 0 }),
        "{removed}"
    );
    assert!(removed.to_string().contains("retain"), "{removed}");
    assert!(replay(2).unwrap().is_some());
    assert_eq!(past.epochs(&storage).len(), epochs.len(), "ends stay");
}

#[test]
fn proofs_of_all_epochs_are_handed_out_and_hold_for_whoever_has_the_first_committee() {
    let mut past = Past::new();
    let storage = past.open();
    let epochs = past.epochs(&storage);
    let sins = [(0, 3, 5), (2, 1, 7), (2, 3, 6)];
    for (epoch, author, round) in sins {
        let committee = &epochs[usize::try_from(epoch).unwrap()].committee;
        let proof = past.proof(committee, author, round);
        let record = Record::evidence(epoch, &proof);
        storage.write(&stored(record)).unwrap();
    }
    drop(storage);
    let keys: Vec<_> = (0..4).map(|at| past.mortal.key(at).public()).collect();
    let tell = |accusations: Vec<probity::Accusation>| -> Vec<(u64, u16, u32)> {
        let tell = |a: &probity::Accusation| {
            assert_eq!(a.key, keys[usize::from(a.proof.author.0)]);
            (a.epoch, a.proof.author.0, a.proof.round.0)
        };
        accusations.iter().map(tell).collect()
    };
    let file = stored_evidence(&past.data, &past.first).unwrap().unwrap();
    assert_eq!(tell(file.verify(&past.first).unwrap()), sins);
    let other = Mortal::new(4, TransactionKind::SignedEnvelope, EpochTerms::default());
    let refused = stored_evidence(&past.data, &other.committee()).unwrap_err();
    assert!(refused.to_string().contains("another network"), "{refused}");

    past.mortal.start(0);
    let node = past.mortal.node(0).clone();
    assert_eq!(tell(node.evidence().unwrap()), sins);
    let file_of_node = node.evidence_file().unwrap().unwrap();
    assert_eq!(file_of_node.encode(), file.encode());
    let standing = node.reputation(ValidatorIndex(1), 2);
    assert!(standing.unwrap().is_some());
}
