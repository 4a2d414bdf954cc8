//! Every bound and every setting of the QUIC endpoint, with its reason.

use std::sync::Arc;
use std::time::Duration;

use quinn::{
    Connection, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, ServerConfig, TransportConfig,
    VarInt,
};
use quinn_proto::HashedConnectionIdGenerator;

use super::congestion::{OpenOnCloseConfig, open_window};
use super::identity::{NetworkKey, TlsConfigs};
use super::{QuicOptions, TransportError};
use crate::{FRAME_BYTES_MAX, Lane};

/// Peers that can be listed. Far above any committee; bounds what a configuration error can cost.
pub(super) const PEERS_MAX: usize = 1024;

/// Handshakes going on at once, before anybody has proved anything. Further ones are refused.
pub(super) const HALF_OPEN_MAX: usize = 256;

/// From here on a newcomer must first prove that it receives at its address, which costs it a
/// round trip and us no memory. Keeps spoofed sources out.
pub(super) const RETRY_ABOVE: usize = 64;

/// A connection that has not become a link after this long is dropped.
pub(super) const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(3);

/// How long `stop` waits for links to report down, and then for the last packets to leave.
pub(super) const STOP_DEADLINE: Duration = Duration::from_millis(500);
pub(super) const FLUSH_DEADLINE: Duration = Duration::from_millis(100);

/// Bytes that a writer takes from its queue at once: enough to fill packets, little enough that
/// the queue, not the writer, decides what is dropped.
pub(super) const BATCH_BYTES: usize = 256 * 1024;

/// Small frames are copied together into blocks of this size.
pub(super) const BLOCK_BYTES: usize = 32 * 1024;

/// Frames up to this size are copied into blocks; larger ones are shared.
pub(super) const COPIED_FRAME_BYTES_MAX: usize = 4 * 1024;

/// Chunks that a reader takes from the stream at once.
pub(super) const READ_CHUNKS: usize = 32;

/// Bytes buffered for one connection, and for all, before it is accepted.
const INCOMING_BYTES: u64 = 64 * 1024;
const INCOMING_BYTES_TOTAL: u64 = 4 * 1024 * 1024;

/// Out-of-order TLS bytes kept during a handshake, which needs about 3 KiB with ML-KEM.
const CRYPTO_BYTES: usize = 16 * 1024;

/// Assumed round trip before one is measured; a lost first packet is sent again after three.
const INITIAL_RTT: Duration = Duration::from_millis(100);

/// What every path must carry, by RFC 9000; discovery goes up from here.
const MTU_MIN: u16 = 1200;

// A block holds several of the frames that are copied into it.
const _: () = assert!(BLOCK_BYTES >= 4 * (COPIED_FRAME_BYTES_MAX + 4));
// The bound on half-open handshakes is reached only by those who passed the retry.
const _: () = assert!(RETRY_ABOVE < HALF_OPEN_MAX);
const _: () = assert!(INCOMING_BYTES <= INCOMING_BYTES_TOTAL);
const _: () = assert!(BATCH_BYTES <= FRAME_BYTES_MAX);

/// Why we close a connection, as the peer sees it. Part of the wire format: never renumber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CloseCode {
    /// We are stopping, or the handshake took too long.
    Stopped = 0,
    /// A newer connection of the same key took over.
    Replaced = 1,
    /// The key is not listed (any more).
    NotListed = 2,
    /// Not a frame, or not the hello, or a stream too many.
    Malformed = 3,
    /// The key is listed, but it is not the one that was dialled.
    WrongKey = 4,
    /// Nobody takes what arrives.
    Busy = 5,
    /// The other side ended a stream or vanished; there is nothing more to say.
    Ended = 6,
}

impl CloseCode {
    pub(super) fn close(self, connection: &Connection) {
        open_window(connection);
        connection.close(VarInt::from_u32(self as u32), b"");
    }
}

/// Streams with a higher priority are sent first whenever both have something to send.
pub(super) fn priority(lane: Lane) -> i32 {
    match lane {
        Lane::Control => 2,
        Lane::Blocks => 1,
        Lane::CatchUp => 0,
    }
}

/// Settings of every connection, in both roles.
///
/// The streams' windows add up to the connection's, so no lane can use up another's: what a lane
/// sends is bounded by its own window on every hop from queue to inbox.
pub(super) fn transport_config(options: &QuicOptions) -> Result<TransportConfig, TransportError> {
    let lanes = u32::try_from(Lane::ALL.len()).expect("three lanes");
    let connection_window = options
        .stream_window_bytes
        .checked_mul(lanes)
        .ok_or(TransportError::Options("stream_window_bytes is too large"))?;
    let idle_timeout = IdleTimeout::try_from(options.idle_timeout)
        .map_err(|_| TransportError::Options("idle_timeout is too long"))?;
    let mut mtu_discovery = MtuDiscoveryConfig::default();
    mtu_discovery.upper_bound(options.mtu_max);

    let mut config = TransportConfig::default();
    config
        .max_concurrent_uni_streams(VarInt::from_u32(lanes))
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(options.stream_window_bytes))
        .receive_window(VarInt::from_u32(connection_window))
        .send_window(u64::from(connection_window))
        .crypto_buffer_size(CRYPTO_BYTES)
        .keep_alive_interval(Some(options.keep_alive))
        .max_idle_timeout(Some(idle_timeout))
        .initial_rtt(INITIAL_RTT)
        .congestion_controller_factory(Arc::new(OpenOnCloseConfig::new()))
        .initial_mtu(MTU_MIN)
        .mtu_discovery_config(Some(mtu_discovery))
        .allow_spin(false);
    Ok(config)
}

/// The accepting side: little memory for strangers, and a validator never changes its address.
pub(super) fn server_config(tls: TlsConfigs, transport: Arc<TransportConfig>) -> Configs {
    let mut server = ServerConfig::with_crypto(Arc::new(tls.server));
    server
        .transport_config(Arc::clone(&transport))
        .migration(false)
        .max_incoming(HALF_OPEN_MAX)
        .incoming_buffer_size(INCOMING_BYTES)
        .incoming_buffer_size_total(INCOMING_BYTES_TOTAL);
    let mut client = quinn::ClientConfig::new(Arc::new(tls.client));
    client.transport_config(transport);
    Configs { server, client }
}

/// The complete settings of both roles.
pub(super) struct Configs {
    pub(super) server: ServerConfig,
    pub(super) client: quinn::ClientConfig,
}

/// Settings of the socket's endpoint.
///
/// Connection ids and reset tokens come from the network key, so a process that died and came back
/// can tell its peers that their links are gone: they reconnect at once, not after the idle time.
pub(super) fn endpoint_config(
    key: &NetworkKey,
    mtu_max: u16,
) -> Result<EndpointConfig, TransportError> {
    let reset_key = ResetKey(key.derive("probity transport 2026 stateless reset"));
    let id_key = key.derive("probity transport 2026 connection ids");
    let (id_key, _) = id_key.split_first_chunk().expect("32 bytes hold 8");
    let id_key = u64::from_le_bytes(*id_key);

    let mut config = EndpointConfig::new(Arc::new(reset_key));
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(id_key)));
    config
        .max_udp_payload_size(mtu_max.max(1472))
        .map_err(|_| TransportError::Options("mtu_max must lie between 1200 and 65527"))?;
    Ok(config)
}

/// Makes stateless reset tokens: BLAKE3 keyed with a secret derived from the network key.
struct ResetKey([u8; 32]);

impl quinn::crypto::HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        signature_out.copy_from_slice(blake3::keyed_hash(&self.0, data).as_bytes());
    }

    fn signature_len(&self) -> usize {
        blake3::OUT_LEN
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), quinn::crypto::CryptoError> {
        let expected = blake3::keyed_hash(&self.0, data);
        // Compares in constant time.
        if <&[u8; blake3::OUT_LEN]>::try_from(signature).is_ok_and(|shown| expected == *shown) {
            Ok(())
        } else {
            Err(quinn::crypto::CryptoError)
        }
    }
}
