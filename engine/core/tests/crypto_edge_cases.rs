//! Signatures on which Ed25519 libraries disagree: every one has one verdict here, alone and in any
//! batch.

#![allow(
    clippy::unwrap_used,
    reason = "a helper that fails should fail its test"
)]

use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::scalar::Scalar;
use probity_core::crypto::{Claim, Context, Keypair, PublicKey, Signature, hash, hasher};
use probity_core::crypto::{verify, verify_batch, verify_each};
use sha2::{Digest as _, Sha512};

struct Case {
    name: String,
    key: PublicKey,
    message: Vec<u8>,
    signature: Signature,
}

impl Case {
    fn claim(&self) -> Claim<'_> {
        Claim {
            key: &self.key,
            message: &self.message,
            signature: &self.signature,
        }
    }

    fn verdict(&self) -> bool {
        verify(&self.key, &self.message, &self.signature)
    }

    /// The verdict of an independent implementation of the same rule.
    fn verdict_of_zebra(&self) -> bool {
        ed25519_zebra::VerificationKey::try_from(*self.key.as_bytes())
            .and_then(|key| key.verify(&self.signature.0.into(), &self.message))
            .is_ok()
    }
}

#[test]
fn the_speccheck_cases_have_their_zip215_verdicts() {
    for (case, valid) in speccheck() {
        assert_eq!(case.verdict(), valid, "case {}", case.name);
        assert_eq!(case.verdict_of_zebra(), valid, "zebra, case {}", case.name);
    }
}

#[test]
fn a_speccheck_case_has_the_same_verdict_at_every_place_of_every_batch() {
    let fillers = honest(64);
    for (case, valid) in speccheck() {
        for size in [1, 2, 3, 8, 64] {
            for place in 0..size {
                let mut claims: Vec<_> = fillers.iter().take(size).map(Case::claim).collect();
                claims[place] = case.claim();
                assert_eq!(
                    verify_batch(&claims),
                    valid,
                    "case {} at {place} of {size}",
                    case.name
                );
            }
        }
    }
}

#[test]
fn edge_cases_do_not_disturb_each_other_in_one_batch() {
    let cases = speccheck();
    let claims: Vec<_> = cases.iter().map(|(case, _)| case.claim()).collect();
    let expected: Vec<_> = cases.iter().map(|(_, valid)| *valid).collect();
    assert_eq!(verify_each(&claims), expected);

    let valid: Vec<_> = cases
        .iter()
        .filter(|(_, valid)| *valid)
        .map(|(case, _)| case.claim())
        .collect();
    assert!(verify_batch(&valid));
}

#[test]
fn all_196_small_order_pairs_are_valid_with_s_zero() {
    let encodings = small_order_encodings();
    let pairs = encodings
        .iter()
        .flat_map(|a| encodings.iter().map(move |r| (a, r)));
    let cases: Vec<_> = pairs
        .map(|(a, r)| case("pair", a, b"any message", signature(r, &[0; 32])))
        .collect();
    assert_eq!(cases.len(), 196);

    let fillers = honest(8);
    for case in &cases {
        assert!(case.verdict(), "A {:?} R {:?}", case.key, case.signature);
        assert!(
            case.verdict_of_zebra(),
            "zebra, A {:?} R {:?}",
            case.key,
            case.signature
        );
        assert!(PublicKey::client(case.key.as_bytes()).is_err());
        for place in 0..fillers.len() {
            let mut claims: Vec<_> = fillers.iter().map(Case::claim).collect();
            claims[place] = case.claim();
            assert!(
                verify_batch(&claims),
                "A {:?} R {:?} at {place}",
                case.key,
                case.signature
            );
        }
    }
    let claims: Vec<_> = cases.iter().map(Case::claim).collect();
    assert!(verify_batch(&claims));
    assert_eq!(verify_each(&claims), vec![true; 196]);
}

#[test]
fn small_order_pairs_with_another_s_are_invalid() {
    let encodings = small_order_encodings();
    for (a, r) in encodings.iter().zip(encodings.iter().rev()) {
        let case = case(
            "s = 1",
            a,
            b"any message",
            signature(r, Scalar::ONE.as_bytes()),
        );
        assert!(!case.verdict() && !case.verdict_of_zebra());
        assert!(!verify_batch(&[case.claim(); 5]));
    }
}

/// Signatures by random keys with a random small-order part in `A`, in `R` or in both, some with a
/// wrong `s`.
#[test]
fn torsion_mutants_have_the_verdict_of_zebra() {
    for seed in 0..4 {
        let cases: Vec<_> = (0..1500).map(|number| mutant(seed, number)).collect();
        let expected: Vec<_> = cases.iter().map(Case::verdict_of_zebra).collect();
        let valid = expected.iter().filter(|valid| **valid).count();
        assert!((1000..1500).contains(&valid), "seed {seed}: {valid} valid");

        for (case, expected) in cases.iter().zip(&expected) {
            assert_eq!(case.verdict(), *expected, "seed {seed} {}", case.name);
        }
        let claims: Vec<_> = cases.iter().map(Case::claim).collect();
        assert_eq!(verify_each(&claims), expected, "seed {seed}");
        for (batch, expected) in claims.chunks(5).zip(expected.chunks(5)) {
            let all_valid = expected.iter().all(|valid| *valid);
            assert_eq!(verify_batch(batch), all_valid, "seed {seed}");
        }
        let valid_only: Vec<_> = claims
            .iter()
            .zip(&expected)
            .filter(|(_, valid)| **valid)
            .map(|(claim, _)| *claim)
            .collect();
        assert!(verify_batch(&valid_only), "seed {seed}");
    }
}

/// Two errors of `s` that cancel each other in a sum without random factors.
#[test]
fn errors_that_cancel_out_are_caught() {
    let [left, right] = ["left", "right"].map(|name| {
        let keypair = Keypair::from_seed(hash(Context::Params, &[name.as_bytes()]).as_bytes());
        case(
            name,
            keypair.public().as_bytes(),
            b"message",
            keypair.sign(b"message"),
        )
    });
    let shifted = |case: &Case, by: Scalar| {
        let (r, s) = halves(&case.signature);
        let s = Scalar::from_canonical_bytes(s).unwrap() + by;
        Case {
            name: case.name.clone(),
            key: case.key,
            message: case.message.clone(),
            signature: signature(&r, s.as_bytes()),
        }
    };
    let delta = Scalar::from(5_u8);
    let pair = [shifted(&left, delta), shifted(&right, -delta)];
    let fillers = honest(6);
    let claims: Vec<_> = pair.iter().chain(&fillers).map(Case::claim).collect();
    assert!(!verify_batch(&claims));
    assert_eq!(
        verify_each(&claims),
        [false, false, true, true, true, true, true, true]
    );
}

#[test]
fn s_plus_the_group_order_is_invalid() {
    for case in honest(16) {
        let (r, s) = halves(&case.signature);
        let malleated = Case {
            signature: signature(&r, &plus_order(s)),
            ..case
        };
        assert!(!malleated.verdict() && !malleated.verdict_of_zebra());
        assert!(!verify_batch(&[malleated.claim(); 8]));
        assert_eq!(verify_each(&[malleated.claim(); 8]), [false; 8]);
    }
}

fn speccheck() -> Vec<(Case, bool)> {
    let cases: Vec<_> = include_str!("vectors/crypto_speccheck.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let [name, verdict, message, key, signature] =
                line.split(' ').collect::<Vec<_>>().try_into().unwrap();
            let key: [u8; 32] = hex::decode(key).unwrap().try_into().unwrap();
            let signature = Signature(hex::decode(signature).unwrap().try_into().unwrap());
            (
                case(name, &key, &hex::decode(message).unwrap(), signature),
                verdict == "valid",
            )
        })
        .collect();
    assert_eq!(cases.len(), 15);
    cases
}

fn honest(count: u8) -> Vec<Case> {
    (0..count)
        .map(|number| {
            let keypair = Keypair::from_seed(&[number; 32]);
            let message = [number; 100];
            case(
                "honest",
                keypair.public().as_bytes(),
                &message,
                keypair.sign(&message),
            )
        })
        .collect()
}

fn case(name: &str, key: &[u8; 32], message: &[u8], signature: Signature) -> Case {
    let key = PublicKey::unchecked(key).unwrap();
    Case {
        name: name.to_owned(),
        key,
        message: message.to_vec(),
        signature,
    }
}

/// The 14 encodings that ZIP-215 decodes to one of the eight points of small order.
fn small_order_encodings() -> Vec<[u8; 32]> {
    let p: [u8; 32] = std::array::from_fn(|i| match i {
        0 => 0xed,
        31 => 0x7f,
        _ => 0xff,
    });
    let mut encodings: Vec<[u8; 32]> = EIGHT_TORSION
        .iter()
        .map(|point| point.compress().to_bytes())
        .collect();
    for unreduced in 0..19 {
        let mut y = p;
        y[0] += unreduced;
        encodings.push(y);
    }
    encodings.push(std::array::from_fn(|i| u8::from(i == 0)));
    encodings.push(std::array::from_fn(
        |i| if i == 0 { p[0] - 1 } else { p[i] },
    ));
    let mut both_signs: Vec<_> = encodings
        .iter()
        .flat_map(|y| {
            [0, 0x80].map(|sign| {
                std::array::from_fn(|i| if i == 31 { (y[i] & 0x7f) | sign } else { y[i] })
            })
        })
        .filter(|bytes| {
            CompressedEdwardsY(*bytes)
                .decompress()
                .is_some_and(|point| point.is_small_order())
        })
        .collect();
    both_signs.sort_unstable();
    both_signs.dedup();
    assert_eq!(both_signs.len(), 14);
    both_signs
}

/// A signature `s = r + k·a` made by hand, so that small-order points can be added to `A` and `R`
/// before `k` is taken.
fn mutant(seed: u64, number: u64) -> Case {
    let mut draw = [0; 192];
    hasher(Context::Params)
        .update(&seed.to_le_bytes())
        .update(&number.to_le_bytes())
        .finish_xof(&mut draw);
    let scalar =
        |at: usize| Scalar::from_bytes_mod_order_wide(draw[at..at + 64].try_into().unwrap());
    let torsion = |at: usize| EIGHT_TORSION[usize::from(draw[at] % 8)];
    let (a, r) = (scalar(0), scalar(64));
    let key = (a * ED25519_BASEPOINT_POINT + torsion(128))
        .compress()
        .to_bytes();
    let nonce = (r * ED25519_BASEPOINT_POINT + torsion(129))
        .compress()
        .to_bytes();
    let message = &draw[130..160];
    let k = Scalar::from_hash(
        Sha512::new()
            .chain_update(nonce)
            .chain_update(key)
            .chain_update(message),
    );
    let wrong = if draw[160].is_multiple_of(10) {
        Scalar::ONE
    } else {
        Scalar::ZERO
    };
    let s = r + k * a + wrong;
    case(
        &format!("mutant {number}"),
        &key,
        message,
        signature(&nonce, s.as_bytes()),
    )
}

fn signature(r: &[u8; 32], s: &[u8; 32]) -> Signature {
    Signature(std::array::from_fn(
        |i| if i < 32 { r[i] } else { s[i - 32] },
    ))
}

fn halves(signature: &Signature) -> ([u8; 32], [u8; 32]) {
    (
        signature.0[..32].try_into().unwrap(),
        signature.0[32..].try_into().unwrap(),
    )
}

/// `s + l` as a plain sum of 256-bit integers, which still fits because `s < l < 2^253`.
fn plus_order(s: [u8; 32]) -> [u8; 32] {
    // The order itself is zero as a scalar, so add -1 and carry one in.
    let order_less_one = (-Scalar::ONE).to_bytes();
    let mut carry = 1_u16;
    std::array::from_fn(|i| {
        let sum = u16::from(s[i]) + u16::from(order_less_one[i]) + carry;
        carry = sum >> 8;
        sum.to_le_bytes()[0]
    })
}
