//! Commit votes: which commits to vote for, and certificates of those that a quorum voted for (R25).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use crate::block::{CommitVote, Slot};
use crate::codec::{COMMIT_VOTE_BYTES, DecodeError, ListOf, Put, Reader};
use crate::commit::CommitRecord;
use crate::committee::{Committee, Tally};
use crate::crypto::Digest;
use crate::id::{CommitIndex, Round, ValidatorIndex};
use crate::limits::{COMMIT_VOTES_MAX, OPEN_VOTES_PER_AUTHOR_MAX, VALIDATORS_MAX};
use crate::thresholds::Rule;
use crate::verify::SignedVotes;

/// Proof that a commit is final: votes of enough weight under their authors' signatures (R25).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommitCertificate {
    /// The commit's index.
    pub index: CommitIndex,
    /// The digest of its record.
    pub digest: Digest,
    /// Signed votes that name it, one an author.
    pub votes: Vec<SignedVotes>,
}

impl CommitCertificate {
    /// Whether the votes weigh enough and every signature holds. Needs nothing but the committee.
    #[must_use]
    pub fn verify(&self, committee: &Committee) -> bool {
        let named = CommitVote {
            index: self.index,
            digest: self.digest,
        };
        if planted!(CertificateUnchecked) {
            return true;
        }
        // More votes than validators are junk, and each costs a signature check.
        if self.votes.len() > committee.size() {
            return false;
        }
        let mut tally = Tally::default();
        for vote in &self.votes {
            if !vote.votes.contains(&named) || !vote.verify(committee) {
                return false;
            }
            tally.add(vote.slot.author, committee);
        }
        tally.weight() >= certifying_weight(committee)
    }

    /// The canonical bytes (docs/wire-format.md).
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(64 + self.votes.len() * 256);
        bytes.put_u64_le(self.index.0);
        bytes.put_slice(self.digest.as_bytes());
        put_signed_votes(&mut bytes, &self.votes);
        bytes.freeze()
    }

    /// Reads a certificate; it is not verified.
    ///
    /// # Errors
    /// When the bytes are not the canonical encoding of one.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let index = CommitIndex(reader.u64()?);
        let digest = reader.digest()?;
        let votes = read_signed_votes(&mut reader)?;
        reader.finish()?;
        Ok(Self {
            index,
            digest,
            votes,
        })
    }
}

/// A list of votes under their signatures, at most one a validator.
pub(crate) fn put_signed_votes(bytes: &mut BytesMut, votes: &[SignedVotes]) {
    bytes.put_u16_le(u16::try_from(votes.len()).expect("at most 256 votes"));
    for vote in votes {
        bytes.put_u32_le(vote.slot.round.0);
        bytes.put_u16_le(vote.slot.author.0);
        bytes.put_slice(vote.body_digest.as_bytes());
        bytes.put_u8(u8::try_from(vote.votes.len()).expect("at most 8 votes"));
        vote.votes
            .iter()
            .for_each(|vote| bytes.put_commit_vote(vote));
        bytes.put_slice(&vote.signature.0);
    }
}

/// Reads such a list.
pub(crate) fn read_signed_votes(reader: &mut Reader<'_>) -> Result<Vec<SignedVotes>, DecodeError> {
    let count = usize::from(reader.u16()?);
    let votes = ListOf {
        what: "votes",
        item_bytes: 4 + 2 + 32 + 1 + 64,
        allowed: VALIDATORS_MAX,
    };
    reader.list(count, votes, read_one_signed)
}

fn read_one_signed(reader: &mut Reader<'_>) -> Result<SignedVotes, DecodeError> {
    let slot = Slot {
        round: Round(reader.u32()?),
        author: ValidatorIndex(reader.u16()?),
    };
    let body_digest = reader.digest()?;
    let count = usize::from(reader.u8()?);
    let votes = ListOf {
        what: "votes",
        item_bytes: COMMIT_VOTE_BYTES,
        allowed: COMMIT_VOTES_MAX,
    };
    Ok(SignedVotes {
        slot,
        body_digest,
        votes: reader.list(count, votes, Reader::commit_vote)?,
        signature: reader.signature()?,
    })
}

/// R25: `V`, in fast mode `Q`.
fn certifying_weight(committee: &Committee) -> u64 {
    let thresholds = committee.thresholds();
    let enough = match thresholds.rule {
        Rule::Fast => thresholds.quorum,
        Rule::Classic | Rule::Dual => thresholds.certificate,
    };
    enough - u64::from(planted!(CommitCertificateLow))
}

/// Votes seen for one commit.
#[derive(Clone, Debug, Default)]
struct Open {
    tally: Tally,
    votes: Vec<SignedVotes>,
}

/// Own vote points not voted yet, and everybody's votes until they make a certificate.
#[derive(Clone, Debug)]
pub(crate) struct Finality {
    committee: Arc<Committee>,
    /// The last commit of each output round, oldest first, not voted yet.
    points: VecDeque<CommitVote>,
    /// The newest commit of a round whose slots are not all output.
    candidate: Option<CommitVote>,
    open: BTreeMap<CommitVote, Open>,
    /// How many entries of `open` each author has a vote in.
    open_by_author: Vec<usize>,
    certificate: Option<Arc<CommitCertificate>>,
    /// Everybody's votes for the certified commit, also those that came later.
    certified: Option<(CommitVote, Open)>,
}

impl Finality {
    pub(crate) fn new(committee: Arc<Committee>) -> Self {
        let open_by_author = vec![0; committee.size()];
        Self {
            committee,
            points: VecDeque::new(),
            candidate: None,
            open: BTreeMap::new(),
            open_by_author,
            certificate: None,
            certified: None,
        }
    }

    /// The newest certificate.
    pub(crate) fn certificate(&self) -> Option<&Arc<CommitCertificate>> {
        self.certificate.as_ref()
    }

    /// How many votes wait for a certificate.
    pub(crate) fn open_votes(&self) -> usize {
        self.open_by_author.iter().sum()
    }

    /// Notes a commit; it is a vote point if no later slot of its round commits.
    pub(crate) fn handle_commit(&mut self, record: &CommitRecord, digest: Digest) {
        self.candidate = Some(CommitVote {
            index: record.index,
            digest,
        });
    }

    /// Every slot of the round is output: its last commit is a vote point.
    pub(crate) fn handle_round_output(&mut self) {
        let Some(point) = self.candidate.take() else {
            return;
        };
        self.points.push_back(point);
        if self.points.len() > COMMIT_VOTES_MAX {
            sometimes!(VotePointDropped);
            self.points.pop_front();
        }
    }

    /// R25: the last commit of an epoch is a vote point at once.
    pub(crate) fn handle_epoch_end(&mut self) {
        self.handle_round_output();
    }

    /// Votes of weight `Q` for a commit, once the newest certificate is about it and they are here (R32).
    pub(crate) fn final_votes(&self, of: &CommitVote) -> Option<&[SignedVotes]> {
        let (vote, open) = self.certified.as_ref()?;
        let quorum = self.committee.thresholds().quorum;
        let enough = open.tally.weight() >= quorum || planted!(TailShort);
        (vote == of && enough).then_some(open.votes.as_slice())
    }

    /// The votes for the next own header: the vote points not voted yet, the newest eight.
    pub(crate) fn take_votes(&mut self) -> Vec<CommitVote> {
        self.points.drain(..).collect()
    }

    /// Counts votes whose signature was checked; returns a certificate that is higher than the last.
    pub(crate) fn handle_votes(&mut self, signed: &SignedVotes) -> Option<Arc<CommitCertificate>> {
        let mut best = None;
        for vote in &signed.votes {
            best = self.count(*vote, signed).or(best);
        }
        best
    }

    fn count(&mut self, vote: CommitVote, signed: &SignedVotes) -> Option<Arc<CommitCertificate>> {
        let author = signed.slot.author;
        if let Some((certified, open)) = &mut self.certified {
            if vote == *certified && !open.tally.authors().contains(author) {
                open.tally.add(author, &self.committee);
                open.votes.push(signed.clone());
            }
            if vote.index <= certified.index {
                return None;
            }
        }
        let known = self.open.get(&vote);
        let counted = known.is_some_and(|open| open.tally.authors().contains(author));
        if counted && !planted!(CommitVotesTwice) {
            return None;
        }
        // A liar's invented votes push out only its own: each author has room for so many.
        let held = self.open_by_author.get_mut(author.position())?;
        if *held >= OPEN_VOTES_PER_AUTHOR_MAX {
            sometimes!(VoteAuthorCap);
            return None;
        }
        *held += 1;
        let open = self.open.entry(vote).or_default();
        open.tally.add(author, &self.committee);
        open.votes.push(signed.clone());
        let mut weight = open.tally.weight();
        if planted!(CommitVotesTwice) {
            let authors = open.votes.iter().map(|vote| vote.slot.author);
            weight = authors.map(|author| self.committee.weight(author)).sum();
        }
        if weight < certifying_weight(&self.committee) {
            return None;
        }
        sometimes!(CertificateMade);
        let certified = open.clone();
        let votes = certified.votes.clone();
        self.certified = Some((vote, certified));
        let CommitVote { index, digest } = vote;
        let certificate = Arc::new(CommitCertificate {
            index,
            digest,
            votes,
        });
        self.certificate = Some(Arc::clone(&certificate));
        self.forget_up_to(index);
        Some(certificate)
    }

    fn forget_up_to(&mut self, index: CommitIndex) {
        let least = CommitVote {
            index: index.next(),
            digest: Digest::ZERO,
        };
        let kept = self.open.split_off(&least);
        for open in std::mem::replace(&mut self.open, kept).into_values() {
            for author in self.committee.indices() {
                if open.tally.authors().contains(author) {
                    let held = &mut self.open_by_author[author.position()];
                    *held = held.saturating_sub(1);
                }
            }
        }
    }
}
