//! How a validator is reached: what a change of the committee says about somebody new (R32).

use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};
use probity_core::Seat;

use crate::config::ValidatorInfo;

/// The first byte: version of the layout.
const VERSION: u8 = 1;

/// A validator's network key and address, as [`Change::Stake`](crate::Change::Stake) carries it.
///
/// ```text
///   version 1 ‖ network key 32 ‖ address as text, for example 192.0.2.1:7000
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Contact {
    /// Its identity on every link: an Ed25519 public key.
    pub network_key: [u8; 32],
    /// Where its peers reach it.
    pub address: SocketAddr,
}

impl Contact {
    /// The bytes for a change; at most 100.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(64);
        bytes.put_u8(VERSION);
        bytes.put_slice(&self.network_key);
        bytes.put_slice(self.address.to_string().as_bytes());
        bytes.freeze()
    }

    /// Reads a contact; `None` when the bytes are none.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (network_key, address) = rest.split_first_chunk::<32>()?;
        let address = str::from_utf8(address).ok()?.parse().ok()?;
        (*version == VERSION).then_some(Self {
            network_key: *network_key,
            address,
        })
    }

    /// How the holder of a seat is reached: as its stake says, else as the committee's file does.
    pub(crate) fn of(seat: &Seat, listed: &[ValidatorInfo]) -> Option<Self> {
        if seat.contact.is_empty() {
            let listed = listed.iter().find(|info| info.signing_key == seat.key);
            return listed.map(ValidatorInfo::contact);
        }
        Self::decode(&seat.contact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_is_read_back_and_nothing_else_is() {
        for address in ["192.0.2.1:7000", "[2001:db8::1]:7000"] {
            let contact = Contact {
                network_key: [7; 32],
                address: address.parse().unwrap(),
            };
            let bytes = contact.encode();
            assert!(bytes.len() <= 100);
            assert_eq!(Contact::decode(&bytes), Some(contact));
            assert_eq!(Contact::decode(&bytes[1..]), None);
            assert_eq!(Contact::decode(&bytes[..40]), None);
        }
        assert_eq!(Contact::decode(b""), None);
    }
}
