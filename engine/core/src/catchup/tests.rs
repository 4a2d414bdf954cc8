//! Answers that fit and answers that do not: nothing is installed that no certificate proves.

use std::sync::Arc;

use bytes::Bytes;

use super::CatchUp;
use crate::block::BlockRef;
use crate::commit::{COMMIT_RECORD_VERSION, CommitRecord, digest_of};
use crate::committee::AuthorSet;
use crate::crypto::Digest;
use crate::finality::CommitCertificate;
use crate::id::{CommitIndex, Round, Time, ValidatorIndex};
use crate::limits::{CATCH_UP_BLOCKS_MAX, CATCH_UP_COMMITS_MAX, CERTIFICATE_RETRY_US};
use crate::message::Message;

const ME: ValidatorIndex = ValidatorIndex(0);
const CHAIN: Digest = Digest([7; 32]);
const PEERS: u16 = 4;

fn block(number: u64) -> BlockRef {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&number.to_le_bytes());
    BlockRef {
        round: Round(1),
        author: ValidatorIndex(1),
        digest: Digest(digest),
    }
}

/// A sequence of one block a commit; `stamp` makes it another one.
fn sequence(count: u64, stamp: u64) -> Vec<Bytes> {
    let mut previous = CHAIN;
    let mut record = |index: u64| {
        let record = CommitRecord {
            version: COMMIT_RECORD_VERSION,
            epoch: 3,
            index: CommitIndex(index),
            previous,
            leader: block(index),
            blocks: vec![(block(index), false)],
            timestamp_ms: stamp,
            skipped: Vec::new(),
            schedule: 0,
            reputation: Digest::ZERO,
            next: Digest::ZERO,
        };
        let bytes = record.encode();
        previous = digest_of(&bytes);
        bytes
    };
    (1..=count).map(&mut record).collect()
}

fn certificate(of: &[Bytes]) -> Arc<CommitCertificate> {
    Arc::new(CommitCertificate {
        index: CommitIndex(of.len() as u64),
        digest: digest_of(of.last().unwrap()),
        votes: Vec::new(),
    })
}

fn connected() -> AuthorSet {
    let mut set = AuthorSet::default();
    for peer in 1..PEERS {
        set.insert(ValidatorIndex(peer));
    }
    set
}

/// One that catches up, the true sequence, and the questions that it asked.
struct Stage {
    run: CatchUp,
    truth: Vec<Bytes>,
    now: Time,
    asked: Vec<(ValidatorIndex, Message)>,
}

impl Stage {
    fn new(count: u64) -> Self {
        let truth = sequence(count, 0);
        let last = (CommitIndex::GENESIS, CHAIN);
        let run = CatchUp::new((ME, PEERS.into()), 3, last, certificate(&truth));
        let mut stage = Self {
            run,
            truth,
            now: Time(1_000_000),
            asked: Vec::new(),
        };
        stage.poll(0);
        stage
    }

    fn poll(&mut self, later_us: u64) {
        self.now = self.now.plus_us(later_us);
        let asked = self.run.poll(self.now, &connected(), |_| false);
        self.asked.extend(asked);
    }

    /// The parts asked for since the last look: of whom, from where, how many.
    fn parts(&mut self) -> Vec<(ValidatorIndex, u64, u8)> {
        let part = |(to, message): (ValidatorIndex, Message)| {
            let Message::FetchCommits { first, count } = message else {
                return None;
            };
            Some((to, first.0, count))
        };
        let asked = std::mem::take(&mut self.asked);
        asked.into_iter().filter_map(part).collect()
    }

    fn slice(&self, (_, first, count): (ValidatorIndex, u64, u8)) -> Vec<Bytes> {
        let before = usize::try_from(first - 1).unwrap();
        self.truth[before..before + usize::from(count)].to_vec()
    }

    fn answer(&mut self, part: (ValidatorIndex, u64, u8), records: &[Bytes]) {
        let (from, first) = (part.0, CommitIndex(part.1));
        let taken = self.run.handle_commits(self.now, from, (first, records));
        assert_eq!(taken, Ok(()));
        self.poll(1);
    }

    /// Answers everything truly until nothing more is asked.
    fn finish(&mut self) {
        loop {
            let parts = self.parts();
            if parts.is_empty() {
                break;
            }
            for part in parts {
                let records = self.slice(part);
                self.answer(part, &records);
            }
        }
    }

    fn installable(&mut self) -> Vec<Bytes> {
        let mut taken = Vec::new();
        while self.run.ready(|_| true).is_some() {
            taken.push(self.run.take().unwrap().0.record.encode());
        }
        taken
    }

    fn assert_true(&mut self) {
        self.finish();
        assert_eq!(self.installable(), self.truth);
    }
}

#[test]
fn parts_are_asked_of_several_peers_and_arrive_in_any_order() {
    let mut stage = Stage::new(200);
    let parts = stage.parts();
    let peers: Vec<u16> = parts.iter().map(|part| part.0.0).collect();
    assert_eq!(peers, [1, 2, 3, 1]);
    let places: Vec<_> = parts.iter().map(|part| (part.1, part.2)).collect();
    assert_eq!(places, [(1, 64), (65, 64), (129, 64), (193, 8)]);
    for at in [1, 3, 0] {
        let records = stage.slice(parts[at]);
        stage.answer(parts[at], &records);
        assert!(stage.run.ready(|_| true).is_none(), "a part is missing");
    }
    let records = stage.slice(parts[2]);
    stage.answer(parts[2], &records);
    stage.assert_true();
    assert!(stage.run.is_done(CommitIndex(200)));
}

#[test]
fn a_history_of_its_own_does_not_fit_the_junction() {
    let mut stage = Stage::new(128);
    let parts = stage.parts();
    let forged = &sequence(128, 9)[..64];
    stage.answer(parts[0], forged);
    let records = stage.slice(parts[1]);
    stage.answer(parts[1], &records);
    let again = stage.parts();
    assert_eq!((again[0].1, again[0].2), (1, 64), "the forged part");
    assert_ne!(again[0].0, parts[0].0, "somebody else is asked");
    let records = stage.slice(again[0]);
    stage.answer(again[0], &records);
    stage.assert_true();
}

#[test]
fn what_does_not_fit_the_question_is_asked_of_another_peer() {
    let change: [fn(&mut Vec<Bytes>); 6] = [
        |records| records.clear(),
        |records| drop(records.remove(30)),
        |records| records.reverse(),
        |records| records.push(records[0].clone()),
        |records| records[5] = Bytes::from_static(b"no record"),
        |records| drop(records.remove(0)),
    ];
    for change in change {
        let mut stage = Stage::new(64);
        let part = stage.parts()[0];
        let mut records = stage.slice(part);
        change(&mut records);
        stage.answer(part, &records);
        let again = stage.parts();
        assert_eq!((again[0].1, again[0].2), (part.1, part.2));
        assert_ne!(again[0].0, part.0);
        let records = stage.slice(again[0]);
        stage.answer(again[0], &records);
        stage.assert_true();
    }
}

#[test]
fn a_short_answer_is_used_and_the_rest_asked_of_another_peer() {
    let mut stage = Stage::new(64);
    let part = stage.parts()[0];
    let records = stage.slice(part);
    stage.answer(part, &records[..10]);
    let rest = stage.parts();
    assert_eq!((rest[0].1, rest[0].2), (11, 54));
    assert_ne!(rest[0].0, part.0);
    let records = stage.slice(rest[0]);
    stage.answer(rest[0], &records);
    stage.assert_true();
}

#[test]
fn silence_is_waited_for_no_longer_than_patience() {
    let mut stage = Stage::new(64);
    let part = stage.parts()[0];
    let due = stage.run.next_deadline().unwrap();
    stage.poll(due.since_us(stage.now));
    let again = stage.parts();
    assert_ne!(again[0].0, part.0);
    // Its answer comes after all: nobody waits for it.
    let records = stage.slice(part);
    stage.answer(part, &records);
    assert!(stage.installable().is_empty());
    let records = stage.slice(again[0]);
    stage.answer(again[0], &records);
    stage.assert_true();
}

#[test]
fn when_everybody_has_lied_everybody_is_asked_again() {
    let mut stage = Stage::new(64);
    for _ in 0..20 {
        let part = stage.parts()[0];
        stage.answer(part, &[]);
    }
    stage.assert_true();
}

#[test]
fn certified_commits_that_do_not_continue_the_own_ones_are_a_fork() {
    let truth = sequence(64, 0);
    let last = (CommitIndex::GENESIS, Digest([8; 32]));
    let mut run = CatchUp::new((ME, PEERS.into()), 3, last, certificate(&truth));
    let asked = run.poll(Time(1), &connected(), |_| false);
    let forked = run.handle_commits(Time(2), asked[0].0, (CommitIndex(1), &truth));
    assert_eq!(forked.unwrap_err().index, CommitIndex(1));
}

#[test]
fn a_far_target_is_reached_by_certificates_between() {
    let count = 3 * CATCH_UP_COMMITS_MAX;
    let mut stage = Stage::new(count);
    let (peer, question) = stage.asked.remove(0);
    let Message::FetchCertificate { epoch: 3, at_least } = question else {
        panic!("{question:?}");
    };
    assert!(stage.asked.is_empty() && at_least.0 < CATCH_UP_COMMITS_MAX);
    // One that is out of reach is of no use, and somebody else is asked.
    let far = certificate(&stage.truth);
    stage.run.handle_certificate(Some(peer), &far);
    stage.poll(1);
    let (other, _) = stage.asked.remove(0);
    assert_ne!(peer, other);
    let near = certificate(&stage.truth[..usize::try_from(at_least.0).unwrap()]);
    stage.run.handle_certificate(Some(other), &near);
    stage.poll(1);
    stage.finish();
    assert_eq!(stage.run.records() as u64, at_least.0);
    assert_eq!(stage.run.take_proofs(), [near]);
    // Nobody answers any more: one after the other is asked, and what is held stays bounded.
    for _ in 0..10 {
        stage.poll(CERTIFICATE_RETRY_US);
    }
    assert!(stage.run.records() as u64 <= CATCH_UP_COMMITS_MAX);
    assert!(stage.run.open_blocks() <= CATCH_UP_BLOCKS_MAX);
}

#[test]
fn blocks_that_nobody_sends_are_asked_of_everybody() {
    let mut stage = Stage::new(10);
    stage.finish();
    let mut asked = std::collections::BTreeSet::new();
    for _ in 0..20 {
        for (to, message) in std::mem::take(&mut stage.asked) {
            if let Message::Fetch(refs) = message {
                assert!(!refs.is_empty());
                asked.insert(to);
            }
        }
        stage.poll(3_000_000);
    }
    assert_eq!(asked.len(), usize::from(PEERS) - 1);
}

/// The one peer that holds a block was asked, and its answer was lost; the others refuse.
#[test]
fn whoever_did_not_send_a_block_is_asked_again() {
    let mut stage = Stage::new(1);
    stage.finish();
    let holder = ValidatorIndex(2);
    let mut asked = 0;
    for _ in 0..200 {
        stage.poll(100_000);
        for (to, message) in std::mem::take(&mut stage.asked) {
            let Message::Fetch(refs) = message else {
                continue;
            };
            if to == holder {
                asked += 1;
            } else {
                stage.run.handle_not_held(to, &refs);
            }
        }
    }
    assert!(asked >= 5, "asked {asked} times");
}
