//! `run`: many seeds, in parallel; each world has one thread of its own.

mod summary;

use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use probity_sim::plan::{DrawError, Draws};
use probity_sim::run::{Report, run as run_plan};
use rayon::prelude::*;

use super::options::{self, DrawOptions};
use super::{Failure, Verdict, crypto_name, silence_panics, write_json};
use summary::{BrokenSeed, Summary, Totals};

/// `run`.
#[derive(Args, Debug)]
pub(crate) struct RunArguments {
    /// Which seeds, END left out.
    #[arg(long, value_name = "FIRST..END", value_parser = options::seeds)]
    seeds: Range<u64>,
    #[command(flatten)]
    draws: DrawOptions,
    /// Write the result there as one JSON object.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(crate) fn run(arguments: &RunArguments) -> Result<Verdict, Failure> {
    let draws = arguments.draws.draws();
    // What no seed can have is said before anything runs.
    draws.plan(arguments.seeds.start).map_err(Failure::usage)?;
    silence_panics();
    let (started, cpu_before) = (Instant::now(), cpu_time());
    let bar = progress(&arguments.seeds);
    let seeds = arguments.seeds.clone().into_par_iter();
    let one = |totals: Totals, seed| {
        let report = run_seed(&draws, seed)?;
        let broken = BrokenSeed::of(&report, arguments.draws.replay(seed));
        if let Some(broken) = &broken {
            bar.suspend(|| eprintln!("{broken}"));
        }
        bar.inc(1);
        Ok::<_, DrawError>(totals.with(&report, broken))
    };
    let totals = seeds
        .try_fold(Totals::default, one)
        .try_reduce(Totals::default, |one, other| Ok(one.merged(other)))
        .map_err(Failure::usage)?;
    bar.finish_and_clear();
    let cpu = cpu_time().saturating_sub(cpu_before);
    let summary = Summary::of(totals, started.elapsed(), cpu).about(
        &arguments.seeds,
        draws.scenario.name,
        crypto_name(draws.signatures),
    );
    print!("{summary}");
    if let Some(path) = &arguments.json {
        write_json(path, &summary)?;
    }
    Ok(summary.verdict())
}

fn run_seed(draws: &Draws, seed: u64) -> Result<Report, DrawError> {
    Ok(run_plan(draws.plan(seed)?)?)
}

fn progress(seeds: &Range<u64>) -> ProgressBar {
    let style = "{bar:40} {pos}/{len} seeds, {elapsed} passed, {eta} left";
    let style = ProgressStyle::with_template(style).expect("the template is constant");
    ProgressBar::new(seeds.end - seeds.start).with_style(style)
}

/// Processor time that this process has used so far; nothing where the system does not say.
fn cpu_time() -> Duration {
    // Linux reports these two in hundredths of a second, whatever its timer runs at.
    const TICKS_PER_SECOND: u64 = 100;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may hold spaces; of what follows it, fields 12 and 13 are the times.
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let times = after_name.split_whitespace().skip(11).take(2);
    let ticks: u64 = times.filter_map(|time| time.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND)
}
