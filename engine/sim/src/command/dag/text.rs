//! The drawing as text: one row a round, one column a validator.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use probity_core::{Path, Round, Slot, ValidatorIndex};

use super::picture::{Cell, Fate, Picture};

const LEGEND: &str = "\
L7f led commit 7, decided f fast, s slow, i indirect   o7 ordered by commit 7   v7 ordered, payload void   u in no commit
- slot skipped   ! equivocation   a+b several blocks of one slot   . no block that a correct validator links   * sinner";

/// The picture as text.
pub(super) fn draw(picture: &Picture) -> String {
    let rounds = picture.rounds.clone().map(Round);
    let row = |round| {
        (
            round,
            picture
                .authors()
                .map(|author| cell(picture, Slot { round, author }))
                .collect(),
        )
    };
    let rows: Vec<(Round, Vec<String>)> = rounds.map(row).collect();
    let cells = rows.iter().flat_map(|(_, cells)| cells);
    let width = cells.map(String::len).max().unwrap_or(0).max(4);
    let mut text = format!("{:>6} ", "round");
    for author in picture.authors() {
        let sins = if picture.sinners.contains(&author) {
            "*"
        } else {
            ""
        };
        write!(text, " {:<width$}", format!("{author}{sins}")).expect("a string grows");
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    for (round, cells) in rows {
        write!(text, "{:>6} ", round.0).expect("a string grows");
        for cell in cells {
            write!(text, " {cell:<width$}").expect("a string grows");
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    format!("{text}\n{LEGEND}\n{}", not_linked(picture))
}

fn cell(picture: &Picture, slot: Slot) -> String {
    let Cell {
        blocks,
        skipped,
        equivocated,
    } = picture.cell(slot);
    let mut text = String::new();
    text.push_str(if equivocated { "!" } else { "" });
    text.push_str(if skipped { "-" } else { "" });
    let fates: Vec<String> = blocks.iter().map(|(_, fate)| letter(*fate)).collect();
    if fates.is_empty() {
        text.push('.');
    }
    text + &fates.join("+")
}

/// A block's fate in a few characters.
pub(super) fn letter(fate: Fate) -> String {
    match fate {
        Fate::Led(index, None) => format!("L{index}"),
        Fate::Led(index, Some(Path::Fast)) => format!("L{index}f"),
        Fate::Led(index, Some(Path::Slow)) => format!("L{index}s"),
        Fate::Led(index, Some(Path::Indirect)) => format!("L{index}i"),
        Fate::Ordered(index) => format!("o{index}"),
        Fate::Void(index) => format!("v{index}"),
        Fate::Open => "u".to_owned(),
    }
}

/// The links that are missing: a block normally links every block of the round before. One line a round for all that
/// leave out the same ones.
fn not_linked(picture: &Picture) -> String {
    let mut text = String::new();
    for round in picture.rounds.clone().map(Round) {
        for (missing, authors) in groups(picture, round) {
            let (authors, missing) = (list(&authors), list(&missing));
            writeln!(text, "  round {round}: {authors} without {missing}").expect("a string grows");
        }
    }
    if text.is_empty() {
        return "Every block links the whole round before.".to_owned();
    }
    format!("Links that are missing to the round before:\n{text}")
}

/// The authors of a round by what their blocks leave out.
fn groups(picture: &Picture, round: Round) -> BTreeMap<Vec<ValidatorIndex>, Vec<ValidatorIndex>> {
    let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for author in picture.authors() {
        for (block, _) in picture.cell(Slot { round, author }).blocks {
            let missing = picture.not_linked(block);
            if !missing.is_empty() {
                groups.entry(missing).or_default().push(author);
            }
        }
    }
    groups
}

fn list(validators: &[ValidatorIndex]) -> String {
    let words: Vec<String> = validators.iter().map(ValidatorIndex::to_string).collect();
    words.join(" ")
}
