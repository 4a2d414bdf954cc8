//! Follows the rules until its score is good, or until it leads a round, and then withholds or equivocates.

use std::sync::Arc;

use bytes::Bytes;
use probity_core::{Block, Header, Payload, ValidatorIndex};

use super::{Hands, Sin, equivocator, withholder};
use crate::random::Random;

struct Sleeper {
    sin: Box<dyn Sin>,
    /// It sleeps at least until here.
    round: u32,
    /// Whether it waits from then on until it is the first leader of a round.
    until: Until,
    sleep: Sleep,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    Round,
    Leading,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sleep {
    Asleep,
    Awake,
}

pub(super) fn make(mut random: Random) -> Box<dyn Sin> {
    let round = *random.pick(&[20, 60, 200]);
    let until = *random.pick(&[Until::Round, Until::Leading]);
    let sin = if random.chance(500_000) {
        withholder::make(random)
    } else {
        equivocator::make(random)
    };
    Box::new(Sleeper {
        sin,
        round,
        until,
        sleep: Sleep::Asleep,
    })
}

impl Sleeper {
    fn is_awake(&mut self, hands: &Hands<'_>) -> bool {
        let leads = self.until == Until::Round || hands.leaders.first() == Some(&hands.me);
        if hands.status.round.0 >= self.round && leads {
            self.sleep = Sleep::Awake;
        }
        self.sleep == Sleep::Awake
    }
}

/// What somebody does who follows the rules.
struct Nothing;

impl Sin for Nothing {}

impl Sin for Sleeper {
    fn header(&mut self, hands: &mut Hands<'_>, header: &mut Header, payload: &mut Payload) {
        if self.is_awake(hands) {
            self.sin.header(hands, header, payload);
        }
    }

    fn broadcast(&mut self, hands: &mut Hands<'_>, block: &Arc<Block>) {
        if self.is_awake(hands) {
            self.sin.broadcast(hands, block);
        } else {
            Nothing.broadcast(hands, block);
        }
    }

    fn send(&mut self, hands: &mut Hands<'_>, to: ValidatorIndex, frame: Bytes) {
        if self.is_awake(hands) {
            self.sin.send(hands, to, frame);
        } else {
            Nothing.send(hands, to, frame);
        }
    }

    fn hears(&mut self, hands: &mut Hands<'_>, from: ValidatorIndex, frame: &Bytes) -> bool {
        !self.is_awake(hands) || self.sin.hears(hands, from, frame)
    }

    fn wake(&mut self, hands: &mut Hands<'_>) {
        if self.is_awake(hands) {
            self.sin.wake(hands);
        }
    }
}
