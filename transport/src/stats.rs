//! Counters that a transport keeps about itself.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a transport has done since it was made. A copy, not live.
///
/// Each number is exact; they are read one after another, so two need not be of the same instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransportStats {
    /// Frames handed to the network.
    pub frames_sent: u64,
    /// Frames not sent: queue full, peer not up, or a size that no frame may have.
    pub frames_dropped: u64,
    /// Frames put into the inbox.
    pub frames_received: u64,
    /// Bytes handed to the network, headers included.
    pub bytes_sent: u64,
    /// Bytes taken from the network, headers included.
    pub bytes_received: u64,
    /// Links closed because the peer sent something that is not a frame.
    pub malformed_frames: u64,
    /// Handshakes refused: key not listed, key not the one dialled, or the wrong side dialled.
    pub refused_peers: u64,
    /// Incoming handshakes that ended without a link, refused ones included.
    pub failed_handshakes: u64,
    /// Links that came up for a peer that had been up before.
    pub reconnects: u64,
}

/// The live side of [`TransportStats`].
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) frames_sent: Counter,
    pub(crate) frames_dropped: Counter,
    pub(crate) frames_received: Counter,
    pub(crate) bytes_sent: Counter,
    pub(crate) bytes_received: Counter,
    pub(crate) malformed_frames: Counter,
    pub(crate) refused_peers: Counter,
    pub(crate) failed_handshakes: Counter,
    pub(crate) reconnects: Counter,
}

impl Counters {
    pub(crate) fn snapshot(&self) -> TransportStats {
        TransportStats {
            frames_sent: self.frames_sent.value(),
            frames_dropped: self.frames_dropped.value(),
            frames_received: self.frames_received.value(),
            bytes_sent: self.bytes_sent.value(),
            bytes_received: self.bytes_received.value(),
            malformed_frames: self.malformed_frames.value(),
            refused_peers: self.refused_peers.value(),
            failed_handshakes: self.failed_handshakes.value(),
            reconnects: self.reconnects.value(),
        }
    }
}

/// A number that only grows. Nothing is ordered by it, so every access is relaxed.
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, amount: usize) {
        self.0.fetch_add(amount as u64, Ordering::Relaxed);
    }

    fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
