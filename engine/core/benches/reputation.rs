//! Scores and schedules, per committed block: `cargo bench -p probity-core --bench reputation`.
//!
//! Every round is full, so every block has as many parents as it can; compare with `decide/per header`. A second group
//! has the cost of a snapshot of full windows, which is written at most every 128 rounds.

use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use probity_core::testing::{Committer, Signing, committee, full_dag};
use probity_core::{Block, CommitRecord, Committee, IdMap, Profile, Scoring};

/// A schedule is made and scores are added up on the way.
const ROUNDS: u32 = 144;
const GC_DEPTH: u32 = 64;

type Commits = Vec<(CommitRecord, Vec<Arc<Block>>)>;

fn commits(committee: &Arc<Committee>) -> Commits {
    let mut committer = Committer::new(Arc::clone(committee));
    let mut by_digest = IdMap::default();
    for block in full_dag(committee, ROUNDS, Signing::Zero) {
        by_digest.insert(block.reference().digest, Arc::clone(&block));
        committer.insert(block);
    }
    let blocks = |record: &CommitRecord| {
        let refs = record.blocks.iter();
        let found = refs.map(|(of, _)| by_digest.get(&of.digest).expect("it was inserted"));
        found.map(Arc::clone).collect()
    };
    let commits = committer.commits().iter().map(|commit| &commit.record);
    commits
        .map(|record| (record.clone(), blocks(record)))
        .collect()
}

fn run(mut scoring: Scoring, commits: &Commits) -> Scoring {
    for (record, blocks) in commits {
        let blocks: Vec<_> = blocks.iter().map(|b| (b.reference(), b.header())).collect();
        assert_eq!(scoring.commit(record, &blocks), record.reputation);
    }
    scoring
}

fn reputation(c: &mut Criterion) {
    for validators in [4u64, 100] {
        let weights: Vec<u64> = (0..validators).map(|_| 1_000_000 / validators).collect();
        let bounds = Profile::Dual30.bounds();
        let committee = Arc::new(committee(&weights, bounds, GC_DEPTH));
        let commits = commits(&committee);
        let blocks: usize = commits.iter().map(|(_, blocks)| blocks.len()).sum();
        let mut group = c.benchmark_group("reputation/per committed block");
        group.throughput(Throughput::Elements(blocks as u64));
        group.bench_function(
            BenchmarkId::from_parameter(format!("n={validators}")),
            |b| {
                let fresh = || Scoring::new(Arc::clone(&committee));
                b.iter_batched(fresh, |s| run(s, &commits), BatchSize::LargeInput);
            },
        );
        group.finish();
        let scoring = run(Scoring::new(Arc::clone(&committee)), &commits);
        let (last, _) = commits.last().expect("there are commits");
        let bytes = scoring.snapshot(last).len();
        let mut group = c.benchmark_group("reputation/snapshot");
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(
            BenchmarkId::from_parameter(format!("n={validators}")),
            |b| {
                b.iter(|| scoring.snapshot(last));
            },
        );
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(2000))
        .sample_size(10);
    targets = reputation
}
criterion_main!(benches);
