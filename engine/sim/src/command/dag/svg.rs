//! The drawing as SVG: validators are columns, rounds go up, lines are links.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use probity_core::{BlockRef, Path, Round, Slot};

use super::picture::{Cell, Fate, Picture};
use super::text::letter;

/// Between two columns, two rows, and around it all.
const COLUMN: u32 = 90;
const ROW: u32 = 70;
const MARGIN: u32 = 60;
/// Of a block, and between two of one slot.
const RADIUS: u32 = 17;
const ASIDE: u32 = 22;

/// The picture as an SVG document.
pub(super) fn draw(picture: &Picture) -> String {
    let rounds = picture.rounds.end - picture.rounds.start;
    let width = MARGIN * 2 + COLUMN * u32::from(picture.validators);
    let height = MARGIN * 2 + ROW * rounds;
    let mut page = Page {
        picture,
        text: String::new(),
        at: BTreeMap::new(),
    };
    page.place();
    page.line(format_args!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11" text-anchor="middle">"#
    ));
    page.line(format_args!(
        r#"<rect width="{width}" height="{height}" fill="white"/>"#
    ));
    page.titles();
    page.links();
    page.slots();
    page.line(format_args!("</svg>"));
    page.text
}

/// A point of the drawing.
#[derive(Clone, Copy)]
struct Point {
    x: u32,
    y: u32,
}

struct Page<'a> {
    picture: &'a Picture,
    text: String,
    at: BTreeMap<BlockRef, Point>,
}

impl Page<'_> {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{line}").expect("a string grows");
    }

    fn center(&self, slot: Slot) -> Point {
        let Slot { round, author } = slot;
        Point {
            x: MARGIN + COLUMN / 2 + COLUMN * u32::from(author.0),
            y: MARGIN + ROW / 2 + ROW * (self.picture.rounds.end - 1 - round.0),
        }
    }

    fn slots_of(&self) -> Vec<Slot> {
        let rounds = self.picture.rounds.clone().map(Round);
        let row = |round| {
            self.picture
                .authors()
                .map(move |author| Slot { round, author })
        };
        rounds.flat_map(row).collect()
    }

    /// Where each block goes; several of one slot side by side.
    fn place(&mut self) {
        for slot in self.slots_of() {
            let center = self.center(slot);
            for ((block, _), aside) in self.picture.cell(slot).blocks.iter().zip(0u32..) {
                let x = center.x + ASIDE * aside;
                self.at.insert(block.reference(), Point { x, ..center });
            }
        }
    }

    fn titles(&mut self) {
        for author in self.picture.authors() {
            let slot = Slot {
                round: Round(self.picture.rounds.start),
                author,
            };
            let Point { x, y } = self.center(slot);
            let y = y + ROW;
            let sins = self.picture.sinners.contains(&author);
            let fill = if sins { "#c0392b" } else { "black" };
            self.line(format_args!(
                r#"<text x="{x}" y="{y}" fill="{fill}">{author}</text>"#
            ));
        }
        for round in self.picture.rounds.clone() {
            let slot = Slot {
                round: Round(round),
                author: probity_core::ValidatorIndex(0),
            };
            let y = self.center(slot).y;
            self.line(format_args!(r#"<text x="24" y="{y}">{round}</text>"#));
        }
    }

    fn links(&mut self) {
        for slot in self.slots_of() {
            for (block, _) in self.picture.cell(slot).blocks {
                let Some(Point { x, y }) = self.at.get(&block.reference()).copied() else {
                    continue;
                };
                let parents = block.parents().iter();
                let ends: Vec<Point> = parents.filter_map(|p| self.at.get(p).copied()).collect();
                for to in ends {
                    self.line(format_args!(
                        r##"<line x1="{x}" y1="{y}" x2="{}" y2="{}" stroke="#b0b0b0"/>"##,
                        to.x, to.y
                    ));
                }
            }
        }
    }

    fn slots(&mut self) {
        for slot in self.slots_of() {
            let Cell {
                blocks,
                skipped,
                equivocated,
            } = self.picture.cell(slot);
            let Point { x, y } = self.center(slot);
            if skipped || blocks.is_empty() {
                let (left, top) = (x - RADIUS - 4, y - RADIUS - 4);
                let (side, stroke) = (2 * RADIUS + 8, if skipped { "#c0392b" } else { "#d0d0d0" });
                self.line(format_args!(
                    r#"<rect x="{left}" y="{top}" width="{side}" height="{side}" fill="none" stroke="{stroke}" stroke-dasharray="4 3"/>"#
                ));
            }
            for (block, fate) in blocks {
                let reference = block.reference();
                let x = self.at.get(&reference).map_or(x, |point| point.x);
                let stroke = if equivocated { "#c0392b" } else { "#303030" };
                let (fill, label) = (colour(fate), letter(fate));
                let payload = block.payload().count();
                self.line(format_args!(
                    r#"<circle cx="{x}" cy="{y}" r="{RADIUS}" fill="{fill}" stroke="{stroke}"><title>{reference:?}, {payload} transactions</title></circle>"#
                ));
                let y = y + 4;
                self.line(format_args!(r#"<text x="{x}" y="{y}">{label}</text>"#));
            }
        }
    }
}

fn colour(fate: Fate) -> &'static str {
    match fate {
        Fate::Led(_, Some(Path::Fast)) => "#a9dfbf",
        Fate::Led(_, Some(Path::Slow) | None) => "#d4efdf",
        Fate::Led(_, Some(Path::Indirect)) => "#f9e79f",
        Fate::Ordered(_) => "#aed6f1",
        Fate::Void(_) => "#f5b7b1",
        Fate::Open => "#ffffff",
    }
}
