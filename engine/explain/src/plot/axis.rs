//! Time in a picture: seconds of commit time since the first commit that is shown, over all epochs.

use std::ops::Range;

use probity_core::Round;

use crate::History;

/// The time axis, and what it shows.
pub(super) struct Axis<'a> {
    /// The epochs from the first one with scores on, each with its part of the axis.
    pub(super) epochs: Vec<(&'a History, Range<f64>)>,
    origin_ms: u64,
}

impl<'a> Axis<'a> {
    /// `None` when there are no scores to show.
    pub(super) fn of(epochs: &'a [History]) -> Option<Self> {
        let first = epochs.iter().position(|of| !of.samples.is_empty())?;
        let shown = &epochs[first..];
        let samples = shown.iter().flat_map(|history| &history.samples);
        // The network's first commits have no time to tell.
        let mut told = samples.map(|sample| sample.time_ms).filter(|ms| *ms > 0);
        let origin_ms = told.next().unwrap_or(0);
        let mut axis = Self {
            epochs: Vec::with_capacity(shown.len()),
            origin_ms,
        };
        let mut from = 0.0;
        for history in shown {
            let last_ms = history.samples.last().map(|sample| sample.time_ms);
            let ended_ms = history.ended.map(|ended| ended.time_ms);
            let to = axis.seconds(last_ms.max(ended_ms).unwrap_or(0)).max(from);
            axis.epochs.push((history, from..to));
            from = to;
        }
        Some(axis)
    }

    /// Where a commit's time is on the axis.
    pub(super) fn seconds(&self, time_ms: u64) -> f64 {
        time_ms.saturating_sub(self.origin_ms) as f64 / 1_000.0
    }

    /// The whole axis, at least a thousandth of a second wide.
    pub(super) fn range(&self) -> Range<f64> {
        let last = self.epochs.last().map_or(0.0, |(_, span)| span.end);
        0.0..last.max(0.001)
    }

    /// When an epoch's leaders came to a round; `None` if they did not.
    pub(super) fn of_round(&self, history: &History, round: Round) -> Option<f64> {
        let at = history.samples.partition_point(|s| s.round < round);
        let sample = history.samples.get(at)?;
        Some(self.seconds(sample.time_ms))
    }
}
