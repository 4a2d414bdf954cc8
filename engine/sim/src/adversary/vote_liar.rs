//! Votes for commits that never happened: wrong digests, far indices, every index, eight at a time (R25).

use probity_core::block::CommitVote;
use probity_core::limits::COMMIT_VOTES_MAX;
use probity_core::{CommitIndex, Header, Message, Payload, Round};

use super::hands::noise;
use super::{Hands, Sin};
use crate::random::Random;

struct VoteLiar {
    random: Random,
    ppm: u64,
    /// Blocks at each wake that are invalid but carry votes under a valid signature.
    extra: u64,
    /// Votes for one index after the other, so as to have lied about all of them.
    next: u64,
}

pub(super) fn make(mut random: Random) -> Box<dyn Sin> {
    let ppm = *random.pick(&[1_000_000, 300_000]);
    let extra = *random.pick(&[0, 2, 20]);
    Box::new(VoteLiar {
        random,
        ppm,
        extra,
        next: 1,
    })
}

impl VoteLiar {
    fn lies(&mut self, hands: &Hands<'_>, truth: &[CommitVote]) -> Vec<CommitVote> {
        let last = hands.status.last_commit.0;
        let way = self.random.below(5);
        let mut vote = |at: u64| {
            let index = match way {
                0 => last.saturating_add(at),
                1 => last.saturating_add(1_000_000 * at),
                2 => u64::MAX - at,
                3 => {
                    self.next += 1;
                    self.next
                }
                _ => self.random.below(2 * last + 20),
            };
            // The truth about one commit, told of another, now and then.
            let digest = truth
                .get(usize::try_from(at).unwrap_or(0))
                .map(|vote| vote.digest);
            let digest = digest.filter(|_| self.random.chance(300_000));
            CommitVote {
                index: CommitIndex(index),
                digest: digest.unwrap_or_else(|| noise(&mut self.random)),
            }
        };
        (0..COMMIT_VOTES_MAX as u64).map(&mut vote).collect()
    }
}

impl Sin for VoteLiar {
    fn header(&mut self, hands: &mut Hands<'_>, header: &mut Header, _: &mut Payload) {
        if !self.random.chance(self.ppm) {
            return;
        }
        header.commit_votes = match self.random.below(8) {
            0 => Vec::new(),
            1 => header.commit_votes.repeat(COMMIT_VOTES_MAX),
            _ => self.lies(hands, &header.commit_votes),
        };
        header.commit_votes.truncate(COMMIT_VOTES_MAX);
    }

    fn wake(&mut self, hands: &mut Hands<'_>) {
        for _ in 0..self.extra {
            let round = Round(
                hands
                    .status
                    .frontier
                    .0
                    .saturating_add(*self.random.pick(&[0, 1, 1_000])),
            );
            let mut header = hands.header(round, Vec::new());
            header.commit_votes = self.lies(hands, &[]);
            let block = hands.sign(header, Payload::empty());
            hands.send_all(&Message::encode_block(&block));
        }
    }
}
