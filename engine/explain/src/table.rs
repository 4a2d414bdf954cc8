//! Everybody's standing, one row each.

use std::fmt::Write as _;

use probity_core::{Eligibility, Leading, Standing};

use crate::columns::columns;
use crate::{History, Timeline, decimal};

/// Everybody's standing after the last commit of an epoch, as a table with a line above it that says what it is about.
#[must_use]
pub fn table(timeline: &Timeline, history: &History) -> String {
    let (standings, epoch) = (history.standings(), history.epoch);
    let (Some((commit, leader)), Some(any)) = (history.last(), standings.first()) else {
        return format!("epoch {epoch}: no commit, no score\n");
    };
    let mut text = format!(
        "epoch {epoch}, after commit {commit}, led from round {leader}; rounds 1 to {} are scored, the last {} of them count\n",
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
    let mut rows = vec![HEAD.map(str::to_owned).to_vec()];
    for standing in standings {
        let key = history.members.get(standing.validator.position());
        let name = key.map_or_else(String::new, |key| timeline.name(key));
        rows.push(row(standing, name));
    }
    text + &columns(&rows)
}

const HEAD: [&str; 13] = [
    "validator",
    "name",
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

fn row(standing: &Standing, name: String) -> Vec<String> {
    vec![
        standing.validator.to_string(),
        name,
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
