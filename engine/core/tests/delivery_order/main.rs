//! One DAG, a thousand orders of arrival, gc depths from 4 to 64, a restart at each commit: one output (R23).
//!
//! A validator's gc round, its suspended blocks and its restarts are its own; what it commits is everybody's. Each seed
//! draws a DAG for every gc depth. `PROBITY_SEEDS=from..to cargo test --release -p probity-core --test delivery_order`
//! runs other seeds.

mod drawn;
mod observer;
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use probity_core::block::genesis_ref;
use probity_core::crypto::Digest;
use probity_core::testing::{Chance, Committed, Committer, Draft, Signing, build, committee};
use probity_core::{
    Block, BlockRef, CommitIndex, FaultBounds, Link, Mode, Round, Slot, ValidatorIndex,
};

use drawn::{Drawn, shuffle};
use observer::{Habits, Observer, Proposals, Restarts, Taken};
use store::Store;

/// What is done to the DAG of one gc depth; long windows are dear.
struct Effort {
    gc_depth: u32,
    /// Orders for the commit rule alone.
    orders: u64,
    /// Of these, orders with a restart at each commit.
    restarted: u64,
    /// Orders for a whole replica, in each of its habits.
    observed: u64,
    /// Commits from one to the next after which the whole DAG is found in the store.
    stride: usize,
}

const fn effort(gc_depth: u32, [orders, restarted, observed]: [u64; 3], stride: usize) -> Effort {
    Effort {
        gc_depth,
        orders,
        restarted,
        observed,
        stride,
    }
}

/// A thousand orders for each seed.
const EFFORTS: [Effort; 7] = [
    effort(4, [270, 20, 4], 1),
    effort(5, [220, 20, 4], 1),
    effort(6, [180, 20, 4], 1),
    effort(8, [150, 20, 4], 1),
    effort(16, [100, 5, 2], 2),
    effort(32, [50, 2, 1], 5),
    effort(64, [30, 1, 1], 20),
];

/// What a run of seeds has met, so that a generator gone dull fails the test.
#[derive(Default)]
struct Met {
    orders: AtomicU64,
    restarts: AtomicU64,
    commits: AtomicU64,
    skips: AtomicU64,
    void: AtomicU64,
    /// Blocks that a committed block reaches and that are never committed: they were collected first.
    left_out: AtomicU64,
}

#[test]
fn the_commit_rule_has_one_output_for_every_order() {
    let met = for_seeds(&|drawn, effort, chance, met| {
        met.note(drawn);
        for order in 0..effort.orders {
            let arriving = drawn.arriving(chance);
            let restarts = if order < effort.restarted {
                Restarts::AfterEachCommit
            } else {
                Restarts::Never
            };
            let commits = commit_all(drawn, &arriving, (restarts, chance), met);
            assert_eq!(commits, drawn.expected, "order {order}: one output");
            met.orders.fetch_add(1, Relaxed);
        }
    });
    if std::env::var(SEEDS_VARIABLE).is_err() {
        met.assert_rich();
    }
}

#[test]
fn a_replica_has_one_output_for_every_order() {
    for_seeds(&|drawn, effort, chance, met| {
        for _ in 0..effort.observed {
            for proposals in [Proposals::Unanswered, Proposals::Answered] {
                for restarts in [Restarts::Never, Restarts::AfterEachCommit] {
                    let habits = Habits {
                        proposals,
                        links: chance.pick(&[Link::Up, Link::Down]),
                        restarts,
                    };
                    observe(drawn, habits, chance, met);
                }
            }
        }
    });
}

/// R36: the store holds the whole DAG, own blocks too, and the sequence up to some commit.
#[test]
fn a_replica_goes_on_from_every_commit() {
    for_seeds(&|drawn, effort, chance, met| {
        let full = stored_dag(drawn);
        let authors: Vec<_> = drawn.dag.shape.committee.indices().collect();
        let whole = {
            let me = (&drawn.dag.shape.committee, chance.pick(&authors));
            let observer = Observer::new(me, FED, (&drawn.expected, full));
            check_complete(drawn, &observer);
            observer.store
        };
        for last in (1..=drawn.expected.len()).step_by(effort.stride) {
            let me = (&drawn.dag.shape.committee, chance.pick(&authors));
            let cut = whole.cut_after(CommitIndex(last as u64));
            let observer = Observer::new(me, FED, (&drawn.expected, cut));
            check_complete(drawn, &observer);
            met.restarts.fetch_add(1, Relaxed);
        }
    });
}

/// Maps whose hashers could be seeded by thread or by instance must not show in any output.
#[test]
fn the_same_order_gives_the_same_trace_twice() {
    for_seeds(&|drawn, _, chance, _| {
        let habits = Habits {
            proposals: Proposals::Answered,
            links: Link::Up,
            restarts: Restarts::AfterEachCommit,
        };
        let again = chance.clone();
        let run = |mut chance: Chance| run_observer(drawn, habits, &mut chance).trace;
        let first = run(chance.clone());
        let second = std::thread::scope(|scope| scope.spawn(|| run(again)).join());
        let second = second.expect("the second run ends like the first");
        assert!(first == second, "two runs of one order differ");
        assert!(!first.is_empty());
    });
}

/// R5: nobody links D, whose first block never arrives; once that block's round is collected, D's others wait no more.
#[test]
fn blocks_whose_parent_is_collected_wait_no_more() {
    let bounds = FaultBounds {
        mode: Mode::Graded,
        byzantine: 0,
        crashed: 2,
    };
    let committee = Arc::new(committee(&[1; 5], bounds, 4));
    let genesis = |author| genesis_ref(&committee, author).expect("a member");
    let mut below: Vec<BlockRef> = committee.indices().take(4).map(genesis).collect();
    let mut blocks: Vec<Arc<Block>> = Vec::new();
    for round in (1..=12).map(Round) {
        let row = (0..4).map(|author| {
            let linked = below
                .iter()
                .filter(|p| p.author.0 < 3 || p.author.0 == author);
            let draft = Draft {
                round,
                author: ValidatorIndex(author),
                parents: linked.copied().collect(),
                timestamp_ms: 0,
            };
            build(&committee, draft, Signing::Zero)
        });
        let row: Vec<Arc<Block>> = row.collect();
        below = row.iter().map(|block| block.reference()).collect();
        blocks.extend(row);
    }
    let stored = Store::of_blocks(&committee, &blocks);
    let never = blocks.remove(3).reference();
    assert_eq!((never.round, never.author), (Round(1), ValidatorIndex(3)));
    let me = (&committee, ValidatorIndex(4));
    let mut observer = Observer::new(me, FED, (&[], Store::default()));
    for block in &blocks {
        observer.deliver(&stored.block(&block.reference()));
    }
    let status = observer.status();
    assert!(status.gc_round > never.round);
    assert_eq!(status.suspended_blocks, 0);
    assert_eq!(status.accepted_blocks, blocks.len() as u64);
}

/// Only blocks come in.
const FED: Habits = Habits {
    proposals: Proposals::Unanswered,
    links: Link::Down,
    restarts: Restarts::Never,
};

/// Feeds the commit rule; commits of all lives.
fn commit_all(
    drawn: &Drawn,
    arriving: &[Arc<Block>],
    (restarts, chance): (Restarts, &mut Chance),
    met: &Met,
) -> Vec<Committed> {
    let committee = &drawn.dag.shape.committee;
    let mut committer = Committer::new(Arc::clone(committee));
    let mut commits: Vec<Committed> = Vec::new();
    let mut accepted: BTreeMap<BlockRef, Arc<Block>> = BTreeMap::new();
    for (at, block) in arriving.iter().enumerate() {
        committer.insert(Arc::clone(block));
        if restarts == Restarts::Never || committer.commits().is_empty() {
            continue;
        }
        let checkpoint = committer.checkpoint().expect("there is a commit");
        let gc_round = committer.gc_round();
        commits.extend_from_slice(committer.commits());
        let accepted_now = committer.accepted().iter();
        accepted.extend(accepted_now.map(|block| (block.reference(), Arc::clone(block))));
        accepted.retain(|reference, _| reference.round > gc_round);
        // The accepted blocks come back in any order; suspended ones were lost and come again.
        let mut back: Vec<Arc<Block>> = accepted.values().cloned().collect();
        back.extend(
            arriving[..=at]
                .iter()
                .filter(|b| b.round() > gc_round)
                .cloned(),
        );
        shuffle(&mut back, chance);
        committer = Committer::resume(Arc::clone(committee), checkpoint);
        back.into_iter().for_each(|block| committer.insert(block));
        met.restarts.fetch_add(1, Relaxed);
    }
    commits.extend_from_slice(committer.commits());
    commits
}

fn observe(drawn: &Drawn, habits: Habits, chance: &mut Chance, met: &Met) {
    let mut observer = run_observer(drawn, habits, chance);
    met.restarts.fetch_add(observer.restarts, Relaxed);
    met.orders.fetch_add(1, Relaxed);
    // What it accepted, own blocks and all, gives the same commits in another order.
    let mut committer = Committer::new(Arc::clone(&drawn.dag.shape.committee));
    for block in observer.store.blocks() {
        committer.insert(Arc::clone(block.block()));
    }
    let same: Vec<Digest> = committer.commits().iter().map(|c| c.digest).collect();
    assert_eq!(observer.store.commits(), same, "{habits:?}: one output");
    if habits.proposals == Proposals::Unanswered {
        check_held(drawn, &mut observer);
    }
}

/// R6: at most further blocks of a slot that nobody links may be missing, what their author alone has built on them, and
/// what came after it was collected.
fn check_held(drawn: &Drawn, observer: &mut Observer<'_>) {
    observer.flush();
    let blocks = observer.store.blocks();
    let refs = blocks.iter().map(|block| block.block().reference());
    let held: BTreeSet<BlockRef> = refs.collect();
    let slots: BTreeSet<Slot> = held.iter().map(BlockRef::slot).collect();
    let parents = blocks.iter().flat_map(|block| block.block().parents());
    let linked: BTreeSet<&BlockRef> = parents.collect();
    let gc_round = observer.status().gc_round;
    let missing = |parent: &BlockRef| parent.round > gc_round && !held.contains(parent);
    for block in &drawn.dag.blocks {
        let own = |parent: &&BlockRef| parent.author == block.author();
        let on_own = block.parents().iter().filter(own).any(missing);
        let block = block.reference();
        // Nobody but the equivocator stands on it, so nobody pays for it.
        let unpaid = slots.contains(&block.slot()) || on_own;
        let spare = !linked.contains(&block) && unpaid;
        let excused = block.round <= gc_round || spare;
        assert!(excused || held.contains(&block), "{block:?} is missing");
    }
    if drawn.dag.blocks.len() == held.len() {
        check_complete(drawn, observer);
    }
}

/// Blocks arrive in some order, some twice at once; those that were not taken come again until nothing is missing.
fn run_observer<'a>(drawn: &'a Drawn, habits: Habits, chance: &mut Chance) -> Observer<'a> {
    let blocks = stored_dag(drawn);
    let committee = &drawn.dag.shape.committee;
    let me = (committee, drawn.observer);
    let mut observer = Observer::new(me, habits, (&drawn.expected, Store::default()));
    let mut taken: BTreeSet<BlockRef> = BTreeSet::new();
    for _ in 0..PASSES_MAX {
        let before = (observer.status(), observer.restarts);
        for block in drawn.arriving(chance) {
            let mut arriving = vec![block.reference(); chance.pick(&[1, 1, 2])];
            while chance.percent(30) {
                arriving.extend(observer.asked.pop_front());
            }
            arriving.retain(|block| !taken.contains(block));
            for block in arriving {
                let restarts = observer.restarts;
                if observer.deliver(&blocks.block(&block)) == Taken::Yes {
                    taken.insert(block);
                }
                if observer.restarts > restarts {
                    taken.clear();
                }
            }
        }
        if before == (observer.status(), observer.restarts) {
            return observer;
        }
    }
    panic!("after {PASSES_MAX} passes blocks are still missing");
}

/// More than any DAG here has rounds; every pass raises the frontier.
const PASSES_MAX: usize = 200;

/// The whole output, no commit less and none more.
fn check_complete(drawn: &Drawn, observer: &Observer<'_>) {
    let expected: Vec<Digest> = drawn.expected.iter().map(|c| c.digest).collect();
    assert_eq!(observer.store.commits(), expected, "the whole output");
    assert_eq!(observer.output, expected.len() as u64);
}

fn stored_dag(drawn: &Drawn) -> Store {
    Store::of_blocks(&drawn.dag.shape.committee, &drawn.dag.blocks)
}

impl Met {
    fn note(&self, drawn: &Drawn) {
        let records = || drawn.expected.iter().map(|commit| &commit.record);
        let ordered = || records().flat_map(|record| &record.blocks);
        let count = |counter: &AtomicU64, count: usize| counter.fetch_add(count as u64, Relaxed);
        count(&self.commits, drawn.expected.len());
        count(&self.skips, records().map(|r| r.skipped.len()).sum());
        count(&self.void, ordered().filter(|(_, void)| *void).count());
        let committed: BTreeSet<BlockRef> = ordered().map(|(block, _)| *block).collect();
        let linked = drawn
            .dag
            .blocks
            .iter()
            .filter(|b| committed.contains(&b.reference()));
        let left_out: BTreeSet<BlockRef> = linked
            .flat_map(|block| block.parents().iter().copied())
            .filter(|parent| parent.round > Round::GENESIS && !committed.contains(parent))
            .collect();
        count(&self.left_out, left_out.len());
    }

    fn assert_rich(&self) {
        for (name, counter, least) in [
            ("orders", &self.orders, 2_000),
            ("restarts", &self.restarts, 1_000),
            ("commits", &self.commits, 1_000),
            ("skipped slots", &self.skips, 300),
            ("void blocks", &self.void, 50),
            ("blocks left out", &self.left_out, 10),
        ] {
            let count = counter.load(Relaxed);
            println!("{count} {name}");
            assert!(count >= least, "only {count} {name}");
        }
    }
}

type Check<'a> = &'a (dyn Fn(&Drawn, &Effort, &mut Chance, &Met) + Sync);

/// Runs a check for every seed and gc depth, on all cores.
fn for_seeds(check: Check<'_>) -> Met {
    let met = Met::default();
    let jobs: Vec<(u64, &Effort)> = seeds()
        .flat_map(|seed| EFFORTS.iter().rev().map(move |effort| (seed, effort)))
        .collect();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some((seed, effort)) = jobs.get(next.fetch_add(1, Relaxed)) {
            let named = NameSeed(*seed, effort.gc_depth);
            let drawn = Drawn::new(*seed, effort.gc_depth);
            check(&drawn, effort, &mut Chance::new(*seed ^ 0x0a11_0ca7), &met);
            std::mem::forget(named);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(work);
        }
    });
    met
}

/// Says which DAG it was when a check panics.
struct NameSeed(u64, u32);

impl Drop for NameSeed {
    fn drop(&mut self) {
        let Self(seed, gc_depth) = *self;
        eprintln!(
            "failed at PROBITY_SEEDS={seed}..{} with gc_depth {gc_depth}",
            seed + 1
        );
    }
}

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var(SEEDS_VARIABLE) else {
        return 0..2;
    };
    let (from, to) = text.split_once("..").expect("PROBITY_SEEDS is from..to");
    from.parse().expect("from is a number")..to.parse().expect("to is a number")
}

const SEEDS_VARIABLE: &str = "PROBITY_SEEDS";
