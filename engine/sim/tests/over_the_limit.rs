//! With Byzantine weight above `f` promises break, and the checkers see it: they are not blind.

#![allow(clippy::unwrap_used, reason = "a test may")]

use probity_core::Profile;
use probity_sim::plan::{Draws, Plan, PlanError, Sinner};
use probity_sim::run::run;

/// Four equals, of whom one may sin; these many equivocate.
fn plan(seed: u64, sinners: u16) -> Plan {
    let mut draws = Draws::of_scenario("swarm").unwrap();
    draws.validators = Some(4);
    draws.profile = Some(Profile::Dual30);
    draws.faulty_ms = 20_000;
    let mut plan = draws.plan(seed).unwrap();
    plan.committee.weights = vec![1; 4];
    plan.faults.clear();
    plan.network.loss_ppm = 0;
    plan.sinners = (0..sinners)
        .map(|validator| Sinner {
            validator,
            sin: "equivocator".to_owned(),
        })
        .collect();
    plan
}

#[test]
fn a_fork_is_seen_when_too_many_equivocate() {
    let mut plan = plan(SEED, 2);
    assert!(matches!(plan.check(), Err(PlanError::OverTheLimit { .. })));
    plan.over_the_limit = true;
    let violation = run(plan).unwrap().violation.expect("a promise breaks");
    assert_eq!(
        violation.promise,
        "correct validators agree on every commit"
    );
}

#[test]
fn within_the_limit_the_same_run_is_clean() {
    let report = run(plan(SEED, 1)).unwrap();
    let broken = report.violation.map(|violation| violation.promise);
    assert_ne!(
        broken.as_deref(),
        Some("correct validators agree on every commit")
    );
    assert!(report.commits > 0);
}

const SEED: u64 = 0;

#[test]
#[ignore = "search"]
fn search() {
    for sinners in [2, 3] {
        for seed in 0..120 {
            let mut plan = plan(seed, sinners);
            plan.over_the_limit = true;
            let v = run(plan).unwrap().violation;
            println!("{sinners} {seed} {:?}", v.map(|v| v.promise));
        }
    }
}
