//! Frames arrive whole, in order, from whom they say, and nowhere else.

use bytes::Bytes;

use super::case_table;
use super::cluster::{Cluster, Node, pair};
use crate::{Event, FRAME_BYTES_MAX, Lane};

case_table![
    a_frame_arrives_as_it_was_sent,
    frames_travel_both_ways,
    every_lane_delivers,
    frames_of_every_size_arrive_whole,
    a_frame_of_the_largest_size_arrives_on_every_lane,
    order_is_kept_within_a_lane,
    the_sender_is_the_identity_of_the_link,
    a_frame_reaches_only_its_addressee,
    each_of_many_hears_every_other,
    many_threads_send_at_once,
];

fn a_frame_arrives_as_it_was_sent(cluster: &mut Cluster<'_>) {
    let (a, b) = pair(cluster.connect(2));
    let frame: Vec<u8> = (0..=255).collect();
    a.send(b, Lane::Control, frame.clone());
    assert_eq!(
        b.next(),
        Event::Frame {
            peer: a.id(),
            lane: Lane::Control,
            frame: frame.into()
        }
    );
}

fn frames_travel_both_ways(cluster: &mut Cluster<'_>) {
    let (a, b) = pair(cluster.connect(2));
    a.send(b, Lane::Blocks, "to b");
    b.send(a, Lane::Blocks, "to a");
    assert_eq!(b.frame(a.id(), Lane::Blocks), "to b");
    assert_eq!(a.frame(b.id(), Lane::Blocks), "to a");
}

fn every_lane_delivers(cluster: &mut Cluster<'_>) {
    let (a, b) = pair(cluster.connect(2));
    for lane in Lane::ALL {
        a.send(b, lane, format!("on {lane:?}"));
    }
    for lane in Lane::ALL {
        assert_eq!(b.frame(a.id(), lane), format!("on {lane:?}"));
    }
}

fn frames_of_every_size_arrive_whole(cluster: &mut Cluster<'_>) {
    let (a, b) = pair(cluster.connect(2));
    // Around the sizes of packets, blocks and pages.
    for around in [2, 1200, 1452, 4096, 16_384, 32_768, 65_536, 262_144] {
        for bytes in around - 1..=around + 5 {
            let frame = Bytes::from(vec![u8::try_from(bytes % 251).expect("below 251"); bytes]);
            a.send(b, Lane::Blocks, frame.clone());
            assert_eq!(b.frame(a.id(), Lane::Blocks), frame);
        }
    }
}

fn a_frame_of_the_largest_size_arrives_on_every_lane(cluster: &mut Cluster<'_>) {
    let (a, b) = pair(cluster.connect(2));
    for lane in Lane::ALL {
        a.send(b, lane, vec![9; FRAME_BYTES_MAX]);
        assert_eq!(b.frame(a.id(), lane), vec![9; FRAME_BYTES_MAX]);
    }
}

fn order_is_kept_within_a_lane(cluster: &mut Cluster<'_>) {
    const ROUND: u32 = 100;
    let (a, b) = pair(cluster.connect(2));
    for round in 0..20 {
        // All lanes at once, few enough to fit every queue.
        for number in round * ROUND..(round + 1) * ROUND {
            for lane in Lane::ALL {
                a.send(
                    b,
                    lane,
                    number.to_le_bytes().repeat(1 + number as usize % 300),
                );
            }
        }
        for lane in Lane::ALL {
            for number in round * ROUND..(round + 1) * ROUND {
                assert_eq!(b.frame(a.id(), lane)[..4], number.to_le_bytes());
            }
        }
    }
}

fn the_sender_is_the_identity_of_the_link(cluster: &mut Cluster<'_>) {
    let nodes = cluster.connect(4);
    for from in &*nodes {
        for to in nodes.iter().filter(|to| to.id() != from.id()) {
            from.send(to, Lane::Control, from.id().as_bytes().to_vec());
        }
    }
    for node in nodes {
        for _ in 0..3 {
            let Event::Frame { peer, frame, .. } = node.next() else {
                panic!("only frames are left to hear")
            };
            assert_eq!(frame, peer.as_bytes()[..]);
        }
    }
}

fn a_frame_reaches_only_its_addressee(cluster: &mut Cluster<'_>) {
    let nodes = cluster.connect(3);
    nodes[0].send(&nodes[1], Lane::Control, "for the second");
    let sender = nodes[0].id();
    assert_eq!(nodes[1].frame(sender, Lane::Control), "for the second");
    for node in nodes {
        assert_eq!(node.listen_until_quiet(), []);
    }
}

fn each_of_many_hears_every_other(cluster: &mut Cluster<'_>) {
    let nodes = cluster.connect(7);
    for from in &*nodes {
        for to in nodes.iter().filter(|to| to.id() != from.id()) {
            from.send(to, Lane::Blocks, vec![1; 10_000]);
        }
    }
    let ids: Vec<_> = nodes.iter().map(Node::id).collect();
    for node in nodes {
        for id in ids
            .iter()
            .filter(|id| **id != node.id())
            .copied()
            .collect::<Vec<_>>()
        {
            assert_eq!(node.frame(id, Lane::Blocks).len(), 10_000);
        }
    }
}

fn many_threads_send_at_once(cluster: &mut Cluster<'_>) {
    const THREADS: u8 = 4;
    const FRAMES: u8 = 50;
    let (a, b) = pair(cluster.connect(2));
    let (transport, to) = (a.transport(), b.id());
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                for number in 0..FRAMES {
                    transport.send(to, Lane::Blocks, Bytes::from(vec![thread, number]));
                }
            });
        }
    });
    let frames = b.frames(
        usize::from(THREADS) * usize::from(FRAMES),
        a.id(),
        Lane::Blocks,
    );
    for thread in 0..THREADS {
        let of_thread = frames
            .iter()
            .filter(|frame| frame[0] == thread)
            .map(|frame| frame[1]);
        assert!(
            of_thread.eq(0..FRAMES),
            "a thread's frames keep their order"
        );
    }
}
