//! Signatures and hashes, per item: `cargo bench -p probity-core --bench crypto`.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use probity_core::crypto::{
    Claim, Context, Keypair, PublicKey, Signature, backend, hash, verify, verify_batch, verify_each,
};

const MESSAGE_BYTES: usize = 512;

struct Signed {
    key: PublicKey,
    message: [u8; MESSAGE_BYTES],
    signature: Signature,
}

/// `count` signatures of different messages, by `keys` keys in turn.
fn signed(count: usize, keys: usize) -> Vec<Signed> {
    let keypairs: Vec<_> = (0..keys)
        .map(|i| Keypair::from_seed(hash(Context::Params, &[&i.to_le_bytes()]).as_bytes()))
        .collect();
    keypairs
        .iter()
        .cycle()
        .take(count)
        .enumerate()
        .map(|(i, keypair)| {
            let mut message = [0; MESSAGE_BYTES];
            message[..8].copy_from_slice(&i.to_le_bytes());
            Signed {
                key: keypair.public(),
                message,
                signature: keypair.sign(&message),
            }
        })
        .collect()
}

fn claims(signed: &[Signed]) -> Vec<Claim<'_>> {
    signed
        .iter()
        .map(
            |Signed {
                 key,
                 message,
                 signature,
             }| Claim {
                key,
                message,
                signature,
            },
        )
        .collect()
}

fn single(c: &mut Criterion) {
    let keypair = Keypair::from_seed(&[1; 32]);
    let key = keypair.public();
    let message = [2; MESSAGE_BYTES];
    let signature = keypair.sign(&message);
    let mut group = c.benchmark_group(format!("signature/{}", backend()));
    group.bench_function("sign", |b| b.iter(|| keypair.sign(black_box(&message))));
    group.bench_function("verify", |b| {
        b.iter(|| assert!(verify(&key, black_box(&message), &signature)))
    });
    group.bench_function("key/committee", |b| {
        b.iter(|| PublicKey::committee(black_box(key.as_bytes())))
    });
    group.bench_function("key/client", |b| {
        b.iter(|| PublicKey::client(black_box(key.as_bytes())))
    });
}

fn batches(c: &mut Criterion) {
    let mut group = c.benchmark_group(format!("batch/{}", backend()));
    for count in [2, 3, 4, 8, 16, 64, 256, 1024] {
        group.throughput(Throughput::Elements(count as u64));
        for (label, keys) in [("distinct keys", count), ("4 keys", 4)] {
            let signed = signed(count, keys);
            let claims = claims(&signed);
            let id = BenchmarkId::new(label, count);
            group.bench_function(id, |b| b.iter(|| assert!(verify_batch(black_box(&claims)))));
        }
    }
    let mut forged = signed(1024, 1024);
    forged[700].signature.0[63] ^= 1;
    let one_bad = claims(&forged);
    group.bench_function("one bad/1024", |b| {
        b.iter(|| verify_each(black_box(&one_bad)))
    });
    let mut forged = signed(1024, 1024);
    forged.iter_mut().for_each(|signed| signed.message[9] ^= 1);
    let all_bad = claims(&forged);
    group.bench_function("all bad/1024", |b| {
        b.iter(|| verify_each(black_box(&all_bad)))
    });
}

fn hashes(c: &mut Criterion) {
    let mut group = c.benchmark_group("hash");
    for bytes in [32, 64, 512, 4096, 262_144] {
        let input = vec![3; bytes];
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::new("context", bytes), |b| {
            b.iter(|| hash(Context::Header, &[black_box(&input)]))
        });
        group.bench_function(BenchmarkId::new("plain blake3", bytes), |b| {
            b.iter(|| blake3::hash(black_box(&input)))
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(std::time::Duration::from_millis(300))
        .measurement_time(std::time::Duration::from_millis(1000))
        .sample_size(20);
    targets = single, batches, hashes
}
criterion_main!(benches);
