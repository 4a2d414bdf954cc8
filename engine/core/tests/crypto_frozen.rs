//! Digests and tags that stored and signed data depend on. A change here is a new protocol version.

use probity_core::crypto::{Context, Digest, Domain, hash, hasher};
use std::collections::BTreeSet;

/// One line a context: its text, the digest of no input, the digest of `"probity"`.
#[test]
fn digests_of_every_context_are_frozen() {
    let actual: String = Context::ALL
        .iter()
        .map(|context| {
            format!(
                "{}: {} {}\n",
                context.text(),
                hash(*context, &[]),
                hash(*context, &[b"probity"])
            )
        })
        .collect();
    assert_eq!(actual, include_str!("vectors/crypto_contexts.txt"));
}

#[test]
fn tags_of_every_domain_are_frozen() {
    let actual: String = Domain::ALL
        .iter()
        .map(|domain| format!("{domain:?}: {}\n", hex::encode(domain.tag())))
        .collect();
    assert_eq!(actual, include_str!("vectors/crypto_domains.txt"));
}

#[test]
fn every_context_and_every_domain_is_unique() {
    let texts: BTreeSet<_> = Context::ALL.iter().map(|context| context.text()).collect();
    assert_eq!(texts.len(), Context::ALL.len());
    let digests: BTreeSet<_> = Context::ALL
        .iter()
        .map(|context| hash(*context, &[b"same input"]))
        .collect();
    assert_eq!(digests.len(), Context::ALL.len());
    let tags: BTreeSet<_> = Domain::ALL.iter().map(|domain| domain.tag()).collect();
    assert_eq!(tags.len(), Domain::ALL.len());
}

#[test]
fn a_context_is_blake3_derive_key_with_its_text() {
    for context in Context::ALL {
        for length in [0, 1, 64, 1024, 1025, 100_000] {
            let input = vec![0x5a; length];
            assert_eq!(
                hash(context, &[&input]).0,
                blake3::derive_key(context.text(), &input)
            );
        }
    }
}

#[test]
fn the_cut_into_pieces_does_not_matter() {
    let input: Vec<u8> = (0..3000_u32).map(|i| i.to_le_bytes()[0]).collect();
    let whole = hash(Context::Payload, &[&input]);
    for cut in [0, 1, 63, 64, 1024, 2999, 3000] {
        let (left, right) = input.split_at(cut);
        assert_eq!(hash(Context::Payload, &[left, right]), whole);
        let mut streamed = hasher(Context::Payload);
        streamed.update(left).update(right);
        assert_eq!(streamed.finish(), whole);
    }
}

#[test]
fn the_stream_begins_with_the_digest() {
    let mut hasher = hasher(Context::LeaderDraw);
    hasher.update(b"seed");
    let mut long = [0; 100];
    hasher.finish_xof(&mut long);
    assert_eq!(long[..32], hasher.finish().0);
    let mut short = [0; 7];
    hasher.finish_xof(&mut short);
    assert_eq!(short, long[..7]);
    assert_ne!(hasher.finish(), Digest::ZERO);
}
