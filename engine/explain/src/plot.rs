//! Score and voting weight over time, one line a validator, as SVG.

use std::fmt;

use plotters::coord::Shift;
use plotters::prelude::*;
use probity_core::ONE;
use probity_core::crypto::PublicKey;

use crate::{History, Timeline};

mod axis;
mod panel;
mod weights;

use axis::Axis;
use panel::{Chart, Panel};

/// Why there is no picture.
#[derive(Debug)]
pub struct PlotError(String);

impl fmt::Display for PlotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PlotError {}

/// Of the whole picture, in pixels.
const WIDTH: u32 = 1_300;
const HEIGHT: u32 = 800;
/// Of the legend on the right.
const LEGEND_WIDTH: u32 = 220;
const LEGEND_ROW: u32 = 16;
/// Points of a line at most; more cannot be told apart.
const POINTS_MAX: usize = 1_000;

type Drawing = Result<(), Box<dyn std::error::Error>>;

/// The picture as an SVG document: scores above, weights below, over the time of all epochs from the first one whose scores
/// are known. Lines mark where epochs begin, dashed ones where schedules do.
///
/// # Errors
/// When there is nothing to draw.
pub fn plot(timeline: &Timeline, title: &str) -> Result<String, PlotError> {
    let Some(axis) = Axis::of(timeline.epochs()) else {
        return Err(PlotError("there is no commit to plot".to_owned()));
    };
    let picture = Picture {
        keys: timeline.keys(),
        timeline,
        axis,
    };
    let mut svg = String::new();
    let drawn = picture.draw(title, &mut svg);
    drawn.map_err(|why| PlotError(why.to_string()))?;
    Ok(svg)
}

struct Picture<'a> {
    timeline: &'a Timeline,
    axis: Axis<'a>,
    /// Everybody's, each with its own colour.
    keys: Vec<PublicKey>,
}

impl Picture<'_> {
    fn draw(&self, title: &str, svg: &mut String) -> Drawing {
        let validators = u32::try_from(self.keys.len())?;
        let height = HEIGHT.max(60 + LEGEND_ROW * validators);
        let page = SVGBackend::with_string(svg, (WIDTH, height)).into_drawing_area();
        page.fill(&WHITE)?;
        let page = page.titled(title, ("sans-serif", 18))?;
        let (charts, side) = page.split_horizontally(WIDTH - LEGEND_WIDTH);
        let (above, below) = charts.split_vertically((charts.dim_in_pixel().1 / 5) * 3);
        let histories = || self.axis.epochs.iter().map(|(history, _)| history);
        let samples = histories().flat_map(|history| &history.samples);
        let scores = Panel {
            axis: &self.axis,
            top: 1.12 * most(samples.flat_map(|sample| &sample.scores)) / f64::from(ONE),
            name: "score, in rounds of full points",
        };
        let seats = histories().flat_map(|history| &history.seats);
        let weights = Panel {
            axis: &self.axis,
            // Lines are seldom low, so the labels get more room above them.
            top: 1.25 * most(seats.map(|(_, weight)| weight)),
            name: "voting weight",
        };
        let mut chart = scores.on(&above)?;
        scores.mark(&mut chart)?;
        self.draw_scores(&mut chart)?;
        let mut chart = weights.on(&below)?;
        weights.mark(&mut chart)?;
        weights::draw(&mut chart, (&self.axis, &self.keys))?;
        self.draw_legend(&side)?;
        page.present()?;
        Ok(())
    }

    /// A line for each member of each epoch: every epoch begins with no scores (R26).
    fn draw_scores(&self, chart: &mut Chart<'_, '_>) -> Drawing {
        let epochs = self.axis.epochs.iter();
        let count: usize = epochs.map(|(history, _)| history.samples.len()).sum();
        let stride = count.div_ceil(POINTS_MAX).max(1);
        for (history, span) in &self.axis.epochs {
            for (index, key) in history.members.iter().enumerate() {
                let last = history.samples.last();
                let samples = history.samples.iter().step_by(stride).chain(last);
                let point = |sample: &crate::history::Sample| {
                    let score = sample.scores.get(index).copied().unwrap_or(0);
                    let seconds = self.axis.seconds(sample.time_ms).max(span.start);
                    (seconds, units(score) / f64::from(ONE))
                };
                let colour = self.keys.iter().position(|of| of == key);
                let line = LineSeries::new(samples.map(point), stroke(colour.unwrap_or(0)));
                chart.draw_series(line)?;
            }
        }
        Ok(())
    }

    /// Names with the share of weight in the last epoch.
    fn draw_legend(&self, side: &DrawingArea<SVGBackend<'_>, Shift>) -> Drawing {
        let font = ("sans-serif", 12);
        let epochs = self.timeline.epochs();
        let Some(last) = epochs.last() else {
            return Ok(());
        };
        let of = format!("validator, weight in epoch {}", last.epoch);
        side.draw(&Text::new(of, (0, 12), font))?;
        for (colour, key) in self.keys.iter().enumerate() {
            let y = i32::try_from(LEGEND_ROW)? * i32::try_from(colour + 2)?;
            let line = vec![(0, y), (22, y)];
            side.draw(&PathElement::new(line, stroke(colour)))?;
            let slashed = epochs.iter().any(|history| history.slashes(key));
            let slashed = if slashed { ", slashed" } else { "" };
            let (name, share) = (self.timeline.name(key), share(last, key));
            let text = format!("{name}: {share}{slashed}");
            side.draw(&Text::new(text, (28, y - 6), font))?;
        }
        Ok(())
    }
}

/// A key's share of the weight of an epoch.
fn share(history: &History, key: &PublicKey) -> String {
    let total: u64 = history.seats.iter().map(|(_, weight)| weight).sum();
    let thousandths = |weight: u64| (u128::from(weight) * 1_000).checked_div(total.into());
    match history.weight(key).and_then(thousandths) {
        Some(share) => format!("{}.{} %", share / 10, share % 10),
        None => "no seat".to_owned(),
    }
}

/// The greatest value, at least one.
fn most<'a>(values: impl Iterator<Item = &'a u64>) -> f64 {
    units(values.copied().max().unwrap_or(0).max(1))
}

/// Neighbouring validators get colours far apart, however many there are.
fn stroke(validator: usize) -> ShapeStyle {
    const GOLDEN: f64 = 0.618_033_988_749_895;
    let turn = f64::from(u32::try_from(validator).unwrap_or(u32::MAX));
    let lightness = [0.45, 0.30, 0.60][validator % 3];
    HSLColor((turn * GOLDEN).fract(), 0.75, lightness).stroke_width(2)
}

/// Close enough for a picture.
fn units(value: u64) -> f64 {
    value as f64
}
