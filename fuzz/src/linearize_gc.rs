//! One DAG, a short memory, many orders of arrival: one output.

use std::sync::Arc;

use probity_core::Block;
use probity_core::testing::{Chance, Committer, RandomDag, Shape, committee, delivery};
use probity_core::{FaultBounds, Mode};

use crate::dag_operations::{check_restart, place, shuffle, split};

/// Draws a long DAG from `data` for a committee that collects after a few rounds, and delivers it in several orders.
///
/// - Whatever arrives late, and whatever was collected when it did, the commits are the same (R22, R23).
/// - A view that got only the first part has a prefix of them.
/// - The same after a restart at some commit.
///
/// # Panics
/// When one of these promises is broken.
pub fn linearize_gc(data: &[u8]) {
    let (order, script) = split(data);
    let mut script = Chance::scripted(script);
    let dag = RandomDag::of(shape(&mut script), &mut script);
    if dag.blocks.is_empty() {
        return;
    }
    let mut chance = Chance::new(order);
    let expected = commit_all(&dag, &dag.blocks);
    for noise in [0, 30, 100, 1000] {
        let mut arriving = delivery(&dag.blocks, noise, &mut chance);
        if noise == 1000 {
            shuffle(&mut arriving, &mut chance);
        }
        let whole = commit_all(&dag, &arriving);
        assert_eq!(
            whole.commits(),
            expected.commits(),
            "the order of arrival shows"
        );
        assert_eq!(whole.gc_round(), expected.gc_round());
        let part = commit_all(&dag, &arriving[..place(&mut chance, arriving.len())]);
        assert!(
            expected.commits().starts_with(part.commits()),
            "a part is no prefix"
        );
        check_restart(&dag, &arriving, &expected, &mut chance);
    }
}

/// Small committees, the shortest memories, and rounds enough to collect several times.
fn shape(chance: &mut Chance) -> Shape {
    let weights: &[u64] = match chance.below(4) {
        0 | 1 => &[1, 1, 1, 1],
        2 => &[2, 1, 2, 1, 1],
        _ => &[1, 1, 1, 1, 1, 1, 1],
    };
    let total: u64 = weights.iter().sum();
    let byzantine = chance.below((total - 1) / 3 + 1);
    let bounds = FaultBounds {
        mode: Mode::Graded,
        byzantine,
        crashed: (total - 1 - 3 * byzantine) / 2,
    };
    let draw = |chance: &mut Chance, below| u32::try_from(chance.below(below)).expect("small");
    let gc_depth = 4 + draw(chance, 3);
    let rounds = 10 + draw(chance, 21);
    Shape::with_committee(
        Arc::new(committee(weights, bounds, gc_depth)),
        rounds,
        chance,
    )
}

fn commit_all(dag: &RandomDag, arriving: &[Arc<Block>]) -> Committer {
    let mut committer = Committer::new(Arc::clone(&dag.shape.committee));
    arriving
        .iter()
        .for_each(|block| committer.insert(Arc::clone(block)));
    committer
}
