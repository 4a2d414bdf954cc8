//! The table, the list and the picture of drawn DAGs.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::sync::Arc;

use probity_core::testing::{Committer, DagText, certified_end, keypair};
use probity_core::{BlockRef, Charter, ReplayedCommit, Roster, Scoring, Seat, ValidatorIndex};
use probity_explain::{Crime, History, Timeline, details, plot, summary, table};

/// What the commits of a drawn DAG make of scores.
fn drawn(drawing: &str) -> Timeline {
    let dag = DagText::parse(drawing).unwrap();
    let mut committer = Committer::new(Arc::clone(&dag.committee));
    for block in &dag.blocks {
        committer.insert(Arc::clone(block));
    }
    let mut scores = Scoring::new(Arc::clone(&dag.committee));
    let mut timeline = Timeline::default();
    timeline.epoch(&dag.committee);
    for committed in committer.commits() {
        let header = |(of, _): &(BlockRef, bool)| {
            let block = dag.blocks.iter().find(|block| block.reference() == *of);
            (*of, block.unwrap().header())
        };
        let blocks: Vec<_> = committed.record.blocks.iter().map(header).collect();
        let digest = scores.commit(&committed.record, &blocks);
        assert_eq!(digest, committed.record.reputation);
        timeline.epoch(&dag.committee).note(ReplayedCommit {
            record: &committed.record,
            blocks: &blocks,
            scores: &scores,
        });
    }
    timeline.epoch(&dag.committee).explain(&scores);
    timeline
}

fn only(timeline: &Timeline) -> &History {
    timeline.of_epoch(0).unwrap()
}

const FOUR: &str = "weights 1 1 1 1\nfaults f=1 c=0\nmode graded\ngc 8\nwindows 512 4096 4 3\n";

/// D signs two blocks in round 2, and both are linked.
const EQUIVOCATION: &str = "1: *\n2: A B C D D'\n3: A B <- all\n3: C <- A B C D'\n3: D <- all\n";

fn to_round(from: u32, to: u32, row: &str) -> String {
    (from..=to)
        .map(|round| format!("{round}: {row}\n"))
        .collect()
}

fn equivocation() -> Timeline {
    drawn(&[FOUR, EQUIVOCATION, &to_round(4, 14, "*")].concat())
}

fn silence() -> Timeline {
    drawn(&[FOUR, &to_round(1, 14, "A B C")].concat())
}

#[test]
fn everybody_has_a_row_that_says_whether_it_leads() {
    let timeline = equivocation();
    let history = only(&timeline);
    let text = table(&timeline, history);
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
    let silent = silence();
    assert!(table(&silent, only(&silent)).contains("no: low score"));
}

#[test]
fn without_a_commit_there_is_neither_table_nor_picture() {
    let timeline = drawn(&[FOUR, "1: *\n"].concat());
    let text = table(&timeline, only(&timeline));
    assert_eq!(text, "epoch 0: no commit, no score\n");
    assert!(plot(&timeline, "nothing").is_err());
    assert!(plot(&Timeline::default(), "nothing").is_err());
    assert_eq!(summary(&Timeline::default()), "no epoch\n");
    assert!(summary(&timeline).contains("none yet"));
}

#[test]
fn an_equivocation_is_named_with_its_commit_and_round() {
    let timeline = equivocation();
    let history = only(&timeline);
    let slashing = history.slashing(ValidatorIndex(3)).unwrap();
    assert!(matches!(slashing.crime, Crime::TwoBlocks(slot) if slot.round.0 == 2));
    assert_eq!(history.slashing(ValidatorIndex(0)), None);
    let text = details(history, &history.standings()[3], None);
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
    let timeline = silence();
    let history = only(&timeline);
    let standing = &history.standings()[3];
    let scored = standing.scored_rounds;
    let text = details(history, standing, None);
    assert!(text.contains(&format!("    1 to {scored}")), "{text}");
    assert!(text.contains("divided by 4 because"), "{text}");
    let text = details(history, standing, Some(&(3..6)));
    assert!(text.contains("    3 to 5 "), "{text}");
    let text = details(history, standing, Some(&(900..901)));
    assert!(
        text.contains("no round with less") && text.contains("no slot skipped"),
        "{text}"
    );
}

#[test]
fn the_picture_has_a_line_a_validator_in_both_diagrams_and_marks_schedules() {
    let timeline = equivocation();
    let svg = plot(&timeline, "Four validators & a title").unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    for words in [
        "seconds of commit time",
        "voting weight",
        "score, in rounds",
        "schedule 2",
        "schedule 1",
        ": 25.0 %, slashed",
        "Four validators &amp; a title",
    ] {
        assert!(svg.contains(words), "{words}");
    }
    assert!(
        !svg.lines().any(|line| line == "epoch 0"),
        "there is but one"
    );
    assert_eq!(svg, plot(&timeline, "Four validators & a title").unwrap());
}

/// The equivocator has left after the first epoch, and a newcomer has its stake.
fn two_epochs() -> Timeline {
    let dag = DagText::parse(&[FOUR, "1: *\n"].concat()).unwrap();
    let first = &dag.committee;
    let keys: Vec<_> = (0..5).map(|at| keypair(ValidatorIndex(at))).collect();
    let mut seats = first.roster().seats().to_vec();
    seats[3] = Seat::newcomer(keys[4].public(), 1);
    let charter = Charter {
        roster: Roster::new(seats).unwrap(),
        bounds: first.bounds(),
        total: first.thresholds().total,
    };
    let end = certified_end(first, &charter, &keys);
    let mut timeline = equivocation();
    timeline.epoch(first).end(&end);
    timeline.epoch(&end.next_committee(first).unwrap());
    timeline
}

#[test]
fn validators_are_followed_by_key_through_the_epochs() {
    let timeline = two_epochs();
    let text = summary(&timeline);
    let rows: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let weights = &rows[rows.len() - 5..];
    let by_epoch: Vec<&[&str]> = weights.iter().map(|row| &row[1..]).collect();
    let stays: &[&str] = &["1", "1"];
    let expected = [stays, stays, stays, &["1", "-"], &["-", "1"]];
    assert_eq!(by_epoch, expected, "{text}");
    assert!(text.contains("none yet"), "{text}");
    let svg = plot(&timeline, "Two epochs").unwrap();
    for words in ["epoch 0", "epoch 1", ": no seat, slashed", ": 25.0 %"] {
        assert!(svg.contains(words), "{words}");
    }
}
