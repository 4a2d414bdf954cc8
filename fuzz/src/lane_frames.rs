//! Frames on their way through a link: queued by lane, laid out for the stream, cut apart, delivered.
//!
//! ```text
//!   push ─▶ lane queue ─▶ batch of chunks ─▶ FrameDecoder ─▶ Inbox ─▶ recv_batch
//!           may refuse                                       may refuse
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use probity_transport::{
    Event, FrameDecoder, Inbox, InboxLimits, InboxReceiver, Lane, LoneLanes, PeerId, QueueLimits,
    inbox,
};

/// Drives one link with operations drawn from `data`.
///
/// - A frame that was taken arrives once, whole, and in the order of its lane; one that was refused never does.
/// - Queues keep their bounds, and an empty one takes any frame.
/// - Frames are handed out only between the up and the down of their link.
///
/// # Panics
/// When one of these promises is broken.
pub fn lane_frames(data: &[u8]) {
    let mut input = Unstructured::new(data);
    // An input that ends early is a shorter run.
    let _ = run(&mut input);
}

fn run(input: &mut Unstructured<'_>) -> Result<()> {
    let limits = QueueLimits {
        bytes: input.int_in_range(1..=20_000)?,
        frames: input.int_in_range(1..=20)?,
    };
    let mut link = Link::new(limits);
    link.change(Event::Up);
    for _ in 0..OPERATIONS_MAX {
        if input.is_empty() {
            break;
        }
        let operation = input.arbitrary::<u8>()?;
        let lane = Lane::ALL[usize::from(operation >> 4) % Lane::ALL.len()];
        match operation % 8 {
            0..=2 => link.push(lane, frame(input)?),
            3..=4 => link.transmit(lane, input.int_in_range(1..=5_000)?),
            5..=6 => {
                link.receive(input.int_in_range(1..=8)?);
            }
            _ => link.flap(),
        }
    }
    link.finish();
    Ok(())
}

/// Small frames, and some around the sizes at which the layout changes.
fn frame(input: &mut Unstructured<'_>) -> Result<Bytes> {
    let kind = input.arbitrary::<u8>()?;
    let length = match kind {
        0..=199 => 1 + usize::from(kind),
        200..=249 => 4_090 + usize::from(kind - 200),
        _ => 12_000 * usize::from(kind - 249),
    };
    Ok(Bytes::from(vec![input.arbitrary::<u8>()?; length]))
}

struct Link {
    lanes: LoneLanes,
    limits: QueueLimits,
    /// What each lane's queue holds.
    queued: [VecDeque<Bytes>; 3],
    decoders: [FrameDecoder; 3],
    /// Cut apart, not yet taken by the inbox: flow control.
    waiting: [VecDeque<Bytes>; 3],
    inbox: Inbox,
    receiver: InboxReceiver,
    /// What the inbox took and has not handed out.
    delivered: [VecDeque<Bytes>; 3],
    /// What the receiver was told last.
    is_up: bool,
}

impl Link {
    fn new(limits: QueueLimits) -> Self {
        let (inbox, receiver) = inbox(InboxLimits {
            peers: 1,
            bytes_per_peer: 40_000,
            frames_per_peer: 24,
        });
        Self {
            lanes: LoneLanes::open([limits; 3]),
            limits,
            queued: Default::default(),
            decoders: Default::default(),
            waiting: Default::default(),
            inbox,
            receiver,
            delivered: Default::default(),
            is_up: false,
        }
    }

    fn push(&mut self, lane: Lane, frame: Bytes) {
        let queue = &mut self.queued[place(lane)];
        let bytes: usize = queue.iter().map(Bytes::len).sum();
        let fits = queue.len() < self.limits.frames && bytes + frame.len() <= self.limits.bytes;
        let taken = self.lanes.push(lane, frame.clone());
        assert_eq!(taken, fits || queue.is_empty(), "a queue keeps its bounds");
        if taken {
            queue.push_back(frame);
        }
    }

    /// One batch over the wire, arriving in pieces.
    fn transmit(&mut self, lane: Lane, piece_bytes: usize) {
        let at = place(lane);
        let stream = self.lanes.take(lane).concat();
        for mut piece in stream.chunks(piece_bytes) {
            while let Some(frame) = self.decoders[at]
                .next_frame(&mut piece)
                .expect("what was laid out is frames")
            {
                let sent = self.queued[at].pop_front();
                assert_eq!(sent.as_ref(), Some(&frame), "frames keep their order");
                self.waiting[at].push_back(frame);
            }
        }
        assert_eq!(
            self.decoders[at].held_bytes(),
            0,
            "a batch ends with a frame"
        );
        self.deliver(lane);
    }

    fn deliver(&mut self, lane: Lane) {
        let at = place(lane);
        while let Some(frame) = self.waiting[at].pop_front() {
            let event = Event::Frame {
                peer: PEER,
                lane,
                frame: frame.clone(),
            };
            if self.inbox.try_deliver(event).is_err() {
                assert!(
                    !self.delivered[at].is_empty(),
                    "an empty lane takes any frame"
                );
                self.waiting[at].push_front(frame);
                return;
            }
            self.delivered[at].push_back(frame);
        }
    }

    fn receive(&mut self, events_max: usize) -> bool {
        let mut events = Vec::new();
        self.receiver
            .recv_batch(&mut events, events_max, Duration::ZERO);
        assert!(events.len() <= events_max);
        let any = !events.is_empty();
        for event in events {
            match event {
                Event::Up(_) => assert!(!std::mem::replace(&mut self.is_up, true), "up twice"),
                Event::Down(_) => assert!(std::mem::replace(&mut self.is_up, false), "down twice"),
                Event::Frame { lane, frame, .. } => {
                    assert!(self.is_up, "a frame of a link that is down");
                    let expected = self.delivered[place(lane)].pop_front();
                    assert_eq!(expected, Some(frame), "another frame than was delivered");
                }
            }
        }
        Lane::ALL.into_iter().for_each(|lane| self.deliver(lane));
        any
    }

    /// The link breaks and comes back: what had not been cut apart is lost.
    fn flap(&mut self) {
        let lost = self.lanes.reopen();
        let queued: usize = self.queued.iter().map(VecDeque::len).sum();
        assert_eq!(lost, queued, "a closed queue counts what it lost");
        self.queued.iter_mut().for_each(VecDeque::clear);
        self.waiting.iter_mut().for_each(VecDeque::clear);
        self.decoders = Default::default();
        self.change(Event::Down);
        self.change(Event::Up);
    }

    fn change(&mut self, event: fn(PeerId) -> Event) {
        let taken = self.inbox.try_deliver(event(PEER));
        assert!(taken.is_ok(), "ups and downs always find room");
    }

    /// Everything that was taken arrives in the end.
    fn finish(&mut self) {
        for lane in Lane::ALL {
            while !self.queued[place(lane)].is_empty() {
                self.transmit(lane, 1_000);
            }
        }
        while self.receive(64) {}
        assert!(self.is_up);
        assert!(
            self.delivered
                .iter()
                .chain(&self.waiting)
                .all(VecDeque::is_empty)
        );
    }
}

fn place(lane: Lane) -> usize {
    Lane::ALL
        .iter()
        .position(|other| *other == lane)
        .expect("one of all lanes")
}

const PEER: PeerId = PeerId::new([7; 32]);
const OPERATIONS_MAX: usize = 200;
