//! Transactions as clients hand them in.

use std::sync::LazyLock;

use arbitrary::{Result, Unstructured};
use probity::{
    ClientCheck, Deduplicate, ENVELOPE_VERSION, Envelope, REPLAY_WINDOW_MS, SignedEnvelope,
    SignedTransaction,
};
use probity_core::TransactionCheck;
use probity_core::crypto::{Context, Digest, hash};
use probity_core::limits::TRANSACTION_BYTES_MAX;

use crate::bounded;
use crate::committee::{VALIDATORS, member_keypair};
use probity_core::ValidatorIndex;

/// Reads `data` as a transaction, and as instructions for a list of nearly valid ones.
///
/// - A transaction that is read re-encodes to the same bytes, within bounded memory.
/// - The door lets in what its clock and network allow, and nothing else.
/// - In a list each transaction has the verdict that it has alone, with a cold and with a warm key cache.
///
/// # Panics
/// When one of these promises is broken.
pub fn transaction_envelope(data: &[u8]) {
    check_alone(data);
    check_door(data);
    let mut input = Unstructured::new(data);
    if let Ok(list) = draw_list(&mut input) {
        check_list(&list);
    }
}

fn check_alone(bytes: &[u8]) {
    let Ok(read) = bounded(bytes.len(), || SignedTransaction::parse(bytes)) else {
        return;
    };
    let body_bytes = u32::try_from(read.body().len()).expect("a transaction is short");
    let content = [
        &[ENVELOPE_VERSION][..],
        read.network().as_bytes(),
        &read.namespace().to_le_bytes(),
        read.sender(),
        read.idempotency_key(),
        &read.expires_ms().to_le_bytes(),
        &body_bytes.to_le_bytes(),
        read.body(),
    ]
    .concat();
    assert_eq!(read.id(), hash(Context::Transaction, &[&content]));
    let again = [&content[..], &read.signature().0].concat();
    assert_eq!(again, bytes, "a transaction re-encodes to other bytes");
    assert!(bytes.len() <= TRANSACTION_BYTES_MAX);
}

/// What is admitted names our network and expires soon; its signature is nobody's business yet.
fn check_door(bytes: &[u8]) {
    let admitted = CHECK.admit(bytes, NOW_MS);
    let expected = SignedTransaction::parse(bytes).ok().filter(|read| {
        let soon = NOW_MS..=NOW_MS + REPLAY_WINDOW_MS;
        *read.network() == NETWORK && soon.contains(&read.expires_ms())
    });
    assert_eq!(admitted.is_ok(), expected.is_some(), "{admitted:?}");
    if let (Ok(admitted), Some(expected)) = (admitted, expected) {
        assert_eq!(admitted.id, expected.id());
        assert_eq!(admitted.duplicate_check, Deduplicate::ById);
    }
}

fn check_list(list: &[Vec<u8>]) {
    let transactions: Vec<&[u8]> = list.iter().map(Vec::as_slice).collect();
    let expected: Vec<bool> = transactions.iter().map(|bytes| is_valid(bytes)).collect();
    let first = expected.iter().position(|valid| !valid);
    // One of the two caches an input, for speed: which one is as good as chance.
    if list[0].len().is_multiple_of(2) {
        let cold = SignedEnvelope::new(NETWORK);
        assert_eq!(
            cold.verdicts(&transactions),
            expected,
            "a list changes a verdict"
        );
    } else {
        assert_eq!(
            CHECK.first_invalid(&transactions),
            first,
            "a list changes a verdict"
        );
    }
    list.iter().for_each(|bytes| {
        check_alone(bytes);
        check_door(bytes);
    });
}

/// The verdict as the format says it, one signature at a time.
fn is_valid(bytes: &[u8]) -> bool {
    SignedTransaction::parse(bytes)
        .is_ok_and(|read| *read.network() == NETWORK && read.verify().is_ok())
}

fn draw_list(input: &mut Unstructured<'_>) -> Result<Vec<Vec<u8>>> {
    let count = input.int_in_range(1..=TRANSACTIONS_MAX)?;
    (0..count).map(|_| draw_one(input)).collect()
}

fn draw_one(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let kind = input.arbitrary::<u8>()?;
    let sender = ValidatorIndex(u16::from(kind) % VALIDATORS);
    let network = if kind == 255 { Digest::ZERO } else { NETWORK };
    let expires_ms = match input.arbitrary::<u8>()? {
        0 => input.arbitrary()?,
        near => NOW_MS + u64::from(near) * 300,
    };
    let body_bytes = usize::from(input.arbitrary::<u8>()?);
    let envelope = Envelope {
        network,
        namespace: u32::from(kind),
        idempotency_key: [kind; 16],
        expires_ms,
        body: &vec![kind; body_bytes],
    };
    let mut bytes = envelope.sign(member_keypair(sender)).to_vec();
    let at = usize::from(input.arbitrary::<u16>()?) % bytes.len();
    match kind {
        0..=149 => {}
        150..=219 => bytes[at] ^= 1 << (kind % 8),
        220..=239 => bytes.truncate(at),
        _ => bytes.push(kind),
    }
    Ok(bytes)
}

/// Keeps the keys that it has met, over all inputs: a cache must not change a verdict.
static CHECK: LazyLock<SignedEnvelope> = LazyLock::new(|| SignedEnvelope::new(NETWORK));
const NETWORK: Digest = Digest([0x11; 32]);
const NOW_MS: u64 = 1_700_000_000_000;
/// A signature costs three verifications here.
const TRANSACTIONS_MAX: usize = 2;
