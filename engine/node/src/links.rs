//! Validators and the links to them: indices on one side, network keys on the other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use probity_core::{Committee, ValidatorIndex};
use probity_transport::{Lane, Peer, PeerId, Transport};

use crate::config::ValidatorInfo;

/// The transport, addressed by validator.
pub(crate) struct Links {
    transport: Arc<dyn Transport>,
    committee: Arc<Committee>,
    me: ValidatorIndex,
    peers: Vec<Peer>,
    by_id: BTreeMap<PeerId, ValidatorIndex>,
    up: Vec<AtomicBool>,
}

impl Links {
    pub(crate) fn new(
        transport: Arc<dyn Transport>,
        committee: Arc<Committee>,
        me: ValidatorIndex,
        validators: &[ValidatorInfo],
    ) -> Self {
        let peer = |info: &ValidatorInfo| Peer {
            id: PeerId::new(info.network_key),
            address: info.address,
        };
        let peers: Vec<Peer> = validators.iter().map(peer).collect();
        let ids = peers.iter().map(|peer| peer.id);
        let by_id = ids
            .zip(committee.indices())
            .filter(|(_, index)| *index != me)
            .collect();
        let up = peers.iter().map(|_| AtomicBool::new(false)).collect();
        Self {
            transport,
            committee,
            me,
            peers,
            by_id,
            up,
        }
    }

    pub(crate) fn committee(&self) -> &Arc<Committee> {
        &self.committee
    }

    pub(crate) fn me(&self) -> ValidatorIndex {
        self.me
    }

    pub(crate) fn transport(&self) -> &Arc<dyn Transport> {
        &self.transport
    }

    /// Everybody else, to be listed with the transport.
    pub(crate) fn others(&self) -> Vec<Peer> {
        self.peers
            .iter()
            .filter(|peer| self.by_id.contains_key(&peer.id))
            .copied()
            .collect()
    }

    pub(crate) fn index(&self, peer: PeerId) -> Option<ValidatorIndex> {
        self.by_id.get(&peer).copied()
    }

    pub(crate) fn send(&self, to: ValidatorIndex, lane: Lane, frame: Bytes) {
        if let Some(peer) = self.peers.get(to.position()) {
            self.transport.send(peer.id, lane, frame);
        }
    }

    /// Sends to every other validator.
    pub(crate) fn broadcast(&self, lane: Lane, frame: &Bytes) {
        for peer in self.by_id.keys() {
            self.transport.send(*peer, lane, frame.clone());
        }
    }

    pub(crate) fn set_up(&self, peer: ValidatorIndex, is_up: bool) {
        if let Some(up) = self.up.get(peer.position()) {
            up.store(is_up, Ordering::Relaxed);
        }
    }

    pub(crate) fn count_up(&self) -> usize {
        self.up
            .iter()
            .filter(|up| up.load(Ordering::Relaxed))
            .count()
    }
}
