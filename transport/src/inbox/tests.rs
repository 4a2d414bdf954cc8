use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake};

use proptest::prelude::*;

use super::*;

const PROMPT: Duration = Duration::from_secs(20);

fn peer(number: u8) -> PeerId {
    PeerId::new([number; 32])
}

fn frame(number: u8, lane: Lane, bytes: usize) -> Event {
    Event::Frame {
        peer: peer(number),
        lane,
        frame: Bytes::from(vec![number; bytes]),
    }
}

fn drain(receiver: &InboxReceiver) -> Vec<Event> {
    let mut events = Vec::new();
    while receiver.recv_batch(&mut events, 7, Duration::ZERO) == RecvStatus::Received {}
    events
}

fn small() -> InboxLimits {
    InboxLimits {
        peers: 3,
        bytes_per_peer: 4000,
        frames_per_peer: 40,
    }
}

/// Delivers frames until one is refused; the number accepted.
fn fill(inbox: &Inbox, number: u8, lane: Lane) -> usize {
    (0..)
        .find(|_| inbox.try_deliver(frame(number, lane, 10)).is_err())
        .unwrap()
}

#[test]
fn peers_take_turns() {
    let (inbox, receiver) = inbox(small());
    for number in [1, 1, 1, 2, 3, 3] {
        inbox.try_deliver(frame(number, Lane::Blocks, 1)).unwrap();
    }
    let order: Vec<PeerId> = drain(&receiver).iter().map(Event::peer).collect();
    assert_eq!(order, [1, 2, 3, 1, 3, 1].map(peer));
}

#[test]
fn a_flood_fills_only_its_own_lane_and_peer() {
    let (inbox, _receiver) = inbox(small());
    assert_eq!(fill(&inbox, 1, Lane::CatchUp), 10, "a quarter of 40 frames");
    assert_eq!(fill(&inbox, 1, Lane::Blocks), 20, "half of 40 frames");
    assert_eq!(fill(&inbox, 1, Lane::Control), 10);
    assert_eq!(fill(&inbox, 2, Lane::CatchUp), 10);
}

#[test]
fn bytes_are_bounded_too_and_an_empty_lane_takes_one_large_frame() {
    let (inbox, receiver) = inbox(small());
    inbox.try_deliver(frame(1, Lane::Control, 5000)).unwrap();
    assert!(inbox.try_deliver(frame(1, Lane::Control, 1)).is_err());
    assert_eq!(drain(&receiver).len(), 1);
    inbox.try_deliver(frame(1, Lane::Control, 600)).unwrap();
    assert!(inbox.try_deliver(frame(1, Lane::Control, 600)).is_err());
}

#[test]
fn control_overtakes_bulk_but_never_an_up_or_a_down() {
    let (inbox, receiver) = inbox(small());
    let events = [
        Event::Up(peer(1)),
        frame(1, Lane::CatchUp, 1),
        frame(1, Lane::Control, 2),
        Event::Down(peer(1)),
        Event::Up(peer(1)),
        frame(1, Lane::Control, 3),
    ];
    for event in events.clone() {
        inbox.try_deliver(event).unwrap();
    }
    let [up, catch_up, control, down, up_again, last] = events;
    assert_eq!(
        drain(&receiver),
        [up, control, catch_up, down, up_again, last]
    );
}

#[test]
fn a_flapping_link_costs_no_memory_and_ends_in_the_right_state() {
    let (inbox, receiver) = inbox(small());
    inbox.try_deliver(Event::Up(peer(1))).unwrap();
    assert_eq!(drain(&receiver), [Event::Up(peer(1))]);
    for _ in 0..1000 {
        inbox.try_deliver(Event::Down(peer(1))).unwrap();
        inbox.try_deliver(Event::Up(peer(1))).unwrap();
    }
    assert_eq!(drain(&receiver), [Event::Down(peer(1)), Event::Up(peer(1))]);
    for _ in 0..1000 {
        inbox.try_deliver(Event::Up(peer(2))).unwrap();
        inbox.try_deliver(Event::Down(peer(2))).unwrap();
    }
    assert_eq!(drain(&receiver), []);
}

#[test]
fn the_number_of_peers_is_bounded_and_a_peer_that_left_makes_room() {
    let (inbox, receiver) = inbox(small());
    for number in 1..=3 {
        inbox.try_deliver(Event::Up(peer(number))).unwrap();
    }
    assert_eq!(
        inbox.try_deliver(Event::Up(peer(4))),
        Err(Event::Up(peer(4)))
    );
    inbox.try_deliver(Event::Down(peer(1))).unwrap();
    drain(&receiver);
    inbox.try_deliver(Event::Up(peer(4))).unwrap();
}

#[test]
fn the_receiver_learns_that_all_producers_are_gone_after_the_last_event() {
    let (inbox, receiver) = inbox(small());
    let other = inbox.clone();
    drop(inbox);
    other.try_deliver(Event::Up(peer(1))).unwrap();
    drop(other);
    let mut events = Vec::new();
    assert_eq!(
        receiver.recv_batch(&mut events, 9, PROMPT),
        RecvStatus::Received
    );
    assert_eq!(
        receiver.recv_batch(&mut events, 9, PROMPT),
        RecvStatus::Closed
    );
}

#[test]
fn producers_learn_that_the_receiver_is_gone() {
    let (inbox, receiver) = inbox(small());
    inbox.try_deliver(frame(1, Lane::Control, 1)).unwrap();
    drop(receiver);
    assert!(inbox.is_closed());
    assert!(inbox.try_deliver(Event::Up(peer(1))).is_err());
}

#[test]
fn a_sleeping_receiver_is_woken() {
    let (inbox, receiver) = inbox(small());
    let waiting = std::thread::spawn(move || {
        let mut events = Vec::new();
        (receiver.recv_batch(&mut events, 9, PROMPT), events)
    });
    inbox.try_deliver(Event::Up(peer(1))).unwrap();
    let (status, events) = waiting.join().unwrap();
    assert_eq!(
        (status, events),
        (RecvStatus::Received, vec![Event::Up(peer(1))])
    );
}

#[derive(Default)]
struct CountWakes(AtomicUsize);

impl Wake for CountWakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_reader_waits_for_room_and_is_woken_once_at_half() {
    let (inbox, receiver) = inbox(small());
    fill(&inbox, 1, Lane::Control);
    let wakes = Arc::new(CountWakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut context = Context::from_waker(&waker);
    let mut wait = pin!(inbox.wait_for_room(peer(1), Lane::Control, 10));
    assert!(wait.as_mut().poll(&mut context).is_pending());
    let mut events = Vec::new();
    receiver.recv_batch(&mut events, 4, Duration::ZERO);
    assert_eq!(wakes.0.load(Ordering::SeqCst), 0, "six of ten still wait");
    receiver.recv_batch(&mut events, 4, Duration::ZERO);
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
    assert!(wait.as_mut().poll(&mut context).is_ready());
}

#[test]
fn a_waiting_reader_is_released_when_the_receiver_goes() {
    let (inbox, receiver) = inbox(small());
    fill(&inbox, 1, Lane::Control);
    let wakes = Arc::new(CountWakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut context = Context::from_waker(&waker);
    let mut wait = pin!(inbox.wait_for_room(peer(1), Lane::Control, 10));
    assert!(wait.as_mut().poll(&mut context).is_pending());
    drop(receiver);
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
    assert!(wait.as_mut().poll(&mut context).is_ready());
}

/// One event of a random history: which peer, and what.
fn any_event() -> impl Strategy<Value = Event> {
    (1_u8..4, 0_usize..5, 1_usize..9).prop_map(|(number, kind, bytes)| match kind {
        0 => Event::Up(peer(number)),
        1 => Event::Down(peer(number)),
        other => frame(number, Lane::ALL[other - 2], bytes),
    })
}

proptest! {
    /// Whatever is delivered and whenever the node reads: per peer, ups and downs alternate, and
    /// the frames of each lane come out as they went in.
    #[test]
    fn order_is_kept_per_peer_and_lane(
        history in prop::collection::vec((any_event(), any::<bool>()), 0..300),
    ) {
        let (inbox, receiver) = inbox(InboxLimits { peers: 9, ..small() });
        let mut sent: BTreeMap<(PeerId, Lane), Vec<Bytes>> = BTreeMap::new();
        let mut received = sent.clone();
        let mut is_up: BTreeMap<PeerId, bool> = BTreeMap::new();
        let mut events = Vec::new();
        for (event, read) in history {
            if inbox.try_deliver(event.clone()).is_ok()
                && let Event::Frame { peer, lane, frame } = event {
                sent.entry((peer, lane)).or_default().push(frame);
            }
            if read {
                receiver.recv_batch(&mut events, 2, Duration::ZERO);
            }
        }
        events.extend(drain(&receiver));
        for event in events {
            match event {
                Event::Up(peer) => prop_assert!(!is_up.insert(peer, true).unwrap_or(false)),
                Event::Down(peer) => prop_assert!(is_up.insert(peer, false).unwrap_or(false)),
                Event::Frame { peer, lane, frame } => {
                    received.entry((peer, lane)).or_default().push(frame);
                }
            }
        }
        prop_assert_eq!(sent, received);
    }
}
