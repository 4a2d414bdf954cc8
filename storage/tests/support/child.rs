//! Runs a test of the same binary in a process of its own, so that its death can be looked at.

use std::env;
use std::process::Command;

const ARGUMENT: &str = "PROBITY_STORAGE_TEST_CHILD";

/// What the parent wants, when this process is a child.
pub(crate) fn argument() -> Option<String> {
    env::var(ARGUMENT).ok()
}

/// The command that runs only `test` of this binary, with `argument` for it.
pub(crate) fn command(test: &str, argument: &str) -> Command {
    let mut command = Command::new(env::current_exe().expect("the test binary is known"));
    command
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(ARGUMENT, argument);
    command
}

/// Tells the parent `words`. The test harness prints lines of its own, so ours are marked.
pub(crate) fn say(words: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{MARK}{words}").expect("the parent listens");
    out.flush().expect("the parent listens");
}

/// What the child said in this line of its output.
pub(crate) fn said(line: &str) -> Option<&str> {
    line.strip_prefix(MARK)
}

const MARK: &str = "@ ";
