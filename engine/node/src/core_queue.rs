//! What waits for the core, bounded in number and in bytes.
//!
//! ```text
//!   verify pool ── place, and a permit if it is large ──▶ queue ──▶ core: both are free again
//! ```
//!
//! A block has up to two megabytes, so thousands of places alone would hold gigabytes while the disk hangs and the core
//! waits for it.

use std::sync::Arc;

use bytes::Bytes;
use crossbeam::channel::{Receiver, SendError, Sender, bounded};
use probity_core::{
    BlockRef, CommitCertificate, CommitIndex, EpochEnd, Link, Round, SignedVotes, VerifiedBlock,
};

use crate::peer::Peer;
use crate::wake::Bell;

/// Inputs that wait for the core.
const PLACES: usize = 4096;
/// What has more bytes needs a permit besides; what has not takes 256 MiB in all at most.
const LARGE_BYTES: usize = 64 << 10;
/// Large inputs that wait for the core; with no more than a frame in each, 256 MiB at most.
const PERMITS: usize = 64;

/// What arrives for the replica.
pub(crate) enum Input {
    /// A verified block.
    Block(Arc<Peer>, VerifiedBlock),
    /// Votes of a refused block of this epoch.
    Votes(u64, Box<SignedVotes>),
    /// A link came up or went down.
    Link(Arc<Peer>, Link),
    /// A peer asks for blocks.
    Fetch(Arc<Peer>, Vec<BlockRef>),
    /// A peer asks for blocks and what stands beneath them.
    FetchHistory(Arc<Peer>, Round, Vec<BlockRef>),
    /// A peer lacks blocks.
    NotHeld(Arc<Peer>, Vec<BlockRef>),
    /// A peer asks for own blocks of this epoch after a round.
    Replay(Arc<Peer>, u64, Round),
    /// A peer asks for the certificate of an epoch's commit, or of a later one (R35).
    FetchCertificate(Arc<Peer>, u64, CommitIndex),
    /// A certificate verified in this epoch, or the word that the peer has none.
    Certificate(Arc<Peer>, Option<(u64, Arc<CommitCertificate>)>),
    /// A peer asks for so many commit records.
    FetchCommits(Arc<Peer>, CommitIndex, u8),
    /// A peer sends commit records.
    Commits(Arc<Peer>, CommitIndex, Vec<Bytes>),
    /// How the epoch ended, verified.
    EpochEnd(Arc<Peer>, Arc<EpochEnd>),
    /// How the epoch after it ended, not verified.
    LaterEnd(Arc<Peer>, Arc<EpochEnd>),
}

impl Input {
    /// What it holds of a peer's frames.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Block(_, block) => {
                let block = block.block();
                block.signed_header().len() + block.payload().bytes().len()
            }
            Self::Commits(_, _, records) => records.iter().map(Bytes::len).sum(),
            // No more than some kilobytes each.
            Self::Votes(..)
            | Self::Link(..)
            | Self::Fetch(..)
            | Self::FetchHistory(..)
            | Self::NotHeld(..)
            | Self::Replay(..)
            | Self::FetchCertificate(..)
            | Self::Certificate(..)
            | Self::FetchCommits(..)
            | Self::EpochEnd(..)
            | Self::LaterEnd(..) => 0,
        }
    }
}

/// Hands inputs to the core.
#[derive(Clone)]
pub(crate) struct ToCore {
    places: Sender<Waiting>,
    permits: Receiver<()>,
    bell: Bell,
}

/// The core's end.
pub(crate) struct Inputs {
    waiting: Receiver<Waiting>,
    // The only sender: whoever waits for a permit learns when the core is gone.
    permits: Sender<()>,
}

struct Waiting {
    input: Input,
    has_permit: bool,
}

/// The queue, whose inputs ring that bell.
pub(crate) fn core_queue(bell: Bell) -> (ToCore, Inputs) {
    let (places, waiting) = bounded(PLACES);
    let (back, permits) = bounded(PERMITS);
    for _ in 0..PERMITS {
        back.send(()).expect("there is room for all");
    }
    let to_core = ToCore {
        places,
        permits,
        bell,
    };
    let inputs = Inputs {
        waiting,
        permits: back,
    };
    (to_core, inputs)
}

impl ToCore {
    /// Waits while the core's queue is full.
    ///
    /// # Errors
    /// When the core is gone.
    pub(crate) fn send(&self, input: Input) -> Result<(), SendError<Input>> {
        let has_permit = input.bytes() > LARGE_BYTES;
        if has_permit && self.permits.recv().is_err() {
            return Err(SendError(input));
        }
        let sent = self.places.send(Waiting { input, has_permit });
        sent.map_err(|SendError(refused)| SendError(refused.input))?;
        self.bell.ring();
        Ok(())
    }
}

impl Inputs {
    /// The next one that waits.
    pub(crate) fn take(&self) -> Option<Input> {
        let Waiting { input, has_permit } = self.waiting.try_recv().ok()?;
        if has_permit {
            // There is room for as many as there are, and an error only says that nobody sends any more.
            let _ = self.permits.try_send(());
        }
        Some(input)
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use probity_transport::PeerId;

    use super::*;

    fn of(bytes: usize) -> Input {
        let peer = Arc::new(Peer::new(PeerId::new([1; 32])));
        Input::Commits(peer, CommitIndex(1), vec![Bytes::from(vec![0; bytes])])
    }

    /// Sends so many from another thread, and waits until as many as there is room for got in: no more do.
    fn fill(to_core: &ToCore, bytes: usize, (count, room): (usize, usize)) {
        let (sender, sent) = (to_core.clone(), Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&sent);
        std::thread::spawn(move || {
            for _ in 0..count {
                if sender.send(of(bytes)).is_err() {
                    return;
                }
                counter.fetch_add(1, Ordering::SeqCst);
            }
        });
        while sent.load(Ordering::SeqCst) < room {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(sent.load(Ordering::SeqCst), room);
    }

    #[test]
    fn large_inputs_wait_for_room_that_small_ones_do_not_need() {
        let (to_core, inputs) = core_queue(Bell::default());
        fill(&to_core, LARGE_BYTES + 1, (PERMITS + 2, PERMITS));
        fill(&to_core, LARGE_BYTES, (10, 10));
        // Each that is taken makes room for one that waits.
        let mut left = PERMITS + 2 + 10;
        while left > 0 {
            match inputs.take() {
                Some(_) => left -= 1,
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        assert!(inputs.is_empty());
        // All permits are back.
        fill(&to_core, LARGE_BYTES + 1, (PERMITS, PERMITS));
    }

    #[test]
    fn nobody_waits_for_a_core_that_is_gone() {
        let (to_core, inputs) = core_queue(Bell::default());
        fill(&to_core, LARGE_BYTES + 1, (PERMITS + 2, PERMITS));
        drop(inputs);
        assert!(to_core.send(of(LARGE_BYTES + 1)).is_err());
        assert!(to_core.send(of(1)).is_err());
    }
}
