//! Arriving frames, as the node's dispatcher and verifier treat them.

use bytes::Bytes;
use probity_core::{Delivery, Message, ValidatorIndex, testing, verify_block};

use super::World;
use crate::checker::Observation;

/// Whether a block came unasked, so that only its author may send it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Pushed,
    Fetched,
}

impl World {
    pub(super) fn receive(&mut self, from: ValidatorIndex, to: usize, frame: &Bytes) {
        let tail = frame.len().saturating_sub(16);
        self.trace.note(self.now, "frame", to, &frame[tail..]);
        if self.with_sin(to, |sin, hands| sin.hears(hands, from, frame)) == Some(false) {
            return;
        }
        let now = self.now;
        match Message::decode(frame) {
            Ok(Message::Block(bytes)) => self.verify((from, to), &bytes, Origin::Pushed),
            Ok(Message::Fetched(bytes)) => self.verify((from, to), &bytes, Origin::Fetched),
            Ok(Message::Fetch(refs)) => self.with(to, |replica| replica.handle_fetch(from, refs)),
            Ok(Message::FetchHistory { above, refs }) => {
                self.with(to, |replica| {
                    replica.handle_fetch_history(from, above, refs)
                });
            }
            Ok(Message::NotHeld(refs)) => {
                self.with(to, |replica| replica.handle_not_held(now, from, &refs));
            }
            Ok(Message::Replay { after }) => {
                self.with(to, |replica| replica.handle_replay(from, after));
            }
            Err(why) => self.refused(from, to, &why.to_string()),
        }
    }

    fn verify(&mut self, (from, to): (ValidatorIndex, usize), bytes: &Bytes, origin: Origin) {
        let now = self.now;
        match verify_block(bytes, &self.committee, &testing::VALID_CHECK) {
            Ok(block) if origin == Origin::Pushed && block.block().author() != from => {
                self.refused(from, to, "another one's block, pushed");
            }
            Ok(block) => {
                self.know(block.block());
                self.processes[to].note_seen(block.block());
                if block.block().author() == self.processes[to].validator {
                    self.observe(to, &Observation::Shown(block.block()));
                }
                self.with(to, |replica| {
                    replica.handle_block(now, Delivery { from, block });
                });
            }
            Err(rejected) => {
                self.refused(from, to, &rejected.reject.to_string());
                if let Some(votes) = rejected.votes {
                    self.with(to, |replica| replica.handle_votes(&votes));
                }
            }
        }
    }

    fn refused(&mut self, from: ValidatorIndex, to: usize, why: &str) {
        let now = self.now;
        self.trace.say(now, || {
            format!("validator {to} refuses a frame of {from}: {why}")
        });
        // A bit that flipped on the way is nobody's fault.
        let whole = self.plan.network.corrupt_ppm == 0;
        if whole && self.plan.is_correct(from) {
            let how = format!("a frame of validator {from}: {why}");
            self.observe(to, &Observation::RefusedHonest(how));
        }
    }
}
