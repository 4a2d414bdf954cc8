//! `dag`: rounds of a run, drawn with what became of each block.

mod picture;
mod svg;
mod text;

use std::ops::Range;
use std::path::PathBuf;

use clap::Args;
use probity_sim::World;
use probity_sim::run::run_world;

use super::options::{self, PlanOptions};
use super::replay::tell;
use super::{Failure, Verdict, silence_panics, write_file};
use picture::Watcher;

/// `dag`.
#[derive(Args, Debug)]
pub(crate) struct DagArguments {
    #[command(flatten)]
    plan: PlanOptions,
    /// Which rounds, the last left out.
    #[arg(long, value_name = "A..B", value_parser = options::rounds)]
    rounds: Range<u32>,
    /// Write the drawing there, too.
    #[arg(long, value_name = "FILE.svg")]
    svg: Option<PathBuf>,
}

pub(crate) fn dag(arguments: &DagArguments) -> Result<Verdict, Failure> {
    let plan = arguments.plan.plan()?;
    silence_panics();
    let (watcher, picture) = Watcher::new(&plan, arguments.rounds.clone());
    let world = World::of_plan(plan).map_err(Failure::usage)?;
    let report = run_world(world.with_checker(Box::new(watcher)));
    let verdict = tell(&report);
    let picture = picture.borrow();
    println!("\n{}", text::draw(&picture));
    if let Some(path) = &arguments.svg {
        write_file(path, &svg::draw(&picture))?;
    }
    Ok(verdict)
}
