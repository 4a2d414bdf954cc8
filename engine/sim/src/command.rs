//! The command line: what may be asked, and what the exit code says.
//!
//! 0: done, every promise kept. 1: a promise was broken, or something went wrong. 2: what was asked for cannot be.

mod dag;
mod explain;
mod options;
mod planted;
mod replay;
mod run;
mod shrink;
mod twins;
mod wan;

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use probity_sim::plan::Signatures;

/// Runs whole clusters in virtual time, by seed.
#[derive(Parser, Debug)]
#[command(name = "probity-sim", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Subcommand, Debug)]
enum Command {
    /// Run many seeds, and look for a broken promise.
    Run(run::RunArguments),
    /// Run one seed or plan again.
    Replay(replay::ReplayArguments),
    /// Leave out of a failing plan what it fails without.
    Shrink(shrink::ShrinkArguments),
    /// Measure latencies across a wide area network, without faults.
    Wan(wan::WanArguments),
    /// Draw rounds of the DAG, with what was decided.
    Dag(dag::DagArguments),
    /// Say why validators' scores are what they are, when the faults of a run end.
    Explain(explain::ExplainArguments),
    /// Run one validator twice under every script of four rounds.
    Twins(twins::TwinsArguments),
    /// Plant one bug after the other into the core, and count the seeds until it is found (`cargo planted`).
    Planted(planted::PlantedArguments),
}

/// Why there is no result.
#[derive(Debug)]
enum Failure {
    /// What was asked for cannot be; exit code 2.
    Usage(String),
    /// It can, but went wrong; exit code 1.
    Fault(String),
}

impl Failure {
    fn usage(error: impl std::error::Error) -> Self {
        Self::Usage(error.to_string())
    }
}

/// Whether every promise was kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Kept,
    Broken,
}

/// Does what the command line says.
pub(crate) fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Replay(arguments) => replay::replay(&arguments),
        Command::Shrink(arguments) => shrink::shrink(&arguments),
        Command::Wan(arguments) => wan::wan(&arguments),
        Command::Dag(arguments) => dag::dag(&arguments),
        Command::Explain(arguments) => explain::explain(&arguments),
        Command::Twins(arguments) => twins::twins(&arguments),
        Command::Planted(arguments) => planted::planted(&arguments),
    };
    match result {
        Ok(Verdict::Kept) => ExitCode::SUCCESS,
        Ok(Verdict::Broken) => ExitCode::FAILURE,
        Err(Failure::Usage(why)) => {
            eprintln!("error: {why}");
            ExitCode::from(2)
        }
        Err(Failure::Fault(why)) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

fn write_file(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error| Failure::Fault(format!("{}: {error}", path.display()));
    std::fs::write(path, text).map_err(failed)
}

fn write_json(path: &Path, report: &impl serde::Serialize) -> Result<(), Failure> {
    let failed = |error| Failure::Fault(format!("{}: {error}", path.display()));
    let text = serde_json::to_string_pretty(report).map_err(failed)?;
    write_file(path, &(text + "\n"))
}

/// What signed the blocks, for reports.
fn crypto_name(signatures: Signatures) -> &'static str {
    match signatures {
        Signatures::Ed25519 => "Ed25519",
        Signatures::StandIn => "stand-in signatures (a hash of key and message)",
    }
}

/// A panic inside a replica becomes a broken promise with its words; nobody needs to read it a thousand times.
fn silence_panics() {
    std::panic::set_hook(Box::new(|_| {}));
}
