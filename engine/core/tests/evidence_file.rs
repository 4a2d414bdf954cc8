//! A file with proofs of several epochs holds for the network that it is about, and for nothing else (R12, R32).

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::sync::Arc;

use bytes::Bytes;
use probity_core::crypto::Keypair;
use probity_core::limits::{EVIDENCE_FILE_BYTES_MAX, EVIDENCE_FILE_MAX};
use probity_core::testing::{certified_end, committee, equivocation, keypair};
use probity_core::{
    Accusation, Charter, Committee, DecodeError, EpochEnd, EpochEvidence, EvidenceFault,
    EvidenceFile, EvidenceFileError, FaultBounds, Mode, Roster, Round, Slot, ValidatorIndex,
};

const BOUNDS: FaultBounds = FaultBounds {
    mode: Mode::Graded,
    byzantine: 1,
    crashed: 0,
};

fn four(gc_depth: u32) -> Arc<Committee> {
    Arc::new(committee(&[1; 4], BOUNDS, gc_depth))
}

fn key(at: u16) -> Keypair {
    keypair(ValidatorIndex(at))
}

fn keys() -> Vec<Keypair> {
    (0..5).map(key).collect()
}

/// Three epochs. Validator 0 leaves after the first one and a newcomer takes part, so indices move.
struct Story {
    committees: [Arc<Committee>; 3],
    ends: [EpochEnd; 2],
}

fn story() -> Story {
    let first = four(8);
    let mut seats = first.roster().seats().to_vec();
    let mut newcomer = seats.remove(0);
    newcomer.key = key(4).public();
    seats.push(newcomer);
    let charter = Charter {
        roster: Roster::new(seats).unwrap(),
        bounds: BOUNDS,
        total: 4,
    };
    let end = certified_end(&first, &charter, &keys());
    let second = end.next_committee(&first).unwrap();
    let next = certified_end(&second, &charter, &keys());
    let third = next.next_committee(&second).unwrap();
    Story {
        committees: [first, second, third],
        ends: [end, next],
    }
}

impl Story {
    fn first(&self) -> &Committee {
        &self.committees[0]
    }

    /// What these validators, by number, did in an epoch.
    fn evidence(&self, epoch: u64, who: &[(u16, u32)]) -> EpochEvidence {
        let committee = &self.committees[usize::try_from(epoch).unwrap()];
        let proof = |(who, round): &(u16, u32)| equivocation(committee, &key(*who), Round(*round));
        EpochEvidence {
            epoch,
            proofs: who.iter().map(proof).collect(),
        }
    }

    fn file(&self, proofs: Vec<EpochEvidence>) -> EvidenceFile {
        let file = EvidenceFile::new(self.first(), &self.ends, proofs);
        file.unwrap().unwrap()
    }

    /// Proofs of the first and the last epoch.
    fn both(&self) -> EvidenceFile {
        let late = self.evidence(2, &[(4, 9), (1, 7)]);
        self.file(vec![late, self.evidence(0, &[(1, 5)])])
    }
}

/// Who is accused, as numbers of keys.
fn accused(accusations: &[Accusation]) -> Vec<(u64, u16, u32)> {
    let number = |a: &Accusation| (0..5).find(|at| key(*at).public() == a.key).unwrap();
    let tell = |a: &Accusation| (a.epoch, number(a), a.proof.round.0);
    accusations.iter().map(tell).collect()
}

#[test]
fn proofs_of_all_epochs_hold_with_nothing_but_the_first_committee() {
    let story = story();
    let file = story.both();
    let read = EvidenceFile::decode(&file.encode()).unwrap();
    assert_eq!((&read, read.count()), (&file, 3));
    let accusations = read.verify(story.first()).unwrap();
    assert_eq!(accused(&accusations), [(0, 1, 5), (2, 1, 7), (2, 4, 9)]);
    let author = |at: usize| accusations[at].proof.author.0;
    assert_eq!(
        (author(0), author(1)),
        (1, 0),
        "the same key at other indices"
    );
}

#[test]
fn ends_that_no_proof_needs_are_left_out() {
    let story = story();
    let early = story.file(vec![story.evidence(0, &[(0, 3)])]);
    let alone = EvidenceFile::new(story.first(), &[], vec![story.evidence(0, &[(0, 3)])]);
    assert_eq!(early, alone.unwrap().unwrap());
    assert_eq!(accused(&early.verify(story.first()).unwrap()), [(0, 0, 3)]);
    let none = EvidenceFile::new(story.first(), &story.ends, Vec::new());
    assert_eq!(none, Ok(None));
}

#[test]
fn a_file_cannot_be_made_of_parts_that_do_not_fit() {
    let story = story();
    let make = |ends: &[EpochEnd], proofs| EvidenceFile::new(story.first(), ends, proofs);
    let late = story.evidence(2, &[(2, 3)]);
    let missing = make(&story.ends[..1], vec![late.clone()]);
    let ends = |found, epoch| Err(EvidenceFileError::Ends { found, epoch });
    assert_eq!(missing, ends(1, 2));
    assert_eq!(make(&story.ends[1..], vec![late.clone()]), ends(0, 1));
    let twice = make(&story.ends, vec![late.clone(), late]);
    assert_eq!(twice, Err(EvidenceFileError::Order));
}

#[test]
fn another_network_is_told_apart() {
    let story = story();
    let file = story.both();
    for other in [&four(9), &story.committees[1]] {
        let why = file.verify(other).unwrap_err();
        assert!(matches!(why, EvidenceFault::Network { .. }), "{why}");
        assert!(why.to_string().contains(&other.chain().to_string()));
    }
}

#[test]
fn a_proof_of_another_epoch_does_not_hold() {
    let story = story();
    let proofs = story.evidence(1, &[(2, 6)]).proofs;
    let slot = proofs[0].slot();
    let moved = |epoch| {
        let proofs = proofs.clone();
        story.file(vec![EpochEvidence { epoch, proofs }])
    };
    assert_eq!(moved(1).verify(story.first()).unwrap().len(), 1);
    for epoch in [0, 2] {
        let why = moved(epoch).verify(story.first());
        assert_eq!(why, Err(EvidenceFault::Proof { epoch, slot }));
    }
}

#[test]
fn who_is_no_member_of_the_epoch_cannot_be_accused() {
    let story = story();
    let mut stranger = story.evidence(1, &[(3, 6)]);
    stranger.proofs[0].author = ValidatorIndex(4);
    let why = story.file(vec![stranger]).verify(story.first());
    let author = ValidatorIndex(4);
    assert_eq!(why, Err(EvidenceFault::Author { epoch: 1, author }));
    let mut framed = story.evidence(1, &[(3, 6)]);
    framed.proofs[0].author = ValidatorIndex(0);
    let slot = Slot {
        round: Round(6),
        author: ValidatorIndex(0),
    };
    let why = story.file(vec![framed]).verify(story.first());
    assert_eq!(why, Err(EvidenceFault::Proof { epoch: 1, slot }));
}

/// What a liar may do with the chain of ends.
#[test]
fn a_broken_chain_of_ends_proves_nothing_about_later_epochs() {
    let story = story();
    let proofs = vec![story.evidence(2, &[(4, 9)])];
    let with = |ends: [EpochEnd; 2]| {
        let file = EvidenceFile::new(story.first(), &ends, proofs.clone());
        file.unwrap().unwrap().verify(story.first())
    };
    let [first, second] = &story.ends;
    assert!(with([first.clone(), second.clone()]).is_ok());
    let broken = |epoch| Err(EvidenceFault::End { epoch });

    let few = certified_end(story.first(), &first.charter, &keys()[..2]);
    assert_eq!(
        with([few, second.clone()]),
        broken(0),
        "votes of less than Q"
    );
    let mut other = first.clone();
    other.charter.total = 5;
    assert_eq!(
        with([other, second.clone()]),
        broken(0),
        "not what was voted for"
    );
    let mut forged = second.clone();
    forged.certificate.votes[2].signature.0[1] ^= 1;
    assert_eq!(with([first.clone(), forged]), broken(1));
    let mut doubled = second.clone();
    doubled.certificate.votes[1] = doubled.certificate.votes[0].clone();
    doubled.certificate.votes.truncate(3);
    assert_eq!(
        with([first.clone(), doubled]),
        broken(1),
        "one author counts once"
    );
    // The old committee's own votes for a second history: each end holds, but proofs bind the chain.
    let mut seats = first.charter.roster.seats().to_vec();
    seats[0].stake = 2;
    let roster = Roster::new(seats).unwrap();
    let charter = Charter {
        roster,
        ..first.charter.clone()
    };
    let fork = certified_end(story.first(), &charter, &keys());
    assert_eq!(with([fork, second.clone()]), broken(1));
}

#[test]
fn bytes_that_are_cut_or_longer_are_refused() {
    let bytes = story().both().encode();
    for length in 0..bytes.len() {
        let short = EvidenceFile::decode(&bytes.slice(..length)).unwrap_err();
        let expected = [
            EvidenceFileError::Malformed(DecodeError::Short),
            EvidenceFileError::Empty,
        ];
        assert!(expected.contains(&short), "{length}: {short}");
    }
    let mut longer = bytes.to_vec();
    longer.push(0);
    let trailing = EvidenceFileError::Malformed(DecodeError::Trailing);
    assert_eq!(EvidenceFile::decode(&longer.into()), Err(trailing));
}

/// Whatever bit is wrong: either the bytes are no file, or it does not hold. Nothing else can be said by changing it.
#[test]
fn a_flipped_bit_anywhere_is_noticed() {
    let story = story();
    let bytes = story.both().encode();
    for at in 0..bytes.len() {
        let mut changed = bytes.to_vec();
        changed[at] ^= 1 << (at % 8);
        let changed = Bytes::from(changed);
        let Ok(file) = EvidenceFile::decode(&changed) else {
            continue;
        };
        assert_eq!(file.encode(), changed, "one encoding, at {at}");
        assert!(file.verify(story.first()).is_err(), "at {at}");
    }
}

#[test]
fn numbers_that_promise_too_much_are_refused() {
    let story = story();
    let file = story.file(vec![story.evidence(0, &[(0, 3)])]);
    let bytes = file.encode();
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut changed = bytes.to_vec();
        change(&mut changed);
        EvidenceFile::decode(&Bytes::from(changed)).unwrap_err()
    };
    // Magic 8, version 2, network 32, ends 4, epochs 4, epoch 8, proofs 4.
    let put = |at: usize, value: u32| {
        changed(&|b: &mut Vec<u8>| b[at..at + 4].copy_from_slice(&value.to_le_bytes()))
    };
    assert_eq!(changed(&|b| b[0] ^= 1), EvidenceFileError::Magic);
    assert_eq!(changed(&|b| b[8] = 1), EvidenceFileError::Version(1));
    let limit = |what, found: u32, allowed| {
        EvidenceFileError::Malformed(DecodeError::Limit {
            what,
            found: found as usize,
            allowed,
        })
    };
    let ends_max = EVIDENCE_FILE_BYTES_MAX / 128;
    assert_eq!(
        put(42, u32::MAX),
        limit("ends of epochs", u32::MAX, ends_max)
    );
    let epochs_max = EVIDENCE_FILE_BYTES_MAX / 198;
    assert_eq!(
        put(46, u32::MAX),
        limit("epochs with proofs", u32::MAX, epochs_max)
    );
    let short = EvidenceFileError::Malformed(DecodeError::Short);
    assert_eq!(put(42, 1_000_000), short, "nothing is allocated for them");
    assert_eq!(put(46, 1_000_000), short);
    assert_eq!(put(58, 0), EvidenceFileError::Empty);
    let too_many = u32::try_from(EVIDENCE_FILE_MAX + 1).unwrap();
    assert_eq!(
        put(58, too_many),
        limit("proofs", too_many, EVIDENCE_FILE_MAX)
    );
    let epoch = EvidenceFileError::Ends { found: 0, epoch: 7 };
    assert_eq!(put(50, 7), epoch);
    let none = |b: &mut Vec<u8>| {
        b[58] = 0;
        b.truncate(62);
    };
    assert_eq!(changed(&none), EvidenceFileError::Empty);
    let twice = story.file(vec![story.evidence(0, &[(0, 3), (0, 4)])]);
    let mut twice = twice.encode().to_vec();
    twice[62] = 9;
    let twice = EvidenceFile::decode(&twice.into());
    assert_eq!(twice, Err(EvidenceFileError::Order));
}
