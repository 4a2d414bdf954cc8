//! The listed peers: who may connect, which connection is theirs, what waits for them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use quinn::Connection;
use tokio::sync::watch;

use super::identity::KeyCheck;
use super::lanes::{OutgoingLanes, QueueLimits};
use super::limits::{CloseCode, PEERS_MAX};
use crate::stats::Counters;
use crate::{Lane, Peer, PeerId};

/// Every peer that is listed, or that has not quite left yet.
pub(super) struct PeerTable {
    own: PeerId,
    queue_limits: [QueueLimits; Lane::ALL.len()],
    counters: Arc<Counters>,
    // Read by senders and by TLS on the I/O thread, written when the committee changes.
    entries: RwLock<BTreeMap<PeerId, Arc<PeerEntry>>>,
}

impl PeerTable {
    pub(super) fn new(
        own: PeerId,
        queue_limits: [QueueLimits; Lane::ALL.len()],
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            own,
            queue_limits,
            counters,
            entries: RwLock::default(),
        }
    }

    pub(super) fn get(&self, peer: PeerId) -> Option<Arc<PeerEntry>> {
        self.entries.read().get(&peer).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<PeerEntry>> {
        self.entries.read().values().cloned().collect()
    }

    /// Runs `visit` on each entry, under the read lock: for short work only.
    pub(super) fn visit(&self, visit: impl Fn(&PeerEntry)) {
        self.entries.read().values().for_each(|entry| visit(entry));
    }

    /// Lists exactly `peers`; disconnects the others.
    pub(super) fn replace(&self, peers: &[Peer]) {
        if peers.len() > PEERS_MAX {
            tracing::warn!(
                listed = peers.len(),
                PEERS_MAX,
                "too many peers: ignoring the last ones"
            );
        }
        let listed: BTreeMap<PeerId, SocketAddr> = peers
            .iter()
            .take(PEERS_MAX)
            .filter(|peer| peer.id != self.own)
            .map(|peer| (peer.id, peer.address))
            .collect();
        let mut entries = self.entries.write();
        for entry in entries
            .values()
            .filter(|entry| !listed.contains_key(&entry.id))
        {
            entry.unlist();
        }
        for (id, address) in &listed {
            let entry = entries
                .entry(*id)
                .or_insert_with(|| Arc::new(PeerEntry::new(*id, self.queue_limits)));
            entry.list(*address);
        }
        // An entry outlives its listing until its last link has reported down, so that a peer
        // listed again meets its own past and the order of down and up is kept.
        entries.retain(|id, entry| listed.contains_key(id) || entry.is_busy());
    }

    /// The side with the lower key dials, so that a pair never builds two links at once.
    pub(super) fn dials(&self, peer: PeerId) -> bool {
        self.own < peer
    }

    fn accept_if(&self, peer: PeerId, expected_side: bool) -> bool {
        let listed = self
            .get(peer)
            .is_some_and(|entry| entry.address().is_some());
        if !(listed && expected_side) {
            self.counters.refused_peers.add(1);
            tracing::debug!(?peer, listed, "refused a peer");
        }
        listed && expected_side
    }
}

impl KeyCheck for PeerTable {
    fn accepts_server(&self, peer: PeerId) -> bool {
        self.accept_if(peer, self.dials(peer))
    }

    fn accepts_client(&self, peer: PeerId) -> bool {
        self.accept_if(peer, !self.dials(peer))
    }
}

/// One peer.
pub(super) struct PeerEntry {
    pub(super) id: PeerId,
    pub(super) lanes: OutgoingLanes,
    /// Whether a task keeps dialling. Touched by the I/O thread only.
    pub(super) dialled: AtomicBool,
    /// Whether a link was ever up. Touched by the I/O thread only.
    pub(super) met: AtomicBool,
    /// Held by the link that is up, from before its up to after its down.
    pub(super) running: tokio::sync::Mutex<()>,
    /// Where to dial, or `None` when the peer is not listed.
    listing: watch::Sender<Option<SocketAddr>>,
    /// The newest connection that proved the key.
    newest: Mutex<Option<Connection>>,
}

impl PeerEntry {
    fn new(id: PeerId, queue_limits: [QueueLimits; Lane::ALL.len()]) -> Self {
        Self {
            id,
            lanes: OutgoingLanes::new(queue_limits),
            dialled: AtomicBool::new(false),
            met: AtomicBool::new(false),
            running: tokio::sync::Mutex::new(()),
            listing: watch::Sender::new(None),
            newest: Mutex::new(None),
        }
    }

    pub(super) fn address(&self) -> Option<SocketAddr> {
        *self.listing.borrow()
    }

    /// Sees every later change of the address.
    pub(super) fn watch_address(&self) -> watch::Receiver<Option<SocketAddr>> {
        self.listing.subscribe()
    }

    /// Makes `connection` the peer's only one; closes the one before. The newest wins because the
    /// peer proved its key again: it has restarted, or has lost the other link before we did.
    pub(super) fn adopt(&self, connection: &Connection) -> Result<(), CloseCode> {
        let mut newest = self.newest.lock();
        if self.address().is_none() {
            return Err(CloseCode::NotListed);
        }
        if let Some(before) = newest.replace(connection.clone()) {
            CloseCode::Replaced.close(&before);
        }
        Ok(())
    }

    /// Closes the connection, if there is one.
    pub(super) fn close(&self, code: CloseCode) {
        if let Some(connection) = &*self.newest.lock() {
            code.close(connection);
        }
    }

    /// Forgets `connection`, if no newer one has taken its place.
    pub(super) fn release(&self, connection: &Connection) {
        let mut newest = self.newest.lock();
        if newest
            .as_ref()
            .is_some_and(|held| held.stable_id() == connection.stable_id())
        {
            *newest = None;
        }
    }

    fn list(&self, address: SocketAddr) {
        self.listing
            .send_if_modified(|listed| listed.replace(address) != Some(address));
    }

    fn unlist(&self) {
        self.listing
            .send_if_modified(|listed| listed.take().is_some());
        if let Some(connection) = self.newest.lock().take() {
            CloseCode::NotListed.close(&connection);
        }
    }

    fn is_busy(&self) -> bool {
        self.dialled.load(Ordering::Acquire) || self.running.try_lock().is_err()
    }
}
