//! Digests, signatures and the keys that make them.
//!
//! ```
//! use probity_core::crypto::{Claim, Context, Domain, Keypair, hash, verify, verify_each};
//!
//! let keypair = Keypair::from_seed(&[7; 32]);
//! let header_digest = hash(Context::Header, &[&[1; 32], &[2; 32]]);
//! let message = [Domain::Block.tag().as_slice(), header_digest.as_bytes()].concat();
//! let signature = keypair.sign(&message);
//!
//! let key = keypair.public();
//! assert!(verify(&key, &message, &signature));
//! let claims = [
//!     Claim { key: &key, message: &message, signature: &signature },
//!     Claim { key: &key, message: b"something else", signature: &signature },
//! ];
//! assert_eq!(verify_each(&claims), [true, false]);
//! ```
//!
//! - *Digests* are BLAKE3 in derive-key mode, one [`Context`] a use, so bytes hashed for one
//!   purpose never stand for another.
//! - *Signatures* are Ed25519, judged by the ZIP-215 equation. One rule, one verdict: alone, in any
//!   batch and on every backend. `crypto/verify.rs` says why the verifiers of the library
//!   underneath must not be used.
//! - *Keys* are checked once, when a [`PublicKey`] is made: its existence is the proof that the
//!   check passed.
//!
//! Everything here is a pure function of its arguments. Even the random factors of a batch are
//! derived from the batch.

mod backend;
mod domain;
mod hash;
mod keys;
mod verify;

pub use backend::backend;
pub use domain::Domain;
pub use hash::{Context, Hasher, hash, hasher};
pub use keys::{KeyError, Keypair, PublicKey};
pub use verify::{Claim, verify, verify_batch, verify_each};

use std::fmt;

/// 32 bytes of BLAKE3: the name of whatever was hashed.
///
/// Ordered as its bytes are, first byte first. `Display` prints all 64 hex digits, `Debug` the
/// first eight.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of nothing: what the first link of a chain has as its predecessor.
    pub const ZERO: Self = Self([0; 32]);

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex_start(f, &self.0)
    }
}

/// The 64 bytes of an Ed25519 signature as they travel: `R` (32), then `s` (32, little-endian).
///
/// Any 64 bytes make one; only [`verify()`] gives them a meaning. A signer can always produce
/// several signatures of one message, so never use these bytes as an identity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature(pub [u8; 64]);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex_start(f, &self.0)
    }
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Enough digits to tell values apart in a log line: the first four bytes.
fn write_hex_start(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes
        .iter()
        .take(4)
        .try_for_each(|byte| write!(f, "{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_is_whole_and_debug_is_short() {
        let digest = Digest(std::array::from_fn(|i| 0xa0 + u8::try_from(i).unwrap()));
        assert_eq!(digest.to_string(), hex::encode(digest.0));
        assert_eq!(format!("{digest:?}"), "a0a1a2a3");
        assert_eq!(format!("{:?}", Signature([0x0f; 64])), "0f0f0f0f");
    }

    #[test]
    fn digests_order_as_their_bytes() {
        let mut later = [0; 32];
        later[0] = 1;
        let mut last_byte = [0; 32];
        last_byte[31] = 0xff;
        assert!(Digest::ZERO < Digest(last_byte) && Digest(last_byte) < Digest(later));
    }
}
