use super::*;
use bytes::Bytes;
use probity_core::crypto::Keypair;

const NOW_MS: u64 = 1_700_000_000_000;
const NETWORK: Digest = Digest([0x11; 32]);

fn signed(seed: u8, key: u8, body: &[u8]) -> Bytes {
    Envelope {
        network: NETWORK,
        namespace: 7,
        idempotency_key: [key; 16],
        expires_ms: NOW_MS + 30_000,
        body,
    }
    .sign(&Keypair::from_seed(&[seed; 32]))
}

fn id(bytes: &[u8]) -> Digest {
    SignedTransaction::parse(bytes).unwrap().id()
}

fn valid(check: &SignedEnvelope, bytes: &[u8]) -> bool {
    check.first_invalid(&[bytes]).is_none()
}

/// Frozen: a changed byte here is a new version of the envelope.
#[test]
fn the_bytes_and_the_id_of_an_envelope_are_frozen() {
    let bytes = signed(1, 2, b"hello");
    assert_eq!(
        hex::encode(&bytes),
        include_str!("vector.txt").lines().next().unwrap()
    );
    assert_eq!(
        id(&bytes).to_string(),
        include_str!("vector.txt").lines().nth(1).unwrap()
    );
}

#[test]
fn what_is_signed_is_what_is_read() {
    let bytes = signed(1, 2, b"hello");
    let transaction = SignedTransaction::parse(&bytes).unwrap();
    assert_eq!(*transaction.network(), NETWORK);
    assert_eq!(transaction.namespace(), 7);
    assert_eq!(
        transaction.sender(),
        Keypair::from_seed(&[1; 32]).public().as_bytes()
    );
    assert_eq!(*transaction.idempotency_key(), [2; 16]);
    assert_eq!(transaction.expires_ms(), NOW_MS + 30_000);
    assert_eq!(transaction.body(), b"hello");
    assert_eq!(transaction.verify(), Ok(()));
}

#[test]
fn every_changed_byte_is_refused() {
    let check = SignedEnvelope::new(NETWORK);
    let bytes = signed(1, 2, b"hello");
    for at in 0..bytes.len() {
        for flip in [1, 0x80, 0xff] {
            let mut changed = bytes.to_vec();
            changed[at] ^= flip;
            assert!(!valid(&check, &changed), "byte {at} ^ {flip:#x}");
            if let Ok(parsed) = SignedTransaction::parse(&changed) {
                let in_signature = at >= bytes.len() - 64;
                assert_eq!(parsed.id() == id(&bytes), in_signature, "byte {at}");
            }
        }
    }
}

#[test]
fn a_shorter_or_longer_envelope_is_refused() {
    let bytes = signed(1, 2, b"hello");
    for length in 0..bytes.len() {
        assert!(
            SignedTransaction::parse(&bytes[..length]).is_err(),
            "{length}"
        );
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(matches!(
        SignedTransaction::parse(&longer),
        Err(TransactionFault::Malformed(_))
    ));
}

#[test]
fn the_largest_body_fits_and_a_larger_one_does_not() {
    let check = SignedEnvelope::new(NETWORK);
    let body = vec![5; BODY_BYTES_MAX + 1];
    assert!(valid(&check, &signed(1, 2, &body[1..])));
    assert!(valid(&check, &signed(1, 2, b"")));
    let bytes = TRANSACTION_BYTES_MAX + 1;
    assert_eq!(
        check.admit(&signed(1, 2, &body), NOW_MS),
        Err(TransactionFault::TooLarge {
            bytes,
            allowed: TRANSACTION_BYTES_MAX
        })
    );
}

#[test]
fn a_foreign_network_is_refused() {
    let elsewhere = SignedEnvelope::new(Digest([0x12; 32]));
    let bytes = signed(1, 2, b"hello");
    assert_eq!(
        elsewhere.admit(&bytes, NOW_MS),
        Err(TransactionFault::Network)
    );
    assert!(!valid(&elsewhere, &bytes));
}

#[test]
fn expiry_is_asked_at_the_door_and_not_of_validity() {
    let check = SignedEnvelope::new(NETWORK);
    let bytes = signed(1, 2, b"hello");
    let expires_ms = NOW_MS + 30_000;
    let admitted = check.admit(&bytes, expires_ms).unwrap();
    assert_eq!(
        admitted,
        Admitted {
            id: id(&bytes),
            duplicate_check: Deduplicate::ById
        }
    );
    let now_ms = expires_ms + 1;
    let expired = TransactionFault::Expired { expires_ms, now_ms };
    assert_eq!(check.admit(&bytes, now_ms), Err(expired));
    assert!(check.admit(&bytes, expires_ms - REPLAY_WINDOW_MS).is_ok());
    let early = check.admit(&bytes, expires_ms - REPLAY_WINDOW_MS - 1);
    assert_eq!(early, Err(TransactionFault::ExpiresTooLate));
    assert!(valid(&check, &bytes));
}

/// Adds the group order to `s`: the same signature to a careless verifier.
#[test]
fn a_malleated_signature_is_refused_and_has_the_same_id() {
    const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
    let bytes = signed(1, 2, b"hello");
    let mut malleated = bytes.to_vec();
    let s_at = bytes.len() - 32;
    let mut carry = 0u16;
    for (byte, add) in malleated[s_at..]
        .iter_mut()
        .zip(hex::decode(ORDER).unwrap())
    {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    assert_ne!(malleated, bytes);
    assert_eq!(id(&malleated), id(&bytes));
    assert!(!valid(&SignedEnvelope::new(NETWORK), &malleated));
}

/// Under the identity key, `R = identity, s = 0` fits every message.
#[test]
fn a_small_order_key_is_refused() {
    let mut bytes = signed(1, 2, b"hello").to_vec();
    let identity = std::array::from_fn::<u8, 32, _>(|i| u8::from(i == 0));
    bytes[37..69].copy_from_slice(&identity);
    let at = bytes.len() - 64;
    bytes[at..at + 32].copy_from_slice(&identity);
    bytes[at + 32..].fill(0);
    assert!(!valid(&SignedEnvelope::new(NETWORK), &bytes));
    let parsed = SignedTransaction::parse(&bytes).unwrap();
    assert_eq!(parsed.verify(), Err(TransactionFault::BadKey));
}

/// Lists of many lengths, bad ones strewn in by a hash, judged twice: with a cold and a warm cache.
#[test]
fn a_batch_has_the_verdicts_of_its_members() {
    let check = SignedEnvelope::new(NETWORK);
    let good: Vec<Bytes> = (0..40).map(|n| signed(n % 5, n, &[n])).collect();
    for (list, length) in [0usize, 1, 2, 63, 64, 65, 256, 257, 700]
        .into_iter()
        .enumerate()
    {
        let mut expected = Vec::new();
        let mut transactions = Vec::new();
        for n in 0..length {
            let draw = hash(Context::Batch, &[&list.to_le_bytes(), &n.to_le_bytes()]).0;
            let mut bytes = good[usize::from(draw[0]) % good.len()].to_vec();
            // A third of the lists is all good; the others have one bad in eight.
            let bad = list % 3 != 0 && draw[1] < 32;
            if bad {
                let at = usize::from(draw[2]) % bytes.len();
                bytes[at] ^= 1 + draw[3] % 255;
            }
            expected.push(!bad);
            transactions.push(bytes);
        }
        let transactions: Vec<&[u8]> = transactions.iter().map(Vec::as_slice).collect();
        let first = expected.iter().position(|valid| !valid);
        for _ in 0..2 {
            assert_eq!(check.verdicts(&transactions), expected, "list {list}");
            assert_eq!(check.first_invalid(&transactions), first, "list {list}");
        }
    }
}

#[test]
fn opaque_takes_any_bytes_that_fit() {
    let large = vec![0; TRANSACTION_BYTES_MAX + 1];
    let list: [&[u8]; 4] = [b"x", &large[1..], b"", &large];
    assert_eq!(Opaque.verdicts(&list), [true, true, false, false]);
    assert_eq!(Opaque.first_invalid(&list), Some(2));
    assert_eq!(Opaque.first_invalid(&list[..2]), None);
    assert_eq!(Opaque.admit(b"", NOW_MS), Err(TransactionFault::Empty));
    let admitted = Opaque.admit(b"x", NOW_MS).unwrap();
    assert_eq!(admitted.id, hash(Context::Transaction, &[b"x"]));
    assert_eq!(admitted.duplicate_check, Deduplicate::Never);
}

#[test]
fn kinds_are_found_by_name() {
    for kind in TransactionKind::BUILT_IN {
        assert_eq!(kind.name().parse(), Ok(kind.clone()));
        assert_eq!(kind.check(NETWORK).unwrap().name(), kind.name());
    }
    let own: TransactionKind = "my.check/17".parse().unwrap();
    assert_eq!(own.name(), "my.check/17");
    assert!(own.check(NETWORK).is_none());
    let long = format!("{}/1", "x".repeat(63));
    for wrong in [
        "opaque",
        "/1",
        "opaque/",
        "mine/x",
        "mine/1/2",
        "my check/1",
        "",
        &long,
    ] {
        assert!(wrong.parse::<TransactionKind>().is_err(), "{wrong:?}");
    }
}
