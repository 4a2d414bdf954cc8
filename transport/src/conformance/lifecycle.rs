//! Up comes first and down last; stopping is prompt, final and harmless to repeat.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::case_table;
use super::cluster::{Cluster, Node, pair};
use crate::{Event, InboxLimits, Lane, PeerId, RecvStatus, inbox};

case_table![
    up_comes_before_the_first_frame,
    a_frame_sent_on_up_arrives,
    a_stopped_peer_is_reported_down,
    a_stopped_transport_reports_its_peers_down_and_lets_go,
    nothing_follows_down,
    a_restarted_peer_is_reported_down_and_up,
    a_peer_that_starts_late_is_linked,
    sending_before_up_is_harmless,
    sending_after_stop_is_harmless,
    stopping_twice_is_harmless,
    stopping_before_starting_is_harmless,
    starting_after_stopping_is_harmless,
    starting_twice_keeps_the_first_inbox,
    stopping_is_prompt_under_load,
];

/// How long `stop` may take; "about a second" on a machine with other work.
const STOP_MAX: Duration = Duration::from_secs(3);

fn is_frame(event: &Event) -> bool {
    matches!(event, Event::Frame { .. })
}

fn up_comes_before_the_first_frame(cluster: &mut Cluster<'_>) {
    let nodes = cluster.seat(2);
    nodes.iter_mut().for_each(Node::start);
    cluster.list_all();
    let (a, b) = pair(&mut cluster.nodes);
    a.wait_up(b.id());
    for lane in [Lane::CatchUp, Lane::Blocks, Lane::Control] {
        a.send(b, lane, "at once");
    }
    assert_eq!(b.next(), Event::Up(a.id()));
    assert!((0..3).all(|_| is_frame(&b.next())));
}

fn a_frame_sent_on_up_arrives(cluster: &mut Cluster<'_>) {
    let nodes = cluster.seat(2);
    nodes.iter_mut().for_each(Node::start);
    cluster.list_all();
    let (a, b) = pair(&mut cluster.nodes);
    assert_eq!(a.next(), Event::Up(b.id()));
    a.send(b, Lane::Control, "first");
    assert_eq!(b.next(), Event::Up(a.id()));
    b.send(a, Lane::Control, "first");
    assert_eq!(a.frame(b.id(), Lane::Control), "first");
    assert_eq!(b.frame(a.id(), Lane::Control), "first");
}

fn a_stopped_peer_is_reported_down(cluster: &mut Cluster<'_>) {
    let nodes = cluster.connect(3);
    nodes[0].transport().stop();
    let stopped = nodes[0].id();
    for node in &mut nodes[1..] {
        node.wait_down(stopped);
    }
    let (left, right) = pair(&mut nodes[1..]);
    left.send(right, Lane::Control, "we go on");
    assert_eq!(right.frame(left.id(), Lane::Control), "we go on");
}

fn a_stopped_transport_reports_its_peers_down_and_lets_go(cluster: &mut Cluster<'_>) {
    let nodes = cluster.connect(3);
    nodes[0].transport().stop();
    let mut down: Vec<PeerId> = nodes[0]
        .listen_until_closed()
        .into_iter()
        .filter_map(|event| {
            if let Event::Down(peer) = event {
                Some(peer)
            } else {
                None
            }
        })
        .collect();
    down.sort();
    let mut peers = vec![nodes[1].id(), nodes[2].id()];
    peers.sort();
    assert_eq!(down, peers);
}

fn nothing_follows_down(cluster: &mut Cluster<'_>) {
    let (a, b) = pair(cluster.connect(2));
    for _ in 0..300 {
        a.send(b, Lane::Blocks, vec![1; 50_000]);
    }
    a.transport().stop();
    loop {
        match b.next() {
            Event::Frame { .. } => {}
            Event::Down(_) => break,
            Event::Up(peer) => panic!("{peer:?} was up already"),
        }
    }
    assert_eq!(b.listen_until_quiet(), []);
}

fn a_restarted_peer_is_reported_down_and_up(cluster: &mut Cluster<'_>) {
    cluster.connect(2);
    // Either side, because only one of the two may be the one that dials.
    for restarted in [0, 1] {
        cluster.restart(restarted);
        let (again, other) = (
            cluster.nodes[restarted].id(),
            cluster.nodes[1 - restarted].id(),
        );
        cluster.nodes[restarted].start();
        cluster.nodes[1 - restarted].wait_down(again);
        cluster.nodes[1 - restarted].wait_up(again);
        cluster.nodes[restarted].wait_up(other);
        let (a, b) = pair(&mut cluster.nodes);
        a.send(b, Lane::Blocks, "again");
        b.send(a, Lane::Blocks, "again");
        assert_eq!(a.frame(b.id(), Lane::Blocks), "again");
        assert_eq!(b.frame(a.id(), Lane::Blocks), "again");
    }
}

fn a_peer_that_starts_late_is_linked(cluster: &mut Cluster<'_>) {
    for late in [0, 1] {
        cluster.nodes.clear();
        cluster.seat(2);
        cluster.list_all();
        cluster.nodes[1 - late].start();
        assert_eq!(cluster.nodes[1 - late].listen_until_quiet(), []);
        cluster.nodes[late].start();
        cluster.wait_all_up();
    }
}

fn sending_before_up_is_harmless(cluster: &mut Cluster<'_>) {
    let nodes = cluster.seat(2);
    nodes[0].send(&nodes[1], Lane::Control, "before being listed");
    cluster.list_all();
    let nodes = &mut cluster.nodes;
    nodes[0].send(&nodes[1], Lane::Control, "before start");
    nodes[0].start();
    nodes[0].send(&nodes[1], Lane::Control, "before up");
    nodes[1].start();
    cluster.wait_all_up();
    let (a, b) = pair(&mut cluster.nodes);
    a.send(b, Lane::Control, "after up");
    b.wait(|event| matches!(event, Event::Frame { frame, .. } if frame == "after up"));
}

fn sending_after_stop_is_harmless(cluster: &mut Cluster<'_>) {
    let (a, b) = pair(cluster.connect(2));
    a.transport().stop();
    for lane in Lane::ALL {
        a.send(b, lane, "too late");
    }
    a.transport().set_peers(&[b.peer()]);
    assert_eq!(b.next(), Event::Down(a.id()));
    assert_eq!(b.listen_until_quiet(), []);
}

fn stopping_twice_is_harmless(cluster: &mut Cluster<'_>) {
    let (a, b) = pair(cluster.connect(2));
    let transport = a.transport();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| transport.stop());
        }
    });
    a.transport().stop();
    b.wait_down(a.id());
}

fn stopping_before_starting_is_harmless(cluster: &mut Cluster<'_>) {
    let nodes = cluster.seat(2);
    nodes[0].transport().stop();
    nodes[0].transport().stop();
}

fn starting_after_stopping_is_harmless(cluster: &mut Cluster<'_>) {
    let nodes = cluster.seat(1);
    nodes[0].transport().stop();
    nodes[0].start();
    assert_eq!(
        nodes[0].listen_until_closed(),
        [],
        "a transport that ended takes no inbox"
    );
}

fn starting_twice_keeps_the_first_inbox(cluster: &mut Cluster<'_>) {
    let (a, b) = pair(cluster.connect(2));
    let (second, second_receiver) = inbox(InboxLimits::default());
    a.transport().start(second);
    b.send(a, Lane::Control, "to the first");
    assert_eq!(a.frame(b.id(), Lane::Control), "to the first");
    let status = second_receiver.recv_batch(&mut Vec::new(), 1, super::QUIET);
    assert_eq!(status, RecvStatus::Closed);
}

fn stopping_is_prompt_under_load(cluster: &mut Cluster<'_>) {
    let nodes = cluster.connect(3);
    let frame = Bytes::from(vec![5; 100_000]);
    for to in [1, 2] {
        for lane in Lane::ALL {
            for _ in 0..200 {
                nodes[0].send(&nodes[to], lane, frame.clone());
                nodes[to].send(&nodes[0], lane, frame.clone());
            }
        }
    }
    for node in nodes {
        let began = Instant::now();
        node.transport().stop();
        let took = began.elapsed();
        assert!(took < STOP_MAX, "stopping took {took:?}");
    }
}
