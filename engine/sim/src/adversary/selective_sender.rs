//! Sends its blocks to just so many validators: the counts at which thresholds turn.

use std::sync::Arc;

use probity_core::{Block, Message, ValidatorIndex};

use super::{Hands, Sin};
use crate::random::Random;

struct SelectiveSender {
    random: Random,
    victim: Option<ValidatorIndex>,
}

pub(super) fn make(random: Random) -> Box<dyn Sin> {
    Box::new(SelectiveSender {
        random,
        victim: None,
    })
}

impl SelectiveSender {
    /// Receivers whose weight, with the sender's, first reaches `enough`.
    fn just_enough(&mut self, hands: &Hands<'_>, enough: u64) -> Vec<ValidatorIndex> {
        let mut others = hands.others();
        self.random.shuffle(&mut others);
        let mut weight = hands.committee.weight(hands.me);
        others
            .into_iter()
            .take_while(|to| {
                let more = weight < enough;
                weight += hands.committee.weight(*to);
                more
            })
            .collect()
    }
}

impl Sin for SelectiveSender {
    fn broadcast(&mut self, hands: &mut Hands<'_>, block: &Arc<Block>) {
        let others = hands.others();
        if others.is_empty() {
            return;
        }
        let thresholds = *hands.committee.thresholds();
        let receivers = match self.random.below(4) {
            0 => self.just_enough(hands, thresholds.byzantine + 1),
            1 => {
                let mut most = self.just_enough(hands, thresholds.quorum);
                most.pop();
                most
            }
            2 => {
                let victim = *self.victim.get_or_insert(*self.random.pick(&others));
                others.into_iter().filter(|to| *to != victim).collect()
            }
            _ => others,
        };
        let frame = Message::encode_block(block);
        for to in receivers {
            hands.send(to, frame.clone());
        }
    }
}
