//! Signatures that no library would make: parts of small order, unreduced encodings, damage.

use std::sync::LazyLock;

use arbitrary::{Result, Unstructured};
use curve25519_dalek::EdwardsPoint;
use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::Identity;
use probity_core::crypto::{Keypair, PublicKey, Signature};
use sha2::{Digest as _, Sha512};

/// A signature with what it signs and under which key.
#[derive(Clone, Debug)]
pub(super) struct Crafted {
    pub(super) key: [u8; 32],
    pub(super) message: Vec<u8>,
    pub(super) signature: Signature,
    /// It was made to satisfy ZIP-215, and nothing was damaged since.
    pub(super) keeps_the_rule: bool,
    /// Whether its key is to be tried at the doors of committee and client too, which takes longer than to verify.
    pub(super) checks_doors: bool,
}

impl Crafted {
    /// `A = [a]B + torsion`, `R = [r]B + torsion`, `s = r + ka`, each part in one of its encodings; then damage.
    pub(super) fn draw(input: &mut Unstructured<'_>) -> Result<Self> {
        let a = input.int_in_range(0..=SCALARS_MAX)?;
        let r = input.int_in_range(0..=SCALARS_MAX)?;
        let key = encode(input, a)?;
        let commitment = encode(input, r)?;
        let length = usize::from(input.arbitrary::<u8>()? % 8);
        let message = input.bytes(length.min(input.len()))?;
        let hash = Sha512::new()
            .chain_update(commitment)
            .chain_update(key)
            .chain_update(message);
        let s = Scalar::from(r) + Scalar::from_hash(hash) * Scalar::from(a);
        let mut crafted = Self {
            key,
            message: message.to_vec(),
            signature: Signature([0; 64]),
            keeps_the_rule: true,
            checks_doors: input.ratio(1_u8, 8_u8)?,
        };
        crafted.signature.0[..32].copy_from_slice(&commitment);
        crafted.signature.0[32..].copy_from_slice(s.as_bytes());
        crafted.damage(input)?;
        Ok(crafted)
    }

    /// Mostly nothing: what is left then is valid, however odd.
    fn damage(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        let kind = input.arbitrary::<u8>()?;
        let bit = usize::from(input.int_in_range(0..=511_u16)?);
        match kind {
            0..=149 => return Ok(()),
            150..=189 => self.signature.0[bit / 8] ^= 1 << (bit % 8),
            190..=209 => self.key[bit / 8 % 32] ^= 1 << (bit % 8),
            210..=224 => self.message.push(kind),
            225..=239 => add_order(&mut self.signature.0[32..]),
            _ => input.fill_buffer(&mut self.signature.0)?,
        }
        self.keeps_the_rule = false;
        Ok(())
    }
}

/// `[scalar]B` plus a point of small order; a point of small order alone in any encoding that decodes to it.
fn encode(input: &mut Unstructured<'_>, scalar: u64) -> Result<[u8; 32]> {
    if scalar == 0 {
        return Ok(*input.choose(&SMALL_ORDER_ENCODINGS)?);
    }
    let of_scalar = usize::try_from(scalar - 1).expect("scalars are small") * EIGHT_TORSION.len();
    let torsion = input.choose_index(EIGHT_TORSION.len())?;
    Ok(POINT_ENCODINGS[of_scalar + torsion])
}

/// For each scalar from 1 on, its point with each part of small order.
static POINT_ENCODINGS: LazyLock<Vec<[u8; 32]>> = LazyLock::new(|| {
    (1..=SCALARS_MAX)
        .map(|scalar| EdwardsPoint::mul_base(&Scalar::from(scalar)))
        .flat_map(|point| EIGHT_TORSION.map(|torsion| (point + torsion).compress().to_bytes()))
        .collect()
});

/// Which scalars they are does not matter, and few of them save most of the time.
const SCALARS_MAX: u64 = 3;

/// Every encoding of a point of small order, the unreduced ones too: all that differ from 0 or p by little, with
/// either sign, and those that the curve library writes.
static SMALL_ORDER_ENCODINGS: LazyLock<Vec<[u8; 32]>> = LazyLock::new(|| {
    let mut encodings: Vec<[u8; 32]> = EIGHT_TORSION
        .iter()
        .map(|point| point.compress().to_bytes())
        .collect();
    for low in 0..=255_u8 {
        for (rest, top) in [(0, 0), (0, 0x80), (0xff, 0x7f), (0xff, 0xff)] {
            let mut bytes = [rest; 32];
            (bytes[0], bytes[31]) = (low, top);
            let point = CompressedEdwardsY(bytes).decompress();
            if point.is_some_and(|point| point.mul_by_cofactor() == EdwardsPoint::identity()) {
                encodings.push(bytes);
            }
        }
    }
    encodings
});

/// Adds the group order, so that `s` is no longer canonical; its carry out of the top is lost.
fn add_order(s: &mut [u8]) {
    let mut carry = 0;
    for (byte, add) in s.iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
}

const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// One of some signatures as a library makes them; their verdicts need no second opinion.
pub(super) fn honest(which: u8) -> &'static (Crafted, PublicKey) {
    static HONEST: LazyLock<Vec<(Crafted, PublicKey)>> = LazyLock::new(|| {
        (0..16_u8)
            .map(|number| {
                let keypair = Keypair::from_seed(&[number % 5; 32]);
                let message = vec![number; usize::from(number)];
                let honest = Crafted {
                    key: *keypair.public().as_bytes(),
                    signature: keypair.sign(&message),
                    message,
                    keeps_the_rule: true,
                    checks_doors: false,
                };
                (honest, keypair.public())
            })
            .collect()
    });
    &HONEST[usize::from(which) % HONEST.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreduced_encodings_are_among_them() {
        let canonical = |bytes: &&[u8; 32]| {
            let point = CompressedEdwardsY(**bytes).decompress();
            point.is_some_and(|point| point.compress().as_bytes() == *bytes)
        };
        let all = SMALL_ORDER_ENCODINGS.len();
        let canonical = SMALL_ORDER_ENCODINGS.iter().filter(canonical).count();
        assert!(
            canonical >= 8 && all >= canonical + 4,
            "{canonical} of {all}"
        );
    }
}
