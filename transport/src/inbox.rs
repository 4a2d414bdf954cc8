//! Where a transport puts what arrives, and where the node takes it out.
//!
//! ```text
//! link to A ─▶ | A: control │ blocks │ catch-up │ ups and downs | ─┐
//! link to B ─▶ | B: control │ blocks │ catch-up │ ups and downs | ─┼─ one event each in turn ─▶ node
//! link to C ─▶ | C: control │ blocks │ catch-up │ ups and downs | ─┘
//! ```
//!
//! Each peer has bounded queues of its own and the peers take turns, so a flooding peer fills its
//! own queue and delays nobody. When a lane is full, the transport stops reading that lane and the
//! sender feels it through flow control.
//!
//! One mutex guards all of it. It is held for pushing one event or for moving out one batch; the
//! node is woken only if it sleeps, and once per batch.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use crate::{Lane, PeerId};
use queue::{Change, LaneLimits, PeerQueue};

mod queue;
#[cfg(test)]
mod tests;

/// What arrived from one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer has proved its key and answered: frames to it will be sent.
    Up(PeerId),
    /// The link is gone. What was queued for the peer is lost.
    Down(PeerId),
    /// The peer sent this.
    Frame {
        /// The identity that the link has proved.
        peer: PeerId,
        /// The lane it came on.
        lane: Lane,
        /// The bytes, as they were sent.
        frame: Bytes,
    },
}

/// Bounds of an inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InboxLimits {
    /// Peers with something waiting or with a link that is up.
    pub peers: usize,
    /// Bytes of frames that may wait from one peer. Half are for blocks, a quarter for each other
    /// lane; an empty lane takes one frame of any legal size.
    pub bytes_per_peer: usize,
    /// Frames that may wait from one peer, divided in the same way.
    pub frames_per_peer: usize,
}

impl InboxLimits {
    /// The most bytes that one peer can make an inbox hold.
    #[must_use]
    pub fn held_bytes_per_peer_max(&self) -> usize {
        queue::held_bytes_max(self)
    }
}

impl Default for InboxLimits {
    /// 8 MiB and 1024 frames for each of 1024 peers.
    fn default() -> Self {
        Self {
            peers: 1024,
            bytes_per_peer: 8 * 1024 * 1024,
            frames_per_peer: 1024,
        }
    }
}

/// What [`InboxReceiver::recv_batch`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvStatus {
    /// At least one event was appended.
    Received,
    /// Nothing arrived in time.
    TimedOut,
    /// Nothing is left, and every [`Inbox`] is gone.
    Closed,
}

/// Makes the two halves of an inbox.
#[must_use]
pub fn inbox(limits: InboxLimits) -> (Inbox, InboxReceiver) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State::new(limits)),
        arrived: Condvar::new(),
    });
    let producer = Arc::new(Producer {
        shared: Arc::clone(&shared),
    });
    (Inbox { producer }, InboxReceiver { shared })
}

/// The half that a transport delivers into. Clones share the queues.
#[derive(Clone)]
pub struct Inbox {
    producer: Arc<Producer>,
}

impl Inbox {
    /// Queues one event; never waits.
    ///
    /// Ups and downs always find room. Repeating one is harmless.
    ///
    /// # Errors
    /// Gives the event back when that peer's lane is full, when the peer is one too many, or when
    /// the receiver is gone.
    pub fn try_deliver(&self, event: Event) -> Result<(), Event> {
        let shared = &self.producer.shared;
        let mut state = shared.state.lock();
        state.push(event)?;
        let wake = std::mem::take(&mut state.receiver_sleeps);
        drop(state);
        if wake {
            shared.arrived.notify_one();
        }
        Ok(())
    }

    /// Waits until a frame of `frame_bytes` from `peer` would find room on `lane`, or the receiver
    /// is gone.
    ///
    /// Works on any executor. Another producer for the same lane may be faster, so ask
    /// [`try_deliver`](Self::try_deliver) again and be ready to wait again.
    pub async fn wait_for_room(&self, peer: PeerId, lane: Lane, frame_bytes: usize) {
        let shared = &self.producer.shared;
        poll_fn(|context| {
            let mut state = shared.state.lock();
            let limits = LaneLimits::share(&state.limits, lane);
            if state.closed {
                return Poll::Ready(());
            }
            let Some(queue) = state.peers.get_mut(&peer) else {
                return Poll::Ready(());
            };
            if queue.has_room(lane, frame_bytes, limits) {
                return Poll::Ready(());
            }
            queue.wake_on_room(lane, context.waker());
            Poll::Pending
        })
        .await;
    }

    /// Whether the receiver is gone, so that delivering is of no more use.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.producer.shared.state.lock().closed
    }
}

/// The half that the node takes events from. Dropping it closes the inbox.
pub struct InboxReceiver {
    shared: Arc<Shared>,
}

impl InboxReceiver {
    /// Appends up to `max` events to `out`, one per peer in turn, waiting up to `timeout` for the
    /// first one.
    ///
    /// Events of one peer keep their order, except that frames of a more urgent lane go first.
    pub fn recv_batch(&self, out: &mut Vec<Event>, max: usize, timeout: Duration) -> RecvStatus {
        let deadline = Instant::now().checked_add(timeout);
        let mut wakers = Vec::new();
        let mut state = self.shared.state.lock();
        let status = loop {
            if state.pop_batch(out, max, &mut wakers) > 0 {
                break RecvStatus::Received;
            }
            if state.producers_gone && state.ring.is_empty() {
                break RecvStatus::Closed;
            }
            state.receiver_sleeps = true;
            let timed_out = match deadline {
                Some(deadline) => self
                    .shared
                    .arrived
                    .wait_until(&mut state, deadline)
                    .timed_out(),
                None => {
                    self.shared.arrived.wait(&mut state);
                    false
                }
            };
            state.receiver_sleeps = false;
            if timed_out && state.ring.is_empty() && !state.producers_gone {
                break RecvStatus::TimedOut;
            }
        };
        drop(state);
        // After unlocking: a waker may deliver at once.
        wakers.into_iter().for_each(Waker::wake);
        status
    }
}

impl Drop for InboxReceiver {
    fn drop(&mut self) {
        let mut wakers = Vec::new();
        let mut state = self.shared.state.lock();
        state.closed = true;
        state.ring.clear();
        for queue in state.peers.values_mut() {
            queue.take_all_wakers(&mut wakers);
        }
        let peers = std::mem::take(&mut state.peers);
        drop(state);
        drop(peers);
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// Lives as long as any [`Inbox`] does.
struct Producer {
    shared: Arc<Shared>,
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.shared.state.lock().producers_gone = true;
        self.shared.arrived.notify_one();
    }
}

// The mutex is shared by the transport's thread and the node's: it is the hand-over itself.
struct Shared {
    state: Mutex<State>,
    arrived: Condvar,
}

struct State {
    limits: InboxLimits,
    peers: BTreeMap<PeerId, PeerQueue>,
    /// The peers with something waiting, whose turn is next in front.
    ring: VecDeque<PeerId>,
    receiver_sleeps: bool,
    producers_gone: bool,
    closed: bool,
}

impl State {
    fn new(limits: InboxLimits) -> Self {
        Self {
            limits,
            peers: BTreeMap::new(),
            ring: VecDeque::new(),
            receiver_sleeps: false,
            producers_gone: false,
            closed: false,
        }
    }

    fn push(&mut self, event: Event) -> Result<(), Event> {
        let peer = event.peer();
        let one_too_many = self.peers.len() >= self.limits.peers && !self.peers.contains_key(&peer);
        if self.closed || one_too_many {
            return Err(event);
        }
        let queue = self.peers.entry(peer).or_default();
        let was_empty = queue.is_empty();
        match event {
            Event::Up(_) => queue.push_change(Change::Up),
            Event::Down(_) => queue.push_change(Change::Down),
            Event::Frame { lane, frame, .. } => queue
                .push_frame(lane, frame, LaneLimits::share(&self.limits, lane))
                .map_err(|frame| Event::Frame { peer, lane, frame })?,
        }
        match (was_empty, queue.is_empty()) {
            (true, false) => self.ring.push_back(peer),
            // A down took back an up that nobody saw.
            (false, true) => self.ring.retain(|waiting| *waiting != peer),
            (true, true) | (false, false) => {}
        }
        self.forget_if_idle(peer);
        Ok(())
    }

    /// Moves up to `max` events out and returns how many; collects whom to tell about the room.
    fn pop_batch(&mut self, out: &mut Vec<Event>, max: usize, wakers: &mut Vec<Waker>) -> usize {
        let before = out.len();
        while out.len() - before < max {
            let Some(peer) = self.ring.pop_front() else {
                break;
            };
            let Some(queue) = self.peers.get_mut(&peer) else {
                continue;
            };
            out.extend(queue.pop(peer));
            queue.take_wakers(|lane| LaneLimits::share(&self.limits, lane), wakers);
            if queue.is_empty() {
                self.forget_if_idle(peer);
            } else {
                self.ring.push_back(peer);
            }
        }
        out.len() - before
    }

    fn forget_if_idle(&mut self, peer: PeerId) {
        if self.peers.get(&peer).is_some_and(PeerQueue::is_forgettable) {
            self.peers.remove(&peer);
        }
    }
}

impl Event {
    /// The peer that this is about.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        match self {
            Self::Up(peer) | Self::Down(peer) => *peer,
            Self::Frame { peer, .. } => *peer,
        }
    }
}
