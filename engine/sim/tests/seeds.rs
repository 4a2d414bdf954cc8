//! Many small worlds in trouble, each watched by every checker and the slow reference committer.
//!
//! `PROBITY_SIM_SEEDS=from..to cargo test --release -p probity-sim --test seeds` runs other seeds.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::ops::Range;

use probity_sim::plan::{Draws, Plan};
use probity_sim::run::{Report, run};
use rayon::prelude::*;

#[test]
fn every_promise_holds_for_every_seed() {
    let seeds = seeds(0..240);
    let many = seeds.end - seeds.start >= 200;
    let reports: Vec<Report> = seeds
        .into_par_iter()
        .map(|seed| run(plan(seed)).unwrap())
        .collect();
    let broken: Vec<String> = reports.iter().filter_map(broken).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    let commits: u64 = reports.iter().map(|report| report.commits).sum();
    println!("{} worlds, {commits} commits", reports.len());
    if many {
        assert_rich(&reports);
    }
}

fn plan(seed: u64) -> Plan {
    let mut draws = Draws::of_scenario("swarm").unwrap();
    draws.faulty_ms = 12_000;
    let mut plan = draws.plan(seed).unwrap();
    plan.reference = true;
    plan
}

fn broken(report: &Report) -> Option<String> {
    let violation = report.violation.as_ref()?;
    let seed = report.plan.seed;
    Some(format!(
        "PROBITY_SIM_SEEDS={seed}..{}: {violation:?}",
        seed + 1
    ))
}

fn seeds(default: Range<u64>) -> Range<u64> {
    let Ok(text) = std::env::var("PROBITY_SIM_SEEDS") else {
        return default;
    };
    let (from, to) = text
        .split_once("..")
        .expect("PROBITY_SIM_SEEDS is from..to");
    from.parse().expect("from is a number")..to.parse().expect("to is a number")
}

/// A generator gone dull fails too.
fn assert_rich(reports: &[Report]) {
    let with = |holds: fn(&Report) -> bool| reports.iter().filter(|r| holds(r)).count();
    let least = reports.len() / 20;
    assert!(with(|r| !r.plan.sinners.is_empty()) > least, "sinners");
    assert!(with(|r| r.faults.contains_key("crash")) > 0, "crashes");
    assert!(with(|r| r.faults.contains_key("split")) > 0, "splits");
    assert!(with(|r| r.commits > 20) > reports.len() / 2, "commits");
}
