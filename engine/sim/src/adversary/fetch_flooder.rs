//! Asks for everything all the time: blocks that exist, blocks that do not, and whole chains from the first round.

use probity_core::limits::REQUEST_REFS_MAX;
use probity_core::{BlockRef, Message, Round, ValidatorIndex};

use super::hands::invented;
use super::{Hands, Sin};
use crate::random::Random;

struct FetchFlooder {
    random: Random,
    requests_a_wake: u64,
}

pub(super) fn make(mut random: Random) -> Box<dyn Sin> {
    let requests_a_wake = *random.pick(&[1, 4, 15]);
    Box::new(FetchFlooder {
        random,
        requests_a_wake,
    })
}

impl FetchFlooder {
    fn refs(&mut self, hands: &Hands<'_>) -> Vec<BlockRef> {
        let known: Vec<BlockRef> = hands.seen.keys().copied().collect();
        let frontier = u64::from(hands.status.frontier.0);
        let size = hands.committee.size() as u64;
        let mut refs = Vec::with_capacity(REQUEST_REFS_MAX);
        while refs.len() < REQUEST_REFS_MAX {
            let exists = !known.is_empty() && self.random.chance(100_000);
            let again = !refs.is_empty() && self.random.chance(50_000);
            refs.push(if again {
                refs[0]
            } else if exists {
                *self.random.pick(&known)
            } else {
                let round = Round(u32::try_from(self.random.below(frontier + 5)).unwrap_or(0));
                let author = u16::try_from(self.random.below(size + 1)).expect("at most 256");
                invented(&mut self.random, round, ValidatorIndex(author))
            });
        }
        refs
    }
}

impl Sin for FetchFlooder {
    fn wake(&mut self, hands: &mut Hands<'_>) {
        let others = hands.others();
        if others.is_empty() {
            return;
        }
        for _ in 0..self.requests_a_wake {
            let to = *self.random.pick(&others);
            let message = match self.random.below(10) {
                0 => Message::Replay {
                    epoch: hands.committee.epoch(),
                    after: Round::GENESIS,
                },
                1 => Message::Replay {
                    epoch: hands.committee.epoch(),
                    after: Round(u32::MAX),
                },
                2 => Message::NotHeld(self.refs(hands)),
                3 => Message::FetchHistory {
                    above: Round::GENESIS,
                    refs: self.refs(hands),
                },
                _ => Message::Fetch(self.refs(hands)),
            };
            hands.send(to, message.encode());
        }
    }
}
