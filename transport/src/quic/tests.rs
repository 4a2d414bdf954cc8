//! QUIC against strangers, liars and the dead. The other side is a bare QUIC endpoint with the
//! transport's own TLS, so that it can say what the transport would never say.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Instant as Clock;

use quinn::{Connection, ConnectionError, VarInt};

use super::identity::KeyCheck;
use super::limits::CloseCode;
use super::link::Link;
use super::*;
use crate::{Event, FRAME_BYTES_MAX, InboxLimits, InboxReceiver, inbox};

mod attacks;
mod identity_checks;
mod links;

const DEADLINE: Duration = Duration::from_secs(20);
const QUIET: Duration = Duration::from_millis(200);
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Keys in the order of their public halves: the first dials all others.
fn keys<const N: usize>() -> [NetworkKey; N] {
    let mut number = 0;
    let mut keys: [NetworkKey; N] = std::array::from_fn(|_| {
        number += 1;
        NetworkKey::from_seed([number; 32])
    });
    keys.sort_by_key(NetworkKey::public);
    keys
}

/// A started transport and its receiver.
struct Node {
    transport: QuicTransport,
    receiver: InboxReceiver,
}

impl Node {
    fn start(key: NetworkKey) -> Self {
        Self::start_with(key, QuicOptions::default())
    }

    fn start_with(key: NetworkKey, options: QuicOptions) -> Self {
        let transport = QuicTransport::bind(LOOPBACK, key, options).unwrap();
        let (inbox, receiver) = inbox(InboxLimits::default());
        transport.start(inbox);
        Self {
            transport,
            receiver,
        }
    }

    fn peer(&self) -> Peer {
        Peer {
            id: self.transport.id(),
            address: self.transport.local_address(),
        }
    }

    fn next(&self) -> Event {
        let mut events = Vec::new();
        self.receiver.recv_batch(&mut events, 1, DEADLINE);
        events.pop().expect("an event within the deadline")
    }

    fn assert_quiet(&self) {
        let mut events = Vec::new();
        self.receiver.recv_batch(&mut events, 1, QUIET);
        assert_eq!(events, []);
    }

    /// Waits until a counter that another thread moves has reached `wanted`.
    fn wait_for_count(&self, count: impl Fn(&TransportStats) -> u64, wanted: u64) {
        let deadline = Clock::now() + DEADLINE;
        while count(&self.transport.stats()) < wanted {
            assert!(Clock::now() < deadline, "{:?}", self.transport.stats());
            std::thread::yield_now();
        }
    }
}

fn listed_at_nowhere(id: PeerId) -> Peer {
    Peer {
        id,
        address: (Ipv4Addr::LOCALHOST, 9).into(),
    }
}

/// Links two nodes and takes the ups.
fn link(a: &Node, b: &Node) {
    a.transport.set_peers(&[b.peer()]);
    b.transport.set_peers(&[a.peer()]);
    assert_eq!(a.next(), Event::Up(b.peer().id));
    assert_eq!(b.next(), Event::Up(a.peer().id));
}

struct AcceptAll;

impl KeyCheck for AcceptAll {
    fn accepts_server(&self, _: PeerId) -> bool {
        true
    }

    fn accepts_client(&self, _: PeerId) -> bool {
        true
    }
}

/// A bare endpoint that believes everybody, on a thread of its own.
struct Raw {
    endpoint: Endpoint,
    runtime: tokio::runtime::Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Raw {
    fn bind(key: &NetworkKey, address: SocketAddr) -> Self {
        Self::bind_with(key, address, &QuicOptions::default())
    }

    fn bind_with(key: &NetworkKey, address: SocketAddr, options: &QuicOptions) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let tls = identity::tls_configs(key, options.alpn(), Arc::new(AcceptAll)).unwrap();
        let transport = Arc::new(limits::transport_config(options).unwrap());
        let configs = limits::server_config(tls, transport);
        let endpoint_config = limits::endpoint_config(key, options.mtu_max).unwrap();
        let socket = UdpSocket::bind(address).unwrap();
        let endpoint = {
            let _entered = runtime.enter();
            let quic_runtime = Arc::new(TokioRuntime);
            let server = Some(configs.server);
            let mut endpoint =
                Endpoint::new(endpoint_config, server, socket, quic_runtime).unwrap();
            endpoint.set_default_client_config(configs.client);
            endpoint
        };
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let _ = runtime.block_on(stopped);
        });
        Self {
            endpoint,
            runtime: handle,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Ends without a goodbye: the thread and its sockets go, and no packet is sent any more.
    fn die(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }

    fn wait<T>(&self, what: impl Future<Output = T>) -> T {
        self.runtime
            .block_on(async { tokio::time::timeout(DEADLINE, what).await })
            .expect("the other side must react before the deadline")
    }

    /// A finished handshake, as far as this side can tell, without a hello.
    fn connect(&self, to: &Node) -> Connection {
        let connecting = {
            let _entered = self.runtime.enter();
            self.endpoint.connect(to.peer().address, "probity").unwrap()
        };
        self.wait(connecting).unwrap()
    }

    fn prove(&self, connection: &Connection) -> Link {
        self.wait(Link::prove(connection.clone())).unwrap()
    }

    /// The code with which the other side closes.
    fn close_code(&self, connection: &Connection) -> VarInt {
        let closed = self.wait(connection.closed());
        let ConnectionError::ApplicationClosed(close) = closed else {
            panic!("closed without a code: {closed}")
        };
        close.error_code
    }
}

fn code(code: CloseCode) -> VarInt {
    VarInt::from_u32(code as u32)
}
