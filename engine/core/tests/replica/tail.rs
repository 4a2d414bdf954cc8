//! The tail of an epoch (R32): between its last commit and the next epoch's first block a validator may restart, and the
//! proof that ends it may reach one validator only. Everybody goes on with the same next epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use probity_core::record::RecordTable;
use probity_core::testing::keypair;
use probity_core::{
    Block, Change, ChangeOutcome, CommitIndex, Committee, EpochRule, EpochTerms, Link, Message,
    Outcome, Payload, PayloadRoom, Profile, RecoverError, Recovered, Round, ValidatorIndex,
    VotedChanges,
};

use crate::hand::{Altered, Hand};
use crate::lab::Lab;

const VALIDATORS: u16 = 4;
/// More steps than any tail takes.
const STEPS_MAX: usize = 10_000;

/// Four equal validators, whose votes change the committee, and whose epochs last twenty milliseconds.
fn short() -> Arc<Committee> {
    let stakes: Vec<_> = (0..VALIDATORS)
        .map(|at| (keypair(ValidatorIndex(at)).public(), 10))
        .collect();
    let terms = EpochTerms {
        length_ms: Some(20),
        rule: VotedChanges.name().to_owned(),
    };
    Arc::new(Committee::from_stakes_with(&stakes, Profile::Dual30, terms, "any/1").unwrap())
}

/// A cluster in which everybody asks for a little more stake of validator 3, and then fills every block.
fn started() -> Lab {
    let mut lab = Lab::new(&short(), VALIDATORS, &[]);
    let key = keypair(ValidatorIndex(3)).public();
    let (stake, contact) = (11, Bytes::new());
    let change = Change::Stake {
        key,
        stake,
        contact,
    };
    for (hand, name) in lab.hands.iter_mut().zip(b'a'..) {
        hand.payloads
            .push_back(Payload::from_transactions(&[change.encode()]));
        let filler = |n: u8| Payload::from_transactions(&[[name, n]]);
        hand.payloads.extend((0..200).map(filler));
    }
    lab
}

fn has_last_commit(hand: &Hand) -> bool {
    let last = hand.commits.last();
    last.is_some_and(|last| last.record.ends_epoch())
}

fn is_over(hand: &Hand) -> bool {
    !hand.ends.is_empty()
}

fn advance_until(lab: &mut Lab, holds: impl Fn(&Lab) -> bool) {
    for _ in 0..STEPS_MAX {
        if holds(lab) {
            return;
        }
        lab.advance();
    }
    panic!("it never holds: {:?}", lab.hand(0).status());
}

fn everybody_is_over(lab: &Lab) -> bool {
    lab.hands.iter().all(is_over)
}

/// Restarts a validator, whose links come up again on both sides.
fn restart(lab: &mut Lab, node: u16) {
    lab.hands[usize::from(node)].restart();
    link_again(lab, node);
}

fn link_again(lab: &mut Lab, node: u16) {
    for peer in (0..VALIDATORS).filter(|peer| *peer != node) {
        lab.hands[usize::from(peer)].link(node, Link::Down);
        lab.hands[usize::from(peer)].link(node, Link::Up);
        lab.hands[usize::from(node)].link(peer, Link::Up);
    }
    lab.settle();
}

/// Everybody has the same last commit and the same next committee, in which validator 3 has the stake asked for.
fn assert_one_end(lab: &Lab) {
    let first = &lab.hand(0).ends[0];
    for hand in &lab.hands {
        let [end] = &hand.ends[..] else {
            panic!("one end, not {}", hand.ends.len());
        };
        assert_eq!(end.record, first.record);
        assert_eq!(end.charter, first.charter);
        assert!(end.verify(hand.committee()));
        let last = hand.commits.last().unwrap();
        assert_eq!(last.record, first.record, "nothing is output after it");
    }
    let seats = first.charter.roster.seats();
    let stakes: Vec<_> = seats.iter().map(|seat| seat.stake).collect();
    assert_eq!(stakes, [10, 10, 10, 11], "the change is in");
}

/// Everybody goes on, but for those that have already, and the next epoch commits.
fn assert_next_epoch_runs(lab: &mut Lab, there: &[u16]) {
    for node in (0..VALIDATORS).filter(|node| !there.contains(node)) {
        lab.hands[usize::from(node)].enter_next_epoch();
    }
    let chain = *lab.hand(0).committee().chain();
    for hand in &mut lab.hands {
        assert_eq!(*hand.committee().chain(), chain, "one chain");
        hand.commits.clear();
    }
    (0..VALIDATORS).for_each(|node| link_again(lab, node));
    lab.run_to(&(0..VALIDATORS), 8);
    assert!(lab.agreed() > 3, "the next epoch commits");
    let first = lab.hand(0).ends[0].record.index;
    for hand in &lab.hands {
        assert_eq!(hand.commits[0].index(), CommitIndex(first.0 + 1));
    }
}

/// Restarts a validator so many steps after it has output the last commit; whether it was still in the tail then.
fn restarted_after(steps: usize, node: u16) -> bool {
    let mut lab = started();
    advance_until(&mut lab, |lab| has_last_commit(lab.hand(node)));
    (0..steps).for_each(|_| lab.advance());
    if is_over(lab.hand(node)) {
        return false;
    }
    restart(&mut lab, node);
    advance_until(&mut lab, everybody_is_over);
    assert_one_end(&lab);
    assert_next_epoch_runs(&mut lab, &[]);
    true
}

#[test]
fn a_restart_anywhere_in_the_tail_ends_the_epoch_alike() {
    for node in 0..VALIDATORS {
        let tail = (0..STEPS_MAX).take_while(|steps| restarted_after(*steps, node));
        let steps = tail.count();
        assert!(steps > 0, "validator {node} was restarted in {steps} steps");
    }
}

#[test]
fn all_validators_restart_in_the_tail_at_once() {
    let mut lab = started();
    advance_until(&mut lab, |lab| lab.hands.iter().all(has_last_commit));
    assert!(!lab.hands.iter().any(is_over), "nobody has left the tail");
    lab.hands.iter_mut().for_each(Hand::restart);
    (0..VALIDATORS).for_each(|node| link_again(&mut lab, node));
    advance_until(&mut lab, everybody_is_over);
    assert_one_end(&lab);
    assert_next_epoch_runs(&mut lab, &[]);
}

/// Its store has the certificate, and the next epoch's chain, and no block of it.
#[test]
fn a_restart_after_the_certificate_begins_the_next_epoch_like_the_others() {
    for node in 0..VALIDATORS {
        let mut lab = started();
        advance_until(&mut lab, everybody_is_over);
        assert_one_end(&lab);
        lab.hands[usize::from(node)].restart_in_newest_epoch();
        assert_next_epoch_runs(&mut lab, &[node]);
    }
}

/// Validator 3 is not heard in the tail, 2 and 3 do not hear 1, nor 1 and 3 hear 2: 0 alone counts the third vote that a
/// quorum takes.
#[test]
fn the_deciding_vote_reaches_one_validator_only() {
    let mut lab = started();
    advance_until(&mut lab, |lab| lab.hands.iter().any(has_last_commit));
    assert!(!lab.hands.iter().any(is_over));
    lab.lost
        .extend([(3, 0), (3, 1), (3, 2), (2, 1), (2, 3), (1, 2), (1, 3)]);
    // Of others 0 sends on nothing but how the epoch ends.
    lab.liar = Some((0, |message| {
        (!matches!(message, Message::Fetched(_))).then_some(message)
    }));
    advance_until(&mut lab, everybody_is_over);
    assert_one_end(&lab);
    let certificate = &lab.hand(0).ends[0].certificate;
    let voters: BTreeSet<u16> = certificate.votes.iter().map(|v| v.slot.author.0).collect();
    assert_eq!(voters, BTreeSet::from([0, 1, 2]));
    for hand in &lab.hands {
        assert_eq!(hand.ends[0].certificate, *certificate, "it is the only one");
    }
    lab.lost.clear();
    lab.liar = None;
    assert_next_epoch_runs(&mut lab, &[]);
}

/// The rounds of a validator's blocks with payload, and whether each is in the sequence and counts.
fn payloads(lab: &Lab, node: u16) -> BTreeMap<Round, bool> {
    let own = lab.hand(node).own.iter();
    let own = own.filter(|block| !block.payload().is_empty());
    let ordered = |block: &Block| {
        let commits = lab.hand(0).commits.iter();
        let mut blocks = commits.flat_map(|commit| &commit.blocks);
        blocks.any(|held| held.block.reference() == block.reference() && !held.void)
    };
    own.map(|block| (block.round(), ordered(block))).collect()
}

#[test]
fn every_payload_in_flight_has_one_outcome() {
    let mut lab = started();
    advance_until(&mut lab, everybody_is_over);
    let mut came_back = 0;
    for node in 0..VALIDATORS {
        let outcomes = &lab.hand(node).outcomes;
        let payloads = payloads(&lab, node);
        assert!(payloads.len() > 5, "{payloads:?}");
        for (round, in_sequence) in payloads {
            let ends = outcomes.iter().filter(|(of, _)| *of == round);
            let ends: Vec<_> = ends.map(|(_, outcome)| outcome).collect();
            let [end] = ends[..] else {
                panic!("validator {node}, round {round}: {ends:?}");
            };
            let sequenced = matches!(end, Outcome::Sequenced { .. });
            assert_eq!(sequenced, in_sequence, "validator {node}, round {round}");
            assert!(sequenced || *end == Outcome::EpochEnded);
            came_back += usize::from(!sequenced);
        }
    }
    assert!(came_back > 0, "some payload was in flight");
}

/// Validator 3 is shown the ends of two epochs, whose blocks nobody serves any more, and knows in the first block of the
/// second one that it is over.
#[test]
fn who_skips_an_epoch_knows_how_the_next_one_has_ended() {
    let mut lab = started();
    let links = (0..3).flat_map(|peer| [(peer, 3), (3, peer)]);
    lab.lost.extend(links);
    advance_until(&mut lab, |lab| lab.hands[..3].iter().all(is_over));
    lab.hands[..3].iter_mut().for_each(Hand::enter_next_epoch);
    for (node, peer) in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)] {
        lab.hands[node].link(peer, Link::Down);
        lab.hands[node].link(peer, Link::Up);
    }
    lab.settle();
    advance_until(&mut lab, |lab| {
        lab.hands[..3].iter().all(|hand| hand.ends.len() == 2)
    });
    let [first, second] = [0, 1].map(|at| Arc::clone(&lab.hand(0).ends[at]));
    let late = &mut lab.hands[3];
    late.hear(ValidatorIndex(0), &Message::EpochEnd(first.encode()));
    assert!(late.skip_to(&second), "the second end holds");
    assert_eq!(late.ends, [first]);
    late.wanted.clear();
    late.enter_next_epoch();
    late.link(0, Link::Up);
    late.wait_us(100_000);
    let [(Round(1), PayloadRoom::Closed)] = late.wanted[..] else {
        panic!("{:?}", late.wanted);
    };
}

/// What a restart says again it says alike, and it says it of every payload that the store holds.
#[test]
fn a_restart_in_the_tail_gives_no_payload_another_outcome() {
    for node in 0..VALIDATORS {
        let mut lab = started();
        advance_until(&mut lab, |lab| has_last_commit(lab.hand(node)));
        restart(&mut lab, node);
        advance_until(&mut lab, everybody_is_over);
        let outcomes = &lab.hand(node).outcomes;
        for (round, in_sequence) in payloads(&lab, node) {
            let ends = outcomes.iter().filter(|(of, _)| *of == round);
            let ends: BTreeSet<_> = ends.map(|(_, outcome)| format!("{outcome:?}")).collect();
            assert_eq!(ends.len(), 1, "validator {node}, round {round}: {ends:?}");
            let sequenced = ends.iter().all(|end| end.starts_with("Sequenced {"));
            assert_eq!(sequenced, in_sequence, "validator {node}, round {round}");
        }
    }
}

/// Going on would make a chain that nobody else has.
#[test]
fn a_store_whose_agenda_does_not_make_the_next_epoch_that_its_last_commit_names_is_refused() {
    let mut lab = started();
    advance_until(&mut lab, |lab| has_last_commit(lab.hand(0)));
    let hand = lab.hand(0);
    let changes = hand.changes.iter().map(|(_, outcome)| outcome);
    assert_eq!(changes.collect::<Vec<_>>(), [&ChangeOutcome::Effective]);
    let (committee, me) = (hand.committee(), ValidatorIndex(0));
    assert!(Recovered::load(hand.store(), committee, me).is_ok());
    let index = hand.commits.last().unwrap().index();
    // What the sequence asked for is lost.
    let altered = Altered {
        store: hand.store(),
        read: |table, _: &[u8]| (table == RecordTable::Agenda).then_some(None),
    };
    let refused = Recovered::load(&altered, committee, me);
    let why = refused.map(|_| ()).unwrap_err();
    assert_eq!(why, RecoverError::NextEpoch(index));
}
