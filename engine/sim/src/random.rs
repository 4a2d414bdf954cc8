//! Chance from one seed: the same draws on every machine, in every build.

/// A stream of pseudo-random numbers (`SplitMix64`).
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

/// One million: chances are given in parts of it.
pub const MILLION: u64 = 1_000_000;

impl Random {
    /// The stream of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // Neighbouring seeds must not give neighbouring streams.
        let mut random = Self {
            state: seed ^ 0x6A09_E667_F3BC_C908,
        };
        random.next();
        random
    }

    /// A stream of its own for one purpose, so that more draws for one thing do not change another.
    #[must_use]
    pub fn fork(&self, purpose: u64) -> Self {
        Self::new(self.state.rotate_left(17) ^ purpose.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    /// The next 64 bits.
    #[allow(
        clippy::should_implement_trait,
        reason = "an endless stream is no iterator here"
    )]
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`, 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    /// A number of an inclusive range.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below((most - least).saturating_add(1))
    }

    /// Whether something of this chance, in parts of a million, happens.
    pub fn chance(&mut self, ppm: u64) -> bool {
        // No draw for what is off: switching it off changes nothing else of the run.
        ppm > 0 && self.below(MILLION) < ppm
    }

    /// One of a list.
    ///
    /// # Panics
    /// When there is none.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let at = self.below(of.len() as u64);
        &of[usize::try_from(at).expect("below a length")]
    }

    /// Puts a list into a random order.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            let at = self.below(last as u64 + 1);
            list.swap(last, usize::try_from(at).expect("below a length"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn the_stream_never_changes() {
        let mut random = Random::new(7);
        let drawn: Vec<u64> = (0..3).map(|_| random.below(1000)).collect();
        let mut again = Random::new(7);
        assert_eq!(drawn, (0..3).map(|_| again.below(1000)).collect::<Vec<_>>());
        assert_ne!(Random::new(7).next(), Random::new(8).next());
    }

    #[test]
    fn a_shuffle_keeps_everything() {
        let mut list: Vec<u32> = (0..50).collect();
        Random::new(3).shuffle(&mut list);
        assert_ne!(list, (0..50).collect::<Vec<_>>());
        list.sort_unstable();
        assert_eq!(list, (0..50).collect::<Vec<_>>());
    }
}
