//! The command: many seeds, one seed again, a smaller failing plan, latencies across a WAN, a drawing of the DAG.

#![forbid(unsafe_code)]

mod command;

use std::process::ExitCode;

fn main() -> ExitCode {
    command::main()
}
