//! The QUIC transport keeps the contract.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use probity_transport::conformance::{self, Member};
use probity_transport::{NetworkKey, Peer, QuicOptions, QuicTransport};

fn seat_at(address: SocketAddr) -> impl Fn(u8) -> Member {
    move |seat| {
        let key = NetworkKey::from_seed([seat; 32]);
        let transport = QuicTransport::bind(address, key, QuicOptions::default())
            .expect("a free port on loopback");
        let peer = Peer {
            id: transport.id(),
            address: transport.local_address(),
        };
        Member {
            peer,
            transport: Box::new(transport),
        }
    }
}

#[test]
fn quic_passes_the_conformance_suite() {
    conformance::check(|| seat_at((Ipv4Addr::LOCALHOST, 0).into()));
}

#[test]
fn quic_delivers_over_ipv6() {
    let case = conformance::cases()[0];
    conformance::check_one(case, &seat_at((Ipv6Addr::LOCALHOST, 0).into()));
}
