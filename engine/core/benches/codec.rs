//! Making, encoding and decoding a full block: `cargo bench -p probity-core --bench codec`.

use std::convert::Infallible;
use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use probity_core::record::{RecordSource, RecordTable, read_block};
use probity_core::testing::{Draft, Signing, committee, full_dag, proposal, sign};
use probity_core::{Block, Committee, Message, Payload, Profile, Round, ValidatorIndex};

const TRANSACTIONS: usize = 512;
const TRANSACTION_BYTES: usize = 512;

fn four() -> Committee {
    committee(&[250_000; 4], Profile::Dual30.bounds(), 64)
}

fn transactions() -> Vec<Vec<u8>> {
    (0..TRANSACTIONS)
        .map(|n| vec![n.to_le_bytes()[0]; TRANSACTION_BYTES])
        .collect()
}

/// A draft in round 2 with all of round 1 as parents.
fn draft(committee: &Committee) -> Draft {
    let below = full_dag(committee, 1, Signing::Zero);
    Draft {
        round: Round(2),
        author: ValidatorIndex(0),
        parents: below.iter().map(|block| block.reference()).collect(),
        timestamp_ms: 20,
    }
}

fn block(committee: &Committee) -> Block {
    sign(proposal(
        committee,
        draft(committee),
        Payload::from_transactions(&transactions()),
    ))
}

/// A store with one block: the way to decode without verifying.
struct Stored {
    header: Bytes,
    payload: Bytes,
}

impl RecordSource for Stored {
    type Error = Infallible;

    fn read(&self, table: RecordTable, _: &[u8]) -> Result<Option<Bytes>, Infallible> {
        let is_header = table == RecordTable::Headers;
        Ok(Some(if is_header {
            self.header.clone()
        } else {
            self.payload.clone()
        }))
    }

    fn scan(
        &self,
        _: RecordTable,
        _: &[u8],
        _: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Infallible> {
        Ok(())
    }
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
    let block = block(&committee);
    group.bench_function("encode", |b| {
        b.iter(|| Message::encode_block(black_box(&block)))
    });
    let stored = Stored {
        header: block.signed_header().clone(),
        payload: block.payload().bytes().clone(),
    };
    group.bench_function("decode and digest", |b| {
        b.iter(|| assert!(read_block(black_box(&stored), 0, &block.reference()).is_ok()))
    });
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
