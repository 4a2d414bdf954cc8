//! Every target runs over its corpus, on stable Rust.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use probity_core::verify_block;
use probity_fuzz::committee::{AcceptAll, committee};

#[test]
fn decode_block_holds_on_its_corpus() {
    run("decode_block", probity_fuzz::decode_block);
}

#[test]
fn decode_frame_holds_on_its_corpus() {
    run("decode_frame", probity_fuzz::decode_frame);
}

/// A corpus of nothing but refused blocks would leave most of the verifier unseen.
#[test]
fn the_corpus_has_blocks_that_are_accepted() {
    let accepted = |bytes: Bytes| verify_block(&bytes, committee(), &AcceptAll).is_ok();
    let read = |path: &PathBuf| Bytes::from(fs::read(path).unwrap());
    let count = inputs("decode_block")
        .iter()
        .filter(|path| accepted(read(path)))
        .count();
    assert!(
        count >= 4,
        "only {count} blocks of the corpus are valid; if the format or a limit changed, run \
         `cargo run -p probity-fuzz --example make_corpus`"
    );
}

fn run(target: &str, function: fn(&[u8])) {
    for path in inputs(target) {
        println!("{}", path.display()); // shown when the target panics
        function(&fs::read(&path).expect("a readable input"));
    }
}

/// The inputs of a target's corpus, by name; at least one.
fn inputs(target: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    let entries = fs::read_dir(&directory).expect("a corpus");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} has no input", directory.display());
    paths
}
