//! Carries opaque frames between the validators of a network, and knows nothing of consensus.
//!
//! ```text
//!   engine ── send(peer, lane, frame) ─▶ Transport ══ network ══▶ Transport ─▶ Inbox
//!                                         bounded queue            │ one bounded queue per peer
//!                                         per peer and lane        ▼
//!                                                 engine ◀─ recv_batch ─ InboxReceiver
//! ```
//!
//! Two transports live here: [`QuicTransport`] for real networks and [`MemoryNetwork`] for tests
//! and examples. A third one implements [`Transport`], four functions, and runs the
//! [`conformance`] suite in one line.
//!
//! # Two nodes in one process
//!
//! ```
//! use std::time::Duration;
//! use probity_transport::{
//!     Event, InboxLimits, Lane, MemoryNetwork, PeerId, RecvStatus, Transport, inbox,
//! };
//!
//! let network = MemoryNetwork::new();
//! let alice = network.transport(PeerId::new([1; 32]));
//! let bob = network.transport(PeerId::new([2; 32]));
//! let (alices_inbox, _alice_hears) = inbox(InboxLimits::default());
//! let (bobs_inbox, bob_hears) = inbox(InboxLimits::default());
//!
//! // Both list each other, or there is no link.
//! alice.set_peers(&[bob.as_peer()]);
//! bob.set_peers(&[alice.as_peer()]);
//! alice.start(alices_inbox);
//! bob.start(bobs_inbox);
//! alice.send(bob.id(), Lane::Control, "a vote".into());
//!
//! let mut events = Vec::new();
//! let status = bob_hears.recv_batch(&mut events, 64, Duration::from_secs(1));
//! assert_eq!(status, RecvStatus::Received);
//! let vote = Event::Frame { peer: alice.id(), lane: Lane::Control, frame: "a vote".into() };
//! assert_eq!(events, [Event::Up(alice.id()), vote]);
//! ```
//!
//! # The same over QUIC
//!
//! ```
//! # #[cfg(feature = "quic")] fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use probity_transport::{
//!     Event, InboxLimits, NetworkKey, Peer, QuicOptions, QuicTransport, Transport, inbox,
//! };
//!
//! let options = QuicOptions::for_network([42; 32]);
//! let any_port = "127.0.0.1:0".parse()?;
//! // Real seeds are 32 secret random bytes.
//! let alice = QuicTransport::bind(any_port, NetworkKey::from_seed([1; 32]), options.clone())?;
//! let bob = QuicTransport::bind(any_port, NetworkKey::from_seed([2; 32]), options)?;
//! let (alices_inbox, alice_hears) = inbox(InboxLimits::default());
//! let (bobs_inbox, _bob_hears) = inbox(InboxLimits::default());
//!
//! alice.set_peers(&[Peer { id: bob.id(), address: bob.local_address() }]);
//! bob.set_peers(&[Peer { id: alice.id(), address: alice.local_address() }]);
//! alice.start(alices_inbox);
//! bob.start(bobs_inbox);
//!
//! let mut events = Vec::new();
//! alice_hears.recv_batch(&mut events, 1, Duration::from_secs(20));
//! assert_eq!(events, [Event::Up(bob.id())]);
//! # Ok(()) }
//! # #[cfg(feature = "quic")] run().unwrap();
//! ```
//!
//! # What to rely on
//!
//! - A frame that arrives is whole, and its sender has proved the key it is named by.
//! - A frame may be lost: when a queue is full, when the link breaks. Losses are counted, and
//!   nobody waits: `send` returns at once, and a slow peer costs a bounded amount of memory.
//! - Lanes are independent, so votes pass bulk. Peers are too, so a flood drowns only its source.
//!
//! Reading order: [`Transport`] (the contract), [`Lane`], [`Inbox`], [`FrameDecoder`], then
//! `memory.rs`, the contract without a network, then `quic.rs`.
//!
//! # Features
//!
//! `quic` (default): [`QuicTransport`]. `testing`: the [`conformance`] suite, and [`LoneLanes`].
//!
//! Out of scope: broadcast and gossip (the engine sends to each), routing, and discovery (the
//! committee record says who listens where).
#![forbid(unsafe_code)]
#![cfg_attr(
    not(all(feature = "quic", feature = "testing")),
    allow(rustdoc::broken_intra_doc_links)
)]

#[cfg(feature = "testing")]
pub mod conformance;
mod frame;
mod inbox;
mod memory;
mod peer;
#[cfg(feature = "quic")]
mod quic;
#[cfg(feature = "quic")]
mod reconnect;
mod stats;
mod transport;

pub use frame::{
    DecodedFrame, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, FrameDecoder, FrameError, decode_frame,
    encode_frame,
};
pub use inbox::{Event, Inbox, InboxLimits, InboxReceiver, RecvStatus, inbox};
pub use memory::{MemoryNetwork, MemoryTransport};
pub use peer::{Lane, Peer, PeerId};
#[cfg(feature = "quic")]
#[cfg(all(feature = "quic", feature = "testing"))]
pub use quic::LoneLanes;
#[cfg(feature = "quic")]
pub use quic::{NetworkKey, QueueLimits, QuicOptions, QuicTransport, TransportError};
pub use stats::TransportStats;
pub use transport::Transport;
