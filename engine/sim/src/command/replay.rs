//! `replay`: one seed or plan again, told in full.

use clap::Args;
use probity_sim::World;
use probity_sim::run::{Report, run_world};

use super::options::PlanOptions;
use super::{Failure, Verdict, crypto_name};

/// `replay`.
#[derive(Args, Debug)]
pub(crate) struct ReplayArguments {
    #[command(flatten)]
    plan: PlanOptions,
    /// Print everything that happened, one line each; of a long run the end.
    #[arg(long)]
    trace: bool,
    /// Print the plan in TOML first.
    #[arg(long)]
    show_plan: bool,
}

pub(crate) fn replay(arguments: &ReplayArguments) -> Result<Verdict, Failure> {
    let plan = arguments.plan.plan()?;
    if arguments.show_plan {
        println!("{}", plan.to_toml());
    }
    let mut world = World::of_plan(plan).map_err(Failure::usage)?;
    if arguments.trace {
        world = world.with_text();
    }
    let report = run_world(world);
    print!("{}", report.trace_text.as_deref().unwrap_or_default());
    Ok(tell(&report))
}

/// Prints what came of a run.
pub(crate) fn tell(report: &Report) -> Verdict {
    let plan = &report.plan;
    let row = |name: &str, value: String| println!("  {name:<12} {value}");
    row("seed", format!("{}, {}", plan.seed, plan.scenario));
    let committee = &plan.committee;
    let validators = plan.validators();
    row(
        "committee",
        format!("{validators} validators, {}", committee.profile),
    );
    let sins = plan.sinners.iter();
    let sins = sins.map(|sinner| format!("{} {}", sinner.validator, sinner.sin));
    let sins: Vec<String> = sins.collect();
    if !sins.is_empty() {
        row("sinners", sins.join(", "));
    }
    let struck = report.faults.iter();
    let struck: Vec<String> = struck
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect();
    if !struck.is_empty() {
        row("faults", struck.join(", "));
    }
    row("crypto", crypto_name(committee.signatures).to_owned());
    let seconds = report.virtual_us as f64 / 1e6;
    let took = report.took.as_secs_f64();
    row("time", format!("{seconds:.1} virtual s in {took:.1} s"));
    row(
        "commits",
        format!("{}, {} frames", report.commits, report.frames),
    );
    if let Some(slowest_us) = report.recovery_us.iter().max() {
        row("recovery", format!("{} ms at most", slowest_us / 1_000));
    }
    row("trace", report.trace_digest.clone());
    let Some(broken) = &report.violation else {
        row("promises", "kept".to_owned());
        return Verdict::Kept;
    };
    row("BROKEN", broken.promise.clone());
    let at_ms = broken.at.since_us(probity_sim::START) / 1_000;
    let by = broken
        .validator
        .map(|validator| format!(" by validator {validator}"));
    row(
        "",
        format!("at {at_ms} ms{}: {}", by.unwrap_or_default(), broken.how),
    );
    Verdict::Broken
}
