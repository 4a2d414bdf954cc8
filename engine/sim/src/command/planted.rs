//! `planted`: each planted bug must be found, and without one nothing is.

use clap::Args;

#[cfg(not(probity_planted))]
use super::{Failure, Verdict};

/// `planted`.
#[derive(Args, Debug)]
#[cfg_attr(
    not(probity_planted),
    allow(dead_code, reason = "read by the other build")
)]
pub(crate) struct PlantedArguments {
    /// Only this bug; by default all.
    #[arg(long, value_name = "NAME")]
    bug: Option<String>,
    /// Only this scenario; by default all in turn.
    #[arg(long, value_name = "S")]
    scenario: Option<String>,
    /// Seeds within which each bug has to be found.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    seeds: u64,
    /// Seeds that must be clean without a bug.
    #[arg(long, value_name = "N", default_value_t = 200)]
    control: u64,
    /// How long faults and sins go on in each, in virtual seconds.
    #[arg(long, value_name = "S", default_value_t = 12)]
    seconds: u64,
}

#[cfg(not(probity_planted))]
pub(crate) fn planted(_: &PlantedArguments) -> Result<Verdict, Failure> {
    let why = "this build has no planted bugs; run `cargo planted`, which builds one that has";
    Err(Failure::Usage(why.to_owned()))
}

#[cfg(probity_planted)]
pub(crate) use with_bugs::planted;

#[cfg(probity_planted)]
mod with_bugs {
    use std::time::Instant;

    use probity_core::planted::{Bug, set};
    use probity_sim::checker::Violation;
    use probity_sim::plan::{Draws, Plan};
    use probity_sim::run::run;
    use probity_sim::scenario::SCENARIOS;
    use rayon::prelude::*;

    use super::PlantedArguments;
    use crate::command::{Failure, Verdict, silence_panics};

    /// Seeds that run at once; the first broken one counts.
    const BATCH: u64 = 16;

    pub(crate) fn planted(arguments: &PlantedArguments) -> Result<Verdict, Failure> {
        silence_panics();
        let bugs: Vec<Bug> = match &arguments.bug {
            None => Bug::ALL.to_vec(),
            Some(name) => {
                let bug = name.parse().map_err(|_| {
                    let known: Vec<&str> = Bug::ALL.iter().map(|bug| bug.name()).collect();
                    Failure::Usage(format!(
                        "bug {name:?} is unknown; there are: {}",
                        known.join(", ")
                    ))
                })?;
                vec![bug]
            }
        };
        set(None);
        let plans = plans(arguments)?;
        if let Some((seed, how)) =
            first_broken(&plans[..plans.len().min(arguments.control as usize)])
        {
            println!("without a bug, run {seed} breaks: {how:?}");
            return Ok(Verdict::Broken);
        }
        println!(
            "  {:<24} {:>5}  {:>6}  {:>6}  promise",
            "bug", "rule", "seeds", "s"
        );
        let mut missed = Vec::new();
        for bug in &bugs {
            let started = Instant::now();
            set(Some(*bug));
            let found = first_broken(&plans);
            set(None);
            let seconds = started.elapsed().as_secs_f64();
            let (name, rule) = (bug.name(), bug.rule());
            match found {
                Some((at, how)) => println!(
                    "  {name:<24}   R{rule:<2}  {:>6}  {seconds:>6.1}  {} ({})",
                    at + 1,
                    how.promise,
                    plans[at].scenario
                ),
                None => {
                    println!(
                        "  {name:<24}   R{rule:<2}  {:>6}  {seconds:>6.1}  NOT FOUND",
                        "-"
                    );
                    missed.push(name);
                }
            }
        }
        println!(
            "found {} of {}; not found: {}",
            bugs.len() - missed.len(),
            bugs.len(),
            missed.join(", ")
        );
        Ok(if missed.is_empty() {
            Verdict::Kept
        } else {
            Verdict::Broken
        })
    }

    /// Scenarios that come more often: only there is anybody out of reach of all others, or so far behind that it has to be
    /// told what was committed.
    const OFTEN: [&str; 2] = ["isolated", "catch-up"];
    /// One in so many seeds is of one of them.
    const OFTEN_EVERY: usize = 4;

    /// The scenarios in turn, but for those that come more often in between.
    fn scenario_of(seed: usize) -> &'static str {
        let often = seed / OFTEN_EVERY;
        if seed % OFTEN_EVERY == OFTEN_EVERY - 1 {
            return OFTEN[often % OFTEN.len()];
        }
        SCENARIOS[(seed - often) % SCENARIOS.len()].name
    }

    /// One plan a seed; every decision is repeated by the reference.
    fn plans(arguments: &PlantedArguments) -> Result<Vec<Plan>, Failure> {
        let mut plans = Vec::new();
        let mut seed = 0;
        while (plans.len() as u64) < arguments.seeds {
            let given = arguments.scenario.as_deref();
            let name = given.unwrap_or_else(|| scenario_of(usize::try_from(seed).unwrap_or(0)));
            let mut draws = Draws::of_scenario(name).map_err(Failure::usage)?;
            draws.faulty_ms = arguments.seconds * 1_000;
            draws.reference_every = 1;
            let plan = draws.plan(seed).map_err(Failure::usage)?;
            seed += 1;
            if !plan.over_the_limit {
                plans.push(plan);
            }
        }
        Ok(plans)
    }

    fn first_broken(plans: &[Plan]) -> Option<(usize, Violation)> {
        for (batch, chunk) in plans.chunks(BATCH as usize).enumerate() {
            let broken = chunk.par_iter().enumerate().filter_map(|(at, plan)| {
                let report = run(plan.clone()).ok()?;
                Some((at, report.violation?))
            });
            if let Some((at, how)) = broken.min_by_key(|(at, _)| *at) {
                return Some((batch * BATCH as usize + at, how));
            }
        }
        None
    }
}
