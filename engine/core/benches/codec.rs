//! Making, encoding and decoding a full block: `cargo bench -p probity-core --bench codec`.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use probity_core::testing::{Draft, committee, full_dag, proposal, sign};
use probity_core::{Block, Committee, Message, Payload, Profile, Round, ValidatorIndex};

const TRANSACTIONS: usize = 512;
const TRANSACTION_BYTES: usize = 512;

fn four() -> Committee {
    committee(&[250_000; 4], Profile::Dual30.bounds(), 64)
}

fn transactions() -> Vec<Vec<u8>> {
    (0..TRANSACTIONS).map(|n| vec![n.to_le_bytes()[0]; TRANSACTION_BYTES]).collect()
}

/// A draft in round 2 with all of round 1 as parents.
fn draft(committee: &Committee) -> Draft {
    let below = full_dag(committee, 1, probity_core::testing::Signing::Zero);
    Draft {
        round: Round(2),
        author: ValidatorIndex(0),
        parents: below.iter().map(|block| block.reference()).collect(),
        timestamp_ms: 20,
    }
}

fn block(committee: &Committee) -> Block {
    sign(proposal(committee, draft(committee), Payload::from_transactions(&transactions())))
}

fn codec(c: &mut Criterion) {
    let committee = four();
    let (draft, transactions) = (draft(&committee), transactions());
    let bytes = (TRANSACTIONS * TRANSACTION_BYTES) as u64;
    let mut group = c.benchmark_group("codec/512x512");
    group.throughput(Throughput::Bytes(bytes));
    group.bench_function("lay out payload", |b| {
        b.iter(|| Payload::from_transactions(black_box(&transactions)))
    });
    let payload = Payload::from_transactions(&transactions);
    group.bench_function("propose: describe, encode, digest", |b| {
        let input = || (draft.clone(), payload.clone());
        let run = |(draft, payload)| proposal(&committee, draft, payload);
        b.iter_batched(input, run, BatchSize::SmallInput)
    });
    let message = Message::Block(std::sync::Arc::new(block(&committee)));
    group.bench_function("encode", |b| b.iter(|| black_box(&message).encode()));
    let encoded = message.encode();
    group.bench_function("decode", |b| b.iter(|| Message::decode(black_box(&encoded)).is_ok()));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1000))
        .sample_size(20);
    targets = codec
}
criterion_main!(benches);
