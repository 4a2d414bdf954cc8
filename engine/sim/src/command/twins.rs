//! `twins`: every script of four rounds, and longer ones drawn.

use std::time::Instant;

use clap::Args;
use indicatif::{ParallelProgressIterator, ProgressStyle};
use probity_core::Profile;
use probity_sim::plan::Plan;
use probity_sim::run::run;
use probity_sim::twins::{ROUNDS, SCRIPTS, drawn, plan, scripts};
use rayon::prelude::*;

use super::{Failure, Verdict, options, silence_panics};

/// `twins`.
#[derive(Args, Debug)]
pub(crate) struct TwinsArguments {
    /// Which faults are tolerated.
    #[arg(long, value_name = "P", default_value = "dual30", value_parser = options::profile)]
    profile: Profile,
    /// Longer scripts to draw.
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    longer: u64,
    /// Their rounds.
    #[arg(long, value_name = "N", default_value_t = 10)]
    rounds: u32,
}

pub(crate) fn twins(arguments: &TwinsArguments) -> Result<Verdict, Failure> {
    silence_panics();
    let started = Instant::now();
    let profile = arguments.profile;
    let all: Vec<Vec<u32>> = scripts().collect();
    let distinct = all.len();
    let longer = (0..arguments.longer).map(|seed| drawn(seed, arguments.rounds));
    let plans: Vec<Plan> = all
        .into_iter()
        .chain(longer)
        .map(|script| plan(script, profile))
        .collect();
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} scripts, {eta} left");
    let style = style.expect("the template is constant");
    let broken: Vec<String> = plans
        .into_par_iter()
        .progress_with_style(style)
        .filter_map(|plan| {
            let script = plan.script.clone();
            let report = run(plan).map_err(|why| why.to_string());
            let violation = match report {
                Ok(report) => report.violation.map(|broken| format!("{broken:?}")),
                Err(why) => Some(why),
            };
            violation.map(|how| format!("script {script:?}: {how}"))
        })
        .collect();
    println!(
        "  scripts      {SCRIPTS} of {ROUNDS} rounds, {distinct} after symmetry; profile {profile}"
    );
    println!(
        "  longer       {} of {} rounds",
        arguments.longer, arguments.rounds
    );
    println!("  time         {:.1} s", started.elapsed().as_secs_f64());
    println!("  broken       {}", broken.len());
    broken.iter().for_each(|line| println!("{line}"));
    Ok(if broken.is_empty() {
        Verdict::Kept
    } else {
        Verdict::Broken
    })
}
