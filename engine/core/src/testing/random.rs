//! DAGs drawn by a seed: crashes, equivocation within the fault bound, missing links and late blocks.
//!
//! Every block is valid by R4 and, but for the Byzantine authors', one a correct validator could have made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::block::{Block, BlockRef, Slot, genesis_ref};
use crate::committee::Committee;
use crate::id::{Round, ValidatorIndex};
use crate::testing::{Draft, Signing, build, committee};
use crate::thresholds::{FaultBounds, Mode};

/// SplitMix64: the test's own generator, so that a seed means the same DAG for ever.
#[derive(Clone, Debug)]
pub struct Chance {
    state: u64,
    /// Bytes that answer the first draws, the next one last.
    script: Vec<u8>,
}

impl Chance {
    /// The stream of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            state: seed ^ 0x5eed_0fda_6000_0001,
            script: Vec::new(),
        }
    }

    /// Draws from `script` while it lasts, one or two bytes a draw, and then from the stream of seed 0: whoever
    /// changes a byte of the script changes one choice, which is what a fuzzer can learn from.
    #[must_use]
    pub fn scripted(script: &[u8]) -> Self {
        let mut chance = Self::new(0);
        chance.script = script.iter().rev().copied().collect();
        chance
    }

    /// The next 64 bits of the stream.
    #[allow(clippy::should_implement_trait, reason = "a number, not an iterator")]
    pub const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is above 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let scripted = self.script.pop().map(u64::from).map(|low| {
            let high = (bound > 256).then(|| self.script.pop()).flatten();
            low | u64::from(high.unwrap_or(0)) << 8
        });
        scripted.unwrap_or_else(|| self.next()) % bound
    }

    /// True in so many of a hundred draws.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of the items.
    ///
    /// # Panics
    /// When there is none.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        let at = self.below(items.len() as u64);
        items[usize::try_from(at).expect("an index fits")]
    }
}

/// Who takes part in a random DAG and how it goes.
#[derive(Clone, Debug)]
pub struct Shape {
    /// The committee, whose quorum every block keeps.
    pub committee: Arc<Committee>,
    /// Rounds to draw.
    pub rounds: u32,
    /// Authors that may equivocate.
    pub byzantine: BTreeSet<ValidatorIndex>,
    /// Authors whose blocks are linked only when they are about to be collected, unless a quorum needs them.
    pub withheld: BTreeSet<ValidatorIndex>,
    /// By author, the last round it takes part in.
    pub last_round: Vec<u32>,
    /// How likely a block links a parent that its quorum does not need.
    pub link_percent: u64,
    /// How likely a Byzantine author makes a further variant of a block.
    pub variant_percent: u64,
}

/// A drawn DAG; the blocks in causal order.
#[derive(Clone, Debug)]
pub struct RandomDag {
    /// What it was drawn from.
    pub shape: Shape,
    /// Every block, parents first.
    pub blocks: Vec<Arc<Block>>,
}

impl Shape {
    /// A small committee of unequal weights in any mode.
    #[must_use]
    pub fn draw(chance: &mut Chance) -> Self {
        let validators = if chance.percent(3) {
            10
        } else {
            1 + chance.below(7)
        };
        let heaviest = chance.pick(&[1, 1, 2, 4]);
        let weights: Vec<u64> = (0..validators)
            .map(|_| 1 + chance.below(heaviest))
            .collect();
        let total: u64 = weights.iter().sum();
        let byzantine = chance.below((total - 1) / 3 + 1);
        let crashed = chance.below((total - 1 - 3 * byzantine) / 2 + 1);
        let mode = if chance.percent(25) {
            Mode::Classic
        } else {
            Mode::Graded
        };
        let gc_depth = 4 + u32::try_from(chance.below(13)).expect("small");
        let bounds = FaultBounds {
            mode,
            byzantine,
            crashed,
        };
        let committee = Arc::new(committee(&weights, bounds, gc_depth));
        let span = if chance.percent(30) { 20 } else { 8 };
        let rounds = 6 + u32::try_from(chance.below(span)).expect("small");
        Self::with_committee(committee, rounds, chance)
    }

    /// Faults and habits for a committee.
    #[must_use]
    pub fn with_committee(committee: Arc<Committee>, rounds: u32, chance: &mut Chance) -> Self {
        let mut byzantine = BTreeSet::new();
        let (mut bad, mut silent) = (0, 0);
        let mut last_round = vec![rounds; committee.size()];
        let start = chance.below(committee.size() as u64);
        for step in 0..committee.size() as u64 {
            let at = usize::try_from((start + step) % committee.size() as u64).expect("small");
            let author = ValidatorIndex(u16::try_from(at).expect("small"));
            let weight = committee.weight(author);
            if bad + weight <= committee.thresholds().byzantine && chance.percent(85) {
                bad += weight;
                byzantine.insert(author);
            } else if silent + weight <= committee.thresholds().crashed && chance.percent(40) {
                silent += weight;
                last_round[at] = u32::try_from(chance.below(u64::from(rounds))).expect("small");
            }
        }
        Self {
            committee,
            rounds,
            byzantine,
            withheld: BTreeSet::new(),
            last_round,
            link_percent: chance.pick(&[0, 20, 50, 80, 95, 100]),
            variant_percent: chance.pick(&[10, 40, 90]),
        }
    }
}

impl RandomDag {
    /// The DAG of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let shape = Shape::draw(&mut chance);
        Self::of(shape, &mut chance)
    }

    /// The DAG whose choices are the bytes of a script.
    #[must_use]
    pub fn of_script(script: &[u8]) -> Self {
        let mut chance = Chance::scripted(script);
        let shape = Shape::draw(&mut chance);
        Self::of(shape, &mut chance)
    }

    /// A DAG of this shape.
    #[must_use]
    pub fn of(shape: Shape, chance: &mut Chance) -> Self {
        let mut drawing = Drawing {
            rows: vec![BTreeMap::new()],
            linked: BTreeMap::new(),
            blocks: Vec::new(),
            committee: Arc::clone(&shape.committee),
            byzantine: shape.byzantine.clone(),
            withheld: shape.withheld.clone(),
            mood: Mood::draw(&shape, chance),
        };
        for author in shape.committee.indices() {
            let genesis = genesis_ref(&shape.committee, author).expect("a member");
            drawing.rows[0].insert(author, vec![genesis]);
        }
        for round in (1..=shape.rounds).map(Round) {
            drawing.rows.push(BTreeMap::new());
            drawing.mood = Mood::draw(&shape, chance);
            for author in shape.committee.indices() {
                if shape.last_round[author.position()] < round.0 {
                    continue;
                }
                let bad = shape.byzantine.contains(&author);
                if bad && chance.percent(10) {
                    continue;
                }
                let mut variants = 1;
                while bad && variants < 3 && chance.percent(shape.variant_percent) {
                    variants += 1;
                }
                for _ in 0..variants {
                    drawing.add(Slot { round, author }, &shape, chance);
                }
            }
        }
        Self {
            blocks: drawing.blocks,
            shape,
        }
    }
}

/// How a round treats the Byzantine authors' blocks: unlikely DAGs are those that agree about them.
#[derive(Clone, Copy)]
struct Mood {
    /// How likely they are linked first.
    linked_percent: u64,
    /// How likely their first variant is taken, where there are several.
    first_percent: u64,
    /// How likely a parent is linked beyond the quorum.
    link_percent: u64,
}

struct Drawing {
    committee: Arc<Committee>,
    byzantine: BTreeSet<ValidatorIndex>,
    withheld: BTreeSet<ValidatorIndex>,
    mood: Mood,
    /// By round and author, the variants of its block.
    rows: Vec<BTreeMap<ValidatorIndex, Vec<BlockRef>>>,
    /// What each block has linked on its own chain, so that no author links a block twice (R10).
    linked: BTreeMap<BlockRef, BTreeSet<BlockRef>>,
    blocks: Vec<Arc<Block>>,
}

impl Mood {
    fn draw(shape: &Shape, chance: &mut Chance) -> Self {
        Self {
            linked_percent: chance.pick(&[0, 50, 90, 100]),
            first_percent: chance.pick(&[0, 50, 80, 100]),
            link_percent: chance.pick(&[0, shape.link_percent]),
        }
    }
}

impl Drawing {
    /// Adds one block, unless its author cannot reach a quorum of parents.
    fn add(&mut self, slot: Slot, shape: &Shape, chance: &mut Chance) {
        let Slot { round, author } = slot;
        let Some(own) = self.own_parent(round, author, chance) else {
            return;
        };
        let bad = shape.byzantine.contains(&author);
        if !bad && own.round.next() != round {
            return; // R8: a correct author leaves no gap, so one that stopped stays silent.
        }
        let Some(mut parents) = self.quorum(round, own, chance) else {
            return;
        };
        let already = self.linked.get(&own).cloned().unwrap_or_default();
        self.add_late(round, &mut parents, chance);
        let jitter = chance.below(if bad { 200 } else { 30 });
        let timestamp_ms = u64::from(round.0) * 20 + jitter;
        let draft = Draft {
            round,
            author,
            parents: parents.clone(),
            timestamp_ms,
        };
        let block = build(&self.committee, draft, Signing::Zero);
        let reference = block.reference();
        let variants = self.rows[round.0 as usize].entry(author).or_default();
        if variants.contains(&reference) {
            return;
        }
        variants.push(reference);
        let mut linked = already;
        linked.extend(parents);
        self.linked.insert(reference, linked);
        self.blocks.push(block);
    }

    fn own_parent(
        &self,
        round: Round,
        author: ValidatorIndex,
        chance: &mut Chance,
    ) -> Option<BlockRef> {
        let rows = self.rows[..round.0 as usize].iter().rev();
        rows.filter_map(|row| row.get(&author))
            .map(|variants| chance.pick(variants))
            .next()
    }

    /// R4.4: the own block, random others up to a quorum in the round below, and some more.
    fn quorum(&self, round: Round, own: BlockRef, chance: &mut Chance) -> Option<Vec<BlockRef>> {
        let below = &self.rows[round.0 as usize - 1];
        let quorum = self.committee.thresholds().quorum;
        let mut parents = vec![own];
        let own_weight = self.committee.weight(own.author);
        let mut weight = if own.round.next() == round {
            own_weight
        } else {
            0
        };
        let others = below.iter().filter(|(author, _)| **author != own.author);
        let mut others: Vec<(u64, BlockRef)> = others
            .map(|(author, variants)| {
                let bad = self.byzantine.contains(author);
                let likely = if bad { self.mood.linked_percent } else { 50 };
                let rank = if chance.percent(likely) { 0 } else { 1 << 32 };
                let rank = rank + chance.below(1 << 32);
                let last_resort = u64::from(self.withheld.contains(author)) << 33;
                let first = chance.percent(self.mood.first_percent);
                let last = variants.len() - 1;
                let chosen = if first {
                    variants[0]
                } else {
                    chance.pick(&variants[last.min(1)..])
                };
                (rank + last_resort, chosen)
            })
            .collect();
        others.sort_unstable();
        for (_, parent) in others {
            let beyond = !self.withheld.contains(&parent.author);
            if weight < quorum || (beyond && chance.percent(self.mood.link_percent)) {
                weight += self.committee.weight(parent.author);
                parents.push(parent);
            }
        }
        (weight >= quorum).then_some(parents)
    }

    /// R10: of authors not linked in the round below, sometimes an older block that was not linked yet.
    fn add_late(&self, round: Round, parents: &mut Vec<BlockRef>, chance: &mut Chance) {
        let already = parents.first().and_then(|own| self.linked.get(own));
        let lowest = round.0.saturating_sub(self.committee.gc_depth()).max(1);
        for author in self.committee.indices() {
            let withheld = self.withheld.contains(&author);
            let rare = if withheld { 85 } else { 50 };
            if parents.iter().any(|parent| parent.author == author) || chance.percent(rare) {
                continue;
            }
            let highest = if withheld {
                lowest + 1 + u32::try_from(chance.below(3)).expect("small")
            } else {
                round.0
            };
            let rows = (lowest..highest.min(round.0.saturating_sub(1))).rev();
            let older = rows.filter_map(|r| self.rows[r as usize].get(&author));
            let Some(late) = older.map(|variants| chance.pick(variants)).next() else {
                continue;
            };
            if !already.is_some_and(|linked| linked.contains(&late)) {
                parents.push(late);
            }
        }
    }
}

/// The blocks in a random causal order; with `noise` 0 nearly by rounds, with a large one nearly in any order.
#[must_use]
pub fn delivery(blocks: &[Arc<Block>], noise: u64, chance: &mut Chance) -> Vec<Arc<Block>> {
    let delays: Vec<u64> = (0..256).map(|_| chance.below(noise + 1)).collect();
    let mut due: BTreeMap<BlockRef, u64> = BTreeMap::new();
    let mut order: Vec<(u64, usize)> = Vec::with_capacity(blocks.len());
    for (at, block) in blocks.iter().enumerate() {
        let delay = delays[block.author().position()] + chance.below(noise + 1) + chance.below(10);
        let own = u64::from(block.round().0) * 10 + delay;
        let parents = block.parents().iter().filter_map(|parent| due.get(parent));
        let time = parents.copied().max().unwrap_or(0).max(own);
        due.insert(block.reference(), time);
        order.push((time, at));
    }
    order.sort_unstable(); // ties keep the causal order they came in
    order
        .into_iter()
        .map(|(_, at)| Arc::clone(&blocks[at]))
        .collect()
}
