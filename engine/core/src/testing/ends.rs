//! How epochs end, and proofs in them, signed by known keys and without a run.

use crate::block::{BlockRef, CommitVote, EquivocationProof, Slot, preimage};
use crate::codec::votes_digest;
use crate::commit::{COMMIT_RECORD_VERSION, CommitRecord};
use crate::committee::Committee;
use crate::crypto::{Digest, Keypair};
use crate::epoch::{Charter, EpochEnd};
use crate::finality::CommitCertificate;
use crate::id::{CommitIndex, Round, ValidatorIndex};
use crate::verify::SignedVotes;

/// The end of a committee's epoch, after which this charter rules, with the votes of those members whose keys are given.
///
/// # Panics
/// When an epoch's number is absurd.
#[must_use]
pub fn certified_end(committee: &Committee, charter: &Charter, keys: &[Keypair]) -> EpochEnd {
    let leader = BlockRef {
        round: Round(9),
        author: ValidatorIndex(0),
        digest: Digest([9; 32]),
    };
    let index = CommitIndex(100 * (committee.epoch() + 1));
    let record = CommitRecord {
        version: COMMIT_RECORD_VERSION,
        epoch: committee.epoch(),
        index,
        previous: *committee.chain(),
        leader,
        blocks: vec![(leader, false)],
        timestamp_ms: 1_000 * index.0,
        skipped: Vec::new(),
        schedule: 0,
        reputation: Digest::ZERO,
        next: charter.digest(),
    };
    let vote = CommitVote {
        index,
        digest: record.digest(),
    };
    let votes = keys.iter().filter_map(|key| signed(committee, vote, key));
    EpochEnd {
        certificate: CommitCertificate {
            index,
            digest: vote.digest,
            votes: votes.collect(),
        },
        record,
        charter: charter.clone(),
    }
}

fn signed(committee: &Committee, vote: CommitVote, key: &Keypair) -> Option<SignedVotes> {
    let slot = Slot {
        round: Round(11),
        author: committee.index_of(&key.public())?,
    };
    let (body_digest, votes) = (Digest([8; 32]), vec![vote]);
    let header = votes_digest(&body_digest, &votes);
    let message = preimage(committee.chain(), committee.epoch(), slot, &header);
    Some(SignedVotes {
        signature: key.sign(&message),
        slot,
        body_digest,
        votes,
    })
}

/// Proof that a member signed two headers of a round.
///
/// # Panics
/// When the key is no member's.
#[must_use]
pub fn equivocation(committee: &Committee, key: &Keypair, round: Round) -> EquivocationProof {
    let author = committee.index_of(&key.public()).expect("a member's key");
    let slot = Slot { round, author };
    let side = |byte| {
        let digest = Digest([byte; 32]);
        let message = preimage(committee.chain(), committee.epoch(), slot, &digest);
        (digest, key.sign(&message))
    };
    EquivocationProof::new(slot, side(1), side(2)).expect("two headers")
}
