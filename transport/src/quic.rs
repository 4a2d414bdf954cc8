//! Links over QUIC: encrypted, authenticated by listed keys, one long stream per lane.
//!
//! | who | where | owns |
//! |---|---|---|
//! | callers of `send` | any thread | nothing: they push to a lane's queue and ring the bell |
//! | the I/O thread `probity-quic` | one per transport | socket, connections, readers and writers |
//! | the node's receiver | its own thread | its half of the inbox |
//!
//! Reading order: `identity` (keys and TLS), `limits` (every bound), `peers`, `lanes`, `link`,
//! `endpoint`.
//!
//! Of a pair, the side with the lower key dials. Out of scope: NAT traversal, address changes of a
//! live connection, and peers behind a changing address, because validators have fixed ones.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use quinn::{Endpoint, Runtime as _, TokioRuntime};
use tokio::sync::{Notify, oneshot};

use crate::frame::check_body_len;
use crate::stats::Counters;
use crate::{Inbox, Lane, Peer, PeerId, Transport, TransportStats};
use endpoint::Shared;
use lanes::{Bell, Push};
use peers::PeerTable;

pub use identity::NetworkKey;
#[cfg(feature = "testing")]
pub use lanes::LoneLanes;
pub use lanes::QueueLimits;

mod congestion;
mod endpoint;
mod identity;
mod lanes;
mod limits;
mod link;
mod peers;
mod socket;
#[cfg(test)]
mod tests;

/// Settings of a [`QuicTransport`]. The defaults suit validators in data centres.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuicOptions {
    /// Names the network. Nodes of different networks refuse each other in the handshake.
    pub protocol: [u8; 32],
    /// The largest UDP payload tried, in bytes. Discovery finds what the path carries; above
    /// 1452 it needs jumbo frames or loopback.
    pub mtu_max: u16,
    /// Bounds of the outgoing queues of each peer, in the order of [`Lane::ALL`].
    pub queues: [QueueLimits; Lane::ALL.len()],
    /// Bytes that a peer may have under way on one lane. Times three lanes, this bounds the
    /// memory for a peer's unread bytes; divided by the round trip, it bounds a lane's rate.
    pub stream_window_bytes: u32,
    /// Size asked of the system for each of the socket's two buffers, in bytes.
    pub socket_buffer_bytes: usize,
    /// How often an idle link shows that it lives.
    pub keep_alive: Duration,
    /// A link that is silent for this long is down.
    pub idle_timeout: Duration,
}

impl QuicOptions {
    /// The defaults, for the network named `protocol`.
    #[must_use]
    pub fn for_network(protocol: [u8; 32]) -> Self {
        const MIB: usize = 1024 * 1024;
        Self {
            protocol,
            mtu_max: 4096,
            queues: [
                QueueLimits {
                    bytes: 4 * MIB,
                    frames: 4096,
                },
                QueueLimits {
                    bytes: 16 * MIB,
                    frames: 1024,
                },
                QueueLimits {
                    bytes: 8 * MIB,
                    frames: 256,
                },
            ],
            stream_window_bytes: 2 * 1024 * 1024,
            socket_buffer_bytes: 4 * MIB,
            keep_alive: Duration::from_secs(3),
            idle_timeout: Duration::from_secs(10),
        }
    }

    /// The application protocol in the handshake: version of the wire format and network.
    fn alpn(&self) -> Vec<u8> {
        format!("probity/1/{}", PeerId::new(self.protocol)).into_bytes()
    }
}

/// The defaults, for the network whose name is all zeros.
impl Default for QuicOptions {
    fn default() -> Self {
        Self::for_network([0; 32])
    }
}

/// Why a [`QuicTransport`] could not be made. After that nothing fails: links come and go.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The system refused something.
    #[error("cannot {op}")]
    System {
        /// What was tried.
        op: &'static str,
        /// Its answer.
        source: io::Error,
    },
    /// The TLS library refused the configuration.
    #[error("cannot configure TLS")]
    Tls(#[from] rustls::Error),
    /// An option has a value that cannot work.
    #[error("bad option: {0}")]
    Options(&'static str),
}

/// A [`Transport`] over QUIC.
///
/// Bound but silent until started. Dropping it stops it.
pub struct QuicTransport {
    id: PeerId,
    address: SocketAddr,
    shared: Arc<Shared>,
    // Taken by the first `start` and the first `stop`, which may come from different threads.
    control: Mutex<Control>,
}

#[derive(Default)]
struct Control {
    start: Option<mpsc::Sender<Inbox>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl QuicTransport {
    /// Binds `address` and prepares everything that can fail. Port 0 lets the system choose; see
    /// [`local_address`](Self::local_address).
    ///
    /// # Errors
    /// [`TransportError`] when the address is taken, a thread cannot be made, or an option is bad.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a key has one owner, and ends here"
    )]
    pub fn bind(
        address: SocketAddr,
        identity: NetworkKey,
        options: QuicOptions,
    ) -> Result<Self, TransportError> {
        let system = |op| move |source| TransportError::System { op, source };
        let id = identity.public();
        let counters = Arc::new(Counters::default());
        let peers = Arc::new(PeerTable::new(id, options.queues, Arc::clone(&counters)));
        let tls = identity::tls_configs(&identity, options.alpn(), Arc::clone(&peers) as _)?;
        let transport = Arc::new(limits::transport_config(&options)?);
        let configs = limits::server_config(tls, transport);
        let endpoint_config = limits::endpoint_config(&identity, options.mtu_max)?;
        let socket = socket::bind(address, options.socket_buffer_bytes)
            .map_err(system("bind the UDP socket"))?;
        let address = socket
            .local_addr()
            .map_err(system("read the bound address"))?;

        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(system("make the I/O runtime"))?;
        let endpoint = {
            let _entered = runtime.enter();
            let socket = TokioRuntime
                .wrap_udp_socket(socket)
                .map_err(system("register the socket"))?;
            let segments = socket.max_transmit_segments();
            tracing::info!(%id, %address, segments, offload = segments > 1, "QUIC transport bound");
            let server = Some(configs.server);
            let quic_runtime = Arc::new(TokioRuntime);
            let mut endpoint =
                Endpoint::new_with_abstract_socket(endpoint_config, server, socket, quic_runtime)
                    .map_err(system("make the QUIC endpoint"))?;
            endpoint.set_default_client_config(configs.client);
            endpoint
        };
        let shared = Arc::new(Shared {
            peers,
            counters,
            bell: Bell::default(),
            listing: Notify::new(),
        });
        let control = spawn_thread(Arc::clone(&shared), runtime, endpoint)
            .map_err(system("start the I/O thread"))?;
        Ok(Self {
            id,
            address,
            shared,
            control: Mutex::new(control),
        })
    }

    /// The identity that peers list.
    #[must_use]
    pub fn id(&self) -> PeerId {
        self.id
    }

    /// The bound address, with the port that the system chose.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// What this transport has done so far.
    #[must_use]
    pub fn stats(&self) -> TransportStats {
        self.shared.counters.snapshot()
    }
}

impl Transport for QuicTransport {
    fn start(&self, inbox: Inbox) {
        let start = self.control.lock().start.take();
        if let Some(start) = start {
            // Refused only when the thread is gone, and then nothing is left to start.
            let _ = start.send(inbox);
        }
    }

    fn set_peers(&self, peers: &[Peer]) {
        self.shared.peers.replace(peers);
        self.shared.listing.notify_one();
    }

    fn send(&self, peer: PeerId, lane: Lane, frame: Bytes) {
        let push = match self.shared.peers.get(peer) {
            Some(entry) if check_body_len(frame.len()).is_ok() => {
                entry.lanes.lane(lane).push(frame)
            }
            Some(_) | None => Push::Dropped,
        };
        match push {
            Push::Queued => {}
            Push::Ring => self.shared.bell.ring(),
            Push::Dropped => self.shared.counters.frames_dropped.add(1),
        }
    }

    fn stop(&self) {
        let mut control = self.control.lock();
        let Control {
            start,
            stop,
            thread,
        } = std::mem::take(&mut *control);
        drop(start);
        drop(stop);
        // Joined under the lock: a second caller returns when the first has finished.
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the QUIC I/O thread panicked");
        }
    }

    fn stats(&self) -> TransportStats {
        Self::stats(self)
    }
}

impl Drop for QuicTransport {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for QuicTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = &self.address;
        f.debug_struct("QuicTransport")
            .field("id", &self.id)
            .field("address", address)
            .finish()
    }
}

/// Makes the I/O thread, which waits for `start` before it touches the network.
fn spawn_thread(
    shared: Arc<Shared>,
    runtime: tokio::runtime::Runtime,
    endpoint: Endpoint,
) -> io::Result<Control> {
    let (start, started) = mpsc::channel();
    let (stop, stopped) = oneshot::channel();
    let thread = std::thread::Builder::new()
        .name("probity-quic".into())
        .spawn(move || {
            if let Ok(inbox) = started.recv() {
                runtime.block_on(endpoint::run(shared, endpoint, inbox, stopped));
            }
        })?;
    Ok(Control {
        start: Some(start),
        stop: Some(stop),
        thread: Some(thread),
    })
}
