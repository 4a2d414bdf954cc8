//! Voting weights over epochs. Who weighs the same shares a line, in pieces of their colours one behind the other.

use std::collections::BTreeMap;
use std::ops::Range;

use plotters::prelude::*;
use probity_core::crypto::PublicKey;

use super::axis::Axis;
use super::panel::Chart;
use super::{Drawing, stroke, units};
use crate::History;

/// Pixels of one piece of a shared line.
const PIECE: f64 = 10.0;

/// Draws the weight of every key in every epoch, and an upright line where it changes.
pub(super) fn draw(chart: &mut Chart<'_, '_>, (axis, keys): (&Axis<'_>, &[PublicKey])) -> Drawing {
    let width = f64::from(chart.plotting_area().dim_in_pixel().0);
    let piece = axis.range().end / width.max(1.0) * PIECE;
    let mut before: BTreeMap<usize, u64> = BTreeMap::new();
    for (history, span) in &axis.epochs {
        let weights = weights(history, keys, &before);
        for (validator, weight) in &weights {
            let changed = before.get(validator).filter(|old| *old != weight);
            if let Some(old) = changed {
                let ends = [(span.start, units(*old)), (span.start, units(*weight))];
                chart.draw_series(LineSeries::new(ends, stroke(*validator)))?;
            }
        }
        let mut groups: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (validator, weight) in &weights {
            groups.entry(*weight).or_default().push(*validator);
        }
        for (weight, group) in groups {
            for (validator, part) in pieces(&group, span, piece) {
                let ends = [(part.start, units(weight)), (part.end, units(weight))];
                chart.draw_series(LineSeries::new(ends, stroke(validator)))?;
            }
        }
        before.extend(weights);
    }
    Ok(())
}

/// The weights of an epoch, by number of key. Who had a seat before and has none any more weighs nothing.
fn weights(
    history: &History,
    keys: &[PublicKey],
    before: &BTreeMap<usize, u64>,
) -> BTreeMap<usize, u64> {
    let weight = |(validator, key): (usize, &PublicKey)| {
        let left = || before.contains_key(&validator).then_some(0);
        let weight = history.weight(key).or_else(left)?;
        Some((validator, weight))
    };
    keys.iter().enumerate().filter_map(weight).collect()
}

/// Divides a span among a group, in turns that go on from one span to the next.
fn pieces(group: &[usize], span: &Range<f64>, piece: f64) -> Vec<(usize, Range<f64>)> {
    if let [alone] = group {
        return vec![(*alone, span.clone())];
    }
    let mut parts = Vec::new();
    // The whole axis is about a hundred turns long.
    for turn in 0_usize.. {
        let begins = units(turn as u64) * piece;
        if begins >= span.end {
            break;
        }
        let part = begins.max(span.start)..(begins + piece).min(span.end);
        if part.start < part.end {
            parts.push((group[turn % group.len()], part));
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_line_is_cut_in_turns_without_gaps() {
        assert_eq!(pieces(&[7], &(0.0..5.0), 1.0), [(7, 0.0..5.0)]);
        let first = pieces(&[1, 2], &(0.0..2.5), 1.0);
        assert_eq!(first, [(1, 0.0..1.0), (2, 1.0..2.0), (1, 2.0..2.5)]);
        let next = pieces(&[1, 2], &(2.5..4.0), 1.0);
        assert_eq!(next, [(1, 2.5..3.0), (2, 3.0..4.0)]);
        assert_eq!(pieces(&[1, 2], &(2.5..2.5), 1.0), []);
    }
}
