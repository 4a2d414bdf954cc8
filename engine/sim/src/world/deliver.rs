//! Arriving frames, as the node's dispatcher and verifier treat them.

use std::sync::Arc;

use bytes::Bytes;
use probity_core::{CommitCertificate, Delivery, Message, ValidatorIndex, testing, verify_block};

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
        let epoch = self.processes[to].committee.epoch();
        let member = self.member(to, from);
        match Message::decode(frame) {
            Ok(Message::Block(bytes) | Message::Fetched(bytes))
                if Message::epoch_of_block(&bytes).is_some_and(|of| of != epoch) =>
            {
                match Message::epoch_of_block(&bytes) {
                    Some(old) if old < epoch => self.tell_end(to, from, old),
                    _ => self.ask_end(to, from),
                }
            }
            Ok(Message::Replay { epoch: old, after }) if old < epoch => {
                self.tell_end(to, from, old);
                if old + 1 == epoch {
                    self.serve_replay(to, from, (old, after));
                }
            }
            Ok(Message::Replay { epoch: of, .. }) if of > epoch => self.ask_end(to, from),
            Ok(Message::EpochEnd(end)) => self.receive_end(from, to, &end),
            Ok(Message::Fetch(refs) | Message::FetchHistory { refs, .. }) if member.is_none() => {
                self.serve(to, from, refs);
            }
            Ok(Message::FetchCommits { first, count }) => {
                self.serve_commits(to, from, (first, count));
            }
            Ok(Message::FetchCertificate {
                epoch: of,
                at_least,
            }) if of != epoch || member.is_none() => {
                self.serve_certificate((to, from), (of, at_least), None);
            }
            Ok(message) => {
                if let Some(member) = member {
                    self.receive_message((from, member), to, message);
                }
            }
            Err(why) if member.is_some() => self.refused(from, to, &why.to_string()),
            Err(_) => {}
        }
    }

    /// A message of this epoch, for the replica: from a validator, with its seat in the committee.
    fn receive_message(
        &mut self,
        (from, member): (ValidatorIndex, ValidatorIndex),
        to: usize,
        message: Message,
    ) {
        let now = self.now;
        match message {
            Message::Block(bytes) => self.verify((from, to), &bytes, Origin::Pushed),
            Message::Fetched(bytes) => self.verify((from, to), &bytes, Origin::Fetched),
            Message::Fetch(refs) => {
                self.with(to, |replica| replica.handle_fetch(member, refs));
            }
            Message::FetchHistory { above, refs } => {
                self.with(to, |replica| {
                    replica.handle_fetch_history(member, above, refs)
                });
            }
            Message::NotHeld(refs) => {
                self.with(to, |replica| replica.handle_not_held(now, member, &refs));
            }
            Message::Replay { after, .. } => {
                self.with(to, |replica| replica.handle_replay(member, after));
            }
            Message::FetchCertificate { at_least, .. } => {
                self.with(to, |replica| {
                    replica.handle_fetch_certificate(member, at_least)
                });
            }
            Message::Certificate(bytes) => self.receive_certificate(from, to, &bytes),
            Message::Commits { first, records } => {
                self.with(to, |replica| {
                    replica.handle_commits(now, member, (first, &records));
                });
            }
            Message::EpochEnd(_) | Message::FetchCommits { .. } => {
                unreachable!("the shell's own affair")
            }
        }
    }

    /// A certificate is checked before the replica sees it. One of another epoch is late, and nobody's fault.
    fn receive_certificate(&mut self, from: ValidatorIndex, to: usize, bytes: &Bytes) {
        let now = self.now;
        let Some(member) = self.member(to, from) else {
            return;
        };
        if bytes.is_empty() {
            self.with(to, |replica| replica.handle_certificate(now, member, None));
            return;
        }
        let certificate = match CommitCertificate::decode(bytes) {
            Ok(certificate) => Arc::new(certificate),
            Err(why) => return self.refused(from, to, &why.to_string()),
        };
        if certificate.verify(&self.processes[to].committee) {
            self.with(to, |replica| {
                replica.handle_certificate(now, member, Some(&certificate));
            });
        } else if self.plan.epochs.is_empty() {
            self.refused(from, to, "a certificate that does not hold");
        }
    }

    fn verify(&mut self, (from, to): (ValidatorIndex, usize), bytes: &Bytes, origin: Origin) {
        let now = self.now;
        let committee = Arc::clone(&self.processes[to].committee);
        let Some(member) = self.member(to, from) else {
            return;
        };
        match verify_block(bytes, &committee, &testing::VALID_CHECK) {
            Ok(block) if origin == Origin::Pushed && block.block().author() != member => {
                self.refused(from, to, "another one's block, pushed");
            }
            Ok(block) => {
                self.know(block.block());
                self.processes[to].note_seen(block.block());
                if Some(block.block().author()) == self.processes[to].me {
                    self.observe(to, &Observation::Shown(block.block()));
                }
                self.with(to, |replica| {
                    let from = member;
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

    pub(super) fn refused(&mut self, from: ValidatorIndex, to: usize, why: &str) {
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
