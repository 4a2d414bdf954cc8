//! The command: many seeds, one seed again, a smaller failing plan, latencies across a WAN, a drawing of the DAG.

#![forbid(unsafe_code)]

mod command;

use std::process::ExitCode;

/// A long run allocates for every frame.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    command::main()
}
