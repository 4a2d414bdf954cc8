//! R35: a validator that was away for longer than anybody's window returns by certificates, among liars and crashes.

use std::sync::Arc;

use probity_core::{Commit, CommitRecord, Link, Message, Mode, Path, Round, digest_of};

use crate::draw::equal;
use crate::hand::Takes;
use crate::lab::Lab;

const GC_DEPTH: u32 = 16;
/// The one that was away.
const AWAY: u16 = 3;
const ROUNDS: u32 = 20 * GC_DEPTH;

/// Three validators go on for long while the fourth hears nobody and is heard by nobody.
fn lab() -> Lab {
    let mut lab = Lab::new(&equal(4, Mode::Graded, GC_DEPTH), 4, &[]);
    lab.run_to(&(0..4), 3);
    for peer in 0..AWAY {
        lab.lost.extend([(peer, AWAY), (AWAY, peer)]);
    }
    lab.run_to(&(0..AWAY), ROUNDS);
    assert!(lab.hand(AWAY).status().last_leader.0 < 5);
    lab
}

/// It hears 0 and 1 again, and lets time pass. Nobody replays all that it made: nothing but certificates helps.
fn come_back(lab: &mut Lab, for_ms: u64) {
    lab.replays_from = Round(ROUNDS - GC_DEPTH);
    lab.hands[usize::from(AWAY)].link(2, Link::Down);
    for peer in 0..2 {
        lab.lost.remove(&(peer, AWAY));
        lab.lost.remove(&(AWAY, peer));
    }
    let until = lab.hand(0).now.plus_us(1_000 * for_ms);
    while lab.hand(0).now < until {
        lab.advance();
    }
}

fn assert_returned(lab: &Lab) {
    let (away, other) = (lab.hand(AWAY), lab.hand(0));
    assert_eq!(away.halted, None);
    assert!(away.status().last_commit.0 + 64 > other.status().last_commit.0);
    for commit in &away.commits {
        let same = |of: &&Arc<Commit>| of.index() == commit.index();
        let theirs = other.commits.iter().find(same).unwrap();
        assert_eq!(commit.digest, theirs.digest, "commit {}", commit.index());
        assert_eq!(commit.blocks, theirs.blocks);
    }
    let indices: Vec<u64> = away.commits.iter().map(|commit| commit.index().0).collect();
    assert!(indices.windows(2).all(|pair| pair[0] + 1 == pair[1]));
    let installed = |path: &Option<Path>| path.is_none();
    let count = away.commits.iter().filter(|c| installed(&c.path)).count();
    assert!(count > 200, "{count} commits were installed");
}

#[test]
fn one_that_was_away_installs_certified_commits() {
    let mut lab = lab();
    come_back(&mut lab, 100);
    assert_returned(&lab);
    assert!(!lab.hand(AWAY).status().catching_up);
    // It takes part again, and orders by the rules.
    assert!(lab.hand(AWAY).commits.last().unwrap().path.is_some());
    let round = lab.hand(0).status().round;
    assert!(lab.hand(AWAY).status().round.plus(4) > round);
}

/// A history of its own, whose digests chain.
fn forge(message: Message) -> Option<Message> {
    let Message::Commits { first, records } = message else {
        return Some(message);
    };
    let mut previous = None;
    let forge = |bytes| {
        let mut record = CommitRecord::decode(bytes).unwrap();
        record.timestamp_ms += 1;
        record.previous = previous.unwrap_or(record.previous);
        let bytes = record.encode();
        previous = Some(digest_of(&bytes));
        bytes
    };
    let records = records.iter().map(forge).collect();
    Some(Message::Commits { first, records })
}

/// Neither records nor blocks.
fn keep(message: Message) -> Option<Message> {
    let kept = matches!(message, Message::Commits { .. } | Message::Fetched(_));
    (!kept).then_some(message)
}

#[test]
fn one_of_its_two_peers_lies() {
    for lie in [forge, keep] {
        let mut lab = lab();
        lab.liar = Some((1, lie));
        come_back(&mut lab, 1_500);
        assert_returned(&lab);
    }
}

/// Writes are not confirmed, so installing stops in the middle, and the process dies there.
#[test]
fn a_crash_in_the_middle_goes_on_from_the_store() {
    let mut lab = lab();
    lab.hands[usize::from(AWAY)].takes = Takes::Proposals;
    come_back(&mut lab, 50);
    let halfway = lab.hand(AWAY).status();
    assert!(halfway.installed_commits > 10, "{halfway:?}");
    assert!(halfway.last_commit.0 + 100 < lab.hand(0).status().last_commit.0);
    let before = lab.hand(AWAY).commits.len();
    let hand = &mut lab.hands[usize::from(AWAY)];
    hand.takes = Takes::All;
    hand.restart();
    let went_on = hand.status().last_commit;
    assert_eq!(went_on, halfway.last_commit, "all of it was written");
    hand.commits.drain(..before);
    for peer in 0..2 {
        hand.link(peer, Link::Up);
    }
    come_back(&mut lab, 300);
    let first = lab.hand(AWAY).commits[0].index();
    assert_eq!(first, went_on.next());
    assert_returned(&lab);
}
