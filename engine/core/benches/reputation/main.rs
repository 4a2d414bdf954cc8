//! What reputation costs the core: `cargo bench -p probity-core --bench reputation`.
//!
//! | figure | of what |
//! |---|---|
//! | `core` | the whole time that a replica takes for a block, from the verified block to the commit, its records and all other outputs |
//! | `scores` | of that: the update of the scores with each commit (R26, R27) |
//! | `slots` | of that: drawing the leaders of the block's round (R29) |
//! | `schedule` | of that: who is eligible, every 128 rounds (R28), with the leaders of one round |
//! | `snapshot` | of that: writing down the scores, every 128 rounds |
//! | `weights` | once an epoch: the next epoch's weights (R30) |
//!
//! All but the last are per accepted block, in the middle of an epoch of full rounds: every block has as many parents as it
//! can, and every slot commits. Blocks have no payload: the core does not touch its bytes. Decoding and signatures are not part
//! of it: they happen before the core, on other threads.

use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{
    BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main,
};
use probity_core::testing::{
    committee, next_seats, slots, slots_with_scores, with_stand_in_signatures,
};
use probity_core::{BlockRef, Commit, CommitRecord, Committee, Header, Profile, Round, Scoring};

mod trace;

use trace::Trace;

/// Committee sizes, the rounds before the timed ones and the timed ones. The former fill the windows of the scores of the
/// small committees; the blocks of the latter fit a cache, as they do where they have just been verified.
const SIZES: [(u64, u32, u32); 3] = [(4, 4_200, 128), (31, 560, 16), (100, 160, 5)];
const GC_DEPTH: u32 = 64;

fn equal(validators: u64) -> Arc<Committee> {
    let weights: Vec<u64> = (0..validators).map(|_| 1_000_000 / validators).collect();
    let committee = committee(&weights, Profile::Dual30.bounds(), GC_DEPTH);
    Arc::new(with_stand_in_signatures(committee))
}

/// Commits, in one piece of memory: a core that scores one has just ordered it.
struct Sequence<'a> {
    records: Vec<&'a CommitRecord>,
    /// Of all commits, in order.
    blocks: Vec<(BlockRef, &'a Header)>,
}

impl<'a> Sequence<'a> {
    fn of(commits: &'a [Arc<Commit>]) -> Self {
        let blocks = commits.iter().flat_map(|commit| &commit.blocks);
        let blocks = blocks.map(|ordered| &ordered.block);
        Self {
            records: commits.iter().map(|commit| &commit.record).collect(),
            blocks: blocks
                .map(|block| (block.reference(), block.header()))
                .collect(),
        }
    }
}

fn score(mut scoring: Scoring, commits: &Sequence<'_>) -> Scoring {
    let mut left = &commits.blocks[..];
    let mut digest = None;
    for record in &commits.records {
        let (blocks, later) = left.split_at(record.blocks.len());
        left = later;
        digest = Some(scoring.commit(record, blocks));
    }
    let last = commits.records.last().expect("there are commits");
    assert_eq!(digest, Some(last.reputation));
    scoring
}

fn per_block(group: &mut BenchmarkGroup<'_, WallTime>, trace: &Trace, scoring: &Scoring) {
    let once = BatchSize::PerIteration;
    group.throughput(Throughput::Elements(trace.len() as u64));
    // Dropping what was collected and what was output is not part of the figure.
    group.bench_function("core", |b| {
        b.iter_batched(|| trace.start(), |p| trace.play(p), once);
    });
    let commits = trace.commits();
    let commits = Sequence::of(&commits);
    group.throughput(Throughput::Elements(commits.blocks.len() as u64));
    group.bench_function("scores", |b| {
        b.iter_batched(|| scoring.clone(), |s| score(s, &commits), once);
    });
}

/// What is due once a round, once in 128 rounds and once an epoch, as a share of each block but for the last.
fn now_and_then(group: &mut BenchmarkGroup<'_, WallTime>, scoring: &Scoring, last: &CommitRecord) {
    let committee = scoring.committee();
    let a_round = committee.size() as u64;
    let a_schedule = a_round * u64::from(committee.reputation().schedule_rounds);
    group.throughput(Throughput::Elements(a_round));
    group.bench_function("slots", |b| {
        let mut round = Round::GENESIS;
        b.iter(|| {
            round = round.next();
            slots(committee, round)
        });
    });
    group.throughput(Throughput::Elements(a_schedule));
    let scores = scoring.scores();
    group.bench_function("schedule", |b| {
        b.iter(|| slots_with_scores(committee, &scores, Round(1)));
    });
    group.bench_function("snapshot", |b| b.iter(|| scoring.snapshot(last)));
    group.throughput(Throughput::Elements(1));
    group.bench_function("weights", |b| b.iter(|| next_seats(scoring)));
}

fn reputation(c: &mut Criterion) {
    for (validators, before, timed) in SIZES {
        let committee = equal(validators);
        let (trace, before) = Trace::record(&committee, before, timed);
        let scoring = score(Scoring::new(committee), &Sequence::of(&before));
        let last = before.last().expect("there are commits").record.clone();
        drop(before);
        let mut group = c.benchmark_group(format!("reputation/n={validators}"));
        per_block(&mut group, &trace, &scoring);
        now_and_then(&mut group, &scoring, &last);
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
