//! Measures clusters of real validators, and checks what they deliver while it does.
//!
//! ```text
//!   pool ──▶ load ──submit──▶ validators ──commits──▶ readers ──▶ check, report
//!              └── due, taken ──▶ ledger ◀── looked up ──┘
//! ```
//!
//! Reading order: `arguments`, `local` (the run from start to end), `cluster`, `marker`, `pool`,
//! `ledger`, `load`, `reader`, `check`, `report`; `evidence` and `explain` stand alone.

#![forbid(unsafe_code)]

mod arguments;
mod check;
mod cluster;
mod evidence;
mod explain;
mod ledger;
mod load;
mod local;
mod machine;
mod marker;
mod pool;
mod reader;
mod report;

use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use arguments::{Arguments, Command, InitArguments};

/// Why there is no result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What was asked for cannot be; exit code 2.
    Usage(String),
    /// It can, but went wrong; exit code 1.
    Fault(String),
}

impl Failure {
    /// Something went wrong, with the causes that the error names.
    pub(crate) fn fault(error: impl std::error::Error) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        Self::Fault(text)
    }
}

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("error"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let result = match Arguments::parse().into_command() {
        Command::Init(arguments) => init(&arguments),
        Command::Local(options) => local::run(&options),
        Command::ExportEvidence(arguments) => evidence::export(&arguments).map(say),
        Command::VerifyEvidence(arguments) => evidence::verify(&arguments).map(say),
        Command::Explain(arguments) => explain::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
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

#[allow(clippy::needless_pass_by_value, reason = "the last use of a result")]
fn say(text: String) {
    print!("{text}");
}

fn init(arguments: &InitArguments) -> Result<(), Failure> {
    let report = cluster::init(&arguments.data, &arguments.cluster)?;
    println!("network {}", report.network);
    println!("wrote {}", report.committee.display());
    for node in &report.nodes {
        println!("wrote {}", node.display());
    }
    println!(
        "wrote {} secret keys, readable by their owner alone",
        report.keys.len()
    );
    Ok(())
}
