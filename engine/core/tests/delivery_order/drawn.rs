//! One DAG for each seed and gc depth, and the orders in which it arrives.

use std::sync::Arc;

use probity_core::testing::{Chance, Committed, Committer, RandomDag, Shape, committee, delivery};
use probity_core::{Block, FaultBounds, Mode, ValidatorIndex};

/// A DAG, the validator that only watches it, and what everybody must make of it.
pub(crate) struct Drawn {
    pub(crate) dag: RandomDag,
    /// A member without a block in the DAG: a replica under its index takes no drawn block for its own.
    pub(crate) observer: ValidatorIndex,
    /// The commits when the blocks arrive parents first.
    pub(crate) expected: Vec<Committed>,
}

impl Drawn {
    pub(crate) fn new(seed: u64, gc_depth: u32) -> Self {
        let mut chance = Chance::new(seed ^ (u64::from(gc_depth) << 32));
        let (shape, observer) = shape(gc_depth, &mut chance);
        let dag = RandomDag::of(shape, &mut chance);
        let mut committer = Committer::new(Arc::clone(&dag.shape.committee));
        for block in &dag.blocks {
            committer.insert(Arc::clone(block));
        }
        Self {
            observer,
            expected: committer.commits().to_vec(),
            dag,
        }
    }

    /// The blocks in some order: by rounds, with authors that lag, shuffled, or the newest first.
    pub(crate) fn arriving(&self, chance: &mut Chance) -> Vec<Arc<Block>> {
        let mut blocks = self.dag.blocks.clone();
        match chance.below(8) {
            0 => shuffle(&mut blocks, chance),
            1 => blocks.reverse(),
            _ => blocks = delivery(&blocks, chance.pick(&[0, 10, 40, 200, 1000]), chance),
        }
        if chance.percent(50) {
            let span = usize::try_from(2 + chance.below(30)).expect("small");
            blocks
                .chunks_mut(span)
                .for_each(|chunk| shuffle(chunk, chance));
        }
        blocks
    }
}

/// Unequal weights in any mode; the last validator watches and counts as crashed.
fn shape(gc_depth: u32, chance: &mut Chance) -> (Shape, ValidatorIndex) {
    let heaviest = chance.pick(&[1, 2, 4]);
    let others = 5 + chance.below(3);
    let mut weights: Vec<u64> = (0..others).map(|_| 1 + chance.below(heaviest)).collect();
    weights.push(1);
    let total: u64 = weights.iter().sum();
    let most = (total - 3) / 3;
    let byzantine = chance.pick(&[most, most, chance.clone().below(most + 1)]);
    let crashed = 1 + chance.below((total - 1 - 3 * byzantine) / 2);
    let mode = chance.pick(&[Mode::Graded, Mode::Graded, Mode::Graded, Mode::Classic]);
    let bounds = FaultBounds {
        mode,
        byzantine,
        crashed,
    };
    let committee = Arc::new(committee(&weights, bounds, gc_depth));
    let mut shape = Shape::with_committee(committee, gc_depth + 24, chance);
    let observer = ValidatorIndex(u16::try_from(others).expect("small"));
    silence(&mut shape, observer);
    withhold(&mut shape, chance);
    (shape, observer)
}

/// Takes the observer out, and puts crashed authors back until the others still make a quorum.
fn silence(shape: &mut Shape, observer: ValidatorIndex) {
    shape.byzantine.remove(&observer);
    shape.last_round[observer.position()] = 0;
    let mut silent = 1;
    for author in shape.committee.indices().filter(|a| *a != observer) {
        let last_round = &mut shape.last_round[author.position()];
        if *last_round == shape.rounds {
            continue;
        }
        silent += shape.committee.weight(author);
        if silent > shape.committee.thresholds().crashed {
            silent -= shape.committee.weight(author);
            *last_round = shape.rounds;
        }
    }
}

/// Mostly, the blocks of one author, which no quorum needs, come so late that some are collected, and some just not.
fn withhold(shape: &mut Shape, chance: &mut Chance) {
    let committee = &shape.committee;
    let lives = |author: &ValidatorIndex| shape.last_round[author.position()] == shape.rounds;
    let live: Vec<ValidatorIndex> = committee.indices().filter(lives).collect();
    let weight: u64 = live.iter().map(|author| committee.weight(*author)).sum();
    let spare = weight - committee.thresholds().quorum;
    let start = chance.pick(&live).position();
    let mut candidates = live.iter().cycle().skip(start).take(live.len());
    let author = candidates.find(|author| committee.weight(**author) <= spare);
    if chance.percent(80) {
        shape.withheld.extend(author);
    }
}

pub(crate) fn shuffle<T>(items: &mut [T], chance: &mut Chance) {
    for at in (1..items.len()).rev() {
        let other = chance.below(at as u64 + 1);
        items.swap(at, usize::try_from(other).expect("an index fits"));
    }
}
