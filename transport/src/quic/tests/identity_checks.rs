//! Nobody is linked who is not listed, whichever side dials.

use super::*;

/// TLS alerts as QUIC error codes: 0x100 and the alert.
const NO_APPLICATION_PROTOCOL: u64 = 0x100 + 120;

fn transport_error_code(error: &ConnectionError) -> u64 {
    let ConnectionError::ConnectionClosed(close) = error else {
        panic!("not closed by the other side's transport: {error}")
    };
    u64::from(close.error_code)
}

fn is_tls_alert(error: &ConnectionError) -> bool {
    (0x100..0x200).contains(&transport_error_code(error))
}

#[test]
fn a_client_with_an_unlisted_key_is_refused() {
    let [stranger, listed, own] = keys();
    let node = Node::start(own);
    node.transport
        .set_peers(&[listed_at_nowhere(listed.public())]);
    let raw = Raw::bind(&stranger, LOOPBACK);
    // In TLS 1.3 the client believes itself connected before the server has judged it.
    let connection = raw.connect(&node);
    assert!(is_tls_alert(&raw.wait(connection.closed())));
    node.wait_for_count(|stats| stats.refused_peers, 1);
    node.assert_quiet();
}

#[test]
fn a_listed_key_that_should_be_dialled_may_not_dial() {
    let [own, higher] = keys();
    let node = Node::start(own);
    node.transport
        .set_peers(&[listed_at_nowhere(higher.public())]);
    let raw = Raw::bind(&higher, LOOPBACK);
    let connection = raw.connect(&node);
    assert!(is_tls_alert(&raw.wait(connection.closed())));
    node.assert_quiet();
}

#[test]
fn a_server_with_an_unlisted_key_is_refused() {
    let [own, listed, stranger] = keys();
    let node = Node::start(own);
    let raw = Raw::bind(&stranger, LOOPBACK);
    let address = raw.endpoint.local_addr().unwrap();
    node.transport.set_peers(&[Peer {
        id: listed.public(),
        address,
    }]);
    let refusal = raw.wait(async { raw.endpoint.accept().await.unwrap().await.err().unwrap() });
    assert!(is_tls_alert(&refusal));
    assert!(node.transport.stats().refused_peers >= 1);
    node.assert_quiet();
}

#[test]
fn another_listed_peer_at_the_dialled_address_is_refused() {
    let [own, expected, other] = keys();
    let node = Node::start(own);
    let raw = Raw::bind(&other, LOOPBACK);
    let address = raw.endpoint.local_addr().unwrap();
    node.transport.set_peers(&[
        Peer {
            id: expected.public(),
            address,
        },
        listed_at_nowhere(other.public()),
    ]);
    let connection = raw.wait(async { raw.endpoint.accept().await.unwrap().await.unwrap() });
    assert_eq!(raw.close_code(&connection), code(CloseCode::WrongKey));
    node.assert_quiet();
}

#[test]
fn another_network_is_refused() {
    let [lower, own] = keys();
    let node = Node::start(own);
    node.transport
        .set_peers(&[listed_at_nowhere(lower.public())]);
    let raw = Raw::bind_with(&lower, LOOPBACK, &QuicOptions::for_network([1; 32]));
    let connecting = {
        let _entered = raw.runtime.enter();
        raw.endpoint
            .connect(node.peer().address, "probity")
            .unwrap()
    };
    let refusal = raw.wait(connecting).err().unwrap();
    assert_eq!(transport_error_code(&refusal), NO_APPLICATION_PROTOCOL);
    node.assert_quiet();
}

#[test]
fn two_transports_of_different_networks_never_link() {
    let [lower, higher] = keys();
    let a = Node::start_with(lower, QuicOptions::for_network([1; 32]));
    let b = Node::start_with(higher, QuicOptions::for_network([2; 32]));
    a.transport.set_peers(&[b.peer()]);
    b.transport.set_peers(&[a.peer()]);
    b.wait_for_count(|stats| stats.failed_handshakes, 2);
    a.assert_quiet();
    b.assert_quiet();
}
