//! One live link per pair, whatever happens to connections.

use super::*;

#[test]
fn a_newer_connection_of_the_same_key_replaces_the_older() {
    let [lower, own] = keys();
    let node = Node::start(own);
    node.transport
        .set_peers(&[listed_at_nowhere(lower.public())]);
    let raw = Raw::bind(&lower, LOOPBACK);
    let older = raw.connect(&node);
    let _older_link = raw.prove(&older);
    assert_eq!(node.next(), Event::Up(lower.public()));

    let newer = raw.connect(&node);
    let mut newer_link = raw.prove(&newer);
    assert_eq!(raw.close_code(&older), code(CloseCode::Replaced));
    assert_eq!(node.next(), Event::Down(lower.public()));
    assert_eq!(node.next(), Event::Up(lower.public()));
    raw.wait(newer_link.send_raw(Lane::Control, b"\x01\0\0\0x"));
    assert!(matches!(node.next(), Event::Frame { .. }));
    assert_eq!(node.transport.stats().reconnects, 1);
}

#[test]
fn a_connection_without_a_hello_replaces_nothing() {
    let [lower, own] = keys();
    let node = Node::start(own);
    node.transport
        .set_peers(&[listed_at_nowhere(lower.public())]);
    let raw = Raw::bind(&lower, LOOPBACK);
    let older = raw.connect(&node);
    let _older_link = raw.prove(&older);
    assert_eq!(node.next(), Event::Up(lower.public()));
    let _newer = raw.connect(&node);
    node.assert_quiet();
    assert!(older.close_reason().is_none());
}

#[test]
fn a_peer_that_died_without_a_word_is_back_before_the_idle_time() {
    let [lower, higher] = keys();
    let options = QuicOptions {
        keep_alive: Duration::from_millis(100),
        idle_timeout: Duration::from_secs(60),
        ..QuicOptions::default()
    };
    let node = Node::start_with(lower, options.clone());
    let mut raw = Raw::bind_with(&higher, LOOPBACK, &options);
    let address = raw.endpoint.local_addr().unwrap();
    node.transport.set_peers(&[Peer {
        id: higher.public(),
        address,
    }]);
    let connection = raw.wait(async { raw.endpoint.accept().await.unwrap().await.unwrap() });
    let link = raw.prove(&connection);
    assert_eq!(node.next(), Event::Up(higher.public()));
    raw.die();
    drop((raw, connection, link));

    let reborn = QuicTransport::bind(address, higher, options).unwrap();
    let (inbox, _receiver) = inbox(InboxLimits::default());
    reborn.set_peers(&[node.peer()]);
    reborn.start(inbox);
    assert_eq!(node.next(), Event::Down(reborn.id()));
    assert_eq!(node.next(), Event::Up(reborn.id()));
}

#[test]
fn a_receiver_that_is_gone_ends_the_links() {
    let [lower, higher] = keys();
    let a = Node::start(lower);
    let b = Node::start(higher);
    link(&a, &b);
    drop(b.receiver);
    a.transport
        .send(b.transport.id(), Lane::Control, "anybody?".into());
    assert_eq!(a.next(), Event::Down(b.transport.id()));
}

#[test]
fn counters_tell_what_went_through() {
    let [lower, higher] = keys();
    let a = Node::start(lower);
    let b = Node::start(higher);
    a.transport
        .send(b.transport.id(), Lane::Control, "not listed".into());
    link(&a, &b);
    a.transport
        .send(b.transport.id(), Lane::Control, Bytes::new());
    a.transport.send(
        b.transport.id(),
        Lane::Blocks,
        Bytes::from(vec![0; FRAME_BYTES_MAX + 1]),
    );
    a.transport
        .send(b.transport.id(), Lane::Blocks, Bytes::from(vec![0; 1000]));
    assert!(matches!(b.next(), Event::Frame { .. }));
    b.wait_for_count(|stats| stats.frames_received, 1);
    a.wait_for_count(|stats| stats.frames_sent, 1);
    let sent = a.transport.stats();
    assert_eq!((sent.frames_dropped, sent.bytes_sent), (3, 1004));
    assert_eq!(b.transport.stats().bytes_received, 1004);
}

#[test]
fn a_goodbye_is_heard_although_the_window_is_full() {
    let patient = QuicOptions {
        idle_timeout: 2 * DEADLINE,
        ..QuicOptions::default()
    };
    let [lower, own] = keys();
    let node = Node::start_with(own, patient.clone());
    node.transport
        .set_peers(&[listed_at_nowhere(lower.public())]);
    let raw = Raw::bind_with(&lower, LOOPBACK, &patient);
    let connection = raw.connect(&node);
    let _link = raw.prove(&connection);
    assert_eq!(node.next(), Event::Up(lower.public()));

    // The other side stands still, so nothing is acknowledged and the window fills up.
    let (go_on, stand_still) = mpsc::channel::<()>();
    raw.runtime.spawn(async move {
        let _ = stand_still.recv();
    });
    for _ in 0..20 {
        node.transport
            .send(lower.public(), Lane::Blocks, Bytes::from(vec![0; 100_000]));
    }
    node.wait_for_count(|stats| stats.frames_sent, 1);
    node.transport.set_peers(&[]);
    assert_eq!(node.next(), Event::Down(lower.public()));
    drop(go_on);
    assert_eq!(raw.close_code(&connection), code(CloseCode::NotListed));
}
