//! A peer, or anybody, sends what it should not.

use super::*;

/// Sends `bytes` on a lane of a fresh link instead of frames, and expects to be closed for it.
fn send_and_be_closed(bytes: &[u8]) {
    let [liar, honest, own] = keys();
    let node = Node::start(own);
    let witness = Node::start(honest);
    link(&node, &witness);
    node.transport
        .set_peers(&[witness.peer(), listed_at_nowhere(liar.public())]);

    let raw = Raw::bind(&liar, LOOPBACK);
    let connection = raw.connect(&node);
    let mut link = raw.prove(&connection);
    assert_eq!(node.next(), Event::Up(liar.public()));
    raw.wait(link.send_raw(Lane::Blocks, bytes));
    assert_eq!(raw.close_code(&connection), code(CloseCode::Malformed));
    assert_eq!(node.next(), Event::Down(liar.public()));
    assert_eq!(node.transport.stats().malformed_frames, 1);

    witness
        .transport
        .send(node.transport.id(), Lane::Blocks, "unharmed".into());
    let Event::Frame { peer, .. } = node.next() else {
        panic!("the honest link must live")
    };
    assert_eq!(peer, witness.transport.id());
}

#[test]
fn an_oversized_frame_closes_only_its_link() {
    let announced = u32::try_from(FRAME_BYTES_MAX + 1).unwrap();
    send_and_be_closed(&announced.to_le_bytes());
}

#[test]
fn an_empty_frame_closes_only_its_link() {
    send_and_be_closed(&[0; 4]);
}

#[test]
fn a_stream_that_does_not_begin_with_hello_is_closed() {
    let [liar, own] = keys();
    let node = Node::start(own);
    node.transport
        .set_peers(&[listed_at_nowhere(liar.public())]);
    let raw = Raw::bind(&liar, LOOPBACK);
    let connection = raw.connect(&node);
    raw.wait(async {
        let mut stream = connection.open_uni().await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    });
    assert_eq!(raw.close_code(&connection), code(CloseCode::Malformed));
    node.assert_quiet();
    assert_eq!(node.transport.stats().malformed_frames, 1);
}

#[test]
fn a_stream_too_many_cannot_be_opened() {
    let [liar, own] = keys();
    let node = Node::start(own);
    node.transport
        .set_peers(&[listed_at_nowhere(liar.public())]);
    let raw = Raw::bind(&liar, LOOPBACK);
    let connection = raw.connect(&node);
    let _link = raw.prove(&connection);
    raw.wait(async {
        let uni = tokio::time::timeout(QUIET, connection.open_uni()).await;
        let bi = tokio::time::timeout(QUIET, connection.open_bi()).await;
        assert!(uni.is_err() && bi.is_err(), "no credit for a fourth stream");
    });
}

#[test]
fn an_unfinished_frame_on_one_lane_does_not_hold_up_another() {
    let [liar, own] = keys();
    let node = Node::start(own);
    node.transport
        .set_peers(&[listed_at_nowhere(liar.public())]);
    let raw = Raw::bind(&liar, LOOPBACK);
    let connection = raw.connect(&node);
    let mut link = raw.prove(&connection);
    assert_eq!(node.next(), Event::Up(liar.public()));
    let announced = u32::try_from(FRAME_BYTES_MAX).unwrap().to_le_bytes();
    raw.wait(link.send_raw(Lane::CatchUp, &announced));
    raw.wait(link.send_raw(Lane::Control, b"\x04\0\0\0vote"));
    let vote = Event::Frame {
        peer: liar.public(),
        lane: Lane::Control,
        frame: "vote".into(),
    };
    assert_eq!(node.next(), vote);
}

#[test]
fn garbage_datagrams_do_not_disturb_a_link() {
    let [lower, higher] = keys();
    let a = Node::start(lower);
    let b = Node::start(higher);
    link(&a, &b);
    let socket = UdpSocket::bind(LOOPBACK).unwrap();
    let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..2000_usize {
        let mut datagram = Vec::new();
        while datagram.len() < round % 1500 {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            datagram.extend_from_slice(&noise.to_le_bytes());
        }
        // Some look like the beginning of a handshake, of this version and of others.
        match round % 4 {
            0 => {}
            1 => datagram
                .splice(..datagram.len().min(5), [0xc0, 0, 0, 0, 1])
                .for_each(drop),
            2 => datagram
                .splice(..datagram.len().min(5), [0xc0, 9, 9, 9, 9])
                .for_each(drop),
            _ => datagram
                .splice(..datagram.len().min(1), [0x40])
                .for_each(drop),
        }
        for node in [&a, &b] {
            // A full send buffer loses a datagram, as a network would.
            let _ = socket.send_to(&datagram, node.peer().address);
        }
        if round % 100 == 0 {
            a.transport
                .send(b.transport.id(), Lane::Control, "vote".into());
            assert!(matches!(b.next(), Event::Frame { .. }));
        }
    }
    a.assert_quiet();
    b.assert_quiet();
}

#[test]
fn silent_handshakes_do_not_keep_an_honest_peer_out_and_end_in_time() {
    const SILENT: usize = 150;
    let [liar, honest, own] = keys();
    let node = Node::start(own);
    let raw = Raw::bind(&liar, LOOPBACK);
    node.transport
        .set_peers(&[listed_at_nowhere(liar.public())]);
    // They prove a listed key and then never say hello, so each holds a half-open place.
    let silent: Vec<Connection> = (0..SILENT).map(|_| raw.connect(&node)).collect();

    let witness = Node::start(honest);
    node.transport
        .set_peers(&[listed_at_nowhere(liar.public()), witness.peer()]);
    witness.transport.set_peers(&[node.peer()]);
    assert_eq!(node.next(), Event::Up(witness.transport.id()));
    for connection in &silent {
        raw.close_code(connection);
    }
    node.wait_for_count(|stats| stats.failed_handshakes, SILENT as u64);
}
