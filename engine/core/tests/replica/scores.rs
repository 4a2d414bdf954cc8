//! Scores and schedules outlive a restart, wherever it happens (R26 to R29, R36).

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use probity_core::record::{RecordSource, RecordTable};
use probity_core::{
    Block, CommitIndex, CommitRecord, Committee, Eligibility, Link, Payload, RecoverError,
    Recovered, ReputationParams, SlotOutcome, Standing, ValidatorIndex, replay_scores,
};

use crate::draw::{block, block_with, equal_with_windows, genesis, refs, row};
use crate::hand::{Altered, Hand, Takes};

const SHORT: ReputationParams = ReputationParams {
    score_rounds: 6,
    slot_rounds: 10,
    schedule_rounds: 4,
    schedule_lead_rounds: 3,
};

/// Validators 1 to 3 link each other and never validator 0; 3 equivocates in round 6.
fn rounds(committee: &Committee, last: u32) -> Vec<Arc<Block>> {
    let mut blocks = Vec::new();
    let mut below = genesis(committee);
    for round in 1..=last {
        let mut row = row(committee, round, 1..4, &below);
        if round == 6 {
            let payload = Payload::from_transactions(&[b"another"]);
            row.push(block_with(committee, (round, 3), &below, payload));
        }
        if round == 7 {
            // Validator 1 links the one block of 3, the others the other one.
            let other = [below[0], below[1], below[3]];
            row = vec![
                block(committee, (round, 1), &below[..3]),
                block(committee, (round, 2), &below[..3]),
                block(committee, (round, 3), &other),
            ];
        }
        below = refs(&row);
        blocks.extend(row);
    }
    blocks
}

/// Hands a block over, and any block that is asked for because of it.
fn feed(hand: &mut Hand, block: &Block, all: &[Arc<Block>]) {
    hand.take(block);
    for (_, wanted) in hand.fetches() {
        let wanted = all.iter().find(|block| block.reference() == wanted);
        if let Some(block) = wanted {
            hand.take(block);
        }
    }
}

fn started(committee: &Arc<Committee>) -> Hand {
    let mut hand = Hand::new(committee, 0, Takes::All);
    (1..4).for_each(|peer| hand.link(peer, Link::Up));
    hand
}

fn standings(hand: &Hand) -> Vec<Standing> {
    let of = |v| hand.replica.reputation(ValidatorIndex(v)).unwrap();
    (0..4).map(of).collect()
}

#[test]
fn a_restart_after_any_block_keeps_scores_and_schedules() {
    let committee = equal_with_windows(4, SHORT);
    let blocks = rounds(&committee, 24);
    let mut hand = started(&committee);
    let mut restarted = Vec::new();
    let mut schedules = 0;
    for (at, block) in blocks.iter().enumerate() {
        feed(&mut hand, block, &blocks);
        let mut twin = hand.clone();
        twin.restart();
        assert_eq!(standings(&twin), standings(&hand), "after block {at}");
        let schedule = standings(&hand)[0].newest.schedule;
        if schedule > schedules || at % 16 == 0 {
            restarted.push((at, twin));
        }
        schedules = schedule;
    }
    assert!(schedules >= 5, "{schedules} schedules");
    for (at, mut twin) in restarted {
        (1..4).for_each(|peer| twin.link(peer, Link::Up));
        for block in &blocks[at + 1..] {
            feed(&mut twin, block, &blocks);
        }
        let digests = |hand: &Hand| hand.commits.iter().map(|c| c.digest).collect::<Vec<_>>();
        let (found, expected) = (digests(&twin), digests(&hand));
        assert!(found.ends_with(&expected[expected.len() - 5..]), "{at}");
        assert_eq!(standings(&twin), standings(&hand), "{at}");
    }
}

#[test]
fn who_equivocates_or_is_silent_leads_no_more() {
    let committee = equal_with_windows(4, SHORT);
    let mut hand = started(&committee);
    let mut slots_of_silent = 0;
    let blocks = rounds(&committee, 24);
    for block in &blocks {
        feed(&mut hand, block, &blocks);
        let silent = hand.replica.reputation(ValidatorIndex(0)).unwrap();
        slots_of_silent = slots_of_silent.max(silent.slots_led.len());
        let skipped = |s: &probity_core::SlotStanding| s.outcome == SlotOutcome::Skipped;
        assert!(silent.slots_led.iter().all(skipped));
        assert_eq!(silent.score, 0);
    }
    assert!(slots_of_silent > 0);
    let [silent, one, two, slashed] = &standings(&hand)[..] else {
        panic!("four validators");
    };
    // Only one of them may be dropped (f + c = 1): the slashed one goes first, and then the silent one stays.
    assert!(slashed.slashed && slashed.newest.eligibility == Eligibility::Slashed);
    let leads = |standing: &Standing| standing.newest.eligibility == Eligibility::Eligible;
    assert!(leads(silent) && leads(one) && leads(two));
    // Its second block is ordered in round 7, and the first commit from round 8 on makes schedule 2.
    let under_it = hand.commits.iter().filter(|c| c.record.schedule >= 2);
    let under_it: Vec<_> = under_it.map(|commit| &commit.record).collect();
    assert!(under_it.len() > 10);
    let led_by_3 = |record: &&CommitRecord| {
        let skipped = record.skipped.iter().map(|slot| slot.author);
        let mut leaders = skipped.chain([record.leader.author]);
        record.leader.round >= under_it[0].leader.round.next() && leaders.any(|a| a.0 == 3)
    };
    assert!(!under_it.iter().copied().any(|record| led_by_3(&record)));
}

/// A store whose snapshot of the scores is another one, or none.
fn with_snapshot(hand: &Hand, snapshot: Option<Bytes>) -> impl RecordSource<Error = Infallible> {
    Altered {
        store: hand.store(),
        read: move |table, _: &[u8]| (table == RecordTable::Reputation).then(|| snapshot.clone()),
    }
}

/// A store that has forgotten the commits below one.
fn trimmed(hand: &Hand, first: u64) -> impl RecordSource<Error = Infallible> {
    let gone = move |table, key: &[u8]| {
        table == RecordTable::Commits && key < first.to_be_bytes().as_slice()
    };
    Altered {
        store: hand.store(),
        read: move |table, key: &[u8]| gone(table, key).then_some(None),
    }
}

fn snapshot(hand: &Hand) -> Option<Bytes> {
    let key = 0u64.to_be_bytes();
    let Ok(snapshot) = hand.store().read(RecordTable::Reputation, &key);
    snapshot
}

#[test]
fn scores_are_replayed_from_an_older_snapshot_or_from_none() {
    let committee = equal_with_windows(4, SHORT);
    let mut hand = started(&committee);
    let mut snapshots = vec![None];
    let blocks = rounds(&committee, 24);
    for block in &blocks {
        feed(&mut hand, block, &blocks);
        let newest = snapshot(&hand);
        if newest != *snapshots.last().unwrap() {
            snapshots.push(newest);
        }
    }
    assert!(snapshots.len() >= 5, "{} snapshots", snapshots.len());
    for snapshot in snapshots {
        let mut again = hand.clone();
        let store = with_snapshot(&hand, snapshot);
        again.restart_from(&store);
        assert_eq!(standings(&again), standings(&hand));
    }
}

/// What a store says offline is what the replica says: from the first commit on, or from the snapshot when earlier
/// commits are gone.
#[test]
fn the_scores_of_a_store_are_replayed_commit_by_commit() {
    let committee = equal_with_windows(4, SHORT);
    let mut hand = started(&committee);
    let mut seen = Vec::new();
    let replay = |hand: &Hand, first, seen: &mut Vec<CommitIndex>| {
        seen.clear();
        let store = trimmed(hand, first);
        let found = replay_scores(&store, &committee, &mut |c| seen.push(c.record.index));
        found.unwrap()
    };
    assert!(replay(&hand, 1, &mut seen).is_none());
    let blocks = rounds(&committee, 24);
    for block in &blocks {
        feed(&mut hand, block, &blocks);
    }
    let scores = replay(&hand, 1, &mut seen).unwrap();
    assert_eq!(scores.standings(), standings(&hand));
    let all: Vec<_> = hand.commits.iter().map(|c| c.record.index).collect();
    assert_eq!(seen, all);
    // Retention keeps what comes after the snapshot.
    let snapshot = snapshot(&hand).unwrap();
    let index = u64::from_le_bytes(snapshot[2..10].try_into().unwrap());
    let scores = replay(&hand, index + 1, &mut seen).unwrap();
    assert_eq!(scores.standings(), standings(&hand));
    let after: Vec<_> = all.into_iter().filter(|i| i.0 > index).collect();
    assert_eq!(seen, after);
    let one_more = replay_scores(&trimmed(&hand, index + 2), &committee, &mut |_| {});
    assert!(matches!(one_more, Err(RecoverError::Missing(_))) || after.is_empty());
}

#[test]
fn a_snapshot_that_contradicts_the_commits_is_refused() {
    let committee = equal_with_windows(4, SHORT);
    let mut hand = started(&committee);
    let blocks = rounds(&committee, 16);
    for block in &blocks {
        feed(&mut hand, block, &blocks);
    }
    let mut ahead = hand.clone();
    for block in &rounds(&committee, 24)[blocks.len()..] {
        ahead.take(block);
    }
    let load = |snapshot| {
        let store = with_snapshot(&hand, snapshot);
        Recovered::load(&store, &committee, ValidatorIndex(0)).map(|_| ())
    };
    assert!(load(snapshot(&hand)).is_ok());
    let of_later = load(snapshot(&ahead));
    assert!(matches!(of_later, Err(RecoverError::Reputation(_))));
    // The lowest bit of the first validator's merit.
    let mut changed = snapshot(&hand).unwrap().to_vec();
    let at = merit_offset(&changed);
    changed[at] ^= 1;
    let changed = load(Some(Bytes::from(changed)));
    assert!(matches!(changed, Err(RecoverError::Reputation(_))));
}

/// Behind version, index, two rounds, the schedules, scored and healthy rounds, and the slashed.
fn merit_offset(snapshot: &[u8]) -> usize {
    let count = |at: usize| u32::from_le_bytes(snapshot[at..at + 4].try_into().unwrap());
    let schedules = count(18);
    let mut at = 22;
    for _ in 0..schedules {
        at += 16 + 18 * count(at + 12) as usize;
    }
    at + 8 + 1
}
