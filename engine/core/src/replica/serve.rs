//! Asking for missing blocks and answering those who ask (R33, R34).

use std::sync::Arc;

use bytes::{BufMut, BytesMut};

use crate::block::{Block, BlockRef};
use crate::fetch::{Need, chunks};
use crate::id::{Round, Time, ValidatorIndex};
use crate::limits::{REPLAY_BLOCKS_MAX, REPLAY_RETRY_US, STALL_MIN_US, STALL_US};
use crate::message::Message;
use crate::output::Output;

use super::Replica;

/// What is known about one validator's own blocks, and what was asked of it.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Replay {
    /// The highest accepted round of its blocks.
    highest: Round,
    asked_after: Round,
    asked_at: Time,
    /// It sent blocks too far ahead to be taken.
    behind: bool,
}

/// Accepted rounds after which the next part of a replay is asked for, before the part at hand runs out.
const REPLAY_STEP_ROUNDS: u32 = 48;
const _: () = assert!((REPLAY_STEP_ROUNDS as usize) < REPLAY_BLOCKS_MAX);

impl Replica {
    /// R34: on a new link, and again while the peer is far ahead. What is collected here is not asked for: it would not be
    /// taken, and would keep what is needed from fitting into the answer.
    pub(super) fn ask_replay(&mut self, now: Time, peer: ValidatorIndex) {
        if self.catching_up.order_waits {
            return; // What it would send is fetched already, by the commits (R35).
        }
        let replay = &mut self.replays[peer.position()];
        let after = replay.highest.max(self.dag.gc_round());
        replay.asked_at = now;
        replay.asked_after = after;
        if planted!(ReplayDropped) {
            return;
        }
        let epoch = self.committee.epoch();
        let message = Message::Replay { epoch, after };
        self.outputs.push_back(Output::Send { to: peer, message });
    }

    /// The author's blocks are above the ceiling: what lies between has to come first.
    pub(super) fn note_behind(&mut self, now: Time, author: ValidatorIndex) {
        let replay = &mut self.replays[author.position()];
        if planted!(CeilingForgotten) {
            return;
        }
        let news = !replay.behind;
        replay.behind = true;
        if news && self.connected.contains(author) {
            sometimes!(ReplayBehind);
            self.ask_replay(now, author);
        }
    }

    pub(super) fn note_reachable(&mut self, author: ValidatorIndex) {
        let ceiling = self.clock.frontier();
        let replay = &mut self.replays[author.position()];
        if replay.highest.next() >= ceiling {
            replay.behind = false;
        }
    }

    pub(super) fn note_replay_progress(&mut self, now: Time, author: ValidatorIndex, round: Round) {
        let replay = &mut self.replays[author.position()];
        replay.highest = replay.highest.max(round);
        let step = replay.highest >= replay.asked_after.plus(REPLAY_STEP_ROUNDS);
        if replay.behind && step && self.connected.contains(author) {
            sometimes!(ReplayStep);
            self.ask_replay(now, author);
        }
    }

    pub(super) fn replay_deadline(&self) -> Option<Time> {
        if self.catching_up.order_waits {
            return None;
        }
        let behind = |author: &ValidatorIndex| {
            self.replays[author.position()].behind && self.connected.contains(*author)
        };
        let due = |author: ValidatorIndex| {
            self.replays[author.position()]
                .asked_at
                .plus_us(REPLAY_RETRY_US)
        };
        let behind = self.committee.indices().filter(behind).map(due).min();
        let stalled = (!self.connected.is_empty()).then(|| self.stall_deadline());
        [behind, stalled].into_iter().flatten().min()
    }

    /// A block of `parent`'s author is missing, and more below it: its author sends them all at once, where fetching
    /// takes a round trip for each round.
    pub(super) fn note_gap(&mut self, now: Time, parent: &BlockRef) {
        let replay = self.replays[parent.author.position()];
        let waited = replay.asked_at.plus_us(self.fetch.patience_us()) <= now;
        let gap = parent.round > replay.highest.next();
        if gap && waited && self.connected.contains(parent.author) {
            self.ask_replay(now, parent.author);
        }
    }

    /// Frames may be lost on a link that stays up: when the frontier stands still, peers are asked for what they made.
    /// While nothing is to be ordered, rounds are slow on purpose and nothing is lost by waiting.
    fn stall_deadline(&self) -> Time {
        let pause_us = if self.is_idle() {
            STALL_US
        } else {
            // Rounds under load are uneven: what is only late must not be sent twice.
            (4 * self.clock.leader_timeout_us()).clamp(STALL_MIN_US, STALL_US)
        };
        self.clock
            .reached_at()
            .max(self.stall_asked_at)
            .plus_us(pause_us)
    }

    fn ask_when_stalled(&mut self, now: Time) {
        if self.stall_deadline() > now {
            return;
        }
        self.stall_asked_at = now;
        let frontier = self.clock.frontier();
        for author in self.committee.indices() {
            let silent = self.replays[author.position()].highest < frontier;
            if silent && self.connected.contains(author) {
                sometimes!(ReplayStalled);
                self.ask_replay(now, author);
            }
        }
    }

    /// Sends what is due: block requests, and replays that came to nothing.
    pub(super) fn send_requests(&mut self, now: Time) {
        if !self.catching_up.order_waits {
            self.ask_when_stalled(now);
        }
        self.grant_extra(now);
        if self.replay_deadline().is_some_and(|due| due <= now) {
            for author in self.committee.indices() {
                let replay = self.replays[author.position()];
                let due = replay.asked_at.plus_us(REPLAY_RETRY_US) <= now;
                if replay.behind && due && self.connected.contains(author) {
                    sometimes!(ReplayRetried);
                    self.ask_replay(now, author);
                }
            }
        }
        if self.fetch.next_deadline().is_none_or(|due| due > now) || self.connected.is_empty() {
            return;
        }
        let connected: Vec<ValidatorIndex> = self
            .committee
            .indices()
            .filter(|peer| self.connected.contains(*peer))
            .collect();
        let above = self.grounding.floor();
        for ((to, need), refs) in self.fetch.poll(now, &connected) {
            for refs in chunks(&refs) {
                let message = match need {
                    Need::Accept => Message::Fetch(refs),
                    Need::Ground => Message::FetchHistory { above, refs },
                };
                self.outputs.push_back(Output::Send { to, message });
            }
        }
    }

    /// A peer asks for blocks (R33): those in the window are sent, the others are looked up in storage.
    pub fn handle_fetch(&mut self, from: ValidatorIndex, refs: Vec<BlockRef>) {
        let mut stored = Vec::new();
        for reference in refs {
            match self.dag.block(&reference) {
                Some(block) => {
                    let block = Arc::clone(block);
                    self.outputs
                        .push_back(Output::SendBlock { to: from, block });
                }
                None => stored.push(reference),
            }
        }
        if !stored.is_empty() {
            self.outputs.push_back(Output::Serve {
                to: from,
                refs: stored,
            });
        }
    }

    /// A peer asks for blocks to ground others by, and for what stands beneath them (R6, R33). Child before parent, so
    /// that the peer knows each block as a parent when it arrives.
    pub fn handle_fetch_history(
        &mut self,
        from: ValidatorIndex,
        above: Round,
        refs: Vec<BlockRef>,
    ) {
        let beneath = self.grounding.beneath(&self.dag, &refs, above);
        self.handle_fetch(from, refs);
        sometimes!(HistoryServed if !beneath.is_empty());
        for refs in chunks(&beneath) {
            self.handle_fetch(from, refs);
        }
    }

    /// A peer does not hold blocks that it was asked for.
    pub fn handle_not_held(&mut self, now: Time, from: ValidatorIndex, refs: &[BlockRef]) {
        refs.iter()
            .for_each(|reference| self.fetch.handle_not_held(now, from, reference));
        if let Some(catch_up) = &mut self.catching_up.run {
            catch_up.handle_not_held(from, refs);
        }
        self.step(now);
    }

    /// A peer asks for our own blocks after a round (R34): at least the newest one is sent.
    pub fn handle_replay(&mut self, from: ValidatorIndex, after: Round) {
        let held = |own: &&BlockRef| self.dag.contains(own) && own.round > after;
        let window: Vec<BlockRef> = self.own_refs.iter().filter(held).copied().collect();
        let stored = after < self.dag.gc_round();
        sometimes!(ReplayFromWindow if !window.is_empty());
        if stored {
            sometimes!(ReplayFromStore);
            self.outputs
                .push_back(Output::ServeReplay { to: from, after });
        }
        // Far behind, the newest one only says how far; the window follows when it is asked for.
        let skip = if stored {
            window.len().saturating_sub(1)
        } else {
            0
        };
        for own in window.iter().skip(skip).take(REPLAY_BLOCKS_MAX) {
            let Some(block) = self.dag.block(own) else {
                continue;
            };
            let message = Message::Block(bytes_of(block));
            self.outputs.push_back(Output::Send { to: from, message });
        }
    }
}

fn bytes_of(block: &Block) -> bytes::Bytes {
    let mut bytes = BytesMut::with_capacity(block.encoded_len());
    bytes.put_slice(block.signed_header());
    bytes.put_slice(block.payload().bytes());
    bytes.freeze()
}
