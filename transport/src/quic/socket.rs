//! The UDP socket, with buffers large enough for bursts.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

/// A bound socket that asks for `buffer_bytes` in each direction.
///
/// The system may grant less. Then bursts are lost and sent again, which works but is slow, so it
/// is said once, with what to raise.
pub(super) fn bind(address: SocketAddr, buffer_bytes: usize) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    for refused in [
        socket.set_recv_buffer_size(buffer_bytes).err(),
        socket.set_send_buffer_size(buffer_bytes).err(),
    ]
    .into_iter()
    .flatten()
    {
        tracing::warn!(%refused, "the system refused to set a socket buffer");
    }
    socket.bind(&address.into())?;
    let receive_bytes = socket.recv_buffer_size()?;
    let send_bytes = socket.send_buffer_size()?;
    if receive_bytes.min(send_bytes) < buffer_bytes {
        tracing::warn!(
            wanted_bytes = buffer_bytes,
            receive_bytes,
            send_bytes,
            "socket buffers are smaller than asked for: raise net.core.rmem_max and wmem_max"
        );
    }
    Ok(socket.into())
}
