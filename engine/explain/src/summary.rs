//! All epochs of a run at a glance: how long each lasted, and who weighed how much.

use std::fmt::Write as _;

use probity_core::crypto::PublicKey;

use crate::columns::columns;
use crate::{History, Timeline};

/// Epochs beside each other; more go into another table below.
const EPOCHS_BESIDE: usize = 10;

/// A row for each epoch, and below a row for each validator with its voting weight in every epoch.
#[must_use]
pub fn summary(timeline: &Timeline) -> String {
    let epochs = timeline.epochs();
    if epochs.is_empty() {
        return "no epoch\n".to_owned();
    }
    let head = ["epoch", "commits", "seconds", "scored rounds", "validators"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let mut before_ms = None;
    for history in epochs {
        rows.push(row(history, before_ms));
        before_ms = history.ended.map(|ended| ended.time_ms);
    }
    let mut text = columns(&rows);
    text.push_str("\nvoting weight by epoch; 0: a seat without weight, -: no seat\n");
    for some in epochs.chunks(EPOCHS_BESIDE) {
        let mut head = vec!["validator".to_owned()];
        head.extend(some.iter().map(|history| history.epoch.to_string()));
        let mut rows = vec![head];
        for key in timeline.keys() {
            let mut row = vec![timeline.name(&key)];
            row.extend(some.iter().map(|history| weight(history, &key)));
            rows.push(row);
        }
        write!(text, "\n{}", columns(&rows)).expect("it grows");
    }
    text
}

fn row(history: &History, before_ms: Option<u64>) -> Vec<String> {
    let index = |index: Option<probity_core::CommitIndex>| {
        index.map_or("?".to_owned(), |index| index.to_string())
    };
    let last = history.last().map(|(last, _)| last);
    let commits = match (history.first, history.ended) {
        (first @ Some(_), _) => format!("{} to {}", index(first), index(last)),
        (None, Some(ended)) => format!("not here, to {}", ended.index),
        (None, None) => "none yet".to_owned(),
    };
    let told = |ms: &u64| *ms > 0;
    let samples = || history.samples.iter().map(|sample| sample.time_ms);
    let began_ms = before_ms.or_else(|| samples().find(told));
    let ended_ms = history.ended.map(|ended| ended.time_ms);
    let until_ms = ended_ms.or_else(|| samples().next_back());
    let lasted = began_ms.zip(until_ms).filter(|(_, until)| told(until));
    let seconds = |(from, to): (u64, u64)| {
        let tenths = to.saturating_sub(from) / 100;
        format!("{}.{}", tenths / 10, tenths % 10)
    };
    vec![
        history.epoch.to_string(),
        commits,
        lasted.map_or("?".to_owned(), seconds),
        match history.first {
            Some(_) => history.scored_rounds.to_string(),
            None => "-".to_owned(),
        },
        history.members.len().to_string(),
    ]
}

fn weight(history: &History, key: &PublicKey) -> String {
    let weight = history.weight(key);
    weight.map_or("-".to_owned(), |weight| weight.to_string())
}
