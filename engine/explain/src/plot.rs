//! Score and voting weight over leader rounds, one line a validator, as SVG.

use std::fmt;
use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use probity_core::{ONE, Round, ValidatorIndex};

use crate::History;

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
const WIDTH: u32 = 1_200;
const HEIGHT: u32 = 760;
/// Of the legend on the right.
const LEGEND_WIDTH: u32 = 130;
const LEGEND_ROW: u32 = 16;
/// Points of a line at most; more cannot be told apart.
const POINTS_MAX: usize = 1_000;
/// Numbered schedules at most; the others' marks have no number.
const LABELS_MAX: usize = 24;

type Drawing = Result<(), Box<dyn std::error::Error>>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// The picture as an SVG document: scores above, weights below, dashed marks where schedules begin.
///
/// # Errors
/// When there is nothing to draw.
pub fn plot(history: &History, title: &str) -> Result<String, PlotError> {
    if history.samples.is_empty() || history.standings().is_empty() {
        return Err(PlotError("there is no commit to plot".to_owned()));
    }
    let mut svg = String::new();
    draw(history, title, &mut svg).map_err(|why| PlotError(why.to_string()))?;
    Ok(svg)
}

fn draw(history: &History, title: &str, svg: &mut String) -> Drawing {
    let validators = u32::try_from(history.standings().len())?;
    let height = HEIGHT.max(60 + LEGEND_ROW * validators);
    let page = SVGBackend::with_string(svg, (WIDTH, height)).into_drawing_area();
    page.fill(&WHITE)?;
    let page = page.titled(title, ("sans-serif", 18))?;
    let (charts, side) = page.split_horizontally(WIDTH - LEGEND_WIDTH);
    let (above, below) = charts.split_vertically((charts.dim_in_pixel().1 / 3) * 2);
    let rounds = rounds(history);
    let scores = Panel {
        rounds: rounds.clone(),
        top: top(history
            .samples
            .iter()
            .flat_map(|(_, scores)| scores)
            .copied())
            / f64::from(ONE),
        name: "score, in rounds of full points",
    };
    let weights = Panel {
        rounds: rounds.clone(),
        top: top(history.standings().iter().map(|standing| standing.weight)),
        name: "voting weight",
    };
    let mut chart = scores.on(&above)?;
    let stride = history.samples.len().div_ceil(POINTS_MAX);
    for validator in 0..history.standings().len() {
        let last = history.samples.last();
        let samples = history.samples.iter().step_by(stride).chain(last);
        let point = |(round, scores): &(Round, Vec<u64>)| {
            (
                f64::from(round.0),
                units(scores[validator]) / f64::from(ONE),
            )
        };
        chart.draw_series(LineSeries::new(samples.map(point), stroke(validator)))?;
    }
    mark_schedules(history, &scores, &mut chart)?;
    let mut chart = weights.on(&below)?;
    for (validator, standing) in history.standings().iter().enumerate() {
        let weight = units(standing.weight);
        let ends = [(rounds.start, weight), (rounds.end, weight)];
        chart.draw_series(LineSeries::new(ends, stroke(validator)))?;
    }
    mark_schedules(history, &weights, &mut chart)?;
    legend(history, &side)?;
    page.present()?;
    Ok(())
}

/// One of the two diagrams: its axes.
struct Panel {
    rounds: Range<f64>,
    top: f64,
    name: &'static str,
}

impl Panel {
    fn on<'a, 'b>(
        &self,
        area: &'a DrawingArea<SVGBackend<'b>, Shift>,
    ) -> Result<Chart<'a, 'b>, Box<dyn std::error::Error>> {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .x_label_area_size(38)
            .y_label_area_size(84)
            .build_cartesian_2d(self.rounds.clone(), 0.0..self.top)?;
        let whole = |value: &f64| format!("{value:.0}");
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_desc("leader round")
            .y_desc(self.name)
            .x_label_formatter(&whole)
            .y_label_formatter(&whole)
            .draw()?;
        Ok(chart)
    }
}

/// From the first to the last leader round, at least one wide.
fn rounds(history: &History) -> Range<f64> {
    let round =
        |sample: Option<&(Round, Vec<u64>)>| sample.map_or(0.0, |(round, _)| f64::from(round.0));
    let first = round(history.samples.first());
    first..round(history.samples.last()).max(first + 1.0)
}

/// The upper end of an axis that begins at zero.
fn top(values: impl Iterator<Item = u64>) -> f64 {
    units(values.max().unwrap_or(0).max(1)) * 1.08
}

/// A dashed line where each schedule begins, with its number.
fn mark_schedules(history: &History, panel: &Panel, chart: &mut Chart<'_, '_>) -> Drawing {
    let started = |(_, start): &&(u64, Round)| panel.rounds.contains(&f64::from(start.0));
    let started: Vec<_> = history.schedules.iter().filter(started).collect();
    let numbered = started.len().div_ceil(LABELS_MAX).max(1);
    for (at, (schedule, start)) in started.into_iter().enumerate() {
        let start = f64::from(start.0);
        let line = [(start, 0.0), (start, panel.top)];
        let grey = BLACK.mix(0.45).stroke_width(1);
        chart.draw_series(DashedLineSeries::new(line, 4, 4, grey))?;
        // The last few hundredths leave no room for words beside the legend.
        let room = start < panel.rounds.end - (panel.rounds.end - panel.rounds.start) * 0.06;
        if room && at.is_multiple_of(numbered) {
            let text = format!("schedule {schedule}");
            let label = Text::new(text, (start, panel.top * 0.99), ("sans-serif", 11));
            chart.plotting_area().draw(&label)?;
        }
    }
    Ok(())
}

fn legend(history: &History, side: &DrawingArea<SVGBackend<'_>, Shift>) -> Drawing {
    let font = ("sans-serif", 12);
    side.draw(&Text::new("validator", (0, 12), font))?;
    for (validator, standing) in history.standings().iter().enumerate() {
        let y = i32::try_from(LEGEND_ROW)? * i32::try_from(validator + 2)?;
        let line = vec![(0, y), (22, y)];
        side.draw(&PathElement::new(line, stroke(validator)))?;
        let slashed = if standing.slashed { ", slashed" } else { "" };
        let name: ValidatorIndex = standing.validator;
        side.draw(&Text::new(format!("{name}{slashed}"), (28, y - 6), font))?;
    }
    Ok(())
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
