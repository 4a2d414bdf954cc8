//! A network inside the process, for tests, examples and simulations with real threads.
//!
//! It keeps the same contract as a real one, without sockets, threads or delay: the caller of
//! `send` puts the frame into the receiver's inbox. That inbox *is* the bounded queue, so what does
//! not fit is dropped and counted. Links can be cut and healed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

use crate::frame::{FRAME_HEADER_BYTES, check_body_len};
use crate::stats::Counters;
use crate::{Event, Inbox, Lane, Peer, PeerId, Transport, TransportStats};

/// An in-process network. Clones are the same network.
#[derive(Clone, Default)]
pub struct MemoryNetwork {
    // Shared by all transports of the network: a link has two ends that change together.
    members: Arc<RwLock<Members>>,
}

impl MemoryNetwork {
    /// A network without members.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Joins as `id`. A transport that already had this id is stopped, as if its process had died.
    #[must_use]
    pub fn transport(&self, id: PeerId) -> MemoryTransport {
        let counters = Arc::new(Counters::default());
        let mut members = self.members.write();
        members.leave(id);
        members.joined += 1;
        let session = members.joined;
        let member = Member {
            session,
            inbox: None,
            listed: BTreeSet::new(),
            met: BTreeSet::new(),
            counters: Arc::clone(&counters),
        };
        members.by_id.insert(id, member);
        MemoryTransport {
            id,
            session,
            members: Arc::clone(&self.members),
            counters,
        }
    }

    /// Takes the link between `a` and `b` down until [`heal`](Self::heal).
    pub fn cut(&self, a: PeerId, b: PeerId) {
        let mut members = self.members.write();
        members.cut.insert(Pair::of(a, b));
        members.refresh(a);
    }

    /// Undoes [`cut`](Self::cut).
    pub fn heal(&self, a: PeerId, b: PeerId) {
        let mut members = self.members.write();
        members.cut.remove(&Pair::of(a, b));
        members.refresh(a);
    }
}

/// One member's end of a [`MemoryNetwork`].
pub struct MemoryTransport {
    id: PeerId,
    session: u64,
    members: Arc<RwLock<Members>>,
    counters: Arc<Counters>,
}

impl MemoryTransport {
    /// The identity that the others see.
    #[must_use]
    pub fn id(&self) -> PeerId {
        self.id
    }

    /// This member with a placeholder for the address, which nobody uses here.
    #[must_use]
    pub fn as_peer(&self) -> Peer {
        Peer {
            id: self.id,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        }
    }

    /// What this transport has done so far.
    #[must_use]
    pub fn stats(&self) -> TransportStats {
        self.counters.snapshot()
    }

    /// Runs `change` on this member, unless it has left or was replaced, and adapts its links.
    fn change(&self, change: impl FnOnce(&mut Member)) {
        let mut members = self.members.write();
        let Some(member) = members.by_id.get_mut(&self.id) else {
            return;
        };
        if member.session == self.session {
            change(member);
            members.refresh(self.id);
        }
    }
}

impl Transport for MemoryTransport {
    fn start(&self, inbox: Inbox) {
        self.change(|member| {
            member.inbox.get_or_insert(inbox);
        });
    }

    fn set_peers(&self, peers: &[Peer]) {
        self.change(|member| member.listed = peers.iter().map(|peer| peer.id).collect());
    }

    fn send(&self, peer: PeerId, lane: Lane, frame: Bytes) {
        // The read lock is held while delivering, so that no down slips in before the frame.
        let members = self.members.read();
        if members
            .deliver(self, peer, Outgoing { lane, frame })
            .is_none()
        {
            self.counters.frames_dropped.add(1);
        }
    }

    fn stop(&self) {
        let mut members = self.members.write();
        if members
            .by_id
            .get(&self.id)
            .is_some_and(|member| member.session == self.session)
        {
            members.leave(self.id);
        }
    }

    fn stats(&self) -> TransportStats {
        Self::stats(self)
    }
}

impl Drop for MemoryTransport {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Outgoing {
    lane: Lane,
    frame: Bytes,
}

struct Member {
    /// Tells a restarted member from the one it replaced.
    session: u64,
    inbox: Option<Inbox>,
    listed: BTreeSet<PeerId>,
    /// Peers that were up before.
    met: BTreeSet<PeerId>,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Members {
    by_id: BTreeMap<PeerId, Member>,
    up: BTreeSet<Pair>,
    cut: BTreeSet<Pair>,
    joined: u64,
}

impl Members {
    /// `None` when the frame cannot be delivered.
    fn deliver(&self, from: &MemoryTransport, to: PeerId, outgoing: Outgoing) -> Option<()> {
        let Outgoing { lane, frame } = outgoing;
        check_body_len(frame.len()).ok()?;
        if !self.up.contains(&Pair::of(from.id, to)) {
            return None;
        }
        if self.by_id.get(&from.id)?.session != from.session {
            return None;
        }
        let receiver = self.by_id.get(&to)?;
        let wire_bytes = FRAME_HEADER_BYTES + frame.len();
        let event = Event::Frame {
            peer: from.id,
            lane,
            frame,
        };
        receiver.inbox.as_ref()?.try_deliver(event).ok()?;
        from.counters.frames_sent.add(1);
        from.counters.bytes_sent.add(wire_bytes);
        receiver.counters.frames_received.add(1);
        receiver.counters.bytes_received.add(wire_bytes);
        Some(())
    }

    /// Brings every link of `id` into the state it should have, and tells both ends of changes.
    fn refresh(&mut self, id: PeerId) {
        let others: Vec<PeerId> = self
            .by_id
            .keys()
            .copied()
            .filter(|other| *other != id)
            .collect();
        for other in others {
            let pair = Pair::of(id, other);
            match (self.up.contains(&pair), self.may_connect(id, other)) {
                (false, true) => {
                    self.up.insert(pair);
                    self.report_up(id, other);
                    self.report_up(other, id);
                }
                (true, false) => self.take_down(pair),
                (true, true) | (false, false) => {}
            }
        }
    }

    fn may_connect(&self, a: PeerId, b: PeerId) -> bool {
        let accepts = |id, other| {
            self.by_id
                .get(&id)
                .is_some_and(|member| member.inbox.is_some() && member.listed.contains(&other))
        };
        accepts(a, b) && accepts(b, a) && !self.cut.contains(&Pair::of(a, b))
    }

    fn report_up(&mut self, to: PeerId, about: PeerId) {
        let Some(member) = self.by_id.get_mut(&to) else {
            return;
        };
        if !member.met.insert(about) {
            member.counters.reconnects.add(1);
        }
        report(member, Event::Up(about));
    }

    fn take_down(&mut self, pair: Pair) {
        self.up.remove(&pair);
        for (to, about) in [(pair.low, pair.high), (pair.high, pair.low)] {
            if let Some(member) = self.by_id.get(&to) {
                report(member, Event::Down(about));
            }
        }
    }

    /// Takes the links of `id` down, then releases its inbox.
    fn leave(&mut self, id: PeerId) {
        let links: Vec<Pair> = self
            .up
            .iter()
            .copied()
            .filter(|pair| pair.has(id))
            .collect();
        for pair in links {
            self.take_down(pair);
        }
        self.by_id.remove(&id);
    }
}

/// Tells a member of an up or down; only an inbox whose owner is gone refuses it.
fn report(member: &Member, event: Event) {
    if let Some(inbox) = &member.inbox
        && let Err(event) = inbox.try_deliver(event)
    {
        tracing::debug!(?event, "nobody listens for this event");
    }
}

/// Two members in a fixed order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    low: PeerId,
    high: PeerId,
}

impl Pair {
    fn of(a: PeerId, b: PeerId) -> Self {
        Self {
            low: a.min(b),
            high: a.max(b),
        }
    }

    fn has(&self, id: PeerId) -> bool {
        self.low == id || self.high == id
    }
}
