//! The drawings in `tests/order/*.dag`: a DAG, and under the dashes what becomes of each slot and commit.
//!
//! `PROBITY_REDRAW=1` writes the answers anew; read the difference before it is kept.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use probity_core::testing::{
    Chance, Committer, DagText, DecidedSlot, Verdict, delivery, reference_answer,
};
use probity_core::{BlockRef, Path, Slot};

#[test]
fn every_drawing_is_decided_as_written_under_it() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/order");
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = entries
        .filter(|p| p.extension().is_some_and(|e| e == "dag"))
        .collect();
    paths.sort();
    assert!(paths.len() >= 12, "only {} drawings", paths.len());
    let redraw = std::env::var_os("PROBITY_REDRAW").is_some();
    let mut wrong = String::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let (drawing, expected) = text.split_once("----\n").unwrap_or((&text, ""));
        let dag = DagText::parse(drawing).unwrap_or_else(|why| panic!("{name}, {why}"));
        let answer = answer(&dag);
        if redraw {
            std::fs::write(&path, format!("{drawing}----\n{answer}")).unwrap();
        } else if answer != expected {
            writeln!(wrong, "{name} expects\n{expected}but it is\n{answer}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// What the rule says, as lines; checked against the reference and against other orders of arrival.
fn answer(dag: &DagText) -> String {
    let mut committer = Committer::new(Arc::clone(&dag.committee));
    dag.blocks
        .iter()
        .for_each(|block| committer.insert(Arc::clone(block)));
    let reference = reference_answer(&dag.committee, committer.accepted());
    assert_eq!(committer.decisions(), reference.decisions);
    for seed in 0..20 {
        let mut other = Committer::new(Arc::clone(&dag.committee));
        delivery(&dag.blocks, 100, &mut Chance::new(seed))
            .into_iter()
            .for_each(|b| other.insert(b));
        assert_eq!(
            other.commits(),
            committer.commits(),
            "arrival order does not matter"
        );
    }
    let mut lines = String::new();
    for slot in reference.slots {
        let decided = committer
            .slots()
            .iter()
            .find(|decided| decided.slot == slot);
        writeln!(lines, "{}", slot_line(dag, &committer, slot, decided)).unwrap();
    }
    for commit in committer.commits() {
        let record = &commit.record;
        let block = |(block, void): &(BlockRef, bool)| {
            format!("{}{}", dag.name(block), if *void { "(void)" } else { "" })
        };
        let blocks: Vec<String> = record.blocks.iter().map(block).collect();
        let (index, time) = (record.index, record.timestamp_ms);
        let gc = commit.gc_round;
        write!(lines, "commit {index} at {time} gc {gc}").unwrap();
        if record.schedule > 0 {
            write!(lines, " schedule {}", record.schedule).unwrap();
        }
        writeln!(lines, ": {}", blocks.join(" ")).unwrap();
    }
    lines
}

fn slot_line(
    dag: &DagText,
    committer: &Committer,
    slot: Slot,
    decided: Option<&DecidedSlot>,
) -> String {
    let letter = char::from(b'A' + u8::try_from(slot.author.0).unwrap());
    let name = |digest| {
        let block = dag
            .blocks
            .iter()
            .find(|block| block.reference().digest == digest);
        dag.name(&block.unwrap().reference()).to_owned()
    };
    match decided {
        Some(DecidedSlot {
            verdict: Verdict::Commit(digest),
            path,
            ..
        }) => {
            format!("{} commit {}", name(*digest), path_name(*path))
        }
        Some(DecidedSlot {
            verdict: Verdict::Skip,
            path,
            ..
        }) => {
            format!("{letter}{} skip {}", slot.round, path_name(*path))
        }
        None => match committer.decisions().get(&slot) {
            Some(Verdict::Commit(digest)) => format!("{} commit waits", name(*digest)),
            Some(Verdict::Skip) => format!("{letter}{} skip waits", slot.round),
            None => format!("{letter}{} open", slot.round),
        },
    }
}

fn path_name(path: Path) -> &'static str {
    match path {
        Path::Fast => "fast",
        Path::Slow => "slow",
        Path::Indirect => "indirect",
    }
}
