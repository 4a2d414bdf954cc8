//! Names invented and long collected parents around the gc round, where one correct validator takes a block that
//! another cannot take (R6, grounding).
//!
//! The poison is sent when the gc round has just moved here: the others are a commit ahead or behind. For a while
//! it sends nothing at all, so that the old blocks it then sends are the newest that the others have of it.

use std::sync::Arc;

use probity_core::{Block, BlockRef, Header, Message, Payload, Round};

use super::hands::invented;
use super::{Hands, Sin};
use crate::random::Random;

struct CollectedPoisoner {
    random: Random,
    gc_round: Round,
    /// Own blocks, in a million, whose first parent is poisoned.
    own_ppm: u64,
    /// Extra blocks at each move of the gc round.
    extra: u64,
    /// It keeps its blocks to itself up to this round.
    silent_until: Round,
    /// Real blocks that only few have: what it links once they are collected.
    hidden: Vec<BlockRef>,
}

/// Hidden blocks that it remembers.
const HIDDEN_MAX: usize = 64;

pub(super) fn make(mut random: Random) -> Box<dyn Sin> {
    let own_ppm = *random.pick(&[0, 200_000, 600_000]);
    let extra = random.between(1, 4);
    Box::new(CollectedPoisoner {
        random,
        gc_round: Round::GENESIS,
        own_ppm,
        extra,
        silent_until: Round::GENESIS,
        hidden: Vec::new(),
    })
}

impl CollectedPoisoner {
    /// A round at the edge of what is collected, here or elsewhere.
    fn edge(&mut self, hands: &Hands<'_>) -> Round {
        let off = u32::try_from(self.random.below(6)).expect("below six");
        let depth = hands.committee.gc_depth();
        let deep = *self.random.pick(&[0, 0, 0, depth, 2 * depth]);
        let edge = hands.status.gc_round.plus(off).minus(2).minus(deep);
        edge.max(Round(1))
    }

    /// An own parent at the edge: invented, or a real one that few have.
    fn own_poison(&mut self, hands: &Hands<'_>) -> BlockRef {
        let gc_round = hands.status.gc_round;
        let collected = |block: &&BlockRef| block.round <= gc_round.plus(1);
        let hidden: Vec<BlockRef> = self.hidden.iter().filter(collected).copied().collect();
        if !hidden.is_empty() && self.random.chance(500_000) {
            return *self.random.pick(&hidden);
        }
        let edge = self.edge(hands);
        invented(&mut self.random, edge, hands.me)
    }

    /// An own block above the edge, with poison below and honest parents otherwise.
    fn poisoned(&mut self, hands: &Hands<'_>) -> Option<Arc<Block>> {
        let gc_round = hands.status.gc_round;
        let span = u64::from(hands.status.frontier.0.saturating_sub(gc_round.0)).max(1);
        let above = u32::try_from(self.random.between(1, span)).expect("a window");
        let round = gc_round.plus(above);
        let mut parents = hands.real_parents(round);
        let poison = self.own_poison(hands);
        if let (Some(first), true) = (parents.first_mut(), poison.round < round) {
            *first = poison;
        }
        // Other authors' parents may lie no deeper than gc_depth below the block.
        let oldest = round.minus(hands.committee.gc_depth()).max(Round(1));
        if oldest < round.minus(1) {
            for parent in parents.iter_mut().skip(1) {
                if self.random.chance(150_000) {
                    let off = u32::try_from(self.random.below(3)).expect("below three");
                    let at = oldest.plus(off).min(round.minus(1));
                    *parent = invented(&mut self.random, at, parent.author);
                }
            }
        }
        (poison.round < round && hands.is_quorum(round, &parents))
            .then(|| hands.block(round, parents))
    }

    fn spread(&mut self, hands: &mut Hands<'_>, block: &Block) {
        let frame = Message::encode_block(block);
        for to in hands.others() {
            if self.random.chance(600_000) {
                let late_us = *self.random.pick(&[0, 0, 5_000, 50_000, 200_000]);
                hands.send_after(late_us, to, frame.clone());
            }
        }
    }
}

impl Sin for CollectedPoisoner {
    fn header(&mut self, hands: &mut Hands<'_>, header: &mut Header, _: &mut Payload) {
        if hands.status.gc_round == Round::GENESIS || !self.random.chance(self.own_ppm) {
            return;
        }
        let poison = self.own_poison(hands);
        let rest = header.parents.get(1..).unwrap_or_default();
        if poison.round < header.round && hands.is_quorum(header.round, rest) {
            header.parents[0] = poison;
        }
    }

    fn broadcast(&mut self, hands: &mut Hands<'_>, block: &Arc<Block>) {
        if block.round() <= self.silent_until {
            // One of them gets it, and has it when everybody else has collected its round.
            if let Some(to) = hands.shuffled(&mut self.random).first() {
                hands.send(*to, Message::encode_block(block));
            }
            self.hidden.push(block.reference());
            if self.hidden.len() > HIDDEN_MAX {
                self.hidden.remove(0);
            }
            return;
        }
        hands.push_all(block);
        if self.random.chance(30_000) {
            let rounds = u32::try_from(self.random.between(2, 12)).expect("a dozen");
            self.silent_until = block.round().plus(rounds);
        }
    }

    fn hears(
        &mut self,
        hands: &mut Hands<'_>,
        _: probity_core::ValidatorIndex,
        _: &bytes::Bytes,
    ) -> bool {
        if hands.status.gc_round > self.gc_round {
            self.gc_round = hands.status.gc_round;
            for _ in 0..self.extra {
                if let Some(block) = self.poisoned(hands) {
                    self.spread(hands, &block);
                }
            }
        }
        true
    }
}
