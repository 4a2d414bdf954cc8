//! The small newtypes that name things: rounds, validators, commits, points in time.

use std::fmt;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash};

/// A round of the DAG. Round 0 holds the implicit genesis blocks; real blocks start at 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Round(pub u32);

impl Round {
    /// The round of the genesis blocks.
    pub const GENESIS: Self = Self(0);

    /// The next round, staying at the greatest one.
    #[must_use]
    pub const fn next(self) -> Self {
        self.plus(1)
    }

    /// `rounds` later, staying at the greatest one.
    #[must_use]
    pub const fn plus(self, rounds: u32) -> Self {
        Self(self.0.saturating_add(rounds))
    }

    /// `rounds` earlier, staying at 0.
    #[must_use]
    pub const fn minus(self, rounds: u32) -> Self {
        Self(self.0.saturating_sub(rounds))
    }
}

impl fmt::Debug for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The place of a validator in its committee, `0..n`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ValidatorIndex(pub u16);

impl ValidatorIndex {
    /// The index as a position in a table of `n` entries.
    #[must_use]
    pub const fn position(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Debug for ValidatorIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

impl fmt::Display for ValidatorIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The number of a commit: the first one is 1, and indices have no gaps, across epochs (R21).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CommitIndex(pub u64);

impl CommitIndex {
    /// Before the first commit.
    pub const GENESIS: Self = Self(0);

    /// The index of the commit after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Debug for CommitIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}

impl fmt::Display for CommitIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A point on the monotonic clock of the shell, in microseconds since a start of its choosing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Time(pub u64);

impl Time {
    /// `us` microseconds later.
    #[must_use]
    pub const fn plus_us(self, us: u64) -> Self {
        Self(self.0.saturating_add(us))
    }

    /// Microseconds since `earlier`, 0 if it is later.
    #[must_use]
    pub const fn since_us(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A map from ids to values that cannot be iterated, so no result can depend on its order.
///
/// The hasher is fixed: the same operations give the same map in every process.
#[derive(Clone, Debug)]
pub struct IdMap<K, V> {
    #[allow(
        clippy::disallowed_types,
        reason = "the one wrapped map; it offers no iteration"
    )]
    map: std::collections::HashMap<K, V, BuildHasherDefault<DefaultHasher>>,
}

impl<K: Eq + Hash, V> Default for IdMap<K, V> {
    fn default() -> Self {
        Self {
            map: Default::default(),
        }
    }
}

impl<K: Eq + Hash, V> IdMap<K, V> {
    /// The value of `key`.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.map.get(key)
    }

    /// The value of `key`, to change.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.map.get_mut(key)
    }

    /// Whether `key` has a value.
    pub fn contains(&self, key: &K) -> bool {
        self.map.contains_key(key)
    }

    /// Gives `key` a value and returns the one it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.map.insert(key, value)
    }

    /// Takes the value of `key` away.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.map.remove(key)
    }

    /// How many keys have a value.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether no key has a value.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }
}
