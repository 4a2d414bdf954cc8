//! The in-process network keeps the contract, and its links can be cut.

use std::time::Duration;

use probity_transport::conformance::{self, Member};
use probity_transport::{
    Event, InboxLimits, InboxReceiver, Lane, MemoryNetwork, MemoryTransport, PeerId, Transport,
    inbox,
};

#[test]
fn the_memory_network_passes_the_conformance_suite() {
    conformance::check(|| {
        let network = MemoryNetwork::new();
        move |seat| {
            let transport = network.transport(PeerId::new([seat; 32]));
            Member {
                peer: transport.as_peer(),
                transport: Box::new(transport),
            }
        }
    });
}

fn start(transport: &MemoryTransport, peers: &[&MemoryTransport]) -> InboxReceiver {
    let peers: Vec<_> = peers.iter().map(|peer| peer.as_peer()).collect();
    let (inbox, receiver) = inbox(InboxLimits::default());
    transport.set_peers(&peers);
    transport.start(inbox);
    receiver
}

fn heard(receiver: &InboxReceiver) -> Vec<Event> {
    let mut events = Vec::new();
    receiver.recv_batch(&mut events, 100, Duration::ZERO);
    events
}

#[test]
fn a_link_can_be_cut_and_healed() {
    let network = MemoryNetwork::new();
    let a = network.transport(PeerId::new([1; 32]));
    let b = network.transport(PeerId::new([2; 32]));
    let hears_a = start(&a, &[&b]);
    let hears_b = start(&b, &[&a]);
    assert_eq!(heard(&hears_a), [Event::Up(b.id())]);

    network.cut(b.id(), a.id());
    a.send(b.id(), Lane::Control, "lost".into());
    assert_eq!(heard(&hears_a), [Event::Down(b.id())]);
    assert_eq!(a.stats().frames_dropped, 1);

    network.heal(a.id(), b.id());
    a.send(b.id(), Lane::Control, "found".into());
    let found = Event::Frame {
        peer: a.id(),
        lane: Lane::Control,
        frame: "found".into(),
    };
    // The first up and its down cancelled out, because nobody had looked.
    assert_eq!(heard(&hears_b), [Event::Up(a.id()), found]);
    assert_eq!(b.stats().reconnects, 1);
}

#[test]
fn what_does_not_fit_is_dropped_and_counted() {
    let network = MemoryNetwork::new();
    let a = network.transport(PeerId::new([1; 32]));
    let b = network.transport(PeerId::new([2; 32]));
    let _hears_a = start(&a, &[&b]);
    let hears_b = start(&b, &[&a]);
    for _ in 0..2000 {
        a.send(b.id(), Lane::Blocks, "block".into());
    }
    let kept = InboxLimits::default().frames_per_peer / 2;
    assert_eq!(a.stats().frames_sent, kept as u64);
    assert_eq!(a.stats().frames_dropped, 2000 - kept as u64);
    let mut events = Vec::new();
    hears_b.recv_batch(&mut events, 5000, Duration::ZERO);
    assert_eq!(events.len(), 1 + kept);
}
