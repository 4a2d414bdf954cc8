//! From a block's bytes to a verified block, and signatures alone:
//! `cargo bench -p probity-core --bench verify`.

use std::hint::black_box;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use probity_core::crypto::{
    Claim, Context, Keypair, PublicKey, Signature, backend, hash, verify, verify_each,
};
use probity_core::testing::{Draft, Signing, VALID_CHECK, committee, full_dag, proposal, sign};
use probity_core::{Block, Committee, Payload, Profile, Round, ValidatorIndex, verify_block};

/// What a client signs: domain and id.
const MESSAGE_BYTES: usize = 64;

struct Signed {
    key: PublicKey,
    message: [u8; MESSAGE_BYTES],
    signature: Signature,
}

impl Signed {
    /// By a client of its own.
    fn new(client: usize) -> Self {
        let keypair =
            Keypair::from_seed(hash(Context::Params, &[&client.to_le_bytes()]).as_bytes());
        let message = [client.to_le_bytes()[0]; MESSAGE_BYTES];
        Self {
            key: keypair.public(),
            message,
            signature: keypair.sign(&message),
        }
    }

    fn claim(&self) -> Claim<'_> {
        Claim {
            key: &self.key,
            message: &self.message,
            signature: &self.signature,
        }
    }
}

fn signatures(c: &mut Criterion) {
    let mut group = c.benchmark_group(format!("verify/signatures/{}", backend()));
    let one = Signed::new(0);
    group.throughput(Throughput::Elements(1));
    group.bench_function("single", |b| {
        b.iter(|| assert!(verify(&one.key, black_box(&one.message), &one.signature)))
    });
    for count in [64, 256, 1024] {
        let signed: Vec<Signed> = (0..count).map(Signed::new).collect();
        let claims: Vec<Claim<'_>> = signed.iter().map(Signed::claim).collect();
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("batch", count), |b| {
            b.iter(|| {
                assert!(
                    verify_each(black_box(&claims))
                        .into_iter()
                        .all(|valid| valid)
                )
            })
        });
    }
    group.finish();
}

/// A signed block of round 2 on all of round 1, as it travels.
fn encoded_block(committee: &Committee, transactions: usize) -> Bytes {
    let below = full_dag(committee, 1, Signing::Zero);
    let draft = Draft {
        round: Round(2),
        author: ValidatorIndex(0),
        parents: below.iter().map(|block| block.reference()).collect(),
        timestamp_ms: 20,
    };
    let transactions: Vec<[u8; 512]> = (0..transactions)
        .map(|n| [n.to_le_bytes()[0]; 512])
        .collect();
    let block: Block = sign(proposal(
        committee,
        draft,
        Payload::from_transactions(&transactions),
    ));
    let mut bytes = BytesMut::with_capacity(block.encoded_len());
    bytes.extend_from_slice(block.signed_header());
    bytes.extend_from_slice(block.payload().bytes());
    bytes.freeze()
}

fn blocks(c: &mut Criterion) {
    let mut group = c.benchmark_group("verify/block");
    for validators in [4, 100] {
        let weights = vec![1_000_000 / validators; usize::try_from(validators).expect("few")];
        let committee = committee(&weights, Profile::Dual30.bounds(), 64);
        for transactions in [0, 512] {
            let bytes = encoded_block(&committee, transactions);
            let id = BenchmarkId::new(format!("n={validators}"), format!("{transactions}x512"));
            group.throughput(Throughput::Bytes(bytes.len() as u64));
            group.bench_function(id, |b| {
                b.iter(|| {
                    assert!(verify_block(black_box(&bytes), &committee, &VALID_CHECK).is_ok())
                })
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1000))
        .sample_size(20);
    targets = signatures, blocks
}
criterion_main!(benches);
