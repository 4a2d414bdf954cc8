//! Each threshold of R1 is exact: one less forks, one more decides differently from the reference.

use std::collections::BTreeMap;
use std::sync::Arc;

use probity_core::testing::{
    Chance, Committer, RandomDag, Shape, Verdict, committee, delivery, mutated, reference_answer,
};
use probity_core::{Committee, FaultBounds, Mode, Slot, Thresholds};

/// A committee of equal weights with this rule.
#[derive(Clone, Copy)]
struct Case {
    mode: Mode,
    validators: usize,
    byzantine: u64,
    crashed: u64,
}

const DUAL_6: Case = Case {
    mode: Mode::Graded,
    validators: 6,
    byzantine: 1,
    crashed: 1,
};
const DUAL_4: Case = Case {
    mode: Mode::Graded,
    validators: 4,
    byzantine: 1,
    crashed: 0,
};
const DUAL_5: Case = Case {
    mode: Mode::Graded,
    validators: 5,
    byzantine: 1,
    crashed: 0,
};
const FAST_6: Case = Case {
    mode: Mode::Graded,
    validators: 6,
    byzantine: 1,
    crashed: 0,
};
const CLASSIC_4: Case = Case {
    mode: Mode::Classic,
    validators: 4,
    byzantine: 1,
    crashed: 0,
};

impl Case {
    fn committee(self) -> Committee {
        let Self {
            mode,
            byzantine,
            crashed,
            ..
        } = self;
        committee(
            &vec![1; self.validators],
            FaultBounds {
                mode,
                byzantine,
                crashed,
            },
            16,
        )
    }

    fn dag(self, committee: &Arc<Committee>, seed: u64) -> RandomDag {
        let mut chance = Chance::new(seed);
        let rounds = 5 + u32::try_from(chance.below(4)).unwrap();
        let shape = Shape::with_committee(Arc::clone(committee), rounds, &mut chance);
        RandomDag::of(shape, &mut chance)
    }

    /// The first seed whose DAG makes two observers contradict each other under changed thresholds.
    fn fork(self, seeds: u64, change: Change) -> Option<u64> {
        let right = Arc::new(self.committee());
        let wrong = Arc::new(mutated(&right, change));
        (0..seeds).find(|seed| forks(&self.dag(&right, *seed), &wrong, *seed))
    }

    /// The first seed whose DAG is decided differently from the reference with the right thresholds.
    fn difference(self, seeds: u64, change: Change) -> Option<u64> {
        let right = Arc::new(self.committee());
        let wrong = Arc::new(mutated(&right, change));
        (0..seeds).find(|seed| {
            let dag = self.dag(&right, *seed);
            let mut committer = Committer::new(Arc::clone(&wrong));
            dag.blocks
                .iter()
                .for_each(|block| committer.insert(Arc::clone(block)));
            committer.decisions() != reference_answer(&right, &dag.blocks).decisions
        })
    }
}

/// Whether observers of one DAG, who see its blocks in different orders, decide a slot differently.
fn forks(dag: &RandomDag, wrong: &Arc<Committee>, seed: u64) -> bool {
    let mut chance = Chance::new(!seed);
    let mut decided: BTreeMap<Slot, Verdict> = BTreeMap::new();
    (0..6).any(|_| {
        let noise = chance.pick(&[10, 40, 100, 1000]);
        let mut committer = Committer::new(Arc::clone(wrong));
        for block in delivery(&dag.blocks, noise, &mut chance) {
            committer.insert(block);
        }
        let mut decisions = committer.decisions().into_iter();
        decisions.any(|(slot, verdict)| *decided.entry(slot).or_insert(verdict) != verdict)
    })
}

/// Prints the first seeds: `PROBITY_SEARCH=20000 cargo test --release … --test order_thresholds -- --nocapture survey`.
#[test]
fn survey() {
    let Ok(seeds) = std::env::var("PROBITY_SEARCH") else { return };
    let seeds: u64 = seeds.parse().expect("a number of seeds");
    for (case, of) in [("dual6", DUAL_6), ("dual4", DUAL_4), ("dual5", DUAL_5), ("fast6", FAST_6), ("classic4", CLASSIC_4)] {
        println!("{case} right: fork {:?}", of.fork(seeds, |_| {}));
        for (name, less, more) in CHANGES {
            let (fork, lifted) = (of.fork(seeds, less), of.fork(seeds, more));
            println!("{case} {name}-1: fork {fork:?}; {name}+1: fork {lifted:?}, difference {:?}", of.difference(seeds, more));
        }
    }
}

type Change = fn(&mut Thresholds);

const CHANGES: [(&str, Change, Change); 6] = [
    ("F", |t| t.fast_commit -= 1, |t| t.fast_commit += 1),
    ("S", |t| t.fast_skip -= 1, |t| t.fast_skip += 1),
    ("V", |t| t.certificate -= 1, |t| t.certificate += 1),
    ("B_q", |t| t.skip_certificate -= 1, |t| t.skip_certificate += 1),
    ("D", |t| t.slow -= 1, |t| t.slow += 1),
    ("wk", |t| t.weak -= 1, |t| t.weak += 1),
];
