//! The same seed gives the same run: again, on more threads, in debug and in release, and next year.
//!
//! `digests.txt` has the digests of short runs. After a change that is meant to change runs, write it anew with
//! `PROBITY_FREEZE=1 cargo test --release -p probity-sim --test determinism`, and say so in the commit.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::path::PathBuf;

use probity_sim::plan::Draws;
use probity_sim::run::run;
use rayon::prelude::*;

const SEEDS: u64 = 200;

#[test]
fn runs_are_those_of_the_frozen_list() {
    let digests = on_threads(8, SEEDS);
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/digests.txt");
    if std::env::var_os("PROBITY_FREEZE").is_some() {
        std::fs::write(&path, digests.join("\n") + "\n").unwrap();
        return;
    }
    let frozen = std::fs::read_to_string(&path).unwrap();
    let frozen: Vec<&str> = frozen.lines().collect();
    assert_eq!(digests.len(), frozen.len());
    let differ = digests
        .iter()
        .zip(&frozen)
        .filter(|(now, then)| now != then);
    let differ: Vec<&String> = differ.map(|(now, _)| now).collect();
    assert!(
        differ.is_empty(),
        "{} of {SEEDS} runs changed, first {:?}: is that meant?",
        differ.len(),
        differ.first()
    );
}

#[test]
fn a_run_is_the_same_again_and_on_any_number_of_threads() {
    let alone = on_threads(1, SEEDS);
    assert_eq!(alone, on_threads(8, SEEDS));
    let mut kinds = alone.clone();
    kinds.sort_unstable_by_key(|line| line.split(' ').nth(1).map(str::to_owned));
    kinds.dedup_by_key(|line| line.split(' ').nth(1).map(str::to_owned));
    assert_eq!(kinds.len(), alone.len(), "different seeds run differently");
}

/// One line a seed: the seed and its trace digest.
fn on_threads(threads: usize, seeds: u64) -> Vec<String> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    let line = |seed: u64| format!("{seed} {}", digest(seed));
    let run_all = || (0..seeds).into_par_iter().map(line).collect();
    pool.build().unwrap().install(run_all)
}

fn digest(seed: u64) -> String {
    let mut draws = Draws::of_scenario("swarm").unwrap();
    draws.faulty_ms = 3_000;
    run(draws.plan(seed).unwrap()).unwrap().trace_digest
}
