//! The real commit rule against the slow reference, on random DAGs.
//!
//! `PROBITY_SEEDS=from..to cargo test --release -p probity-core --test order_matches_reference` runs other seeds.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use probity_core::testing::{
    Chance, Committed, Committer, RandomDag, Verdict, delivery, reference_answer,
};
use probity_core::{Block, Path, Rule, Slot};

mod seeds;

use seeds::check_seeds;

/// What a run of seeds has met, so that a generator gone dull fails the test.
#[derive(Default)]
struct Met {
    counts: [[AtomicU64; 7]; 3],
}

const MET: [&str; 7] = [
    "fast commits",
    "slow commits",
    "indirect commits",
    "skips",
    "indirect skips",
    "void blocks",
    "gc rounds",
];

#[test]
fn the_order_is_that_of_the_reference() {
    let met = Met::default();
    let checked = check_seeds(0..20_000, |seed| check_seed(seed, &met));
    if checked >= 20_000 {
        met.assert_rich();
    }
}

fn check_seed(seed: u64, met: &Met) {
    let dag = RandomDag::draw(seed);
    let mut chance = Chance::new(seed ^ 0x0b5e_77e7);
    let mut final_commits: Option<Vec<Committed>> = None;
    let mut decided: BTreeMap<Slot, Verdict> = BTreeMap::new();
    for observer in 0..3 {
        let noise = chance.pick(&[0, 10, 40, 200, 1000]);
        let mut arriving = delivery(&dag.blocks, noise, &mut chance);
        if observer == 2 {
            shuffle(&mut arriving, &mut chance); // parents may come after children
        }
        let cuts = [
            chance.below(arriving.len() as u64 + 1),
            arriving.len() as u64,
        ];
        let mut committer = Committer::new(Arc::clone(&dag.shape.committee));
        for (at, block) in (1..).zip(&arriving) {
            committer.insert(Arc::clone(block));
            if cuts.contains(&at) {
                check_against_reference(&committer, &dag);
                agree(&mut decided, committer.decisions());
            }
        }
        assert_eq!(committer.suspended(), 0, "every parent was delivered");
        check_restart(&dag, &arriving, &mut chance, committer.commits());
        if observer == 0 {
            met.note(dag.shape.committee.thresholds().rule, &committer);
        }
        match &final_commits {
            None => final_commits = Some(committer.commits().to_vec()),
            Some(first) => assert_eq!(first, committer.commits(), "one output for one DAG"),
        }
    }
}

fn check_against_reference(committer: &Committer, dag: &RandomDag) {
    let answer = reference_answer(&dag.shape.committee, committer.accepted());
    let ours = committer.answer();
    assert_eq!(ours.decisions, answer.decisions, "another decision");
    assert_eq!(ours.output, answer.output, "slots leave in slot order");
    assert_eq!(ours.commits, answer.commits, "another commit");
    for pair in committer.commits().windows(2) {
        assert_eq!(
            pair[0].digest, pair[1].record.previous,
            "records are chained"
        );
        assert_eq!(
            pair[0].record.index.next(),
            pair[1].record.index,
            "indices have no gap"
        );
    }
}

/// No two views ever decide a slot differently.
fn agree(decided: &mut BTreeMap<Slot, Verdict>, view: BTreeMap<Slot, Verdict>) {
    for (slot, verdict) in view {
        let first = *decided.entry(slot).or_insert(verdict);
        assert_eq!(first, verdict, "two views disagree about {slot:?}");
    }
}

/// R36: a validator that stops somewhere and starts again ends with the same sequence.
fn check_restart(
    dag: &RandomDag,
    arriving: &[Arc<Block>],
    chance: &mut Chance,
    expected: &[Committed],
) {
    let stop = usize::try_from(chance.below(arriving.len() as u64 + 1)).unwrap();
    let mut before = Committer::new(Arc::clone(&dag.shape.committee));
    arriving[..stop]
        .iter()
        .for_each(|block| before.insert(Arc::clone(block)));
    let Some(checkpoint) = before.checkpoint() else {
        return;
    };
    let done = before.commits().len();
    let gc_round = before.gc_round();
    let kept: Vec<Arc<Block>> = before
        .accepted()
        .iter()
        .filter(|block| block.round() > gc_round)
        .cloned()
        .collect();
    let mut after = Committer::resume(Arc::clone(&dag.shape.committee), checkpoint);
    delivery(&kept, 40, chance)
        .into_iter()
        .for_each(|block| after.insert(block));
    // Suspended blocks were lost and are asked for again.
    arriving
        .iter()
        .for_each(|block| after.insert(Arc::clone(block)));
    assert_eq!(
        after.commits(),
        &expected[done..],
        "a restart changes nothing"
    );
}

fn shuffle(blocks: &mut [Arc<Block>], chance: &mut Chance) {
    for at in (1..blocks.len()).rev() {
        blocks.swap(at, usize::try_from(chance.below(at as u64 + 1)).unwrap());
    }
}

impl Met {
    fn note(&self, rule: Rule, committer: &Committer) {
        let row = match rule {
            Rule::Classic => 0,
            Rule::Dual => 1,
            Rule::Fast => 2,
        };
        let add = |column: usize, count: u64| self.counts[row][column].fetch_add(count, Relaxed);
        for decided in committer.slots() {
            let column = match (decided.verdict, decided.path) {
                (Verdict::Commit(_), Path::Fast) => 0,
                (Verdict::Commit(_), Path::Slow) => 1,
                (Verdict::Commit(_), Path::Indirect) => 2,
                (Verdict::Skip, Path::Fast | Path::Slow) => 3,
                (Verdict::Skip, Path::Indirect) => 4,
            };
            add(column, 1);
        }
        let blocks = committer
            .commits()
            .iter()
            .flat_map(|commit| &commit.record.blocks);
        add(5, blocks.filter(|(_, void)| *void).count() as u64);
        add(6, u64::from(committer.gc_round().0));
    }

    fn assert_rich(&self) {
        for (rule, row) in ["classic", "dual", "fast"].iter().zip(&self.counts) {
            for (name, count) in MET.iter().zip(row) {
                let count = count.load(Relaxed);
                println!("{rule}: {count} {name}");
                let none = matches!(
                    (*rule, *name),
                    ("classic", "fast commits") | ("fast", "slow commits")
                );
                assert_eq!(count < 100, none, "{rule}: {count} {name}");
            }
        }
    }
}
