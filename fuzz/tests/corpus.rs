//! Every target runs over its corpus, on stable Rust.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use probity_core::verify_block as verify;
use probity_fuzz::committee::{MostAccepted, committee};

/// One test a target, so that they run side by side and a failure has a name.
macro_rules! targets {
    ($($target:ident)*) => {
        $(
            #[test]
            fn $target() {
                run(stringify!($target), probity_fuzz::$target);
            }
        )*

        const TARGETS: &[&str] = &[$(stringify!($target)),*];
    };
}

targets! {
    decode_block decode_frame verify_block signatures transaction_envelope config lane_frames
    dag_operations replica_operations linearize_gc storage_model storage_recovery simulation
}

/// A target that somebody adds runs here too, and `run.sh` knows how fast it must be.
#[test]
fn every_target_is_tested_and_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = fs::read_to_string(root.join("run.sh")).unwrap();
    for entry in fs::read_dir(root.join("fuzz_targets")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(
            TARGETS.contains(&name) || name == "canary",
            "{name} is not tested"
        );
        let words = script.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        assert!(
            words.clone().any(|word| word == name),
            "run.sh does not run {name}"
        );
    }
}

/// It sings when it is led to, and no sooner.
#[test]
fn the_canary_sings_for_one_word_alone() {
    for data in [&b""[..], b"can", b"canarx", b"xcanary"] {
        probity_fuzz::canary(data);
    }
    assert!(std::panic::catch_unwind(|| probity_fuzz::canary(b"canary")).is_err());
}

/// A corpus of nothing but refused blocks would leave most of the verifier unseen.
#[test]
fn the_corpus_has_blocks_that_are_accepted() {
    let accepted = |bytes: Bytes| verify(&bytes, committee(), &MostAccepted).is_ok();
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

/// A replica that never commits or crashes would have nothing to get wrong.
#[test]
fn the_corpus_leads_replicas_far() {
    let runs = inputs("replica_operations");
    let runs = runs
        .iter()
        .map(|path| probity_fuzz::run_replica(&fs::read(path).unwrap()));
    let mut sum = [0; 7];
    for reached in runs {
        let counts = [
            reached.commits,
            reached.collected_rounds as usize,
            reached.certificates,
            reached.proofs,
            reached.recoveries,
            reached.requests,
            reached.collected_blocks,
        ];
        sum.iter_mut()
            .zip(counts)
            .for_each(|(sum, count)| *sum += count);
    }
    let least = [3000, 200, 10, 10, 50, 10, 1];
    assert!(
        sum.iter().zip(least).all(|(sum, least)| *sum >= least),
        "{sum:?} of {least:?}"
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
