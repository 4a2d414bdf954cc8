//! Signing, checking, and finding the bad ones among many.

#![allow(
    clippy::unwrap_used,
    reason = "a helper that fails should fail its test"
)]

use probity_core::crypto::{Claim, Context, Keypair, PublicKey, Signature, hash};
use probity_core::crypto::{verify, verify_batch, verify_each};
use proptest::prelude::*;

struct Signed {
    key: PublicKey,
    message: Vec<u8>,
    signature: Signature,
}

impl Signed {
    fn claim(&self) -> Claim<'_> {
        Claim {
            key: &self.key,
            message: &self.message,
            signature: &self.signature,
        }
    }
}

/// `count` signatures of different messages, by `keys` keys in turn.
fn signed(count: usize, keys: usize) -> Vec<Signed> {
    (0..count)
        .map(|number| {
            let seed = hash(Context::Params, &[&(number % keys).to_le_bytes()]);
            let keypair = Keypair::from_seed(seed.as_bytes());
            let message = format!("message {number}").into_bytes();
            Signed {
                key: keypair.public(),
                signature: keypair.sign(&message),
                message,
            }
        })
        .collect()
}

fn joined<'a>(fillers: &'a [Signed], claim: Claim<'a>) -> Vec<Claim<'a>> {
    fillers.iter().map(Signed::claim).chain([claim]).collect()
}

#[test]
fn signatures_are_those_of_rfc_8032() {
    let lines = include_str!("vectors/crypto_rfc8032.txt").lines();
    for line in lines.filter(|line| !line.starts_with('#')) {
        let fields = line
            .split(' ')
            .map(|field| hex::decode(field.trim_matches('-')).unwrap());
        let [seed, key, message, signature] = fields.collect::<Vec<_>>().try_into().unwrap();
        let keypair = Keypair::from_seed(&seed.try_into().unwrap());
        assert_eq!(keypair.public().as_bytes().as_slice(), key);
        assert_eq!(keypair.sign(&message).0.as_slice(), signature);
        assert!(verify(&keypair.public(), &message, &keypair.sign(&message)));
    }
}

#[test]
fn no_claims_are_valid_claims() {
    assert!(verify_batch(&[]));
    assert!(verify_each(&[]).is_empty());
}

#[test]
fn every_flipped_bit_is_noticed() {
    let keypair = Keypair::from_seed(&[3; 32]);
    let (key, message) = (keypair.public(), *b"thirty-two bytes that are signed");
    let signature = keypair.sign(&message);
    let fillers = signed(4, 4);
    for bit in 0..512 {
        let mut flipped = signature;
        flipped.0[bit / 8] ^= 1 << (bit % 8);
        let claim = Claim {
            key: &key,
            message: &message,
            signature: &flipped,
        };
        assert!(!verify(&key, &message, &flipped), "signature bit {bit}");
        assert!(
            !verify_batch(&joined(&fillers, claim)),
            "signature bit {bit}"
        );
    }
    for bit in 0..256 {
        let mut flipped = message;
        flipped[bit / 8] ^= 1 << (bit % 8);
        let claim = Claim {
            key: &key,
            message: &flipped,
            signature: &signature,
        };
        assert!(!verify(&key, &flipped, &signature), "message bit {bit}");
        assert!(!verify_batch(&joined(&fillers, claim)), "message bit {bit}");

        let mut other_key = *key.as_bytes();
        other_key[bit / 8] ^= 1 << (bit % 8);
        if let Ok(other_key) = PublicKey::client(&other_key) {
            assert!(!verify(&other_key, &message, &signature), "key bit {bit}");
        }
    }
}

#[test]
fn the_one_bad_among_64_is_found_wherever_it_is() {
    for keys in [64, 4, 1] {
        for bad in 0..64 {
            let mut signed = signed(64, keys);
            signed[bad].message.push(b'!');
            let claims: Vec<_> = signed.iter().map(Signed::claim).collect();
            assert!(!verify_batch(&claims));
            let verdicts = verify_each(&claims);
            let found: Vec<_> = (0..64).filter(|i| !verdicts[*i]).collect();
            assert_eq!(found, [bad], "{keys} keys");
        }
    }
}

#[test]
fn batches_beyond_the_largest_sum_are_split() {
    let mut signed = signed(2100, 7);
    let all_valid: Vec<_> = signed.iter().map(Signed::claim).collect();
    assert!(verify_batch(&all_valid));
    assert_eq!(verify_each(&all_valid), vec![true; 2100]);

    let bad = [0, 1023, 1024, 1500, 2099];
    for place in bad {
        signed[place].signature.0[40] ^= 4;
    }
    let claims: Vec<_> = signed.iter().map(Signed::claim).collect();
    let verdicts = verify_each(&claims);
    assert_eq!((0..2100).filter(|i| !verdicts[*i]).collect::<Vec<_>>(), bad);
    assert!(!verify_batch(&claims[1024..]));
}

#[test]
fn a_signature_of_another_key_of_the_batch_is_invalid() {
    let mut signed = signed(8, 8);
    let (left, right) = signed.split_at_mut(4);
    std::mem::swap(&mut left[1].signature, &mut right[2].signature);
    let claims: Vec<_> = signed.iter().map(Signed::claim).collect();
    assert_eq!(
        verify_each(&claims),
        [true, false, true, true, true, true, false, true]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// The fast path against the slow obvious one, over repeated keys, malformed and wrong
    /// signatures.
    #[test]
    fn batches_agree_with_single_checks(
        count in 0_usize..100,
        keys in 1_usize..100,
        damage in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..64, 1_u8..), 0..4),
    ) {
        let mut signed = signed(count, keys);
        if count > 0 {
            for (which, byte, by) in damage {
                signed[which.index(count)].signature.0[byte] ^= by;
            }
        }
        let claims: Vec<_> = signed.iter().map(Signed::claim).collect();
        let expected: Vec<_> = claims
            .iter()
            .map(|claim| verify(claim.key, claim.message, claim.signature))
            .collect();
        prop_assert_eq!(verify_batch(&claims), expected.iter().all(|valid| *valid));
        prop_assert_eq!(verify_each(&claims), expected);
    }
}
