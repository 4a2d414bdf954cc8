//! Which transaction ids were seen lately, in bounded memory.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use probity_core::crypto::Digest;

/// Two generations of ids. The older one is forgotten when the younger one is full or old.
pub(crate) struct RecentIds {
    young: HashSet<u128>,
    old: HashSet<u128>,
    capacity: usize,
    age_max: Duration,
    since: Instant,
}

impl RecentIds {
    pub(crate) fn new(capacity: usize, age_max: Duration) -> Self {
        let since = Instant::now();
        Self {
            young: HashSet::new(),
            old: HashSet::new(),
            capacity,
            age_max,
            since,
        }
    }

    pub(crate) fn contains(&self, id: &Digest) -> bool {
        let short = shorten(id);
        self.young.contains(&short) || self.old.contains(&short)
    }

    /// Remembers an id; `false` when it was known.
    pub(crate) fn insert(&mut self, id: Digest) -> bool {
        if self.contains(&id) {
            return false;
        }
        if self.young.len() >= self.capacity {
            self.turn(Instant::now());
        }
        self.young.insert(shorten(&id))
    }

    /// Forgets what is old enough.
    pub(crate) fn age(&mut self, now: Instant) {
        if now.duration_since(self.since) > self.age_max {
            self.turn(now);
        }
    }

    fn turn(&mut self, now: Instant) {
        self.old = std::mem::take(&mut self.young);
        self.since = now;
    }
}

/// 128 bits of a hash: as hard to make collide as 64 bits, and then only the maker is refused.
fn shorten(id: &Digest) -> u128 {
    let (half, _) = id.as_bytes().split_at(16);
    u128::from_le_bytes(half.try_into().expect("half of 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_known_for_one_generation_more_and_then_forgotten() {
        let id = |n: u8| Digest([n; 32]);
        let mut ids = RecentIds::new(2, Duration::from_secs(60));
        assert!(ids.insert(id(1)) && ids.insert(id(2)) && !ids.insert(id(1)));
        assert!(ids.insert(id(3)) && ids.contains(&id(1)));
        assert!(ids.insert(id(4)) && ids.insert(id(5)));
        assert!(!ids.contains(&id(1)) && ids.contains(&id(3)));
        ids.age(Instant::now() + Duration::from_secs(61));
        ids.age(Instant::now() + Duration::from_secs(200));
        assert!(!ids.contains(&id(5)));
    }
}
