//! Why validators' scores are what they are (R31), for people: a table, a list, a picture.
//!
//! ```text
//!   a simulator run ──┐  commit by commit                     ┌──▶ summary   its epochs, and weights in each
//!                     ├─────────▶ Timeline ─┬─────────────────┴──▶ plot      score and weight over time, SVG
//!   a node's store ───┘                     └─▶ History of an ┬──▶ table     one row a validator
//!                                               epoch         └──▶ details   rounds and slots of one of them
//! ```
//!
//! It decides nothing, and its fractions are for reading: the scores themselves are the core's integers.

#![forbid(unsafe_code)]

mod columns;
mod details;
mod history;
mod plot;
mod summary;
mod table;
mod timeline;

pub use details::details;
pub use history::{Crime, History, Slashing};
pub use plot::{PlotError, plot};
pub use summary::summary;
pub use table::table;
pub use timeline::Timeline;

/// A number of units of [`probity_core::ONE`] with three digits behind the point; what is not whole does not look so.
fn decimal(value: u64) -> String {
    let one = u64::from(probity_core::ONE);
    let thousandths = ((value % one) * 1_000 + one / 2) / one;
    format!("{}.{:03}", value / one, thousandths.min(999))
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn units_of_one_are_written_with_three_digits() {
        let one = u64::from(probity_core::ONE);
        let texts = [0, 1, one * 9 / 10, one - 1, one, one * 3 / 2, 512 * one].map(decimal);
        assert_eq!(
            texts,
            [
                "0.000", "0.000", "0.900", "0.999", "1.000", "1.500", "512.000"
            ]
        );
    }
}
