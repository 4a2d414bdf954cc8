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
use parking_lot::Mutex;
use probity_core::{
    CommitCertificate, Delivery, Link, Message, ValidatorIndex, name_block, verify_block,
};
use probity_transport::{Event, InboxReceiver, RecvStatus};

use crate::core_thread::Input;
use crate::health::{Health, NAP};
use crate::links::Links;
use crate::metrics::Metrics;
use crate::transaction::ClientCheck;
use crate::verified::Verified;
use crate::wake::ToCore;

/// Bytes of one peer's blocks that may wait for verification.
const WAITING_BYTES_MAX: usize = 16 << 20;
/// Events of one peer that may wait.
const WAITING_MAX: usize = 4096;
/// How long one peer's queue is worked on before others have their turn, unless a single block takes
/// longer.
const TURN: Duration = Duration::from_millis(1);
/// Events taken from the inbox at once.
const EVENTS_MAX: usize = 256;

/// What verifying needs.
pub(crate) struct Verifier {
    pub(crate) links: Arc<Links>,
    pub(crate) check: Arc<dyn ClientCheck>,
    pub(crate) health: Arc<Health>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) core: ToCore,
    pub(crate) pool: Arc<rayon::ThreadPool>,
    pub(crate) verified: Verified,
    pub(crate) queues: Box<[Mutex<PeerQueue>]>,
    /// Peers whose turn was over before their queue was empty.
    pub(crate) again: Sender<ValidatorIndex>,
}

/// Whether a block came unasked, so that only its author may send it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Origin {
    Pushed,
    Fetched,
}

enum Item {
    Block(Bytes, Origin),
    Certificate(Bytes),
    Request(Input),
    Link(Input),
}

#[derive(Default)]
pub(crate) struct PeerQueue {
    items: VecDeque<Item>,
    bytes: usize,
    // It has a turn, or waits for one.
    busy: bool,
}

pub(crate) fn queues(peers: usize) -> Box<[Mutex<PeerQueue>]> {
    (0..peers).map(|_| Mutex::default()).collect()
}

/// The dispatcher thread.
pub(crate) fn run(verifier: &Arc<Verifier>, inbox: &InboxReceiver) {
    let mut events = Vec::with_capacity(EVENTS_MAX);
    while !verifier.health.is_stopping() {
        if inbox.recv_batch(&mut events, EVENTS_MAX, NAP) == RecvStatus::Closed {
            return;
        }
        for event in events.drain(..) {
            let Some(from) = verifier.links.index(event.peer()) else {
                continue;
            };
            if let Some(item) = verifier.read(from, event)
                && verifier.push(from, item)
            {
                give_turn(verifier, from);
            }
        }
    }
}

/// The thread that gives peers their next turn. It stands outside the pool, because what a thread of
/// the pool spawns goes before everything that waits: one peer could keep the others, and the
/// clients, out for as long as it sends.
pub(crate) fn give_turns(verifier: &Arc<Verifier>, again: &Receiver<ValidatorIndex>) {
    while !verifier.health.is_stopping() {
        if let Ok(from) = again.recv_timeout(NAP) {
            give_turn(verifier, from);
        }
    }
}

fn give_turn(verifier: &Arc<Verifier>, from: ValidatorIndex) {
    let shared = Arc::clone(verifier);
    verifier.pool.spawn(move || shared.take_turn(from));
}

impl Verifier {
    /// Queues what a peer said; `true` when the peer needs a turn.
    fn push(&self, from: ValidatorIndex, item: Item) -> bool {
        match self.queues[from.position()].lock().push(item) {
            Pushed::Queued => false,
            Pushed::NeedsTurn => true,
            Pushed::Dropped => {
                self.metrics.verify_dropped.inc();
                false
            }
        }
    }

    /// The next thing that a peer said; `None` ends its turn.
    fn pop(&self, from: ValidatorIndex) -> Option<Item> {
        let mut queue = self.queues[from.position()].lock();
        let item = queue.items.pop_front();
        match &item {
            Some(item) => queue.bytes -= item.bytes(),
            None => queue.busy = false,
        }
        item
    }

    /// Works on one peer's queue until it is empty or its time is over.
    fn take_turn(&self, from: ValidatorIndex) {
        let ends = Instant::now() + TURN;
        while let Some(item) = self.pop(from) {
            let input = match item {
                Item::Request(input) | Item::Link(input) => Some(input),
                Item::Block(bytes, origin) => self.verify(from, &bytes, origin),
                Item::Certificate(bytes) => self.verify_certificate(from, &bytes),
            };
            if let Some(input) = input {
                // The core is gone only when the node stops.
                let _ = self.core.send(input);
            }
            if Instant::now() >= ends {
                // There is room: each peer is in the channel at most once.
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
            Self::Block(bytes, _) | Self::Certificate(bytes) => bytes.len(),
            Self::Request(Input::Commits(_, _, records)) => records.iter().map(Bytes::len).sum(),
            Self::Request(_) | Self::Link(_) => 0,
        }
    }
}

impl Verifier {
    fn read(&self, from: ValidatorIndex, event: Event) -> Option<Item> {
        let frame = match event {
            Event::Up(_) => {
                self.links.set_up(from, true);
                return Some(Item::Link(Input::Link(from, Link::Up)));
            }
            Event::Down(_) => {
                self.links.set_up(from, false);
                return Some(Item::Link(Input::Link(from, Link::Down)));
            }
            Event::Frame { frame, .. } => frame,
        };
        match Message::decode(&frame) {
            Ok(Message::Block(bytes)) => Some(Item::Block(bytes, Origin::Pushed)),
            Ok(Message::Fetched(bytes)) => Some(Item::Block(bytes, Origin::Fetched)),
            Ok(Message::Fetch(refs)) => Some(Item::Request(Input::Fetch(from, refs))),
            Ok(Message::FetchHistory { above, refs }) => {
                Some(Item::Request(Input::FetchHistory(from, above, refs)))
            }
            Ok(Message::NotHeld(refs)) => Some(Item::Request(Input::NotHeld(from, refs))),
            Ok(Message::Replay { epoch, after }) if epoch == self.links.committee().epoch() => {
                Some(Item::Request(Input::Replay(from, after)))
            }
            Ok(Message::FetchCertificate { epoch, at_least })
                if epoch == self.links.committee().epoch() =>
            {
                Some(Item::Request(Input::FetchCertificate(from, at_least)))
            }
            Ok(Message::Certificate(bytes)) if bytes.is_empty() => {
                Some(Item::Request(Input::Certificate(from, None)))
            }
            Ok(Message::Certificate(bytes)) => Some(Item::Certificate(bytes)),
            Ok(Message::FetchCommits { first, count }) => {
                Some(Item::Request(Input::FetchCommits(from, first, count)))
            }
            Ok(Message::Commits { first, records }) => {
                Some(Item::Request(Input::Commits(from, first, records)))
            }
            Ok(
                Message::Replay { .. } | Message::FetchCertificate { .. } | Message::EpochEnd(_),
            ) => {
                tracing::debug!(peer = %from, "a message of another epoch");
                self.metrics.reject(from.position(), "epoch");
                None
            }
            Err(why) => {
                tracing::debug!(peer = %from, %why, "a frame is no message");
                self.metrics.reject(from.position(), "frame");
                None
            }
        }
    }

    /// R35: what reaches the core is proved.
    fn verify_certificate(&self, from: ValidatorIndex, bytes: &Bytes) -> Option<Input> {
        let certificate = CommitCertificate::decode(bytes).ok();
        let certificate = certificate.filter(|it| it.verify(self.links.committee()));
        if certificate.is_none() {
            tracing::debug!(peer = %from, "a certificate does not hold");
            self.metrics.reject(from.position(), "certificate");
        }
        certificate.map(|it| Input::Certificate(from, Some(Arc::new(it))))
    }

    fn verify(&self, from: ValidatorIndex, bytes: &Bytes, origin: Origin) -> Option<Input> {
        if self.health.is_stopping() {
            return None;
        }
        let name = name_block(bytes).ok();
        let known = name.and_then(|name| self.verified.get(&name));
        let block = known.map_or_else(
            || verify_block(bytes, self.links.committee(), &*self.check),
            Ok,
        );
        match block {
            Ok(block) if origin == Origin::Pushed && block.block().author() != from => {
                tracing::debug!(peer = %from, "a peer pushed another one's block");
                self.metrics.reject(from.position(), "wrong_author");
                None
            }
            Ok(block) => {
                self.metrics.blocks.inc();
                self.verified.put(&block);
                Some(Input::Block(Delivery { from, block }))
            }
            Err(rejected) => {
                tracing::debug!(peer = %from, why = %rejected.reject, "a block is refused");
                self.metrics
                    .reject(from.position(), rejected.reject.label());
                rejected.votes.map(Input::Votes)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use probity_core::Round;

    #[test]
    fn requests_are_bounded_like_blocks_and_links_are_always_heard() {
        let peer = ValidatorIndex(1);
        let request = || Item::Request(Input::Replay(peer, Round(1)));
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
