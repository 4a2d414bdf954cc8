//! Frames waiting for the network: one bounded queue per lane of a peer.
//!
//! ```text
//! send() on any thread ─▶ | lane queue | ─▶ I/O thread: a batch of frames ─▶ chunks ─▶ stream
//!                              └─ first frame of an empty queue: ring the transport's bell
//! ```
//!
//! The bell is one per transport. Waking a sleeping I/O thread costs a system call; a broadcast to
//! a hundred peers rings once, and while the bell has not been answered, ringing costs nothing.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{BufMut, Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::limits::{BATCH_BYTES, BLOCK_BYTES, COPIED_FRAME_BYTES_MAX};
use crate::Lane;
use crate::frame::{FRAME_HEADER_BYTES, put_header};

/// Bounds of one lane's outgoing queue to one peer.
///
/// An empty queue takes one frame of any legal size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Bytes of frames.
    pub bytes: usize,
    /// Number of frames.
    pub frames: usize,
}

/// The outgoing queues of one peer, one per lane. Closed while the peer is not up.
pub(super) struct OutgoingLanes {
    lanes: [OutgoingLane; Lane::ALL.len()],
}

/// Whether a frame was queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Push {
    /// Queued; the writer knows or will look.
    Queued,
    /// Queued into an empty queue, so the writer may sleep: ring.
    Ring,
    /// Full, or the peer is not up.
    Dropped,
}

impl OutgoingLanes {
    pub(super) fn new(limits: [QueueLimits; Lane::ALL.len()]) -> Self {
        Self {
            lanes: limits.map(OutgoingLane::new),
        }
    }

    pub(super) fn lane(&self, lane: Lane) -> &OutgoingLane {
        &self.lanes[lane.index()]
    }

    pub(super) fn open(&self) {
        for lane in &self.lanes {
            lane.queue.lock().open = true;
        }
    }

    /// Refuses further frames and throws away those that wait; returns how many they were.
    pub(super) fn close(&self) -> usize {
        let close = |lane: &OutgoingLane| {
            let mut queue = lane.queue.lock();
            queue.open = false;
            queue.bytes = 0;
            std::mem::take(&mut queue.frames).len()
        };
        self.lanes.iter().map(close).sum()
    }

    /// Wakes the writers whose queues rang.
    pub(super) fn answer(&self) {
        for lane in &self.lanes {
            if lane.rang.swap(false, Ordering::AcqRel) {
                lane.ready.notify_one();
            }
        }
    }
}

/// One lane's outgoing queue.
pub(super) struct OutgoingLane {
    limits: QueueLimits,
    // Filled by the engine's threads, emptied by the I/O thread: it is the hand-over itself.
    queue: Mutex<Queue>,
    rang: AtomicBool,
    ready: Notify,
}

#[derive(Default)]
struct Queue {
    open: bool,
    frames: VecDeque<Bytes>,
    bytes: usize,
}

impl OutgoingLane {
    fn new(limits: QueueLimits) -> Self {
        let queue = Mutex::new(Queue::default());
        Self {
            limits,
            queue,
            rang: AtomicBool::new(false),
            ready: Notify::new(),
        }
    }

    pub(super) fn push(&self, frame: Bytes) -> Push {
        let mut queue = self.queue.lock();
        let was_empty = queue.frames.is_empty();
        let fits = queue.frames.len() < self.limits.frames
            && queue.bytes + frame.len() <= self.limits.bytes;
        if !queue.open || !(fits || was_empty) {
            return Push::Dropped;
        }
        queue.bytes += frame.len();
        queue.frames.push_back(frame);
        drop(queue);
        if !was_empty {
            return Push::Queued;
        }
        self.rang.store(true, Ordering::Release);
        Push::Ring
    }

    /// Waits for frames and moves a batch of them into `batch`.
    pub(super) async fn take(&self, batch: &mut WriteBatch) {
        loop {
            self.move_into(batch);
            if batch.frames > 0 {
                return;
            }
            self.ready.notified().await;
        }
    }

    /// Moves frames until the batch has its size; at least one, if there is any.
    fn move_into(&self, batch: &mut WriteBatch) {
        let mut queue = self.queue.lock();
        while batch.bytes < BATCH_BYTES {
            let Some(frame) = queue.frames.pop_front() else {
                break;
            };
            queue.bytes -= frame.len();
            batch.add(frame);
        }
        drop(queue);
        batch.seal();
    }
}

/// The transport's bell: set by senders, answered by the I/O thread.
#[derive(Default)]
pub(super) struct Bell {
    ringing: AtomicBool,
    heard: Notify,
}

impl Bell {
    pub(super) fn ring(&self) {
        if !self.ringing.swap(true, Ordering::AcqRel) {
            self.heard.notify_one();
        }
    }

    /// Waits for a ring. Whoever rings from here on will be heard again, so look at the queues
    /// after this and not before.
    pub(super) async fn wait(&self) {
        self.heard.notified().await;
        self.ringing.swap(false, Ordering::AcqRel);
    }
}

/// Frames laid out for one write.
///
/// A large frame goes as it is, shared with every other peer that it was sent to. Small ones are
/// copied together into blocks: the stream keeps unacknowledged chunks in a list that it walks for
/// each packet, so a thousand chunks of 1 KiB cost far more than the copy.
pub(super) struct WriteBatch {
    pub(super) chunks: Vec<Bytes>,
    pub(super) frames: usize,
    pub(super) bytes: usize,
    block: BytesMut,
}

impl WriteBatch {
    pub(super) fn new() -> Self {
        Self {
            chunks: Vec::new(),
            frames: 0,
            bytes: 0,
            block: BytesMut::new(),
        }
    }

    /// Forgets what was written.
    pub(super) fn clear(&mut self) {
        self.chunks.clear();
        self.frames = 0;
        self.bytes = 0;
    }

    fn add(&mut self, frame: Bytes) {
        self.frames += 1;
        self.bytes += FRAME_HEADER_BYTES + frame.len();
        if self.block.capacity() - self.block.len() < FRAME_HEADER_BYTES + COPIED_FRAME_BYTES_MAX {
            self.seal();
            self.block.reserve(BLOCK_BYTES);
        }
        put_header(frame.len(), &mut self.block);
        if frame.len() <= COPIED_FRAME_BYTES_MAX {
            self.block.put_slice(&frame);
        } else {
            self.seal();
            self.chunks.push(frame);
        }
    }

    /// Ends the block under construction.
    fn seal(&mut self) {
        if !self.block.is_empty() {
            self.chunks.push(self.block.split().freeze());
        }
    }
}

/// One peer's outgoing queues without a network, for tests and fuzz targets: frames in, the chunks of a stream out.
#[cfg(feature = "testing")]
pub struct LoneLanes {
    lanes: OutgoingLanes,
    batch: WriteBatch,
}

#[cfg(feature = "testing")]
impl LoneLanes {
    /// Open queues with these bounds.
    #[must_use]
    pub fn open(limits: [QueueLimits; Lane::ALL.len()]) -> Self {
        let lanes = OutgoingLanes::new(limits);
        lanes.open();
        Self {
            lanes,
            batch: WriteBatch::new(),
        }
    }

    /// Queues a frame; whether it found room.
    pub fn push(&mut self, lane: Lane, frame: Bytes) -> bool {
        self.lanes.lane(lane).push(frame) != Push::Dropped
    }

    /// The chunks of the lane's next batch, as one write would send them; none when nothing waits.
    pub fn take(&mut self, lane: Lane) -> &[Bytes] {
        self.batch.clear();
        self.lanes.lane(lane).move_into(&mut self.batch);
        &self.batch.chunks
    }

    /// Throws away what waits, as when the link breaks, and opens the queues again.
    pub fn reopen(&mut self) -> usize {
        let lost = self.lanes.close();
        self.lanes.open();
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FrameDecoder;

    const LIMITS: QueueLimits = QueueLimits {
        bytes: 100,
        frames: 3,
    };

    fn open_lanes() -> OutgoingLanes {
        let lanes = OutgoingLanes::new([LIMITS; 3]);
        lanes.open();
        lanes
    }

    fn frame(bytes: usize) -> Bytes {
        Bytes::from(vec![7; bytes])
    }

    #[test]
    fn a_full_queue_drops_the_newest_frame() {
        let lanes = open_lanes();
        let lane = lanes.lane(Lane::Blocks);
        let pushed = [10, 20, 30, 40].map(|bytes| lane.push(frame(bytes)));
        assert_eq!(
            pushed,
            [Push::Ring, Push::Queued, Push::Queued, Push::Dropped]
        );
        let mut batch = WriteBatch::new();
        lane.move_into(&mut batch);
        assert_eq!(batch.frames, 3);
        assert_eq!(
            lane.push(frame(1000)),
            Push::Ring,
            "an empty queue takes any frame"
        );
        assert_eq!(lane.push(frame(1)), Push::Dropped);
    }

    #[test]
    fn a_closed_queue_takes_nothing_and_forgets_what_it_had() {
        let lanes = open_lanes();
        lanes.lane(Lane::Control).push(frame(1));
        assert_eq!(lanes.close(), 1);
        assert_eq!(lanes.lane(Lane::Control).push(frame(1)), Push::Dropped);
        lanes.open();
        let mut batch = WriteBatch::new();
        lanes.lane(Lane::Control).move_into(&mut batch);
        assert_eq!(batch.frames, 0);
    }

    #[test]
    fn a_batch_holds_the_frames_in_order_in_few_chunks() {
        let sizes = [
            1,
            COPIED_FRAME_BYTES_MAX,
            COPIED_FRAME_BYTES_MAX + 1,
            5,
            BLOCK_BYTES,
            9,
        ];
        let mut batch = WriteBatch::new();
        for size in sizes {
            batch.add(frame(size));
        }
        for _ in 0..100 {
            batch.add(frame(50));
        }
        batch.seal();
        assert!(batch.chunks.len() < 10, "{} chunks", batch.chunks.len());
        let stream = batch.chunks.concat();
        assert_eq!(stream.len(), batch.bytes);
        let mut decoder = FrameDecoder::new();
        let mut rest = &stream[..];
        let mut decoded = Vec::new();
        while let Some(frame) = decoder.next_frame(&mut rest).unwrap() {
            decoded.push(frame.len());
        }
        assert_eq!(decoded[..sizes.len()], sizes);
        assert_eq!(decoded.len(), batch.frames);
    }
}
