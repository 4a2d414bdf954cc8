//! The members of one case, what they have heard, and the ways to wait for more.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::{DEADLINE, Member, QUIET};
use crate::{Event, InboxLimits, InboxReceiver, Lane, Peer, PeerId, RecvStatus, Transport, inbox};

/// The members of one network.
pub(super) struct Cluster<'a> {
    seat: &'a dyn Fn(u8) -> Member,
    pub(super) nodes: Vec<Node>,
}

impl<'a> Cluster<'a> {
    pub(super) fn new(seat: &'a dyn Fn(u8) -> Member) -> Self {
        Self {
            seat,
            nodes: Vec::new(),
        }
    }

    /// Seats and starts `count` members that all list each other, and waits until all are up.
    pub(super) fn connect(&mut self, count: usize) -> &mut [Node] {
        self.seat(count);
        self.list_all();
        for node in &mut self.nodes {
            node.start();
        }
        self.wait_all_up();
        &mut self.nodes
    }

    /// Seats `count` members without listing or starting them.
    pub(super) fn seat(&mut self, count: usize) -> &mut [Node] {
        for number in 0..count {
            self.nodes.push(Node::new((self.seat)(seat_number(number))));
        }
        &mut self.nodes
    }

    /// Every member lists every member, itself included.
    pub(super) fn list_all(&mut self) {
        let peers: Vec<Peer> = self.nodes.iter().map(|node| node.member.peer).collect();
        for node in &self.nodes {
            node.transport().set_peers(&peers);
        }
    }

    /// Waits until every member has reported every other one up.
    pub(super) fn wait_all_up(&mut self) {
        let ids: Vec<PeerId> = self.nodes.iter().map(Node::id).collect();
        for node in &mut self.nodes {
            for id in ids
                .iter()
                .filter(|id| **id != node.id())
                .copied()
                .collect::<Vec<_>>()
            {
                node.wait_up(id);
            }
        }
    }

    /// Stops a member and seats the same identity anew, not yet started; the others learn its
    /// address.
    pub(super) fn restart(&mut self, number: usize) {
        self.nodes[number].transport().stop();
        self.nodes[number] = Node::new((self.seat)(seat_number(number)));
        self.list_all();
    }
}

/// Seats start at 1, so that no identity is all zeros.
fn seat_number(number: usize) -> u8 {
    u8::try_from(number + 1).expect("a case has few members")
}

/// One member and what it has heard.
pub(super) struct Node {
    member: Member,
    receiver: Option<InboxReceiver>,
    /// Heard, and not asked for yet.
    heard: VecDeque<Event>,
}

impl Node {
    fn new(member: Member) -> Self {
        Self {
            member,
            receiver: None,
            heard: VecDeque::new(),
        }
    }

    pub(super) fn start(&mut self) {
        let (inbox, receiver) = inbox(InboxLimits::default());
        self.receiver = Some(receiver);
        self.transport().start(inbox);
    }

    pub(super) fn transport(&self) -> &dyn Transport {
        &*self.member.transport
    }

    pub(super) fn id(&self) -> PeerId {
        self.member.peer.id
    }

    pub(super) fn peer(&self) -> Peer {
        self.member.peer
    }

    pub(super) fn send(&self, to: &Self, lane: Lane, frame: impl Into<Bytes>) {
        self.transport().send(to.id(), lane, frame.into());
    }

    /// The next event, in order.
    pub(super) fn next(&mut self) -> Event {
        if self.heard.is_empty() {
            self.listen(1);
        }
        self.heard
            .pop_front()
            .expect("an event must arrive before the deadline")
    }

    /// Takes the first event that `wanted` accepts; the others stay for later, in order.
    pub(super) fn wait(&mut self, wanted: impl Fn(&Event) -> bool) -> Event {
        let deadline = Instant::now() + DEADLINE;
        let mut looked_at = 0;
        loop {
            while let Some(event) = self.heard.get(looked_at) {
                if wanted(event) {
                    return self.heard.remove(looked_at).expect("just looked at");
                }
                looked_at += 1;
            }
            assert!(
                Instant::now() < deadline,
                "an awaited event must arrive before the deadline"
            );
            self.listen(64);
        }
    }

    pub(super) fn wait_up(&mut self, peer: PeerId) {
        self.wait(|event| *event == Event::Up(peer));
    }

    pub(super) fn wait_down(&mut self, peer: PeerId) {
        self.wait(|event| *event == Event::Down(peer));
    }

    /// The next `count` frames from `peer` on `lane`.
    pub(super) fn frames(&mut self, count: usize, peer: PeerId, lane: Lane) -> Vec<Bytes> {
        (0..count).map(|_| self.frame(peer, lane)).collect()
    }

    /// The next frame from `peer` on `lane`.
    pub(super) fn frame(&mut self, peer: PeerId, lane: Lane) -> Bytes {
        let event = self.wait(|event| {
            matches!(event, Event::Frame { peer: from, lane: on, .. } if *from == peer && *on == lane)
        });
        let Event::Frame { frame, .. } = event else {
            unreachable!("a frame was asked for")
        };
        frame
    }

    /// Everything that arrives until it has been quiet for a while, or nobody can speak any more.
    pub(super) fn listen_until_quiet(&mut self) -> Vec<Event> {
        let mut events: Vec<Event> = self.heard.drain(..).collect();
        let receiver = self
            .receiver
            .as_ref()
            .expect("only a started member listens");
        while receiver.recv_batch(&mut events, 1024, QUIET) == RecvStatus::Received {}
        events
    }

    /// Waits until the transport has let go of the inbox; returns what was heard until then.
    pub(super) fn listen_until_closed(&mut self) -> Vec<Event> {
        let mut events: Vec<Event> = self.heard.drain(..).collect();
        let receiver = self
            .receiver
            .as_ref()
            .expect("only a started member listens");
        loop {
            match receiver.recv_batch(&mut events, 1024, DEADLINE) {
                RecvStatus::Received => {}
                RecvStatus::Closed => return events,
                RecvStatus::TimedOut => panic!("a stopped transport must release its inbox"),
            }
        }
    }

    fn listen(&mut self, max: usize) {
        let receiver = self
            .receiver
            .as_ref()
            .expect("only a started member listens");
        let mut events = Vec::new();
        receiver.recv_batch(&mut events, max, DEADLINE);
        self.heard.extend(events);
    }
}

/// Two different members of a slice.
pub(super) fn pair(nodes: &mut [Node]) -> (&mut Node, &mut Node) {
    let [a, b, ..] = nodes else {
        unreachable!("the case has seated two")
    };
    (a, b)
}
