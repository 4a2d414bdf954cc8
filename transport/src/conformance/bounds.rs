//! Every queue is bounded, and one that is full holds up nobody else.

use bytes::Bytes;

use super::case_table;
use super::cluster::{Cluster, pair};
use crate::{Event, FRAME_BYTES_MAX, Lane};

case_table![
    a_frame_over_the_limit_is_dropped_and_the_link_lives,
    an_empty_frame_is_dropped_and_the_link_lives,
    a_peer_that_does_not_read_costs_bounded_memory,
    what_a_full_queue_kept_is_the_oldest_in_order,
    bulk_does_not_hold_up_control,
    a_flood_from_one_peer_does_not_silence_another,
    a_full_queue_to_one_peer_does_not_hold_up_another,
    a_queue_that_was_full_works_again,
];

/// More than any transport should queue for one lane of one peer, in bytes.
const QUEUED_BYTES_MAX: usize = 64 * 1024 * 1024;

const FLOOD_FRAME_BYTES: usize = 256 * 1024;
const FLOOD_FRAMES: usize = 2 * QUEUED_BYTES_MAX / FLOOD_FRAME_BYTES;

/// Frames that begin with their number.
fn flood_frame(number: usize) -> Bytes {
    let mut frame = vec![0; FLOOD_FRAME_BYTES];
    frame[..8].copy_from_slice(&(number as u64).to_le_bytes());
    frame.into()
}

fn frame_number(event: &Event) -> Option<u64> {
    let Event::Frame { frame, .. } = event else {
        return None;
    };
    let (number, _) = frame.split_first_chunk()?;
    Some(u64::from_le_bytes(*number))
}

fn a_frame_over_the_limit_is_dropped_and_the_link_lives(cluster: &mut Cluster<'_>) {
    let (a, b) = pair(cluster.connect(2));
    for lane in Lane::ALL {
        a.send(b, lane, vec![0; FRAME_BYTES_MAX + 1]);
        a.send(b, lane, "next");
        assert_eq!(
            b.next(),
            Event::Frame {
                peer: a.id(),
                lane,
                frame: "next".into()
            }
        );
    }
}

fn an_empty_frame_is_dropped_and_the_link_lives(cluster: &mut Cluster<'_>) {
    let (a, b) = pair(cluster.connect(2));
    for lane in Lane::ALL {
        a.send(b, lane, Bytes::new());
        a.send(b, lane, "next");
        assert_eq!(
            b.next(),
            Event::Frame {
                peer: a.id(),
                lane,
                frame: "next".into()
            }
        );
    }
}

fn a_peer_that_does_not_read_costs_bounded_memory(cluster: &mut Cluster<'_>) {
    let (a, b) = pair(cluster.connect(2));
    for lane in Lane::ALL {
        // One allocation shared by all: the case itself stays small.
        let frame = flood_frame(0);
        for _ in 0..FLOOD_FRAMES {
            a.send(b, lane, frame.clone());
        }
        let kept = b.listen_until_quiet().len();
        assert!(kept > 0, "the oldest frames are kept");
        let kept_bytes = kept * FLOOD_FRAME_BYTES;
        assert!(
            kept_bytes <= QUEUED_BYTES_MAX,
            "{kept_bytes} bytes were queued on {lane:?}"
        );
    }
}

fn what_a_full_queue_kept_is_the_oldest_in_order(cluster: &mut Cluster<'_>) {
    let (a, b) = pair(cluster.connect(2));
    for number in 0..FLOOD_FRAMES {
        a.send(b, Lane::Blocks, flood_frame(number));
    }
    let numbers: Vec<u64> = b
        .listen_until_quiet()
        .iter()
        .filter_map(frame_number)
        .collect();
    assert_eq!(numbers.first(), Some(&0));
    assert!(
        numbers.is_sorted_by(|earlier, later| earlier < later),
        "{numbers:?}"
    );
}

fn bulk_does_not_hold_up_control(cluster: &mut Cluster<'_>) {
    let (a, b) = pair(cluster.connect(2));
    for number in 0..FLOOD_FRAMES {
        a.send(b, Lane::CatchUp, flood_frame(number));
    }
    a.send(b, Lane::Control, "vote");
    assert_eq!(b.frame(a.id(), Lane::Control), "vote");
    let after = b.listen_until_quiet();
    assert!(
        after.iter().any(|event| frame_number(event).is_some()),
        "the vote came last of all"
    );
}

fn a_flood_from_one_peer_does_not_silence_another(cluster: &mut Cluster<'_>) {
    let nodes = cluster.connect(3);
    let frame = flood_frame(0);
    for lane in Lane::ALL {
        for _ in 0..FLOOD_FRAMES {
            nodes[0].send(&nodes[2], lane, frame.clone());
        }
    }
    nodes[1].send(&nodes[2], Lane::CatchUp, "me too");
    let quiet_one = nodes[1].id();
    assert_eq!(nodes[2].frame(quiet_one, Lane::CatchUp), "me too");
}

fn a_full_queue_to_one_peer_does_not_hold_up_another(cluster: &mut Cluster<'_>) {
    let nodes = cluster.connect(3);
    let frame = flood_frame(0);
    for _ in 0..FLOOD_FRAMES {
        nodes[0].send(&nodes[1], Lane::Blocks, frame.clone());
    }
    nodes[0].send(&nodes[2], Lane::Blocks, "you at least");
    let sender = nodes[0].id();
    assert_eq!(nodes[2].frame(sender, Lane::Blocks), "you at least");
}

fn a_queue_that_was_full_works_again(cluster: &mut Cluster<'_>) {
    let (a, b) = pair(cluster.connect(2));
    let frame = flood_frame(0);
    for _ in 0..FLOOD_FRAMES {
        a.send(b, Lane::Blocks, frame.clone());
    }
    b.listen_until_quiet();
    a.send(b, Lane::Blocks, "again");
    assert_eq!(b.frame(a.id(), Lane::Blocks), "again");
}
