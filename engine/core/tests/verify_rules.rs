//! Every rule of R4 has a block that breaks it and nothing else, and the verdict names the rule.

#![allow(clippy::unwrap_used, reason = "a test may")]

use bytes::Bytes;
use probity_core::block::{CommitVote, EquivocationProof, Header, genesis_ref, preimage};
use probity_core::crypto::{Digest, Signature};
use probity_core::testing::{Draft, VALID_CHECK, committee, keypair, proposal, sign};
use probity_core::{
    Block, BlockRef, CommitCertificate, CommitIndex, Committee, DecodeError, FaultBounds, Mode,
    Payload, Proposal, Reject, Round, SignedVotes, Slot, ValidatorIndex, verify_block,
    verify_evidence,
};

const GC_DEPTH: u32 = 8;

fn four() -> Committee {
    with_depth(GC_DEPTH)
}

fn with_depth(gc_depth: u32) -> Committee {
    committee(
        &[1; 4],
        FaultBounds {
            mode: Mode::Graded,
            byzantine: 1,
            crashed: 0,
        },
        gc_depth,
    )
}

fn at(round: u32, author: u16) -> BlockRef {
    let digest = Digest([u8::try_from(author).unwrap() + 1; 32]);
    BlockRef {
        round: Round(round),
        author: ValidatorIndex(author),
        digest,
    }
}

fn payload() -> Payload {
    Payload::from_transactions(&[&b"first"[..], b"second"])
}

/// A valid header of round 20 by validator 1 that links everybody.
fn header() -> Header {
    let parents = (0..4).map(|author| at(19, author)).collect();
    let draft = Draft {
        round: Round(20),
        author: ValidatorIndex(1),
        parents,
        timestamp_ms: 77,
    };
    proposal(&four(), draft, payload()).header().clone()
}

fn bytes_of(block: &Block) -> Bytes {
    Bytes::from([&block.signed_header()[..], block.payload().bytes()].concat())
}

fn signed(header: Header, payload: Payload) -> Bytes {
    bytes_of(&sign(Proposal::new(header, payload)))
}

fn verdict(bytes: &Bytes) -> Result<(), Reject> {
    verify_block(bytes, &four(), &VALID_CHECK)
        .map(|_| ())
        .map_err(|rejected| rejected.reject)
}

/// The verdict on a block whose header was changed before it was signed.
fn changed(change: impl FnOnce(&mut Header)) -> Result<(), Reject> {
    let mut header = header();
    change(&mut header);
    verdict(&signed(header, payload()))
}

fn with_payload(payload: Payload) -> Result<(), Reject> {
    let header = Header {
        payload: payload.describe(),
        ..header()
    };
    verdict(&signed(header, payload))
}

fn evidence(committee: &Committee, slot: Slot) -> EquivocationProof {
    let side = |byte| {
        let digest = Digest([byte; 32]);
        let message = preimage(committee.chain(), committee.epoch(), slot, &digest);
        (digest, keypair(slot.author).sign(&message))
    };
    EquivocationProof::new(slot, side(2), side(1)).unwrap()
}

const SLOT: Slot = Slot {
    round: Round(7),
    author: ValidatorIndex(3),
};

#[test]
fn a_valid_block_passes_and_keeps_its_bytes() {
    let bytes = signed(header(), payload());
    let verified = verify_block(&bytes, &four(), &VALID_CHECK).unwrap();
    assert_eq!(verified.block().header(), &header());
    assert_eq!(bytes_of(verified.block()), bytes);
    let again = sign(Proposal::new(verified.block().header().clone(), payload()));
    assert_eq!(bytes_of(&again), bytes, "encode(decode(b)) == b");
    assert_eq!(&again, &**verified.block());
}

#[test]
fn origin() {
    assert_eq!(changed(|h| h.version = 2), Err(Reject::Version(2)));
    assert_eq!(changed(|h| h.chain = Digest([1; 32])), Err(Reject::Chain));
    assert_eq!(changed(|h| h.epoch = 1), Err(Reject::Epoch(1)));
    assert_eq!(changed(|h| h.round = Round(0)), Err(Reject::Round));
    assert_eq!(
        changed(|h| h.author = ValidatorIndex(4)),
        Err(Reject::Author(4))
    );
}

#[test]
fn order_of_parents() {
    assert_eq!(changed(|h| h.parents.clear()), Err(Reject::ParentOrder));
    assert_eq!(
        changed(|h| h.parents.swap(0, 1)),
        Err(Reject::ParentOrder),
        "own first"
    );
    assert_eq!(
        changed(|h| h.parents.swap(2, 3)),
        Err(Reject::ParentOrder),
        "rising"
    );
    assert_eq!(
        changed(|h| h.parents[3] = h.parents[2]),
        Err(Reject::ParentOrder),
        "twice"
    );
    assert_eq!(
        changed(|h| h.parents[2] = at(19, 1)),
        Err(Reject::ParentOrder),
        "own again"
    );
    assert_eq!(
        changed(|h| h.parents.push(at(19, 4))),
        Err(Reject::Author(4))
    );
}

#[test]
fn rounds_of_parents() {
    let moved =
        |at_parent: usize, round: u32| changed(|h| h.parents[at_parent].round = Round(round));
    assert_eq!(moved(0, 20), Err(Reject::ParentRound(Round(20))));
    assert_eq!(moved(2, 20), Err(Reject::ParentRound(Round(20))));
    assert_eq!(
        moved(2, u32::MAX),
        Err(Reject::ParentRound(Round(u32::MAX)))
    );
    assert_eq!(moved(2, 20 - GC_DEPTH), Ok(()));
    assert_eq!(
        moved(2, 19 - GC_DEPTH),
        Err(Reject::ParentRound(Round(19 - GC_DEPTH)))
    );
    assert_eq!(moved(0, 1), Ok(()), "the own parent may be of any round");
}

#[test]
fn genesis_parents() {
    let own = ValidatorIndex(1);
    let real = genesis_ref(&four(), own).unwrap();
    assert_eq!(changed(|h| h.parents[0] = real), Ok(()));
    assert_eq!(changed(|h| h.parents[0] = at(0, 1)), Err(Reject::Genesis));
    let other = BlockRef {
        author: own,
        ..genesis_ref(&four(), ValidatorIndex(2)).unwrap()
    };
    assert_eq!(changed(|h| h.parents[0] = other), Err(Reject::Genesis));
}

#[test]
fn quorum_of_parents() {
    assert_eq!(changed(|h| h.parents.truncate(3)), Ok(()));
    assert_eq!(
        changed(|h| h.parents.truncate(2)),
        Err(Reject::ParentQuorum { weight: 2 })
    );
    let two_old = |h: &mut Header| (2..4).for_each(|p| h.parents[p].round = Round(18));
    assert_eq!(changed(two_old), Err(Reject::ParentQuorum { weight: 2 }));
}

#[test]
fn evidence_in_a_header() {
    let good = evidence(&four(), SLOT);
    assert_eq!(changed(|h| h.evidence = vec![good.clone(); 4]), Ok(()));
    let mut bad = good;
    bad.first.1.0[5] ^= 1;
    assert_eq!(changed(|h| h.evidence = vec![bad]), Err(Reject::Evidence));
}

#[test]
fn evidence_proves_only_two_signed_headers_of_one_slot() {
    let committee = four();
    let good = evidence(&committee, SLOT);
    assert!(verify_evidence(&good, &committee));
    let changes: [fn(&mut EquivocationProof); 7] = [
        |proof| proof.round = Round(8),
        |proof| proof.round = Round(0),
        |proof| proof.author = ValidatorIndex(2),
        |proof| proof.author = ValidatorIndex(4),
        |proof| std::mem::swap(&mut proof.first, &mut proof.second),
        |proof| proof.second = proof.first,
        |proof| proof.second.1 = Signature([0; 64]),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let mut proof = good.clone();
        change(&mut proof);
        assert!(!verify_evidence(&proof, &committee), "change {at}");
    }
    let round_0 = evidence(
        &committee,
        Slot {
            round: Round(0),
            ..SLOT
        },
    );
    assert!(!verify_evidence(&round_0, &committee));
    let foreign = committee_of_another_chain();
    assert!(!verify_evidence(&good, &foreign));
    let one = (Digest([1; 32]), Signature([1; 64]));
    let resigned = (Digest([1; 32]), Signature([2; 64]));
    assert_eq!(
        EquivocationProof::new(SLOT, one, resigned),
        None,
        "one header signed twice"
    );
}

fn committee_of_another_chain() -> Committee {
    committee(
        &[1; 4],
        FaultBounds {
            mode: Mode::Graded,
            byzantine: 1,
            crashed: 0,
        },
        GC_DEPTH + 1,
    )
}

#[test]
fn payloads() {
    assert_eq!(
        changed(|h| h.payload.root = Digest([1; 32])),
        Err(Reject::Payload),
        "root"
    );
    assert_eq!(
        changed(|h| h.payload.bytes += 1),
        Err(Reject::Payload),
        "bytes"
    );
    let table = Err(Reject::Malformed(DecodeError::PayloadTable));
    assert_eq!(changed(|h| h.payload.count += 1), table, "count");
    assert_eq!(changed(|h| h.payload.count -= 1), table, "count");
    assert_eq!(
        changed(|h| h.payload.count = 65_537),
        Err(Reject::Payload),
        "too many"
    );
    assert_eq!(with_payload(Payload::empty()), Ok(()));
    assert_eq!(
        with_payload(Payload::from_transactions(&[vec![1; 65_536]])),
        Ok(())
    );
    assert_eq!(
        with_payload(Payload::from_transactions(&[vec![1; 65_537]])),
        Err(Reject::Payload)
    );
    let empty = vec![[0u8; 0]; 65_536];
    assert_eq!(with_payload(Payload::from_transactions(&empty)), Ok(()));
    let large = vec![vec![1; 65_000]; 33];
    assert_eq!(
        with_payload(Payload::from_transactions(&large)),
        Err(Reject::Payload),
        "2 MiB"
    );
}

#[test]
fn transactions() {
    let bad = Payload::from_transactions(&[&b"fine"[..], b"invalid"]);
    assert_eq!(with_payload(bad), Err(Reject::Transaction(1)));
}

#[test]
fn signatures() {
    let proposal = Proposal::new(header(), payload());
    let stranger = keypair(ValidatorIndex(2)).sign(&proposal.preimage());
    let bytes = bytes_of(&proposal.clone().seal(stranger));
    let rejected = verify_block(&bytes, &four(), &VALID_CHECK).unwrap_err();
    assert_eq!((rejected.reject, rejected.votes), (Reject::Signature, None));
    let zero = bytes_of(&proposal.seal(Signature([0; 64])));
    assert_eq!(verdict(&zero), Err(Reject::Signature));
}

#[test]
fn every_flipped_bit_and_every_cut_is_refused() {
    let header = Header {
        evidence: vec![evidence(&four(), SLOT)],
        commit_votes: vec![CommitVote {
            index: CommitIndex(1),
            digest: Digest([1; 32]),
        }],
        ..header()
    };
    let bytes = signed(header, payload());
    assert_eq!(verdict(&bytes), Ok(()));
    for at in 0..bytes.len() {
        for flip in [1, 0x80, 0xff] {
            let mut flipped = bytes.to_vec();
            flipped[at] ^= flip;
            assert!(
                verdict(&Bytes::from(flipped)).is_err(),
                "byte {at} flipped by {flip}"
            );
        }
    }
    for length in 0..bytes.len() {
        assert!(verdict(&bytes.slice(..length)).is_err(), "cut at {length}");
    }
    assert!(
        verdict(&Bytes::from([&bytes[..], &[0]].concat())).is_err(),
        "trailing"
    );
}

#[test]
fn lists_above_their_limits_are_refused() {
    let vote = CommitVote {
        index: CommitIndex(1),
        digest: Digest([1; 32]),
    };
    assert_eq!(changed(|h| h.commit_votes = vec![vote; 8]), Ok(()));
    let limit = |what, found, allowed| {
        Err(Reject::Malformed(DecodeError::Limit {
            what,
            found,
            allowed,
        }))
    };
    assert_eq!(
        changed(|h| h.commit_votes = vec![vote; 9]),
        limit("votes", 9, 8)
    );
    let proof = evidence(&four(), SLOT);
    assert_eq!(
        changed(|h| h.evidence = vec![proof; 5]),
        limit("proofs", 5, 4)
    );
    assert_eq!(
        changed(|h| h.parents = vec![at(19, 0); 257]),
        limit("parents", 257, 256)
    );
}

#[test]
fn extreme_integers_survive_and_never_panic() {
    for number in [0, 1, u64::MAX - 1, u64::MAX] {
        assert_eq!(changed(|h| h.timestamp_ms = number), Ok(()));
        let vote = CommitVote {
            index: CommitIndex(number),
            digest: Digest::ZERO,
        };
        assert_eq!(changed(|h| h.commit_votes = vec![vote]), Ok(()));
        if number > 0 {
            assert_eq!(changed(|h| h.epoch = number), Err(Reject::Epoch(number)));
        }
    }
    for number in [0, 1, u32::MAX - 1, u32::MAX] {
        assert!(changed(|h| h.round = Round(number)).is_err());
        assert!(changed(|h| h.payload.bytes = number).is_err());
        assert!(changed(|h| h.payload.count = number).is_err());
        assert!(changed(|h| h.parents[2].round = Round(number)).is_err());
    }
    for number in [u16::MAX - 1, u16::MAX] {
        assert_eq!(
            changed(|h| h.author = ValidatorIndex(number)),
            Err(Reject::Author(number))
        );
        let author = ValidatorIndex(number);
        assert_eq!(
            changed(|h| h.parents[3].author = author),
            Err(Reject::Author(number))
        );
    }
    let highest = |h: &mut Header| {
        h.round = Round(u32::MAX);
        h.parents
            .iter_mut()
            .for_each(|parent| parent.round = Round(u32::MAX - 1));
    };
    assert_eq!(changed(highest), Ok(()));
}

fn votes_of(author: u16, votes: Vec<CommitVote>) -> SignedVotes {
    let parents = (0..4).map(|author| at(19, author)).collect();
    let author = ValidatorIndex(author);
    let draft = Draft {
        round: Round(20),
        author,
        parents,
        timestamp_ms: 1,
    };
    let unsigned = proposal(&four(), draft, Payload::empty());
    let header = Header {
        commit_votes: votes,
        ..unsigned.header().clone()
    };
    SignedVotes::of(&sign(Proposal::new(header, Payload::empty())))
}

#[test]
fn a_commit_certificate_needs_the_weight_of_v_under_valid_signatures() {
    let committee = four();
    let (index, digest) = (CommitIndex(5), Digest([5; 32]));
    let vote = CommitVote { index, digest };
    let other = CommitVote {
        index: CommitIndex(4),
        digest,
    };
    let of = |authors: &[u16]| CommitCertificate {
        index,
        digest,
        votes: authors
            .iter()
            .map(|author| votes_of(*author, vec![other, vote]))
            .collect(),
    };
    assert!(of(&[0, 1, 2]).verify(&committee));
    assert!(of(&[0, 1, 2, 3]).verify(&committee));
    assert!(!of(&[0, 1]).verify(&committee), "too light");
    assert!(!of(&[0, 1, 1]).verify(&committee), "each author once");
    assert!(!of(&[]).verify(&committee));
    let changes: [fn(&mut CommitCertificate); 7] = [
        |c| c.index = CommitIndex(6),
        |c| c.digest = Digest([6; 32]),
        |c| c.votes[0].votes.clear(),
        |c| c.votes[0].votes[0].index = CommitIndex(9),
        |c| c.votes[0].signature.0[0] ^= 1,
        |c| c.votes[0].body_digest = Digest::ZERO,
        |c| c.votes[0].slot.author = ValidatorIndex(3),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let mut certificate = of(&[0, 1, 2]);
        change(&mut certificate);
        assert!(!certificate.verify(&committee), "change {at}");
    }
    assert!(!of(&[0, 1, 2]).verify(&committee_of_another_chain()));
}

#[test]
fn commit_votes_of_a_member_survive_an_invalid_block() {
    let vote = CommitVote {
        index: CommitIndex(1),
        digest: Digest([1; 32]),
    };
    let mut header = header();
    header.commit_votes = vec![vote];
    header.parents.truncate(2);
    let rejected = verify_block(&signed(header, payload()), &four(), &VALID_CHECK).unwrap_err();
    assert_eq!(rejected.votes.unwrap().votes, [vote]);
}
