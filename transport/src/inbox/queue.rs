//! What one peer has delivered and the node has not taken yet. Pure: no lock, no waiting.
//!
//! Frames wait in one queue per lane, so that the lanes do not fill each other. Ups and downs wait
//! in a fourth. Together they cut the peer's history into *sections*; a frame carries the number
//! of its section and is handed out only while that section is current:
//!
//! ```text
//! delivered:  Up  a b  Down  Up  c           changes: Up Down Up
//! sections:       1          3               frames:  a(1) b(1) c(3)
//! ```

use std::collections::VecDeque;
use std::task::Waker;

use bytes::Bytes;

use crate::{Event, FRAME_BYTES_MAX, Lane, PeerId};

use super::InboxLimits;

/// Bounds of one lane of one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LaneLimits {
    pub(super) bytes: usize,
    pub(super) frames: usize,
}

impl LaneLimits {
    /// Half of a peer's queue is for blocks, a quarter each for the other lanes.
    pub(super) fn share(limits: &InboxLimits, lane: Lane) -> Self {
        let parts_of_four = match lane {
            Lane::Blocks => 2,
            Lane::Control | Lane::CatchUp => 1,
        };
        Self {
            bytes: limits.bytes_per_peer / 4 * parts_of_four,
            frames: (limits.frames_per_peer / 4 * parts_of_four).max(1),
        }
    }
}

/// The waiting events of one peer.
#[derive(Default)]
pub(super) struct PeerQueue {
    lanes: [LaneQueue; Lane::ALL.len()],
    changes: VecDeque<Change>,
    /// Changes ever accepted: the section that new frames belong to.
    section_in: u64,
    /// Changes ever handed out: the section whose frames may be handed out.
    section_out: u64,
    frames_in_section: usize,
    latest: Option<Change>,
}

#[derive(Default)]
struct LaneQueue {
    frames: VecDeque<QueuedFrame>,
    bytes: usize,
    waiting_for_room: Vec<Waker>,
}

struct QueuedFrame {
    section: u64,
    frame: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Up,
    Down,
}

impl PeerQueue {
    /// Records that the peer came or went. Saying what is already so changes nothing, and an up
    /// that nobody saw and that brought no frame is taken back by its down: so at most two changes
    /// wait per queued frame, however fast a link flaps.
    pub(super) fn push_change(&mut self, change: Change) {
        let before = self.latest.unwrap_or(Change::Down);
        if before == change {
            return;
        }
        self.latest = Some(change);
        let unseen = self.changes.back() == Some(&Change::Up) && self.frames_in_section == 0;
        if change == Change::Down && unseen {
            self.changes.pop_back();
            self.section_in -= 1;
        } else {
            self.changes.push_back(change);
            self.section_in += 1;
        }
        self.frames_in_section = 0;
    }

    /// Queues a frame, or gives it back when the lane is full. An empty lane always takes one.
    pub(super) fn push_frame(
        &mut self,
        lane: Lane,
        frame: Bytes,
        limits: LaneLimits,
    ) -> Result<(), Bytes> {
        let queue = &mut self.lanes[lane.index()];
        if !queue.has_room(frame.len(), limits) {
            return Err(frame);
        }
        queue.bytes += frame.len();
        queue.frames.push_back(QueuedFrame {
            section: self.section_in,
            frame,
        });
        self.frames_in_section += 1;
        Ok(())
    }

    /// The next event: the most urgent frame of the current section, else the change that ends it.
    pub(super) fn pop(&mut self, peer: PeerId) -> Option<Event> {
        for lane in Lane::ALL {
            let queue = &mut self.lanes[lane.index()];
            if let Some(frame) = queue.pop(self.section_out) {
                return Some(Event::Frame { peer, lane, frame });
            }
        }
        let change = self.changes.pop_front()?;
        self.section_out += 1;
        Some(match change {
            Change::Up => Event::Up(peer),
            Change::Down => Event::Down(peer),
        })
    }

    pub(super) fn has_room(&self, lane: Lane, frame_bytes: usize, limits: LaneLimits) -> bool {
        self.lanes[lane.index()].has_room(frame_bytes, limits)
    }

    pub(super) fn wake_on_room(&mut self, lane: Lane, waker: &Waker) {
        let waiting = &mut self.lanes[lane.index()].waiting_for_room;
        if !waiting.iter().any(|known| known.will_wake(waker)) {
            waiting.push(waker.clone());
        }
    }

    /// Moves out the wakers of lanes that have drained to half of their bounds.
    ///
    /// Half and not "one frame fits": a reader woken for each frame would cost a context switch
    /// per frame exactly when the node is busiest.
    pub(super) fn take_wakers(
        &mut self,
        limits: impl Fn(Lane) -> LaneLimits,
        out: &mut Vec<Waker>,
    ) {
        for lane in Lane::ALL {
            let queue = &mut self.lanes[lane.index()];
            let limits = limits(lane);
            if queue.bytes <= limits.bytes / 2 && queue.frames.len() <= limits.frames / 2 {
                out.append(&mut queue.waiting_for_room);
            }
        }
    }

    pub(super) fn take_all_wakers(&mut self, out: &mut Vec<Waker>) {
        for queue in &mut self.lanes {
            out.append(&mut queue.waiting_for_room);
        }
    }

    /// Whether nothing waits to be handed out.
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.lanes.iter().all(|lane| lane.frames.is_empty())
    }

    /// Whether the peer can be forgotten: not up, and nothing waits.
    pub(super) fn is_forgettable(&self) -> bool {
        let nobody_waits = self
            .lanes
            .iter()
            .all(|lane| lane.waiting_for_room.is_empty());
        self.latest != Some(Change::Up) && self.is_empty() && nobody_waits
    }
}

impl LaneQueue {
    fn has_room(&self, frame_bytes: usize, limits: LaneLimits) -> bool {
        let fits = self.frames.len() < limits.frames && self.bytes + frame_bytes <= limits.bytes;
        fits || self.frames.is_empty()
    }

    fn pop(&mut self, section: u64) -> Option<Bytes> {
        if self.frames.front()?.section != section {
            return None;
        }
        let QueuedFrame { frame, .. } = self.frames.pop_front()?;
        self.bytes -= frame.len();
        Some(frame)
    }
}

/// The most that one peer can make an inbox hold: its share of each lane, or one frame of the
/// largest size where that is more.
pub(super) fn held_bytes_max(limits: &InboxLimits) -> usize {
    let lane_max = |lane| LaneLimits::share(limits, lane).bytes.max(FRAME_BYTES_MAX);
    Lane::ALL.into_iter().map(lane_max).sum()
}
