//! Who is at the other end, and which of the three queues to it.

use std::fmt;
use std::net::SocketAddr;

/// A validator's Ed25519 network public key, which is its identity on every link.
///
/// Committee indices change from epoch to epoch; this does not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId([u8; 32]);

impl PeerId {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// Wraps the bytes of a public key, unchecked: a wrong key simply never proves itself.
    #[must_use]
    pub const fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes of the public key.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

/// The first four bytes: enough to tell the members of a committee apart in a log.
impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.0[..4] {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// All 64 hexadecimal digits.
impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// A peer that may connect, and where it listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The key it must prove.
    pub id: PeerId,
    /// Where to reach it. Only the side that dials uses this; nobody is judged by an address.
    pub address: SocketAddr,
}

/// One of the independent queues to a peer, most urgent first.
///
/// Each lane has its own bounds on both sides, so that bulk never starves votes. Order is kept
/// within a lane, never between two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Votes, certificates, requests: small and urgent.
    Control,
    /// New blocks.
    Blocks,
    /// History for those who lag: may wait for everything else.
    CatchUp,
}

impl Lane {
    /// Every lane, most urgent first.
    pub const ALL: [Self; 3] = [Self::Control, Self::Blocks, Self::CatchUp];

    /// The position in [`Lane::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Control => 0,
            Self::Blocks => 1,
            Self::CatchUp => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_found_at_its_index() {
        for (position, lane) in Lane::ALL.into_iter().enumerate() {
            assert_eq!(lane.index(), position);
        }
    }

    #[test]
    fn a_peer_is_short_in_logs_and_whole_in_text() {
        let peer = PeerId::new([0xab; 32]);
        assert_eq!(format!("{peer:?}"), "abababab");
        assert_eq!(peer.to_string(), "ab".repeat(32));
    }
}
