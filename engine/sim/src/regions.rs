//! Thirteen regions of the world and the time between them.
//!
//! Round trips in milliseconds between cloud regions, rounded, as published latency monitors show them. What matters
//! here is their shape: a dense Europe, an ocean away from America, and Asia far from both.

/// How many regions there are.
pub const COUNT: u64 = NAMES.len() as u64;

/// Their names.
pub const NAMES: [&str; 13] = [
    "virginia",
    "ohio",
    "oregon",
    "montreal",
    "sao-paulo",
    "dublin",
    "london",
    "frankfurt",
    "stockholm",
    "mumbai",
    "singapore",
    "tokyo",
    "sydney",
];

/// Round trips; row and column in the order of [`NAMES`], the lower triangle with the diagonal.
const ROUND_TRIP_MS: [&[u64]; 13] = [
    &[2],
    &[13, 2],
    &[62, 52, 2],
    &[16, 25, 60, 2],
    &[115, 123, 175, 125, 2],
    &[68, 78, 120, 70, 178, 2],
    &[76, 86, 130, 78, 187, 12, 2],
    &[91, 100, 142, 93, 203, 26, 16, 2],
    &[110, 118, 152, 105, 218, 40, 31, 22, 2],
    &[190, 198, 220, 190, 300, 124, 113, 123, 140, 2],
    &[220, 210, 165, 215, 330, 178, 168, 160, 176, 62, 2],
    &[150, 140, 98, 145, 257, 205, 212, 226, 245, 130, 70, 2],
    &[200, 190, 140, 200, 312, 257, 264, 288, 300, 152, 93, 105, 2],
];

/// The time one way between two regions, in microseconds.
///
/// # Panics
/// When there is no such region.
#[must_use]
pub fn one_way_us(a: u8, b: u8) -> u64 {
    let (high, low) = (usize::from(a.max(b)), usize::from(a.min(b)));
    ROUND_TRIP_MS[high][low] * 1_000 / 2
}

#[cfg(test)]
mod tests {
    use super::{COUNT, one_way_us};

    #[test]
    fn the_table_is_whole() {
        let count = u8::try_from(COUNT).expect("few");
        for a in 0..count {
            for b in 0..count {
                assert_eq!(one_way_us(a, b), one_way_us(b, a));
                assert!(one_way_us(a, b) >= 1_000);
            }
        }
    }
}
