//! One peer: what is kept about it as long as it is listed, whichever index it has in which epoch.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use probity_transport::PeerId;

use crate::allowance::Allowance;
use crate::verify_pool::PeerQueue;

/// Pause between two words about an epoch to the same peer: how it ended, or a question how it did.
const TELL_EVERY: Duration = Duration::from_millis(100);
/// Epochs in a row that are told apart.
const EPOCHS_APART: usize = 4;
/// Requests of one peer that may wait for the disk.
const SERVE_WAITING_MAX: usize = 16;

/// What all threads share about a peer.
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    /// What it said and nobody has looked at.
    pub(crate) queue: Mutex<PeerQueue>,
    /// What it may still make this node send.
    pub(crate) allowance: Allowance,
    up: AtomicBool,
    serving: AtomicUsize,
    // When it was said last, by word and epoch: who is far behind asks for one end after the other.
    told: Mutex<[[Option<Instant>; EPOCHS_APART]; Word::COUNT]>,
}

/// What is said to a peer at most so often, whatever it says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Word {
    /// How an epoch ended that the peer takes for the running one.
    End,
    /// "How did the epoch end that I am in?"
    Question,
    /// The end of the epoch after the running one, to the core, which verifies it.
    LaterEnd,
}

impl Word {
    const COUNT: usize = 3;
}

impl Peer {
    pub(crate) fn new(id: PeerId) -> Self {
        Self {
            id,
            queue: Mutex::default(),
            allowance: Allowance::new(),
            up: AtomicBool::new(false),
            serving: AtomicUsize::new(0),
            told: Mutex::default(),
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    pub(crate) fn set_up(&self, is_up: bool) {
        self.up.store(is_up, Ordering::Release);
    }

    /// Whether a word about an epoch is due; then it counts as said.
    pub(crate) fn may_tell(&self, word: Word, epoch: u64, now: Instant) -> bool {
        let mut told = self.told.lock();
        let last = &mut told[word as usize][epoch_slot(epoch)];
        let due = last.is_none_or(|last| now.saturating_duration_since(last) >= TELL_EVERY);
        if due {
            *last = Some(now);
        }
        due
    }

    /// Takes a place among the requests that wait for the disk; `false` when the peer has too many.
    pub(crate) fn begin_serving(&self) -> bool {
        let full = self.serving.fetch_add(1, Ordering::Relaxed) >= SERVE_WAITING_MAX;
        if full {
            self.end_serving();
        }
        !full
    }

    pub(crate) fn end_serving(&self) {
        self.serving.fetch_sub(1, Ordering::Relaxed);
    }
}

fn epoch_slot(epoch: u64) -> usize {
    usize::try_from(epoch % EPOCHS_APART as u64).expect("below four")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_about_an_epoch_is_said_at_most_ten_times_a_second() {
        let peer = Peer::new(PeerId::new([1; 32]));
        let now = Instant::now();
        assert!(peer.may_tell(Word::End, 7, now));
        assert!(!peer.may_tell(Word::End, 7, now + TELL_EVERY / 2));
        assert!(peer.may_tell(Word::End, 8, now) && peer.may_tell(Word::Question, 7, now));
        assert!(peer.may_tell(Word::End, 7, now + TELL_EVERY));
        let asked = (0..1_000).filter(|epoch| peer.may_tell(Word::LaterEnd, *epoch, now));
        assert_eq!(asked.count(), EPOCHS_APART, "whichever they are about");
    }

    #[test]
    fn the_disk_keeps_few_requests_of_one_peer() {
        let peer = Peer::new(PeerId::new([1; 32]));
        let taken = (0..100).take_while(|_| peer.begin_serving()).count();
        assert_eq!(taken, SERVE_WAITING_MAX);
        peer.end_serving();
        assert!(peer.begin_serving());
    }
}
