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

fn broken(seed: u64, sinners: u16) -> Option<String> {
    let mut plan = plan(seed, sinners);
    assert!(matches!(plan.check(), Err(PlanError::OverTheLimit { .. })));
    plan.over_the_limit = true;
    Some(run(plan).unwrap().violation?.promise)
}

#[test]
fn two_of_four_clocks_that_lie_are_seen() {
    let promise = "commit times rise and stay within the clocks of correct validators";
    assert_eq!(broken(0, 2).as_deref(), Some(promise));
}

/// Three of four certify another commit than the one that the last one has output.
#[test]
fn a_fork_by_three_of_four_is_seen() {
    let promise = "commit certificates hold, name the agreed commit, and rise";
    let forks = (0..FORK_SEEDS).filter_map(|seed| broken(seed, 3));
    assert!(forks.into_iter().any(|broken| broken == promise));
}

#[test]
fn within_the_limit_the_same_runs_keep_every_promise() {
    for seed in 0..FORK_SEEDS {
        let report = run(plan(seed, 1)).unwrap();
        assert!(report.commits > 0);
        assert!(report.violation.is_none(), "{:?}", report.violation);
    }
}

/// Among so many worlds there is a fork: one seed would turn with every change of what a seed means.
const FORK_SEEDS: u64 = 64;
