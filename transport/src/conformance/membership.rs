//! Only those who list each other are linked, and the lists may change at any time.

use super::case_table;
use super::cluster::{Cluster, Node, pair};
use crate::{Event, Lane, PeerId};

case_table![
    a_peer_that_only_the_first_lists_is_not_linked,
    a_peer_that_only_the_second_lists_is_not_linked,
    a_frame_to_a_stranger_goes_nowhere,
    a_peer_listed_later_is_linked,
    a_peer_no_longer_listed_is_disconnected,
    a_peer_listed_again_is_linked_again,
    listing_the_same_again_keeps_the_link,
    listing_oneself_means_nothing,
    a_new_member_joins_those_who_are_linked,
];

fn one_sided(cluster: &mut Cluster<'_>, lister: usize) {
    let nodes = cluster.seat(3);
    let witness = nodes[2].peer();
    let (first, second) = (nodes[0].peer(), nodes[1].peer());
    nodes[lister]
        .transport()
        .set_peers(&[first, second, witness]);
    nodes[1 - lister].transport().set_peers(&[witness]);
    nodes[2].transport().set_peers(&[first, second]);
    nodes.iter_mut().for_each(Node::start);
    for node in &mut nodes[..2] {
        node.wait_up(witness.id);
    }
    nodes[0].send(&nodes[1], Lane::Control, "hello?");
    nodes[1].send(&nodes[0], Lane::Control, "hello?");
    for node in &mut nodes[..2] {
        assert_eq!(
            node.listen_until_quiet(),
            [],
            "the two must not hear of each other"
        );
    }
}

fn a_peer_that_only_the_first_lists_is_not_linked(cluster: &mut Cluster<'_>) {
    one_sided(cluster, 0);
}

fn a_peer_that_only_the_second_lists_is_not_linked(cluster: &mut Cluster<'_>) {
    one_sided(cluster, 1);
}

fn a_frame_to_a_stranger_goes_nowhere(cluster: &mut Cluster<'_>) {
    let (a, b) = pair(cluster.connect(2));
    a.transport()
        .send(PeerId::new([0xee; 32]), Lane::Control, "nobody".into());
    a.send(b, Lane::Control, "somebody");
    let somebody = Event::Frame {
        peer: a.id(),
        lane: Lane::Control,
        frame: "somebody".into(),
    };
    assert_eq!(b.listen_until_quiet(), [somebody]);
}

fn a_peer_listed_later_is_linked(cluster: &mut Cluster<'_>) {
    let nodes = cluster.seat(2);
    nodes.iter_mut().for_each(Node::start);
    cluster.list_all();
    cluster.wait_all_up();
    let (a, b) = pair(&mut cluster.nodes);
    b.send(a, Lane::Control, "here I am");
    assert_eq!(a.frame(b.id(), Lane::Control), "here I am");
}

fn a_peer_no_longer_listed_is_disconnected(cluster: &mut Cluster<'_>) {
    for (remover, removed) in [(0, 1), (1, 0)] {
        let nodes = &mut cluster.nodes;
        if nodes.is_empty() {
            cluster.connect(2);
        } else {
            cluster.list_all();
            cluster.wait_all_up();
        }
        let nodes = &mut cluster.nodes;
        let ids = [nodes[0].id(), nodes[1].id()];
        nodes[remover].transport().set_peers(&[]);
        nodes[remover].wait_down(ids[removed]);
        nodes[removed].wait_down(ids[remover]);
        nodes[remover].send(&nodes[removed], Lane::Control, "still there?");
        nodes[removed].send(&nodes[remover], Lane::Control, "still there?");
        assert_eq!(nodes[remover].listen_until_quiet(), []);
    }
}

fn a_peer_listed_again_is_linked_again(cluster: &mut Cluster<'_>) {
    cluster.connect(2);
    for _ in 0..3 {
        for node in &cluster.nodes {
            node.transport().set_peers(&[]);
        }
        cluster.list_all();
        let (a, b) = pair(&mut cluster.nodes);
        a.wait_down(b.id());
        b.wait_down(a.id());
        cluster.wait_all_up();
    }
    let (a, b) = pair(&mut cluster.nodes);
    a.send(b, Lane::Control, "back");
    assert_eq!(b.frame(a.id(), Lane::Control), "back");
}

fn listing_the_same_again_keeps_the_link(cluster: &mut Cluster<'_>) {
    cluster.connect(3);
    for _ in 0..10 {
        cluster.list_all();
    }
    for node in &mut cluster.nodes {
        assert_eq!(node.listen_until_quiet(), []);
    }
    let (a, b) = pair(&mut cluster.nodes);
    a.send(b, Lane::Control, "as before");
    assert_eq!(b.frame(a.id(), Lane::Control), "as before");
}

fn listing_oneself_means_nothing(cluster: &mut Cluster<'_>) {
    // `connect` lists everybody everywhere.
    let nodes = cluster.connect(2);
    nodes[0]
        .transport()
        .send(nodes[0].id(), Lane::Control, "talking to myself".into());
    assert_eq!(nodes[0].listen_until_quiet(), []);
}

fn a_new_member_joins_those_who_are_linked(cluster: &mut Cluster<'_>) {
    let nodes = cluster.seat(3);
    let peers: Vec<_> = nodes.iter().map(Node::peer).collect();
    for node in &mut nodes[..2] {
        node.transport().set_peers(&peers[..2]);
        node.start();
    }
    nodes[0].wait_up(peers[1].id);
    nodes[1].wait_up(peers[0].id);
    cluster.list_all();
    let nodes = &mut cluster.nodes;
    nodes[2].start();
    nodes[2].wait_up(peers[0].id);
    nodes[2].wait_up(peers[1].id);
    assert_eq!(nodes[0].next(), Event::Up(peers[2].id));
    assert_eq!(nodes[1].next(), Event::Up(peers[2].id));
}
