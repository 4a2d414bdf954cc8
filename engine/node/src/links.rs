//! Validators and the links to them: indices on one side, network keys on the other.
//!
//! ```text
//!   transport ── network key ─▶ Peer, which lasts ─── the running Epoch ─▶ index in its committee
//! ```
//!
//! An epoch's committee, its indices and who is listed change together, in one step; what is known about
//! a peer stays. Listed are the members of the running epoch and of the one before, who may still need
//! its blocks and its end. Who is no member lists those of the first epoch, too: somebody has to tell it; and whoever was
//! given more contacts lists these, always.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use probity_core::crypto::PublicKey;
use probity_core::{Committee, ValidatorIndex};
use probity_transport::{Lane, PeerId, Transport};

use crate::config::ValidatorInfo;
use crate::contact::Contact;
use crate::peer::Peer;

/// The transport, addressed by validator.
pub(crate) struct Links {
    transport: Arc<dyn Transport>,
    key: PublicKey,
    network_key: PeerId,
    listed: Vec<ValidatorInfo>,
    contacts: Vec<Contact>,
    epoch: ArcSwap<Epoch>,
}

/// Who takes part in the running epoch.
pub(crate) struct Epoch {
    committee: Arc<Committee>,
    before: Option<Arc<Committee>>,
    me: Option<ValidatorIndex>,
    // By index; none for oneself and for who cannot be reached.
    members: Vec<Option<Arc<Peer>>>,
    by_id: BTreeMap<PeerId, Listed>,
}

struct Listed {
    peer: Arc<Peer>,
    contact: Contact,
    index: Option<ValidatorIndex>,
}

/// Who this node is on its links.
pub(crate) struct Identity {
    pub(crate) key: PublicKey,
    pub(crate) network_key: PeerId,
}

impl Links {
    pub(crate) fn new(
        transport: Arc<dyn Transport>,
        identity: &Identity,
        (listed, contacts): (Vec<ValidatorInfo>, Vec<Contact>),
        epochs: (Option<Arc<Committee>>, Arc<Committee>),
    ) -> Self {
        let (before, committee) = epochs;
        let mut links = Self {
            transport,
            key: identity.key,
            network_key: identity.network_key,
            listed,
            contacts,
            epoch: ArcSwap::from_pointee(Epoch {
                me: None,
                members: Vec::new(),
                by_id: BTreeMap::new(),
                before: None,
                committee: Arc::clone(&committee),
            }),
        };
        links.epoch = ArcSwap::from_pointee(links.next(before, committee));
        links
    }

    /// The running epoch.
    pub(crate) fn epoch(&self) -> Arc<Epoch> {
        self.epoch.load_full()
    }

    /// The key that signs own blocks.
    pub(crate) fn key(&self) -> &PublicKey {
        &self.key
    }

    /// How the committee's file says that the first epoch's validators are reached.
    pub(crate) fn listed(&self) -> &[ValidatorInfo] {
        &self.listed
    }

    pub(crate) fn transport(&self) -> &Arc<dyn Transport> {
        &self.transport
    }

    /// Enters the next epoch, or a later one: lists its members.
    pub(crate) fn enter(&self, committee: &Arc<Committee>) -> Arc<Epoch> {
        let before = Arc::clone(&self.epoch.load().committee);
        let epoch = Arc::new(self.next(Some(before), Arc::clone(committee)));
        // Before a new peer can come up, it is known here.
        self.epoch.store(Arc::clone(&epoch));
        self.list();
        epoch
    }

    /// Lists the epoch's peers with the transport.
    pub(crate) fn list(&self) {
        let epoch = self.epoch.load();
        let listed = epoch.by_id.values().map(|listed| probity_transport::Peer {
            id: listed.peer.id,
            address: listed.contact.address,
        });
        let listed: Vec<_> = listed.collect();
        self.transport.set_peers(&listed);
    }

    fn next(&self, before: Option<Arc<Committee>>, committee: Arc<Committee>) -> Epoch {
        let held = self.epoch.load();
        let me = committee.index_of(&self.key);
        let mut by_id: BTreeMap<PeerId, Listed> = BTreeMap::new();
        let mut members = vec![None; committee.size()];
        for index in committee.indices() {
            let contact = self.contact(&committee, index);
            let Some(contact) = contact.filter(|_| Some(index) != me) else {
                continue;
            };
            let listed = self.listed_peer(&held, contact, Some(index));
            // Of two who name one network key, it is the first one's.
            if let Some(listed) = listed.filter(|listed| !by_id.contains_key(&listed.peer.id)) {
                members[index.position()] = Some(Arc::clone(&listed.peer));
                by_id.insert(listed.peer.id, listed);
            }
        }
        let former = before.iter().flat_map(|before| {
            let contacts = before.indices().map(|index| self.contact(before, index));
            contacts.flatten()
        });
        let first = self.listed.iter().filter(|_| me.is_none());
        let first = first.map(ValidatorInfo::contact);
        for contact in former.chain(first).chain(self.contacts.iter().copied()) {
            if let Some(listed) = self.listed_peer(&held, contact, None) {
                by_id.entry(listed.peer.id).or_insert(listed);
            }
        }
        Epoch {
            committee,
            before,
            me,
            members,
            by_id,
        }
    }

    /// What is known about a peer already, or a new one; none for oneself.
    fn listed_peer(
        &self,
        held: &Epoch,
        contact: Contact,
        index: Option<ValidatorIndex>,
    ) -> Option<Listed> {
        let id = PeerId::new(contact.network_key);
        let known = held.by_id.get(&id).map(|listed| Arc::clone(&listed.peer));
        (id != self.network_key).then(|| Listed {
            peer: known.unwrap_or_else(|| Arc::new(Peer::new(id))),
            contact,
            index,
        })
    }

    fn contact(&self, committee: &Committee, index: ValidatorIndex) -> Option<Contact> {
        let member = committee.member(index)?;
        let seat = committee.roster().seat(&member.key)?;
        let contact = Contact::of(seat, &self.listed);
        if contact.is_none() {
            tracing::warn!(validator = %index, "nobody said how a validator is reached");
        }
        contact
    }

    pub(crate) fn send(&self, to: &Peer, lane: Lane, frame: Bytes) {
        self.transport.send(to.id, lane, frame);
    }

    /// Sends to every other member.
    pub(crate) fn broadcast(&self, epoch: &Epoch, lane: Lane, frame: &Bytes) {
        for (_, peer) in epoch.peers() {
            self.transport.send(peer.id, lane, frame.clone());
        }
    }
}

impl Epoch {
    pub(crate) fn number(&self) -> u64 {
        self.committee.epoch()
    }

    pub(crate) fn committee(&self) -> &Arc<Committee> {
        &self.committee
    }

    /// The committee of the epoch before.
    pub(crate) fn before(&self) -> Option<&Arc<Committee>> {
        self.before.as_ref()
    }

    /// The own index; none for who is no member.
    pub(crate) fn me(&self) -> Option<ValidatorIndex> {
        self.me
    }

    /// A listed peer.
    pub(crate) fn peer(&self, id: PeerId) -> Option<&Arc<Peer>> {
        self.by_id.get(&id).map(|listed| &listed.peer)
    }

    /// Everybody listed, members or not.
    pub(crate) fn listed(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.by_id.values().map(|listed| &listed.peer)
    }

    /// A peer's index in this epoch; none for who is no member.
    pub(crate) fn index(&self, peer: &Peer) -> Option<ValidatorIndex> {
        self.by_id.get(&peer.id)?.index
    }

    /// The other members that can be reached.
    pub(crate) fn peers(&self) -> impl Iterator<Item = (ValidatorIndex, &Arc<Peer>)> {
        let indices = self.committee.indices();
        let members = indices.zip(&self.members);
        members.filter_map(|(index, peer)| Some((index, peer.as_ref()?)))
    }

    /// The peer with this index.
    pub(crate) fn member(&self, index: ValidatorIndex) -> Option<&Arc<Peer>> {
        self.members.get(index.position())?.as_ref()
    }

    pub(crate) fn count_up(&self) -> usize {
        self.peers().filter(|(_, peer)| peer.is_up()).count()
    }

    /// How a peer is called in metrics.
    pub(crate) fn label(&self, peer: &Peer) -> String {
        self.index(peer)
            .map_or_else(|| "other".to_owned(), |index| index.position().to_string())
    }
}
