use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use ed25519_dalek::{Signer, SigningKey};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use zeroize::ZeroizeOnDrop;

use super::{Signature, write_hex_start};

/// An Ed25519 public key that passed the checks of its use, ready for verification.
///
/// Holds the 32 bytes and the curve point they stand for, because finding the point costs a fifth
/// of a verification: parse a key once and keep it. Keys are equal, ordered and hashed by their
/// bytes.
#[derive(Clone, Copy)]
pub struct PublicKey {
    bytes: [u8; 32],
    point: EdwardsPoint,
}

impl PublicKey {
    /// Parses the key of a validator: the one canonical encoding of a point in the prime-order
    /// group.
    ///
    /// Takes a little longer than a verification; committees are small and parsed once an epoch.
    ///
    /// # Errors
    ///
    /// [`KeyError`], whichever check fails first: not a point, not canonical, small order, torsion.
    pub fn committee(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let key = Self::decompress(bytes)?;
        if key.point.compress().as_bytes() != bytes {
            return Err(KeyError::NotCanonical);
        }
        if key.point.is_small_order() {
            return Err(KeyError::SmallOrder);
        }
        if !key.point.is_torsion_free() {
            return Err(KeyError::Torsion);
        }
        Ok(key)
    }

    /// Parses the key of a client: any point that is not of small order.
    ///
    /// One signature under a key of small order fits every message, so such a key identifies
    /// nobody. A torsion part is allowed: it would cost a multiplication to find, and the
    /// verification equation ignores it.
    ///
    /// # Errors
    ///
    /// [`KeyError::NotAPoint`] or [`KeyError::SmallOrder`].
    pub fn client(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let key = Self::decompress(bytes)?;
        if key.point.is_small_order() {
            return Err(KeyError::SmallOrder);
        }
        Ok(key)
    }

    /// Any point at all, so that tests can feed the verifier keys that neither door lets in.
    ///
    /// # Errors
    ///
    /// [`KeyError::NotAPoint`].
    #[cfg(any(test, feature = "testing"))]
    #[doc(hidden)]
    pub fn unchecked(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        Self::decompress(bytes)
    }

    /// The 32 bytes, exactly as they were parsed.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    pub(super) const fn point(&self) -> &EdwardsPoint {
        &self.point
    }

    /// ZIP-215 decoding: the y coordinate may be given unreduced, and x = 0 may have either sign.
    fn decompress(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let point = CompressedEdwardsY(*bytes)
            .decompress()
            .ok_or(KeyError::NotAPoint)?;
        Ok(Self {
            bytes: *bytes,
            point,
        })
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for PublicKey {}

impl PartialOrd for PublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PublicKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bytes.cmp(&other.bytes)
    }
}

impl Hash for PublicKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex_start(f, &self.bytes)
    }
}

/// Why 32 bytes are not an acceptable public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// No curve point has this y coordinate.
    NotAPoint,
    /// The point has another encoding, which is the canonical one.
    NotCanonical,
    /// The point has order 1, 2, 4 or 8.
    SmallOrder,
    /// The point is outside the prime-order group.
    Torsion,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAPoint => "public key is not a point of the curve",
            Self::NotCanonical => "public key is not canonically encoded",
            Self::SmallOrder => "public key is of small order",
            Self::Torsion => "public key is outside the prime-order group",
        })
    }
}

impl std::error::Error for KeyError {}

/// A secret key and the public key derived from it.
///
/// The public key always comes from the seed: signing under a public key supplied by the caller
/// reveals the secret (RUSTSEC-2022-0093). The secret is wiped on drop, is not readable, and has no
/// `Debug`, `Clone` or serialisation.
pub struct Keypair {
    secret: SigningKey,
    public: PublicKey,
}

impl Keypair {
    /// The keypair of a 32-byte RFC 8032 seed. The seed must be random and secret; the caller wipes
    /// its own copy.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let secret = SigningKey::from_bytes(seed);
        let verifying = secret.verifying_key();
        let public = PublicKey {
            bytes: verifying.to_bytes(),
            point: verifying.to_edwards(),
        };
        Self { secret, public }
    }

    /// The public half. It would pass [`PublicKey::committee`].
    pub const fn public(&self) -> PublicKey {
        self.public
    }

    /// Signs `message` as RFC 8032 says: the same message gives the same signature.
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.secret.sign(message).to_bytes())
    }

    /// Another valid signature, as a signer that draws its nonce makes: for tests of what two of them may do.
    #[cfg(any(test, feature = "testing"))]
    #[doc(hidden)]
    pub fn sign_variant(&self, message: &[u8], variant: u64) -> Signature {
        use curve25519_dalek::Scalar;
        use sha2::{Digest as _, Sha512};
        let scalar = |parts: &[&[u8]]| {
            let mut hash = Sha512::new();
            parts.iter().for_each(|part| hash.update(part));
            Scalar::from_bytes_mod_order_wide(&hash.finalize().into())
        };
        let nonce = scalar(&[self.secret.as_bytes(), &variant.to_le_bytes(), message]);
        let point = EdwardsPoint::mul_base(&nonce).compress();
        let challenge = scalar(&[point.as_bytes(), self.public.as_bytes(), message]);
        let answer = nonce + challenge * self.secret.to_scalar();
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(point.as_bytes());
        bytes[32..].copy_from_slice(answer.as_bytes());
        Signature(bytes)
    }
}

// The wiping is the inner type's, and a cargo feature could take it away: then this does not
// compile.
impl ZeroizeOnDrop for Keypair {}
const fn wiped_on_drop<T: ZeroizeOnDrop>() {}
const _: () = wiped_on_drop::<SigningKey>();

#[cfg(test)]
mod tests {
    use super::*;
    use curve25519_dalek::constants::EIGHT_TORSION;
    use curve25519_dalek::traits::Identity;

    /// 2^255 - 19 + 3, little-endian: a second spelling of y = 3, which is a point of large order.
    const Y_3_UNREDUCED: &str = "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f";

    fn key_bytes(text: &str) -> [u8; 32] {
        hex::decode(text).unwrap().try_into().unwrap()
    }

    #[test]
    fn a_derived_key_passes_both_doors() {
        for seed in 0..20 {
            let public = Keypair::from_seed(&[seed; 32]).public();
            assert_eq!(PublicKey::committee(public.as_bytes()), Ok(public));
            assert_eq!(PublicKey::client(public.as_bytes()), Ok(public));
        }
    }

    #[test]
    fn bytes_off_the_curve_are_no_key() {
        let two = key_bytes(&format!("02{}", "00".repeat(31)));
        assert_eq!(PublicKey::committee(&two), Err(KeyError::NotAPoint));
        assert_eq!(PublicKey::client(&two), Err(KeyError::NotAPoint));
    }

    #[test]
    fn small_order_keys_pass_neither_door() {
        for point in EIGHT_TORSION {
            let bytes = point.compress().to_bytes();
            assert_eq!(PublicKey::committee(&bytes), Err(KeyError::SmallOrder));
            assert_eq!(PublicKey::client(&bytes), Err(KeyError::SmallOrder));
        }
        let identity_with_sign = key_bytes(&format!("01{}80", "00".repeat(30)));
        assert_eq!(
            PublicKey::committee(&identity_with_sign),
            Err(KeyError::NotCanonical)
        );
        assert_eq!(
            PublicKey::client(&identity_with_sign),
            Err(KeyError::SmallOrder)
        );
    }

    #[test]
    fn a_torsion_part_keeps_a_key_out_of_the_committee() {
        let honest = *Keypair::from_seed(&[1; 32]).public().point();
        for torsion in EIGHT_TORSION
            .iter()
            .filter(|point| **point != EdwardsPoint::identity())
        {
            let bytes = (honest + torsion).compress().to_bytes();
            assert_eq!(PublicKey::committee(&bytes), Err(KeyError::Torsion));
            assert_eq!(PublicKey::client(&bytes).unwrap().as_bytes(), &bytes);
        }
    }

    #[test]
    fn a_second_spelling_keeps_a_key_out_of_the_committee() {
        let bytes = key_bytes(Y_3_UNREDUCED);
        assert_eq!(PublicKey::committee(&bytes), Err(KeyError::NotCanonical));
        assert_eq!(PublicKey::client(&bytes).unwrap().as_bytes(), &bytes);
    }

    #[test]
    fn a_variant_is_another_signature_that_verifies() {
        let key = Keypair::from_seed(&[7; 32]);
        let variants = [1, 2].map(|variant| key.sign_variant(b"message", variant));
        assert_ne!(variants[0], variants[1]);
        for signature in variants {
            assert_ne!(signature, key.sign(b"message"));
            assert!(crate::crypto::verify(&key.public(), b"message", &signature));
            assert!(!crate::crypto::verify(
                &key.public(),
                b"another",
                &signature
            ));
        }
    }

    /// The blanket implementation applies to every type, the other one to types with the trait: if
    /// `Keypair` ever gains `Debug` or `Clone`, the call below is ambiguous and does not compile.
    #[test]
    fn a_keypair_cannot_be_printed_or_copied() {
        trait NotDebug<A> {
            fn holds() {}
        }
        impl<T> NotDebug<()> for T {}
        impl<T: fmt::Debug> NotDebug<u8> for T {}
        <Keypair as NotDebug<_>>::holds();

        trait NotClone<A> {
            fn holds() {}
        }
        impl<T> NotClone<()> for T {}
        impl<T: Clone> NotClone<u8> for T {}
        <Keypair as NotClone<_>>::holds();
    }
}
