//! `shrink`: a failing plan, smaller.

use std::path::PathBuf;

use clap::Args;
use indicatif::ProgressBar;
use probity_sim::plan::Plan;
use probity_sim::run::run;

use super::options::PlanOptions;
use super::{Failure, Verdict, silence_panics, write_file};

/// `shrink`.
#[derive(Args, Debug)]
pub(crate) struct ShrinkArguments {
    #[command(flatten)]
    plan: PlanOptions,
    /// How many smaller plans to run at most.
    #[arg(long, value_name = "N", default_value_t = 500)]
    tries: usize,
    /// Write the smaller plan there, for example into `engine/sim/regressions/`.
    #[arg(long, value_name = "FILE.toml")]
    out: Option<PathBuf>,
}

pub(crate) fn shrink(arguments: &ShrinkArguments) -> Result<Verdict, Failure> {
    let plan = arguments.plan.plan()?;
    silence_panics();
    let Some(promise) = broken_by(&plan)? else {
        return Err(Failure::Usage(
            "the plan keeps every promise; there is nothing to shrink".to_owned(),
        ));
    };
    eprintln!("broken: {promise}");
    let bar = ProgressBar::new_spinner();
    let before = size(&plan);
    let mut fails = |smaller: &Plan| {
        bar.inc(1);
        bar.set_message(format!(
            "{} plans run, {} faults left",
            bar.position(),
            smaller.faults.len()
        ));
        // A plan that cannot be run does not fail.
        broken_by(smaller).ok().flatten().as_ref() == Some(&promise)
    };
    let shrunk = probity_sim::shrink::shrink(plan, arguments.tries, &mut fails);
    bar.finish_and_clear();
    let text = format!("# Breaks: {promise}\n{}", shrunk.plan.to_toml());
    print!("{text}");
    eprintln!(
        "from {before} to {}, by {} runs",
        size(&shrunk.plan),
        shrunk.tries
    );
    if let Some(path) = &arguments.out {
        write_file(path, &text)?;
        eprintln!(
            "wrote {}; probity-sim replay --plan {} runs it",
            path.display(),
            path.display()
        );
    }
    Ok(Verdict::Kept)
}

fn broken_by(plan: &Plan) -> Result<Option<String>, Failure> {
    let report = run(plan.clone()).map_err(Failure::usage)?;
    Ok(report.violation.map(|violation| violation.promise))
}

fn size(plan: &Plan) -> String {
    let (faults, sinners) = (plan.faults.len(), plan.sinners.len());
    format!("{faults} faults, {sinners} sinners, {} ms", plan.faulty_ms)
}
