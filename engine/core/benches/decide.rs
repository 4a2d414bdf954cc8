//! The window and the commit rule, per accepted header: `cargo bench -p probity-core --bench decide`.
//!
//! Every round is full and arrives in order, so this is the cost of the good case: parents looked
//! up, votes counted, slots decided, commits linearised, old rounds collected.

use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use probity_core::testing::{Committer, Signing, committee, full_dag};
use probity_core::{Committee, Profile};

/// Rounds fed at a time: several windows of `GC_DEPTH` rounds, so that collecting counts too.
const ROUNDS: u32 = 64;
const GC_DEPTH: u32 = 16;

fn equal(validators: u64, profile: Profile) -> Arc<Committee> {
    let weights: Vec<u64> = (0..validators).map(|_| 1_000_000 / validators).collect();
    Arc::new(committee(&weights, profile.bounds(), GC_DEPTH))
}

fn decide(c: &mut Criterion) {
    let mut group = c.benchmark_group("decide/per header");
    for validators in [4, 100] {
        for profile in [Profile::Dual30, Profile::Classic33, Profile::Fast20] {
            let committee = equal(validators, profile);
            let blocks = full_dag(&committee, ROUNDS, Signing::Zero);
            group.throughput(Throughput::Elements(blocks.len() as u64));
            let id = BenchmarkId::new(profile.name(), format!("n={validators}"));
            group.bench_function(id, |b| {
                let input = || (Committer::new(Arc::clone(&committee)), blocks.clone());
                let run = |(mut committer, blocks): (Committer, Vec<_>)| {
                    for block in blocks {
                        committer.insert(block);
                    }
                    assert!(committer.commits().len() > ROUNDS as usize / 2);
                    // Dropping what was collected is not part of the figure.
                    committer
                };
                b.iter_batched(input, run, BatchSize::LargeInput)
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(2000))
        .sample_size(10);
    targets = decide
}
criterion_main!(benches);
