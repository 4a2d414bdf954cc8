//! One verdict for every signature, by the ZIP-215 rule.
//!
//! A signature `(R, s)` of `message` under `A` is valid iff
//!
//! 1. `s` is canonical: below the group order `l`;
//! 2. `A` and `R` decode to points, in any of the encodings ZIP-215 allows;
//! 3. `[8](R - ([s]B - [k]A)) = 0` with `k = SHA-512(R ‖ A ‖ message) mod l`, over the bytes as
//!    received.
//!
//! The factor 8 is what makes batches honest. RFC 8032 leaves it open, and without it a part of
//! small order in `R` or `A` is seen by the single check, while in a batch it vanishes for some
//! random factors and not for others: the same signature passes in one batch and fails in the next,
//! and validators that batch differently disagree about a block. ed25519-dalek's `verify`,
//! `verify_strict` and `verify_batch` have that defect, so they are used nowhere.
//!
//! # Batches
//!
//! Multiply each equation by a random factor `z` and add them up: `n` equations become one sum of
//! products, which costs less than half of the single checks.
//!
//! ```text
//! [8]( - (Σ z s) B + Σ z R + Σ (z k) A ) = 0
//! ```
//!
//! If all equations hold, the sum vanishes whatever the factors. If one fails, it vanishes for at
//! most one value of that equation's factor among 2^128. The factors need not be secret, only
//! unknown to whoever wrote the signatures when writing them: BLAKE3 of the whole batch gives that,
//! and keeps this a pure function. Terms of one key are added up first, which saves a point per
//! repetition.

use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::VartimeMultiscalarMul;
use sha2::{Digest as _, Sha512};

use super::{Context, PublicKey, Signature, hasher};

/// The assertion that `signature` was made by the owner of `key` for `message`.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// Who is said to have signed.
    pub key: &'a PublicKey,
    /// What was signed, its domain tag included.
    pub message: &'a [u8],
    /// What they are said to have signed with.
    pub signature: &'a Signature,
}

/// Whether `signature` is valid for `message` under `key`.
#[must_use]
pub fn verify(key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
    Equation::read(&Claim {
        key,
        message,
        signature,
    })
    .is_some_and(|equation| equation.holds())
}

/// Whether every claim would pass [`verify()`]; true for no claims.
///
/// The cheapest way to check signatures that are expected to be valid. Use [`verify_each`] to learn
/// which are not.
#[must_use]
pub fn verify_batch(claims: &[Claim<'_>]) -> bool {
    claims.chunks(BATCH_CLAIMS_MAX).all(|batch| {
        let equations: Option<Vec<_>> = batch.iter().map(Equation::read).collect();
        equations.is_some_and(|equations| all_hold(&equations))
    })
}

/// What [`verify()`] says about each claim, in their order.
///
/// Valid claims cost what [`verify_batch`] costs. A batch that fails is checked again in groups,
/// and a group that fails claim by claim, so that a sender of nothing but bad signatures at most
/// doubles the work of checking singly.
#[must_use]
pub fn verify_each(claims: &[Claim<'_>]) -> Vec<bool> {
    let mut verdicts = vec![false; claims.len()];
    for (batch, verdicts) in claims
        .chunks(BATCH_CLAIMS_MAX)
        .zip(verdicts.chunks_mut(BATCH_CLAIMS_MAX))
    {
        judge(batch, verdicts);
    }
    verdicts
}

/// Sets the verdict of every valid claim; the two slices run in parallel.
fn judge(batch: &[Claim<'_>], verdicts: &mut [bool]) {
    let (equations, mut verdicts): (Vec<_>, Vec<_>) = batch
        .iter()
        .zip(verdicts)
        .filter_map(|(claim, verdict)| Some((Equation::read(claim)?, verdict)))
        .unzip();
    if all_hold(&equations) {
        for verdict in verdicts {
            *verdict = true;
        }
        return;
    }
    for (group, verdicts) in equations
        .chunks(GROUP_CLAIMS)
        .zip(verdicts.chunks_mut(GROUP_CLAIMS))
    {
        // A group that is the whole batch is known to fail.
        let group_holds = group.len() < equations.len() && all_hold(group);
        for (equation, verdict) in group.iter().zip(verdicts) {
            **verdict = group_holds || equation.holds();
        }
    }
}

/// A claim whose signature is well formed: all that is left is whether the equation holds.
struct Equation<'a> {
    key: &'a PublicKey,
    signature: &'a Signature,
    r: EdwardsPoint,
    s: Scalar,
    k: Scalar,
}

impl<'a> Equation<'a> {
    /// `None` if `s` is not canonical or `R` is not a point: rules 1 and 2.
    fn read(claim: &Claim<'a>) -> Option<Self> {
        let Claim {
            key,
            message,
            signature,
        } = *claim;
        let ([r, s], []) = signature.0.as_chunks::<32>() else {
            return None;
        };
        let s = Option::from(Scalar::from_canonical_bytes(*s))?;
        let k = Sha512::new()
            .chain_update(r)
            .chain_update(key.as_bytes())
            .chain_update(message);
        let r = CompressedEdwardsY(*r).decompress()?;
        Some(Self {
            key,
            signature,
            r,
            s,
            k: Scalar::from_hash(k),
        })
    }

    /// Rule 3 for this signature alone.
    fn holds(&self) -> bool {
        let expected =
            EdwardsPoint::vartime_double_scalar_mul_basepoint(&self.k, &-self.key.point(), &self.s);
        (self.r - expected).is_small_order()
    }
}

/// Rule 3 for all equations at once.
fn all_hold(equations: &[Equation<'_>]) -> bool {
    if equations.len() < BATCH_CLAIMS_MIN {
        return equations.iter().all(Equation::holds);
    }
    let terms_max = 2 * equations.len() + 1;
    let mut scalars = Vec::with_capacity(terms_max);
    let mut points = Vec::with_capacity(terms_max);
    let mut base = Scalar::ZERO;
    let mut key_terms = Vec::with_capacity(equations.len());
    for (equation, z) in equations.iter().zip(factors(equations)) {
        base -= z * equation.s;
        scalars.push(z);
        points.push(&equation.r);
        key_terms.push((equation.key, z * equation.k));
    }
    key_terms.sort_unstable_by_key(|(key, _)| *key);
    for same in key_terms.chunk_by(|(left, _), (right, _)| left == right) {
        scalars.push(same.iter().map(|(_, scalar)| scalar).sum());
        points.extend(same.first().map(|(key, _)| key.point()));
    }
    scalars.push(base);
    points.push(&ED25519_BASEPOINT_POINT);
    EdwardsPoint::vartime_multiscalar_mul(&scalars, points).is_small_order()
}

/// One 128-bit factor an equation, each depending on every key, signature and message of the batch:
/// `k` is a digest of the message.
fn factors(equations: &[Equation<'_>]) -> impl Iterator<Item = Scalar> {
    // Hashed whole and not piece by piece, because BLAKE3 is ten times as fast on large inputs.
    let mut transcript = Vec::with_capacity(equations.len() * 128);
    for equation in equations {
        transcript.extend_from_slice(equation.key.as_bytes());
        transcript.extend_from_slice(&equation.signature.0);
        transcript.extend_from_slice(equation.k.as_bytes());
    }
    let mut random = vec![[0; 16]; equations.len()];
    hasher(Context::Batch)
        .update(&transcript)
        .finish_xof(random.as_flattened_mut());
    random
        .into_iter()
        .map(|bytes| Scalar::from(u128::from_le_bytes(bytes)))
}

/// Below this a sum saves nothing over the single check; two claims already save a seventh.
const BATCH_CLAIMS_MIN: usize = 2;

/// Claims in one sum. Larger sums gain nothing more, and their points no longer fit the cache.
const BATCH_CLAIMS_MAX: usize = 1024;

/// Claims that are checked together when their batch has failed: the square root of a full batch
/// keeps both the number of groups and the work in one bad group small.
const GROUP_CLAIMS: usize = 32;

const _: () = assert!(GROUP_CLAIMS * GROUP_CLAIMS == BATCH_CLAIMS_MAX);
const _: () = assert!(BATCH_CLAIMS_MIN > 1 && BATCH_CLAIMS_MIN <= GROUP_CLAIMS);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Keypair;

    /// The factors of three signatures by keys of `seeds` over one-byte messages.
    fn factors_of(seeds: [u8; 3], messages: [u8; 3]) -> Vec<Scalar> {
        let keypairs = seeds.map(|seed| Keypair::from_seed(&[seed; 32]));
        let keys = keypairs.each_ref().map(Keypair::public);
        let messages = messages.map(|message| [message]);
        let signatures = [0, 1, 2].map(|i: usize| keypairs[i].sign(&messages[i]));
        let equations = [0, 1, 2].map(|i: usize| {
            let (key, message, signature) = (&keys[i], &messages[i], &signatures[i]);
            Equation::read(&Claim {
                key,
                message,
                signature,
            })
            .unwrap()
        });
        factors(&equations).collect()
    }

    #[test]
    fn every_factor_depends_on_every_claim() {
        let factors = factors_of([1, 2, 3], [1, 2, 3]);
        assert_eq!(factors, factors_of([1, 2, 3], [1, 2, 3]));
        assert!(factors[0] != factors[1] && factors[1] != factors[2] && factors[0] != factors[2]);
        for changed in [
            factors_of([1, 2, 4], [1, 2, 3]),
            factors_of([4, 2, 3], [1, 2, 3]),
            factors_of([1, 2, 3], [1, 2, 4]),
            factors_of([1, 2, 3], [4, 2, 3]),
            factors_of([2, 1, 3], [2, 1, 3]),
        ] {
            assert!(
                factors
                    .iter()
                    .zip(&changed)
                    .all(|(left, right)| left != right)
            );
        }
    }

    #[test]
    fn factors_have_128_bits() {
        for factor in factors_of([1, 2, 3], [1, 2, 3]) {
            let (low, high) = factor.as_bytes().split_at(16);
            assert!(low.iter().any(|byte| *byte != 0));
            assert_eq!(high, [0; 16]);
        }
    }
}
