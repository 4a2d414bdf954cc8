//! Which missing blocks to ask for, and whom (R33).
//!
//! The sender of the child is asked first, then authors of blocks that name the missing one, then everybody else; at
//! most two peers at once, and each peer only for so much at a time, so that one which never answers costs the others
//! nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::block::BlockRef;
use crate::committee::AuthorSet;
use crate::id::{Round, Time, ValidatorIndex};
use crate::limits::{
    FETCH_IN_FLIGHT_PEER_MAX, FETCH_PEERS_MAX, FETCH_RETRY_BASE_MAX_US, FETCH_RETRY_MAX_US,
    FETCH_RETRY_MIN_US, FETCH_RETRY_US, MISSING_REFS_MAX, REQUEST_REFS_MAX,
};

/// Why a block is wanted; the order is the order of asking.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Need {
    /// A suspended block lacks it.
    Accept,
    /// A collected parent, only to ground its children (R6).
    Ground,
}

/// Why a block is wanted, and who should have it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reason {
    pub(crate) hint: ValidatorIndex,
    pub(crate) need: Need,
}

#[derive(Clone, Debug)]
struct Want {
    need: Need,
    /// Whom to ask first, best first.
    hints: Vec<ValidatorIndex>,
    tried: AuthorSet,
    asked: Vec<ValidatorIndex>,
    attempts: u32,
    asked_at: Time,
    /// Pauses that passed without the block; each is twice the one before.
    pauses: u32,
    due: Time,
}

/// Requests to send: whom to ask, and what for.
pub(crate) type Requests = BTreeMap<(ValidatorIndex, Need), Vec<BlockRef>>;

/// A peer sends the history of a block that was asked for to ground others, child before parent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    from: ValidatorIndex,
    asked_at: Time,
}

/// The blocks that are missing.
#[derive(Clone, Debug)]
pub(crate) struct Fetch {
    me: ValidatorIndex,
    wants: BTreeMap<BlockRef, Want>,
    due: BTreeSet<(Time, Need, BlockRef)>,
    in_flight: Vec<usize>,
    /// Mean time from a question to its answer.
    answer_us: u64,
}

/// Questions that are asked at the first pause before it doubles: a peer that never answers must not keep us from the
/// next one.
const PAUSES_BEFORE_DOUBLING: u32 = 3;

impl Fetch {
    pub(crate) fn new(me: ValidatorIndex, validators: usize) -> Self {
        let in_flight = vec![0; validators];
        Self {
            me,
            wants: BTreeMap::new(),
            due: BTreeSet::new(),
            in_flight,
            answer_us: FETCH_RETRY_US / 2,
        }
    }

    /// How long an answer takes at most, as those before tell.
    pub(crate) fn patience_us(&self) -> u64 {
        (2 * self.answer_us).clamp(FETCH_RETRY_MIN_US, FETCH_RETRY_BASE_MAX_US)
    }

    /// A block arrived that may be the answer to a question; says whether its history follows.
    pub(crate) fn handle_arrived(
        &mut self,
        now: Time,
        from: ValidatorIndex,
        reference: &BlockRef,
    ) -> Option<Stream> {
        let want = self.wants.get(reference)?;
        let asked_at = want.asked_at;
        if !want.asked.is_empty() {
            let sample = now.since_us(asked_at).min(FETCH_RETRY_BASE_MAX_US);
            self.answer_us = (self.answer_us * 7 + sample) / 8;
        }
        let follows = want.need == Need::Ground && want.asked.contains(&from);
        self.forget(reference);
        follows.then_some(Stream { from, asked_at })
    }

    /// A parent of a block whose history follows counts as asked of the same peer: it is on its way. If it does not
    /// come within an answer's time, the next peer is asked.
    pub(crate) fn expect(&mut self, now: Time, parent: &BlockRef, stream: Stream) {
        let Stream { from, asked_at } = stream;
        let patience_us = self.patience_us();
        let in_flight = &mut self.in_flight[from.position()];
        let Some(want) = self.wants.get_mut(parent) else {
            return;
        };
        let fits = want.asked.len() < FETCH_PEERS_MAX && *in_flight < FETCH_IN_FLIGHT_PEER_MAX;
        if want.need != Need::Ground || want.asked.contains(&from) || !fits {
            return;
        }
        sometimes!(FetchExpected);
        *in_flight += 1;
        want.asked.push(from);
        want.tried.insert(from);
        if want.attempts > 0 {
            return;
        }
        self.due.remove(&(want.due, want.need, *parent));
        want.asked_at = asked_at;
        want.attempts = 1;
        want.pauses = 1;
        want.due = now.plus_us(pause_us(patience_us, 0, parent));
        self.due.insert((want.due, want.need, *parent));
    }

    pub(crate) fn len(&self) -> usize {
        self.wants.len()
    }

    pub(crate) fn contains(&self, reference: &BlockRef) -> bool {
        self.wants.contains_key(reference)
    }

    /// Asks for a block as soon as possible; naming it again adds whom to ask.
    pub(crate) fn want(&mut self, now: Time, reference: BlockRef, reason: Reason) {
        let Reason { hint, need } = reason;
        if let Some(want) = self.wants.get_mut(&reference) {
            if !want.hints.contains(&hint) {
                want.hints.push(hint);
            }
            if need < want.need {
                self.due.remove(&(want.due, want.need, reference));
                want.need = need;
                self.due.insert((want.due, need, reference));
            }
            return;
        }
        if self.wants.len() >= MISSING_REFS_MAX {
            sometimes!(FetchFull);
            return;
        }
        self.due.insert((now, need, reference));
        let (tried, asked) = (AuthorSet::default(), Vec::new());
        let want = Want {
            need,
            hints: vec![hint],
            tried,
            asked,
            attempts: 0,
            asked_at: now,
            pauses: 0,
            due: now,
        };
        self.wants.insert(reference, want);
    }

    /// Asks at once for a block that was put off and not asked for since.
    pub(crate) fn hurry(&mut self, now: Time, reference: &BlockRef) {
        let Some(want) = self.wants.get_mut(reference) else {
            return;
        };
        if want.attempts == 0 && want.due > now {
            self.due.remove(&(want.due, want.need, *reference));
            want.due = now;
            self.due.insert((now, want.need, *reference));
        }
    }

    /// Something came from `peer`, so frames get through: the oldest missing blocks are asked for again without their
    /// pause, unless the last question may still be answered.
    pub(crate) fn handle_sign_of_life(&mut self, now: Time, peer: ValidatorIndex) {
        let patience_us = self.patience_us();
        let pausing = |want: &Want| want.due > now && want.asked_at.plus_us(patience_us) <= now;
        let oldest = self.wants.iter().take(REQUEST_REFS_MAX);
        let again: Vec<BlockRef> = oldest
            .filter(|(_, want)| want.need == Need::Accept && pausing(want))
            .map(|(reference, _)| *reference)
            .collect();
        for reference in again {
            let Some(want) = self.wants.get_mut(&reference) else {
                continue;
            };
            self.due.remove(&(want.due, want.need, reference));
            want.due = now;
            self.due.insert((now, want.need, reference));
            if !want.hints.contains(&peer) {
                want.hints.push(peer);
            }
        }
    }

    /// The block came, or nobody needs it any more.
    pub(crate) fn forget(&mut self, reference: &BlockRef) {
        let Some(want) = self.wants.remove(reference) else {
            return;
        };
        self.due.remove(&(want.due, want.need, *reference));
        for peer in want.asked {
            self.release(peer);
        }
    }

    /// Forgets wanted parents at or below the gc round; `keeps` says which are still needed to ground others.
    pub(crate) fn collect(&mut self, gc_round: Round, keeps: impl Fn(&BlockRef) -> bool) {
        let low = self
            .wants
            .keys()
            .take_while(|reference| reference.round <= gc_round);
        let gone: Vec<BlockRef> = low.filter(|reference| !keeps(reference)).copied().collect();
        sometimes!(FetchCollected if !gone.is_empty());
        gone.iter().for_each(|reference| self.forget(reference));
    }

    /// A peer does not hold the block: the next one is asked at once.
    pub(crate) fn handle_not_held(&mut self, now: Time, from: ValidatorIndex, block: &BlockRef) {
        let Some(want) = self.wants.get_mut(block) else {
            return;
        };
        let Some(at) = want.asked.iter().position(|peer| *peer == from) else {
            return;
        };
        want.asked.remove(at);
        // Once everybody was asked, the pause stands: a block that nobody holds must not be asked for in a circle.
        let all_asked = want.attempts as usize >= self.in_flight.len();
        sometimes!(FetchPaused if all_asked);
        sometimes!(FetchNotHeld if !all_asked);
        if !all_asked {
            self.due.remove(&(want.due, want.need, *block));
            want.due = now;
            want.pauses = want.pauses.saturating_sub(1);
            self.due.insert((now, want.need, *block));
        }
        self.release(from);
    }

    fn release(&mut self, peer: ValidatorIndex) {
        let count = &mut self.in_flight[peer.position()];
        *count = count.saturating_sub(1);
    }

    /// When something is due next.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.due.first().map(|(due, _, _)| *due)
    }

    /// Everything that is due, by peer; asks only those in `connected`.
    pub(crate) fn poll(&mut self, now: Time, connected: &[ValidatorIndex]) -> Requests {
        let mut requests = Requests::new();
        while let Some((due, need, reference)) = self.due.first().copied() {
            if due > now {
                break;
            }
            self.due.remove(&(due, need, reference));
            let Some(mut want) = self.wants.remove(&reference) else {
                continue;
            };
            if want.asked.len() >= FETCH_PEERS_MAX {
                let oldest = want.asked.remove(0);
                self.release(oldest);
            }
            if let Some(peer) = self.choose(&mut want, connected) {
                self.in_flight[peer.position()] += 1;
                sometimes!(FetchSecondPeer if !want.asked.is_empty());
                want.asked.push(peer);
                requests.entry((peer, need)).or_default().push(reference);
            }
            want.asked_at = now;
            want.due = now.plus_us(pause_us(self.patience_us(), want.pauses, &reference));
            want.attempts = want.attempts.saturating_add(1);
            want.pauses = want.pauses.saturating_add(1);
            self.due.insert((want.due, want.need, reference));
            self.wants.insert(reference, want);
        }
        requests
    }

    fn choose(&mut self, want: &mut Want, connected: &[ValidatorIndex]) -> Option<ValidatorIndex> {
        if planted!(FetchOnePeer) {
            let first = want.hints.first().copied();
            return first.filter(|peer| self.is_usable(*peer, connected));
        }
        sometimes!(FetchPeerFull if self.in_flight.iter().any(|n| *n >= FETCH_IN_FLIGHT_PEER_MAX));
        if let Some(peer) = self.next_untried(want, connected) {
            want.tried.insert(peer);
            return Some(peer);
        }
        // Everybody was asked: begin again, also with those whose answer never came.
        sometimes!(FetchAllTried);
        want.tried = AuthorSet::default();
        for peer in std::mem::take(&mut want.asked) {
            self.release(peer);
        }
        let again = self.next_untried(want, connected);
        want.tried.insert(again?);
        again
    }

    fn next_untried(&self, want: &Want, connected: &[ValidatorIndex]) -> Option<ValidatorIndex> {
        let fresh = |peer: &&ValidatorIndex| {
            !want.tried.contains(**peer)
                && !want.asked.contains(peer)
                && self.is_usable(**peer, connected)
        };
        let hinted = want.hints.iter().find(fresh);
        hinted.or_else(|| connected.iter().find(fresh)).copied()
    }

    fn is_usable(&self, peer: ValidatorIndex, connected: &[ValidatorIndex]) -> bool {
        peer != self.me
            && connected.contains(&peer)
            && self.in_flight[peer.position()] < FETCH_IN_FLIGHT_PEER_MAX
    }
}

/// Doubling pauses with a jitter taken from the block's own digest, so that validators do not ask in step.
fn pause_us(first_us: u64, pauses: u32, reference: &BlockRef) -> u64 {
    let pause = first_us
        .saturating_mul(1 << (pauses / PAUSES_BEFORE_DOUBLING).min(10))
        .min(FETCH_RETRY_MAX_US);
    let jitter = u64::from(reference.digest.as_bytes()[pauses as usize % 32]);
    pause + pause * jitter / 1024
}

/// Cuts what is asked of one peer into messages of the allowed size.
pub(crate) fn chunks(refs: &[BlockRef]) -> impl Iterator<Item = Vec<BlockRef>> + '_ {
    refs.chunks(REQUEST_REFS_MAX).map(<[BlockRef]>::to_vec)
}
