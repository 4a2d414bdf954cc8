//! The plug: what an engine asks of whatever carries its bytes.

use bytes::Bytes;

use crate::{Inbox, Lane, Peer, PeerId, TransportStats};

/// Carries opaque frames between validators.
///
/// Frames may be lost, repeated, delayed or reordered; the engine copes. They are never forged: the
/// peer named in an [`Event`](crate::Event) is the identity that the link has proved.
///
/// What an implementation must keep, all of which [`conformance`](crate::conformance) checks:
///
/// 1. A frame reaches only the peer it was sent to, whole and unchanged, or not at all.
/// 2. Frames of one lane arrive in the order they were sent, as long as the link stays up.
/// 3. Lanes do not wait for each other: a full [`Lane::CatchUp`] never delays [`Lane::Control`].
/// 4. A link is up only when *both* sides list each other. `Up` comes before the first frame,
///    `Down` after the last; a peer that reconnects reports `Down`, then `Up`.
/// 5. Every queue is bounded. A full one drops the newest frame and counts it; nothing waits.
/// 6. A frame has 1 to [`FRAME_BYTES_MAX`](crate::FRAME_BYTES_MAX) bytes; others are dropped and
///    counted. Frames for a peer that is not up are dropped and counted.
/// 7. After [`stop`](Transport::stop) the inbox is released and hears nothing more.
///
/// Every function may be called from any thread, and none may block on a peer.
pub trait Transport: Send + Sync + 'static {
    /// Begins to connect, and reports into `inbox` from then on.
    ///
    /// Called once; further calls do nothing.
    fn start(&self, inbox: Inbox);

    /// Replaces the list of those who may connect. Called before or after `start`, and at epochs.
    ///
    /// A peer no longer listed is disconnected; one that stays keeps its link. Listing oneself is
    /// allowed and means nothing.
    fn set_peers(&self, peers: &[Peer]);

    /// Queues `frame` for `peer` and returns at once. Called for every message: keep it cheap.
    fn send(&self, peer: PeerId, lane: Lane, frame: Bytes);

    /// Closes every link and reports them down. Returns within about a second; further calls do
    /// nothing.
    fn stop(&self);

    /// What was done so far; the engine shows it among its metrics. All zeros unless implemented.
    fn stats(&self) -> TransportStats {
        TransportStats::default()
    }
}
