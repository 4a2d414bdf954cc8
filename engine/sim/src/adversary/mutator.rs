//! Its own blocks with one field changed a little, or with an older block's value, signed again.
//!
//! Small changes find the edges of rules: one round more, one parent fewer, the block of a slot swapped for another
//! known one.

use std::sync::Arc;

use probity_core::block::CommitVote;
use probity_core::{Block, BlockRef, CommitIndex, Header, Message, Payload, Round, ValidatorIndex};

use super::hands::noise;
use super::{Hands, Sin};
use crate::random::Random;

struct Mutator {
    random: Random,
    /// Mutants sent for each own block.
    mutants: u64,
    /// Blocks in a million that some get only as a mutant.
    instead_ppm: u64,
    before: Option<Header>,
}

const FIELDS: u64 = 14;

pub(super) fn make(mut random: Random) -> Box<dyn Sin> {
    let mutants = *random.pick(&[1, 2, 6]);
    let instead_ppm = *random.pick(&[0, 50_000, 500_000]);
    Box::new(Mutator {
        random,
        mutants,
        instead_ppm,
        before: None,
    })
}

impl Mutator {
    fn mutant(&mut self, hands: &Hands<'_>, block: &Block) -> Arc<Block> {
        let mut header = block.header().clone();
        let mut payload = block.payload().clone();
        let old = self.before.clone().unwrap_or_else(|| header.clone());
        match self.random.below(FIELDS) {
            0 => header.version = header.version.wrapping_add(1),
            1 => header.epoch = header.epoch.wrapping_add(1),
            2 => header.round = Round(self.around(header.round.0)),
            3 => header.timestamp_ms = header.timestamp_ms.wrapping_add(1),
            4 => header.timestamp_ms = old.timestamp_ms,
            5 => header.payload.bytes = self.around(header.payload.bytes),
            6 => header.payload.count = self.around(header.payload.count),
            7 => {
                header.payload = old.payload;
                payload = Payload::empty();
            }
            8 => header.parents = old.parents,
            9 => header.commit_votes = old.commit_votes,
            10 => self.bend_votes(&mut header.commit_votes),
            11 => header.chain = noise(&mut self.random),
            _ => self.bend_parents(hands, header.round, &mut header.parents),
        }
        hands.sign(header, payload)
    }

    fn around(&mut self, number: u32) -> u32 {
        if self.random.chance(500_000) {
            number.wrapping_add(1)
        } else {
            number.wrapping_sub(1)
        }
    }

    fn bend_votes(&mut self, votes: &mut [CommitVote]) {
        match votes.first_mut() {
            Some(vote) if self.random.chance(500_000) => {
                vote.index = CommitIndex(vote.index.0.wrapping_add(1));
            }
            _ => votes.reverse(),
        }
    }

    fn bend_parents(&mut self, hands: &Hands<'_>, round: Round, parents: &mut Vec<BlockRef>) {
        let at = self.random.below(parents.len() as u64);
        let at = usize::try_from(at).expect("below a length");
        let parent = parents[at];
        match self.random.below(10) {
            0 => parents[at].round = Round(self.around(parent.round.0)),
            1 => parents[at].author = ValidatorIndex(parent.author.0.wrapping_add(1)),
            2 => parents[at].digest = noise(&mut self.random),
            3 => {
                parents.remove(at);
            }
            4 => parents.insert(at, parent),
            5 => parents.swap(0, at),
            // The same slot's other block, or the same author's block of a round before.
            6 => self.swap_for(hands, &mut parents[at], parent.round),
            7 => self.swap_for(hands, &mut parents[at], parent.round.minus(1)),
            // The oldest that R4 allows, or one round older.
            oldest => {
                let depth = hands.committee.gc_depth() + u32::from(oldest == 8);
                self.swap_for(hands, &mut parents[at], round.minus(depth));
            }
        }
    }

    fn swap_for(&mut self, hands: &Hands<'_>, parent: &mut BlockRef, round: Round) {
        let of_round = hands.of_round(round);
        let others: Vec<BlockRef> = of_round
            .iter()
            .map(|block| block.reference())
            .filter(|other| other.author == parent.author && other != parent)
            .collect();
        if !others.is_empty() {
            *parent = *self.random.pick(&others);
        }
    }
}

impl Sin for Mutator {
    fn broadcast(&mut self, hands: &mut Hands<'_>, block: &Arc<Block>) {
        let mutants: Vec<Arc<Block>> = (0..self.mutants)
            .map(|_| self.mutant(hands, block))
            .collect();
        for to in hands.others() {
            let first = self.random.chance(300_000);
            let instead = self.random.chance(self.instead_ppm);
            if !first && !instead {
                hands.send(to, Message::encode_block(block));
            }
            for mutant in &mutants {
                hands.send(to, Message::encode_block(mutant));
            }
            if first && !instead {
                hands.send(to, Message::encode_block(block));
            }
        }
        self.before = Some(block.header().clone());
    }
}
