//! Whom who catches up asks, and how much at once (R35).

use crate::committee::AuthorSet;
use crate::id::{Time, ValidatorIndex};
use crate::limits::{
    CATCH_UP_BACK_OFF_MAX_US, CATCH_UP_PATIENCE_MAX_US, CATCH_UP_PATIENCE_MIN_US,
    CATCH_UP_PEER_BLOCKS_MAX,
};

/// What is known about one peer.
#[derive(Clone, Debug)]
struct Peer {
    /// Blocks that it may be asked for at once: it doubles with full answers and is cut when none come.
    allowance: usize,
    in_flight: usize,
    /// Answers in a row that did not come.
    late: u32,
    /// It is not asked before.
    not_before: Time,
    /// It answered with what does not fit, or with nothing; it is asked again when everybody has.
    refused: bool,
    answered_at: Time,
    /// Questions for records in a row that it did not answer.
    records_late: u32,
}

/// Everybody who can be asked.
#[derive(Clone, Debug)]
pub(super) struct Peers {
    me: ValidatorIndex,
    of: Vec<Peer>,
    /// Whose turn it was last.
    turn: usize,
    /// Mean time from a question to its answer.
    answer_us: u64,
    now: Time,
}

const ALLOWANCE_FIRST: usize = 32;

impl Peers {
    pub(super) fn new(me: ValidatorIndex, validators: usize) -> Self {
        let peer = Peer {
            allowance: ALLOWANCE_FIRST,
            in_flight: 0,
            late: 0,
            not_before: Time(0),
            refused: false,
            answered_at: Time(0),
            records_late: 0,
        };
        Self {
            me,
            of: vec![peer; validators],
            turn: me.position(),
            answer_us: CATCH_UP_PATIENCE_MAX_US / 16,
            now: Time(0),
        }
    }

    /// The time, for questions that begin now. If nobody is left to ask, everybody is.
    pub(super) fn note_time(&mut self, now: Time, connected: &AuthorSet) {
        self.now = now;
        let me = self.me;
        let left = connected
            .iter()
            .any(|p| p != me && !self.of[p.position()].refused);
        if !left {
            sometimes!(CatchUpAllRefused);
            for peer in &mut self.of {
                peer.refused = false;
            }
        }
    }

    /// After so long without an answer another peer is asked, too.
    pub(super) fn patience_us(&self) -> u64 {
        (4 * self.answer_us).clamp(CATCH_UP_PATIENCE_MIN_US, CATCH_UP_PATIENCE_MAX_US)
    }

    fn may_ask(&self, peer: ValidatorIndex, connected: &AuthorSet) -> bool {
        let known = &self.of[peer.position()];
        peer != self.me
            && connected.contains(peer)
            && !known.refused
            && known.not_before <= self.now
    }

    /// The next peer in turn.
    pub(super) fn next(&mut self, connected: &AuthorSet) -> Option<ValidatorIndex> {
        let count = self.of.len();
        for step in 1..=count {
            let at = (self.turn + step) % count;
            let peer = ValidatorIndex(u16::try_from(at).expect("at most 256"));
            if self.may_ask(peer, connected) {
                self.turn = at;
                return Some(peer);
            }
        }
        None
    }

    /// Peers that may be asked now.
    pub(super) fn usable(&self, connected: &AuthorSet) -> Vec<ValidatorIndex> {
        connected
            .iter()
            .filter(|p| self.may_ask(*p, connected))
            .collect()
    }

    /// Those that may be asked for blocks, with how many more.
    pub(super) fn rooms(&self, usable: &[ValidatorIndex]) -> Vec<(ValidatorIndex, usize)> {
        let room = |peer: ValidatorIndex| {
            let known = &self.of[peer.position()];
            (peer, known.allowance.saturating_sub(known.in_flight))
        };
        let rooms = usable.iter().copied().map(room);
        rooms.filter(|(_, room)| *room > 0).collect()
    }

    pub(super) fn handle_asked(&mut self, peer: ValidatorIndex) {
        self.of[peer.position()].in_flight += 1;
    }

    /// A block that was asked of a peer is not expected of it any more.
    pub(super) fn release(&mut self, peer: ValidatorIndex) {
        let in_flight = &mut self.of[peer.position()].in_flight;
        *in_flight = in_flight.saturating_sub(1);
    }

    /// A peer answered.
    pub(super) fn handle_answer(&mut self, now: Time, from: ValidatorIndex) {
        let Some(peer) = self.of.get_mut(from.position()) else {
            return;
        };
        peer.late = 0;
        peer.answered_at = now;
    }

    /// A peer sent records that were asked for.
    pub(super) fn handle_records(&mut self, now: Time, from: ValidatorIndex) {
        self.handle_answer(now, from);
        self.of[from.position()].records_late = 0;
    }

    /// Records did not come in time: once a frame may be lost.
    pub(super) fn handle_records_late(&mut self, now: Time, from: ValidatorIndex) {
        self.handle_late(now, from);
        let peer = &mut self.of[from.position()];
        peer.records_late += 1;
        if peer.records_late > 1 {
            peer.records_late = 0;
            peer.refused = true;
        }
    }

    /// A block came that was asked of this peer then.
    pub(super) fn handle_block(&mut self, now: Time, from: ValidatorIndex, asked_at: Time) {
        self.handle_answer(now, from);
        let sample = now.since_us(asked_at).min(CATCH_UP_PATIENCE_MAX_US);
        self.answer_us = (self.answer_us * 31 + sample) / 32;
        let peer = &mut self.of[from.position()];
        peer.allowance = (peer.allowance + 1).min(CATCH_UP_PEER_BLOCKS_MAX);
    }

    /// An answer did not come in time. Who has sent nothing since the question is given a rest.
    pub(super) fn handle_late(&mut self, now: Time, from: ValidatorIndex) {
        let patience_us = self.patience_us();
        let peer = &mut self.of[from.position()];
        if peer.answered_at.plus_us(patience_us) > now {
            return;
        }
        // One strike for all the questions that were late together.
        if peer.not_before > now {
            return;
        }
        peer.allowance = (peer.allowance / 4).max(1);
        peer.late = (peer.late + 1).min(16);
        let rest_us = patience_us << peer.late;
        peer.not_before = now.plus_us(rest_us.min(CATCH_UP_BACK_OFF_MAX_US));
    }

    /// A peer does not hold a block of a certified commit, so it is no use for the next ones.
    pub(super) fn handle_not_held(&mut self, from: ValidatorIndex) {
        let peer = &mut self.of[from.position()];
        peer.allowance = (peer.allowance / 2).max(1);
    }

    /// What it sent is no answer: it is not asked again before the others have been.
    pub(super) fn refuse(&mut self, peer: ValidatorIndex) {
        if let Some(peer) = self.of.get_mut(peer.position()) {
            peer.refused = true;
        }
    }

    /// When a rest is over.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        let rests = self.of.iter().map(|peer| peer.not_before);
        rests.filter(|until| *until > self.now).min()
    }
}
