//! From frames to verified blocks.
//!
//! ```text
//!              ┌─▶ queue of peer 1 ─▶ verified one after the other ─┐
//!   inbox ─────┼─▶ queue of peer 2 ─▶   in short turns (rayon)      ├─▶ core
//!  dispatcher  └─▶ queue of peer 3 ─▶                               ┘
//! ```
//!
//! What one peer says reaches the core in its order; peers take turns with each other and with
//! clients. A peer that sends faster than it can be listened to loses frames, which are fetched
//! again when needed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam::channel::{Receiver, Sender};
use probity_core::{
    CommitCertificate, EpochEnd, Link, Message, PROTOCOL_VERSION, Round, name_block, verify_block,
};
use probity_transport::{Event, InboxReceiver, Lane, RecvStatus};

use crate::core_queue::{Input, ToCore};
use crate::health::{Health, NAP};
use crate::links::{Epoch, Links};
use crate::metrics::Metrics;
use crate::peer::{Peer, Word};
use crate::serve::{Request, ServeQueue};
use crate::transaction::ClientCheck;
use crate::verified::Verified;

/// Bytes of one peer's blocks that may wait for verification.
const WAITING_BYTES_MAX: usize = 16 << 20;
/// Events of one peer that may wait.
const WAITING_MAX: usize = 4096;
/// How long one peer's queue is worked on before others have their turn, unless a single block takes
/// longer.
const TURN: Duration = Duration::from_millis(1);
/// Events taken from the inbox at once.
const EVENTS_MAX: usize = 256;
/// Peers that may wait for their next turn; more make the pool wait for a moment.
pub(crate) const TURNS_WAITING: usize = 1024;

/// What verifying needs.
pub(crate) struct Verifier {
    pub(crate) links: Arc<Links>,
    pub(crate) check: Arc<dyn ClientCheck>,
    pub(crate) health: Arc<Health>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) core: ToCore,
    pub(crate) serve: ServeQueue,
    pub(crate) pool: Arc<rayon::ThreadPool>,
    pub(crate) verified: Verified,
    /// Peers whose turn was over before their queue was empty.
    pub(crate) again: Sender<Arc<Peer>>,
}

/// Whether a block came unasked, so that only its author may send it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Origin {
    Pushed,
    Fetched,
}

enum Item {
    Block(Bytes, Origin),
    EpochEnd(Bytes),
    Certificate(Bytes),
    Request(Input),
    Link(Input),
}

/// What one peer said and nobody has looked at yet.
#[derive(Default)]
pub(crate) struct PeerQueue {
    items: VecDeque<Item>,
    bytes: usize,
    // It has a turn, or waits for one.
    busy: bool,
}

/// The epoch that a block is of; none of what is no block of this version.
fn epoch_of(block: &[u8]) -> Option<u64> {
    let epoch = Message::epoch_of_block(block);
    epoch.filter(|_| block.starts_with(&PROTOCOL_VERSION.to_le_bytes()))
}

/// The dispatcher thread.
pub(crate) fn run(verifier: &Arc<Verifier>, inbox: &InboxReceiver) {
    let mut events = Vec::with_capacity(EVENTS_MAX);
    while !verifier.health.is_stopping() {
        if inbox.recv_batch(&mut events, EVENTS_MAX, NAP) == RecvStatus::Closed {
            return;
        }
        let epoch = verifier.links.epoch();
        for event in events.drain(..) {
            let from = epoch.peer(event.peer()).cloned();
            // Somebody listed since the batch began is known by the next look.
            let from = from.or_else(|| verifier.links.epoch().peer(event.peer()).cloned());
            let Some(from) = from else {
                continue;
            };
            if let Some(item) = verifier.read(&from, event)
                && verifier.push(&from, item)
            {
                give_turn(verifier, from);
            }
        }
    }
}

/// The thread that gives peers their next turn. It stands outside the pool, because what a thread of
/// the pool spawns goes before everything that waits: one peer could keep the others, and the
/// clients, out for as long as it sends.
pub(crate) fn give_turns(verifier: &Arc<Verifier>, again: &Receiver<Arc<Peer>>) {
    while !verifier.health.is_stopping() {
        if let Ok(from) = again.recv_timeout(NAP) {
            give_turn(verifier, from);
        }
    }
}

fn give_turn(verifier: &Arc<Verifier>, from: Arc<Peer>) {
    let shared = Arc::clone(verifier);
    verifier.pool.spawn(move || shared.take_turn(from));
}

impl Verifier {
    /// Queues what a peer said; `true` when the peer needs a turn.
    fn push(&self, from: &Peer, item: Item) -> bool {
        match from.queue.lock().push(item) {
            Pushed::Queued => false,
            Pushed::NeedsTurn => true,
            Pushed::Dropped => {
                self.metrics.verify_dropped.inc();
                false
            }
        }
    }

    /// The next thing that a peer said; `None` ends its turn.
    fn pop(from: &Peer) -> Option<Item> {
        let mut queue = from.queue.lock();
        let item = queue.items.pop_front();
        match &item {
            Some(item) => queue.bytes -= item.bytes(),
            None => queue.busy = false,
        }
        item
    }

    /// Works on one peer's queue until it is empty or its time is over.
    fn take_turn(&self, from: Arc<Peer>) {
        let ends = Instant::now() + TURN;
        while let Some(item) = Self::pop(&from) {
            let input = match item {
                Item::Request(input) | Item::Link(input) => Some(input),
                Item::Block(bytes, origin) => self.take_block(&from, &bytes, origin),
                Item::EpochEnd(bytes) => self.take_end(&from, &bytes),
                Item::Certificate(bytes) => self.take_certificate(&from, &bytes),
            };
            if let Some(input) = input {
                // The core is gone only when the node stops.
                let _ = self.core.send(input);
            }
            if Instant::now() >= ends {
                // A peer is in the channel at most once, so it empties as fast as it fills.
                let _ = self.again.send(from);
                return;
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pushed {
    Queued,
    NeedsTurn,
    Dropped,
}

impl PeerQueue {
    fn push(&mut self, item: Item) -> Pushed {
        let bytes = item.bytes();
        // Ups and downs are few, and none may be lost.
        let bounded = !matches!(item, Item::Link(_));
        let full = self.items.len() >= WAITING_MAX
            || (self.bytes + bytes > WAITING_BYTES_MAX && !self.items.is_empty());
        if bounded && full {
            return Pushed::Dropped;
        }
        self.bytes += bytes;
        self.items.push_back(item);
        match std::mem::replace(&mut self.busy, true) {
            true => Pushed::Queued,
            false => Pushed::NeedsTurn,
        }
    }
}

impl Item {
    fn bytes(&self) -> usize {
        match self {
            Self::Block(bytes, _) | Self::EpochEnd(bytes) | Self::Certificate(bytes) => bytes.len(),
            Self::Request(input) | Self::Link(input) => input.bytes(),
        }
    }
}

impl Verifier {
    fn read(&self, from: &Arc<Peer>, event: Event) -> Option<Item> {
        let frame = match event {
            Event::Up(_) => {
                from.set_up(true);
                return Some(Item::Link(Input::Link(Arc::clone(from), Link::Up)));
            }
            Event::Down(_) => {
                from.set_up(false);
                return Some(Item::Link(Input::Link(Arc::clone(from), Link::Down)));
            }
            Event::Frame { frame, .. } => frame,
        };
        let peer = || Arc::clone(from);
        match Message::decode(&frame) {
            Ok(Message::Block(bytes)) => Some(Item::Block(bytes, Origin::Pushed)),
            Ok(Message::Fetched(bytes)) => Some(Item::Block(bytes, Origin::Fetched)),
            Ok(Message::Fetch(refs)) => Some(Item::Request(Input::Fetch(peer(), refs))),
            Ok(Message::FetchHistory { above, refs }) => {
                Some(Item::Request(Input::FetchHistory(peer(), above, refs)))
            }
            Ok(Message::NotHeld(refs)) => Some(Item::Request(Input::NotHeld(peer(), refs))),
            Ok(Message::Replay { epoch, after }) => self.read_replay(from, (epoch, after)),
            Ok(Message::EpochEnd(bytes)) => Some(Item::EpochEnd(bytes)),
            Ok(Message::FetchCertificate { epoch, at_least }) => Some(Item::Request(
                Input::FetchCertificate(peer(), epoch, at_least),
            )),
            Ok(Message::Certificate(bytes)) if bytes.is_empty() => {
                Some(Item::Request(Input::Certificate(peer(), None)))
            }
            Ok(Message::Certificate(bytes)) => Some(Item::Certificate(bytes)),
            Ok(Message::FetchCommits { first, count }) => {
                Some(Item::Request(Input::FetchCommits(peer(), first, count)))
            }
            Ok(Message::Commits { first, records }) => {
                Some(Item::Request(Input::Commits(peer(), first, records)))
            }
            Err(why) => {
                let epoch = self.links.epoch();
                tracing::debug!(peer = ?from.id, %why, "a frame is no message");
                self.metrics.reject(&epoch.label(from), "frame");
                None
            }
        }
    }

    /// R32, R34: blocks of the running epoch are the core's to send; of the one before, the store's.
    fn read_replay(&self, from: &Arc<Peer>, (of, after): (u64, Round)) -> Option<Item> {
        let running = self.links.epoch().number();
        if of == running {
            return Some(Item::Request(Input::Replay(Arc::clone(from), of, after)));
        }
        self.metrics.other_epoch.inc();
        if of > running {
            self.ask_end(from, running);
            return None;
        }
        self.tell_end(from, of);
        if of + 1 == running && from.allowance.take_request(Instant::now()) {
            self.serve.push(from, Request::Replay(of, after));
        }
        None
    }

    /// R32: the end of its epoch is the answer to whatever belongs to an earlier one.
    fn tell_end(&self, to: &Arc<Peer>, epoch: u64) {
        if to.may_tell(Word::End, epoch, Instant::now()) {
            self.serve.push(to, Request::EpochEnd(epoch));
        }
    }

    /// Asks one that is further how the running epoch has ended. What it sends before this node has got there is
    /// dropped; it sends its blocks again when asked, which a replica does at its start (R34).
    fn ask_end(&self, to: &Peer, epoch: u64) {
        if to.may_tell(Word::Question, epoch, Instant::now()) {
            let after = Round::GENESIS;
            let question = Message::Replay { epoch, after };
            self.links.send(to, Lane::Control, question.encode());
        }
    }

    fn take_block(&self, from: &Arc<Peer>, bytes: &Bytes, origin: Origin) -> Option<Input> {
        if self.health.is_stopping() {
            return None;
        }
        let epoch = self.links.epoch();
        match epoch_of(bytes) {
            Some(of) if of < epoch.number() => {
                self.metrics.other_epoch.inc();
                self.tell_end(from, of);
                None
            }
            Some(of) if of > epoch.number() => {
                self.metrics.other_epoch.inc();
                self.ask_end(from, epoch.number());
                None
            }
            Some(_) | None => self.verify((from, &epoch), bytes, origin),
        }
    }

    fn verify(
        &self,
        (from, epoch): (&Arc<Peer>, &Epoch),
        bytes: &Bytes,
        origin: Origin,
    ) -> Option<Input> {
        // Who is no member has nothing to say about what is ordered.
        let index = epoch.index(from)?;
        let reject = |rule| self.metrics.reject(&epoch.label(from), rule);
        let name = name_block(bytes).ok();
        let known = name.and_then(|name| self.verified.get(&name));
        let block = known.map_or_else(|| verify_block(bytes, epoch.committee(), &*self.check), Ok);
        match block {
            Ok(block) if origin == Origin::Pushed && block.block().author() != index => {
                tracing::debug!(peer = ?from.id, "a peer pushed another one's block");
                reject("wrong_author");
                None
            }
            Ok(block) => {
                self.metrics.blocks.inc();
                self.verified.put(&block);
                Some(Input::Block(Arc::clone(from), block))
            }
            Err(rejected) => {
                tracing::debug!(peer = ?from.id, why = %rejected.reject, "a block is refused");
                reject(rejected.reject.label());
                let votes = rejected.votes;
                votes.map(|votes| Input::Votes(epoch.number(), votes))
            }
        }
    }

    /// R35: what reaches the core is proved. A certificate of another epoch comes late, and is as good as none.
    fn take_certificate(&self, from: &Arc<Peer>, bytes: &Bytes) -> Option<Input> {
        let epoch = self.links.epoch();
        let certificate = CommitCertificate::decode(bytes).ok();
        let certificate = certificate.filter(|it| it.verify(epoch.committee()));
        if certificate.is_none() {
            tracing::debug!(peer = ?from.id, "a certificate does not hold");
            self.metrics.reject(&epoch.label(from), "certificate");
        }
        let certificate = (epoch.number(), Arc::new(certificate?));
        Some(Input::Certificate(Arc::clone(from), Some(certificate)))
    }

    /// R32: an end is verified in its sender's turn. That of the epoch after the running one only the core can
    /// verify, so it takes few of them.
    fn take_end(&self, from: &Arc<Peer>, bytes: &Bytes) -> Option<Input> {
        let epoch = self.links.epoch();
        let reject = || self.metrics.reject(&epoch.label(from), "epoch_end");
        let Ok(end) = EpochEnd::decode(bytes) else {
            reject();
            return None;
        };
        let of = end.record.epoch;
        if of < epoch.number() {
            return None;
        }
        if of > epoch.number() {
            let next = of == epoch.number() + 1;
            if next && from.may_tell(Word::LaterEnd, of, Instant::now()) {
                return Some(Input::LaterEnd(Arc::clone(from), Arc::new(end)));
            }
            self.ask_end(from, epoch.number());
            return None;
        }
        if !end.verify(epoch.committee()) {
            tracing::debug!(peer = ?from.id, "an epoch's end does not hold");
            reject();
            return None;
        }
        Some(Input::EpochEnd(Arc::clone(from), Arc::new(end)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use probity_transport::PeerId;

    #[test]
    fn requests_are_bounded_like_blocks_and_links_are_always_heard() {
        let peer = Arc::new(Peer::new(PeerId::new([1; 32])));
        let request = || Item::Request(Input::Replay(Arc::clone(&peer), 0, Round(1)));
        let mut queue = PeerQueue::default();
        assert_eq!(queue.push(request()), Pushed::NeedsTurn);
        for _ in 1..WAITING_MAX {
            assert_eq!(queue.push(request()), Pushed::Queued);
        }
        assert_eq!(queue.push(request()), Pushed::Dropped);
        let down = Item::Link(Input::Link(peer, Link::Down));
        assert_eq!(queue.push(down), Pushed::Queued);
    }

    #[test]
    fn bytes_are_bounded_and_one_block_always_fits() {
        let block = || Item::Block(vec![0; WAITING_BYTES_MAX + 1].into(), Origin::Pushed);
        let mut queue = PeerQueue::default();
        assert_eq!(queue.push(block()), Pushed::NeedsTurn);
        assert_eq!(queue.push(block()), Pushed::Dropped);
    }
}
