//! From frames to verified blocks.
//!
//! ```text
//!              ┌─▶ queue of peer 1 ─▶ verified one after the other ─┐
//!   inbox ─────┼─▶ queue of peer 2 ─▶      (rayon)                  ├─▶ core
//!  dispatcher  └─▶ queue of peer 3 ─▶                               ┘
//! ```
//!
//! What one peer says reaches the core in its order; peers do not wait for each other. A peer that
//! sends faster than its blocks can be verified loses frames, which are fetched again when needed.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use probity_core::{Delivery, Link, Message, ValidatorIndex, verify_block};
use probity_transport::{Event, InboxReceiver, RecvStatus};

use crate::core_thread::Input;
use crate::health::{Health, NAP};
use crate::links::Links;
use crate::metrics::Metrics;
use crate::transaction::ClientCheck;
use crate::wake::ToCore;

/// Bytes of one peer's blocks that may wait for verification.
const WAITING_BYTES_MAX: usize = 16 << 20;
/// Events of one peer that may wait.
const WAITING_MAX: usize = 4096;
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
}

/// Whether a block came unasked, so that only its author may send it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Origin {
    Pushed,
    Fetched,
}

enum Item {
    Block(Bytes, Origin),
    Ready(Input),
}

#[derive(Default)]
struct PeerQueue {
    items: VecDeque<Item>,
    bytes: usize,
    // A task of the pool is working on this queue.
    draining: bool,
}

/// The dispatcher thread.
pub(crate) fn run(verifier: Verifier, inbox: &InboxReceiver) {
    let peers = verifier.links.committee().size();
    let queues: Vec<Arc<Mutex<PeerQueue>>> = (0..peers).map(|_| Arc::default()).collect();
    let verifier = Arc::new(verifier);
    let mut events = Vec::with_capacity(EVENTS_MAX);
    while !verifier.health.is_stopping() {
        if inbox.recv_batch(&mut events, EVENTS_MAX, NAP) == RecvStatus::Closed {
            return;
        }
        for event in events.drain(..) {
            let Some(from) = verifier.links.index(event.peer()) else {
                continue;
            };
            if let Some(item) = verifier.read(from, event) {
                push(&verifier, (from, &queues[from.position()]), item);
            }
        }
    }
}

fn push(verifier: &Arc<Verifier>, to: (ValidatorIndex, &Arc<Mutex<PeerQueue>>), item: Item) {
    let (from, shared) = to;
    let mut queue = shared.lock();
    if let Item::Block(bytes, _) = &item {
        let full = queue.items.len() >= WAITING_MAX
            || (queue.bytes + bytes.len() > WAITING_BYTES_MAX && !queue.items.is_empty());
        if full {
            verifier.metrics.verify_dropped.inc();
            return;
        }
        queue.bytes += bytes.len();
    }
    queue.items.push_back(item);
    if !std::mem::replace(&mut queue.draining, true) {
        let (verifier, shared) = (Arc::clone(verifier), Arc::clone(shared));
        let pool = Arc::clone(&verifier.pool);
        pool.spawn(move || drain(&verifier, from, &shared));
    }
}

/// Works on one peer's queue until it is empty.
fn drain(verifier: &Verifier, from: ValidatorIndex, shared: &Mutex<PeerQueue>) {
    loop {
        let mut queue = shared.lock();
        let Some(item) = queue.items.pop_front() else {
            queue.draining = false;
            return;
        };
        if let Item::Block(bytes, _) = &item {
            queue.bytes -= bytes.len();
        }
        drop(queue);
        let input = match item {
            Item::Ready(input) => Some(input),
            Item::Block(bytes, origin) => verifier.verify(from, &bytes, origin),
        };
        if let Some(input) = input {
            // The core is gone only when the node stops.
            let _ = verifier.core.send(input);
        }
    }
}

impl Verifier {
    fn read(&self, from: ValidatorIndex, event: Event) -> Option<Item> {
        let frame = match event {
            Event::Up(_) => {
                self.links.set_up(from, true);
                return Some(Item::Ready(Input::Link(from, Link::Up)));
            }
            Event::Down(_) => {
                self.links.set_up(from, false);
                return Some(Item::Ready(Input::Link(from, Link::Down)));
            }
            Event::Frame { frame, .. } => frame,
        };
        match Message::decode(&frame) {
            Ok(Message::Block(bytes)) => Some(Item::Block(bytes, Origin::Pushed)),
            Ok(Message::Fetched(bytes)) => Some(Item::Block(bytes, Origin::Fetched)),
            Ok(Message::Fetch(refs)) => Some(Item::Ready(Input::Fetch(from, refs))),
            Ok(Message::NotHeld(refs)) => Some(Item::Ready(Input::NotHeld(from, refs))),
            Ok(Message::Replay { after }) => Some(Item::Ready(Input::Replay(from, after))),
            Err(why) => {
                tracing::debug!(peer = %from, %why, "a frame is no message");
                self.metrics.reject(from.position(), "frame");
                None
            }
        }
    }

    fn verify(&self, from: ValidatorIndex, bytes: &Bytes, origin: Origin) -> Option<Input> {
        if self.health.is_stopping() {
            return None;
        }
        match verify_block(bytes, self.links.committee(), &*self.check) {
            Ok(block) if origin == Origin::Pushed && block.block().author() != from => {
                tracing::debug!(peer = %from, "a peer pushed another one's block");
                self.metrics.reject(from.position(), "wrong_author");
                None
            }
            Ok(block) => {
                self.metrics.blocks.inc();
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
