//! Everybody's standing, one row each.

use std::fmt::Write as _;

use probity_core::{Eligibility, Leading, Standing};

use crate::History;
use crate::decimal;

/// Everybody's standing after the last commit, as a table with a line above it that says what it is about.
#[must_use]
pub fn table(history: &History) -> String {
    let standings = history.standings();
    let (Some((commit, leader)), Some(any)) = (history.last(), standings.first()) else {
        return "no commit, no score\n".to_owned();
    };
    let mut text = format!(
        "after commit {commit}, led from round {leader}; rounds 1 to {} are scored, the last {} of them count\n",
        any.scored_rounds,
        any.rounds.len()
    );
    let Leading {
        schedule, start, ..
    } = any.in_force;
    let mut line = format!("schedule {schedule} is in force since round {start}");
    if any.newest.schedule != schedule {
        let Leading {
            schedule, start, ..
        } = any.newest;
        write!(line, "; schedule {schedule} will be from round {start} on").expect("it grows");
    }
    writeln!(text, "{line}\n").expect("it grows");
    let rows: Vec<[String; COLUMNS]> = standings.iter().map(row).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].len());
        cells.chain([HEAD[column].len()]).max().unwrap_or(0)
    };
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let mut line = |cells: &[String; COLUMNS]| {
        let cells = cells.iter().zip(widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:>width$}"))
            .collect();
        writeln!(text, "{}", cells.join("  ")).expect("it grows");
    };
    line(&HEAD.map(str::to_owned));
    rows.iter().for_each(line);
    text
}

const COLUMNS: usize = 12;
const HEAD: [&str; COLUMNS] = [
    "validator",
    "score",
    "of median",
    "merit",
    "leads",
    "leads next",
    "slashed",
    "rho",
    "weight",
    "slots",
    "led",
    "skipped",
];

fn row(standing: &Standing) -> [String; COLUMNS] {
    [
        standing.validator.to_string(),
        decimal(standing.score),
        of_median(standing),
        standing
            .merit_share
            .map_or("-".to_owned(), |share| decimal(share.into())),
        leads(standing.in_force).to_owned(),
        leads(standing.newest).to_owned(),
        if standing.slashed { "yes" } else { "no" }.to_owned(),
        decimal(standing.rho.into()),
        standing.weight.to_string(),
        standing.slots.to_string(),
        (standing.slots - standing.skipped).to_string(),
        standing.skipped.to_string(),
    ]
}

fn of_median(standing: &Standing) -> String {
    let percent = (100 * u128::from(standing.score)).checked_div(standing.median.into());
    percent.map_or("-".to_owned(), |percent| format!("{percent} %"))
}

/// Whether somebody leads slots, and why not.
pub(crate) fn leads(leading: Leading) -> &'static str {
    match leading.eligibility {
        Eligibility::Eligible => "yes",
        Eligibility::Slashed => "no: slashed",
        Eligibility::LowScore => "no: low score",
    }
}
