//! One of the two diagrams of a picture: its axes, and the marks where epochs and schedules begin.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::Drawing;
use super::axis::Axis;
use crate::History;

pub(super) type Chart<'a, 'b> =
    ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// What is drawn over time, from zero to `top`.
pub(super) struct Panel<'a> {
    pub(super) axis: &'a Axis<'a>,
    pub(super) top: f64,
    pub(super) name: &'static str,
}

/// Pixels that a label takes, so that the next one is not written over it.
const LABEL_WIDTH: f64 = 70.0;
/// Vertical lines at most; more would be a grey area.
const MARKS_MAX: usize = 200;

impl Panel<'_> {
    pub(super) fn on<'b, 'c>(
        &self,
        area: &'b DrawingArea<SVGBackend<'c>, Shift>,
    ) -> Result<Chart<'b, 'c>, Box<dyn std::error::Error>> {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .x_label_area_size(38)
            .y_label_area_size(84)
            .build_cartesian_2d(self.axis.range(), 0.0..self.top)?;
        let whole = |value: &f64| format!("{value:.0}");
        let digits = if self.axis.range().end < 10.0 { 1 } else { 0 };
        let seconds = move |value: &f64| format!("{value:.digits$}");
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_desc("seconds of commit time")
            .y_desc(self.name)
            .x_label_formatter(&seconds)
            .y_label_formatter(&whole)
            .draw()?;
        Ok(chart)
    }

    /// A line where each epoch begins but the first, and a dashed one where each schedule does, with their numbers as far
    /// as there is room.
    pub(super) fn mark(&self, chart: &mut Chart<'_, '_>) -> Drawing {
        let several = self.axis.epochs.len() > 1;
        let last = self.axis.range().end;
        let begins = |(history, span): &(&History, Range<f64>)| Mark {
            at: span.start,
            until: last,
            text: format!("epoch {}", history.epoch),
        };
        let epochs = self.axis.epochs.iter().filter(|_| several);
        let epochs: Vec<Mark> = epochs.map(begins).collect();
        let mut schedules = Vec::new();
        for (history, span) in &self.axis.epochs {
            // The first schedule of an epoch begins with it.
            let later = history.schedules.iter().filter(|(number, _)| *number > 0);
            for (number, start) in later {
                let at = self.axis.of_round(history, *start);
                schedules.extend(at.filter(|at| span.contains(at)).map(|at| Mark {
                    at,
                    until: span.end,
                    text: format!("schedule {number}"),
                }));
            }
        }
        let height = if several { 0.93 } else { 0.99 };
        self.mark_each(chart, (&schedules, height), |chart, line| {
            let grey = BLACK.mix(0.45).stroke_width(1);
            chart.draw_series(DashedLineSeries::new(line, 4, 4, grey))?;
            Ok(())
        })?;
        self.mark_each(chart, (&epochs, 0.99), |chart, line| {
            let black = BLACK.mix(0.8).stroke_width(1);
            chart.draw_series([PathElement::new(line, black)])?;
            Ok(())
        })
    }

    fn mark_each(
        &self,
        chart: &mut Chart<'_, '_>,
        (marks, height): (&[Mark], f64),
        line: impl Fn(&mut Chart<'_, '_>, [(f64, f64); 2]) -> Drawing,
    ) -> Drawing {
        let range = self.axis.range();
        let width = f64::from(chart.plotting_area().dim_in_pixel().0);
        let per_pixel = range.end / width.max(1.0);
        let mut free_from = 0.0;
        let stride = marks.len().div_ceil(MARKS_MAX).max(1);
        for Mark { at, until, text } in marks.iter().step_by(stride) {
            line(chart, [(*at, 0.0), (*at, self.top)])?;
            if *at >= free_from && at + LABEL_WIDTH * per_pixel < *until {
                let place = (at + 3.0 * per_pixel, self.top * height);
                let label = Text::new(text.clone(), place, ("sans-serif", 11));
                chart.plotting_area().draw(&label)?;
                free_from = at + LABEL_WIDTH * per_pixel;
            }
        }
        Ok(())
    }
}

/// An upright line, and what is written at its top if there is room before `until`.
struct Mark {
    at: f64,
    until: f64,
    text: String,
}
