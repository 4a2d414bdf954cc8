//! The rounds and slots that moved one validator's score.

use std::fmt::Write as _;
use std::ops::{Range, RangeInclusive};

use probity_core::{Mark, ONE, Round, SlotOutcome, Standing};

use crate::history::{Crime, Slashing};
use crate::table::leads;
use crate::{History, decimal};

/// What moved a validator's score: rounds in which it earned less than it could, slots that were skipped, and what it is
/// slashed for. Of the rounds, those in `rounds` only, if given.
#[must_use]
pub fn details(history: &History, standing: &Standing, rounds: Option<&Range<u32>>) -> String {
    let mut text = String::new();
    let mut line = |line: String| writeln!(text, "{line}").expect("it grows");
    let (validator, epoch) = (standing.validator, history.epoch);
    line(format!("validator {validator} in epoch {epoch}"));
    line(score(standing));
    line(merit(standing));
    let next = leads(standing.newest);
    line(format!(
        "  leads slots: {} under schedule {}, {next} under schedule {}",
        leads(standing.in_force),
        standing.in_force.schedule,
        standing.newest.schedule
    ));
    if let Some(slashing) = history.slashing(standing.validator) {
        line(format!("  slashed by {}", words(slashing)));
    }
    let shown = |round: Round| rounds.is_none_or(|rounds| rounds.contains(&round.0));
    let marked = standing.rounds.iter().filter(|r| shown(r.round));
    let short = marked.filter(|r| is_short(&r.mark));
    let short = runs(short.map(|r| (r.round, (r.mark, r.points))));
    line(match short.len() {
        0 => "  no round with less than all points".to_owned(),
        _ => "  rounds with less than all points:".to_owned(),
    });
    for (rounds, (mark, points)) in short {
        line(format!(
            "    {:<13} {}",
            span(&rounds),
            mark_words(&mark, points)
        ));
    }
    let slots = standing
        .slots_led
        .iter()
        .filter(|led| shown(led.slot.round));
    let skipped = slots.filter(|led| led.outcome == SlotOutcome::Skipped);
    let skipped = runs(skipped.map(|led| (led.slot.round, ())));
    let skipped: Vec<String> = skipped.iter().map(|(rounds, ())| span(rounds)).collect();
    line(match skipped.len() {
        0 => "  no slot skipped".to_owned(),
        _ => format!("  slots skipped in rounds {}", skipped.join(", ")),
    });
    text
}

/// R27 with this validator's numbers.
fn score(standing: &Standing) -> String {
    let (slots, skipped) = (standing.slots, standing.skipped);
    let of_slots = format!("{skipped} of {slots} slots were skipped");
    let (score, points) = (decimal(standing.score), decimal(standing.points));
    let rounds = standing.rounds.len();
    if 8 * u64::from(skipped) > u64::from(slots) {
        format!(
            "  score {score}: {points} points in {rounds} rounds, divided by 4 because {of_slots}, more than an eighth"
        )
    } else {
        format!("  score {score}: the points of {rounds} rounds; {of_slots}, an eighth at most")
    }
}

/// R30's `u` with this validator's numbers.
fn merit(standing: &Standing) -> String {
    let Some(share) = standing.merit_share else {
        return "  merit: no round is scored".to_owned();
    };
    format!(
        "  merit {}: prop and vote of all {} scored rounds, {} of {} points",
        decimal(share.into()),
        standing.scored_rounds,
        decimal(standing.merit),
        2 * standing.scored_rounds,
    )
}

fn words(slashing: Slashing) -> String {
    let Slashing {
        commit,
        leader,
        crime,
    } = slashing;
    let how = match crime {
        Crime::TwoBlocks(slot) => format!("it orders a second block of round {}", slot.round),
        Crime::Evidence(slot) => format!("it holds evidence of two blocks of round {}", slot.round),
        Crime::Earlier => return format!("a commit before {commit}"),
    };
    format!("commit {commit}, led from round {leader}: {how}")
}

/// Whether a round moved score or merit down.
fn is_short(mark: &Mark) -> bool {
    [mark.fast, mark.vote, mark.prop]
        .iter()
        .any(|share| *share < ONE)
}

fn mark_words(mark: &Mark, points: u32) -> String {
    let points = decimal(points.into());
    if *mark == Mark::default() {
        return format!("{points}  no block in the sequence when the round was scored, or two");
    }
    let share = |share: u32| decimal(share.into());
    format!(
        "{points}  seen by weight {}: fast {}, prop {}; vote {}",
        mark.seen,
        share(mark.fast),
        share(mark.prop),
        share(mark.vote)
    )
}

/// Neighbouring rounds with the same value, together.
fn runs<T: PartialEq>(rounds: impl Iterator<Item = (Round, T)>) -> Vec<(RangeInclusive<u32>, T)> {
    let mut runs: Vec<(RangeInclusive<u32>, T)> = Vec::new();
    for (Round(round), value) in rounds {
        match runs.last_mut() {
            Some((run, same)) if *same == value && run.end() + 1 == round => {
                *run = *run.start()..=round;
            }
            _ => runs.push((round..=round, value)),
        }
    }
    runs
}

fn span(rounds: &RangeInclusive<u32>) -> String {
    let (first, last) = (rounds.start(), rounds.end());
    if first == last {
        first.to_string()
    } else {
        format!("{first} to {last}")
    }
}
