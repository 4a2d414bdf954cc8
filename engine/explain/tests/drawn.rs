//! The table, the list and the picture of drawn DAGs.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::sync::Arc;

use probity_core::testing::{Committer, DagText};
use probity_core::{BlockRef, ReplayedCommit, Scoring, ValidatorIndex};
use probity_explain::{Crime, History, details, plot, table};

/// What the commits of a drawn DAG make of scores.
fn history(drawing: &str) -> History {
    let dag = DagText::parse(drawing).unwrap();
    let mut committer = Committer::new(Arc::clone(&dag.committee));
    for block in &dag.blocks {
        committer.insert(Arc::clone(block));
    }
    let mut scores = Scoring::new(Arc::clone(&dag.committee));
    let mut history = History::default();
    for committed in committer.commits() {
        let header = |(of, _): &(BlockRef, bool)| {
            let block = dag.blocks.iter().find(|block| block.reference() == *of);
            (*of, block.unwrap().header())
        };
        let blocks: Vec<_> = committed.record.blocks.iter().map(header).collect();
        let digest = scores.commit(&committed.record, &blocks);
        assert_eq!(digest, committed.record.reputation);
        history.note(ReplayedCommit {
            record: &committed.record,
            blocks: &blocks,
            scores: &scores,
        });
    }
    history.end(scores.standings());
    history
}

const FOUR: &str = "weights 1 1 1 1\nfaults f=1 c=0\nmode graded\ngc 8\nwindows 512 4096 4 3\n";

/// D signs two blocks in round 2, and both are linked.
const EQUIVOCATION: &str = "1: *\n2: A B C D D'\n3: A B <- all\n3: C <- A B C D'\n3: D <- all\n";

fn to_round(from: u32, to: u32, row: &str) -> String {
    (from..=to)
        .map(|round| format!("{round}: {row}\n"))
        .collect()
}

fn equivocation() -> History {
    history(&[FOUR, EQUIVOCATION, &to_round(4, 14, "*")].concat())
}

fn silence() -> History {
    history(&[FOUR, &to_round(1, 14, "A B C")].concat())
}

#[test]
fn everybody_has_a_row_that_says_whether_it_leads() {
    let history = equivocation();
    let text = table(&history);
    let rows: Vec<&str> = text.lines().skip(4).collect();
    assert_eq!(rows.len(), 4);
    assert!(
        rows[0].contains("yes") && !rows[0].contains("slashed"),
        "{text}"
    );
    assert!(rows[3].contains("no: slashed"), "{text}");
    let widths: Vec<usize> = text.lines().skip(3).map(str::len).collect();
    assert!(widths.iter().all(|width| *width == widths[0]), "{text}");
    let (_, leader) = history.last().unwrap();
    assert!(text.contains(&format!("led from round {leader}")), "{text}");
    assert!(table(&silence()).contains("no: low score"));
}

#[test]
fn without_a_commit_there_is_neither_table_nor_picture() {
    let history = history(&[FOUR, "1: *\n"].concat());
    assert_eq!(table(&history), "no commit, no score\n");
    assert!(plot(&history, "nothing").is_err());
}

#[test]
fn an_equivocation_is_named_with_its_commit_and_round() {
    let history = equivocation();
    let slashing = history.slashing(ValidatorIndex(3)).unwrap();
    assert!(matches!(slashing.crime, Crime::TwoBlocks(slot) if slot.round.0 == 2));
    assert_eq!(history.slashing(ValidatorIndex(0)), None);
    let text = details(&history, &history.standings()[3], None);
    assert!(
        text.contains("it orders a second block of round 2"),
        "{text}"
    );
    assert!(text.contains("    2             0.000  no block"), "{text}");
    assert!(
        text.contains("merit 0.900: prop and vote of all 10"),
        "{text}"
    );
    assert!(text.contains("no slot skipped"), "{text}");
}

#[test]
fn a_silent_validators_rounds_are_one_line_and_can_be_narrowed() {
    let history = silence();
    let standing = &history.standings()[3];
    let scored = standing.scored_rounds;
    let text = details(&history, standing, None);
    assert!(text.contains(&format!("    1 to {scored}")), "{text}");
    assert!(text.contains("divided by 4 because"), "{text}");
    let text = details(&history, standing, Some(&(3..6)));
    assert!(text.contains("    3 to 5 "), "{text}");
    let text = details(&history, standing, Some(&(900..901)));
    assert!(
        text.contains("no round with less") && text.contains("no slot skipped"),
        "{text}"
    );
}

#[test]
fn the_picture_has_a_line_a_validator_in_both_diagrams_and_marks_schedules() {
    let history = equivocation();
    let svg = plot(&history, "Four validators & a title").unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    for words in [
        "leader round",
        "voting weight",
        "score, in rounds",
        "schedule 2",
        "schedule 1",
        "3, slashed",
        "Four validators &amp; a title",
    ] {
        assert!(svg.contains(words), "{words}");
    }
    // Two for each validator, and one in the legend.
    let wide = svg
        .lines()
        .filter(|l| l.contains("<polyline") && l.contains("stroke-width=\"2\""));
    assert_eq!(wide.count(), 3 * 4);
    assert_eq!(
        plot(&history, "again").unwrap().len(),
        plot(&history, "again").unwrap().len()
    );
}
