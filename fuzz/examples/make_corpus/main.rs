//! Writes the first inputs of every corpus: `cargo run -p probity-fuzz --example make_corpus`.
//!
//! The same inputs each time. Run it again after a change of format or limits, and look at what changed.

use std::path::Path;
use std::{fs, io};

mod scripts;
mod texts;
mod wire;

fn main() -> io::Result<()> {
    wire::write_all()?;
    texts::write_all()?;
    scripts::write_all()
}

fn write(target: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    fs::create_dir_all(&directory)?;
    fs::write(directory.join(name), bytes)
}
