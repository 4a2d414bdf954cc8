//! A check of many seeds on all cores, which names the seed that fails.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Checks every seed of a range, or of the one that `PROBITY_SEEDS` names; how many there were.
pub(crate) fn check_seeds(default: Range<u64>, check: impl Fn(u64) + Sync) -> u64 {
    let seeds = seeds(default);
    let next = AtomicU64::new(seeds.start);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let named = NameSeed(seed);
                    check(seed);
                    std::mem::forget(named);
                }
            });
        }
    });
    seeds.end - seeds.start
}

fn seeds(default: Range<u64>) -> Range<u64> {
    let Ok(text) = std::env::var("PROBITY_SEEDS") else {
        return default;
    };
    let (from, to) = text.split_once("..").expect("PROBITY_SEEDS is from..to");
    from.parse().expect("from is a number")..to.parse().expect("to is a number")
}

/// Says which seed it was when a check panics.
struct NameSeed(u64);

impl Drop for NameSeed {
    fn drop(&mut self) {
        eprintln!("failed at PROBITY_SEEDS={}..{}", self.0, self.0 + 1);
    }
}
