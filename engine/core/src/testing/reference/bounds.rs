//! R1 written again, formula by formula, so that a slip in the real derivation cannot mislead the reference too.

use crate::committee::Committee;
use crate::thresholds::Rule;

/// What R1 derives, under the letters it uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Bounds {
    pub(crate) rule: Rule,
    pub(crate) depth: u32,
    pub(crate) v: u64,
    pub(crate) b_q: u64,
    pub(crate) d: u64,
    pub(crate) fast_commit: u64,
    pub(crate) fast_skip: u64,
    pub(crate) wk: u64,
}

impl Bounds {
    /// Takes nothing from the committee but its weights, `f`, `c` and whether the mode is classic.
    pub(crate) fn of(committee: &Committee) -> Self {
        let w: u64 = committee.indices().map(|a| committee.weight(a)).sum();
        let (f, c) = (
            committee.thresholds().byzantine,
            committee.thresholds().crashed,
        );
        let is_classic = committee.thresholds().rule == Rule::Classic;
        let k = w - 1 - 3 * f - 2 * c;
        let p = (c + k) / 2;
        let q = w - f - c;
        let (rule, depth, v, d, fast_commit, fast_skip, wk) = if is_classic {
            (Rule::Classic, 3, q, q, w - p, q, f + p + 1)
        } else if w - p > q {
            (
                Rule::Dual,
                3,
                (w + f) / 2 + 1,
                2 * f + c + 1,
                w - p,
                w - p,
                f + p + 1,
            )
        } else {
            (
                Rule::Fast,
                2,
                (w + f) / 2 + 1,
                2 * f + c + 1,
                q,
                q,
                2 * f + c + 1,
            )
        };
        Self {
            rule,
            depth,
            v,
            b_q: w + f + 1 - v,
            d,
            fast_commit,
            fast_skip,
            wk,
        }
    }
}
