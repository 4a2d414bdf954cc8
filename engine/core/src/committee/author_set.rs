//! Sets of validators, and weights counted once per validator.

use crate::committee::Committee;
use crate::id::ValidatorIndex;
use crate::limits::VALIDATORS_MAX;

const WORDS: usize = VALIDATORS_MAX / 64;

/// A set of validators of one committee: one bit each.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct AuthorSet {
    words: [u64; WORDS],
}

impl AuthorSet {
    /// Adds `author`; whether it was not in the set before.
    ///
    /// # Panics
    /// When the index is 256 or more; verified blocks have none.
    pub fn insert(&mut self, author: ValidatorIndex) -> bool {
        let (word, bit) = place(author);
        let fresh = self.words[word] & bit == 0;
        self.words[word] |= bit;
        fresh
    }

    /// Takes `author` out; whether it was in the set.
    ///
    /// # Panics
    /// When the index is 256 or more.
    pub fn remove(&mut self, author: ValidatorIndex) -> bool {
        let (word, bit) = place(author);
        let present = self.words[word] & bit != 0;
        self.words[word] &= !bit;
        present
    }

    /// Whether `author` is in the set.
    #[must_use]
    pub fn contains(&self, author: ValidatorIndex) -> bool {
        let (word, bit) = place(author);
        self.words[word] & bit != 0
    }

    /// The members of either set.
    pub(crate) fn union(&self, other: &Self) -> Self {
        let mut words = self.words;
        words.iter_mut().zip(other.words).for_each(|(a, b)| *a |= b);
        Self { words }
    }

    /// The members that are not in the other set.
    pub(crate) fn difference(&self, other: &Self) -> Self {
        let mut words = self.words;
        words
            .iter_mut()
            .zip(other.words)
            .for_each(|(a, b)| *a &= !b);
        Self { words }
    }

    /// The members of both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut words = self.words;
        words.iter_mut().zip(other.words).for_each(|(a, b)| *a &= b);
        Self { words }
    }

    /// The members, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = ValidatorIndex> {
        (0u16..).zip(self.words).flat_map(|(word, mut bits)| {
            std::iter::from_fn(move || {
                let bit = u16::try_from(bits.trailing_zeros()).ok()?;
                bits &= bits.checked_sub(1)?;
                Some(ValidatorIndex(word * 64 + bit))
            })
        })
    }

    /// Whether nobody is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words == [0; WORDS]
    }

    /// How many are in the set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// The set with these bits, eight members a byte, lowest index first; `None` if one is not below `size`.
    pub(crate) fn from_bytes(bytes: &[u8], size: usize) -> Option<Self> {
        let mut set = Self::default();
        for (at, byte) in bytes.iter().enumerate() {
            for bit in (0..8).filter(|bit| byte >> bit & 1 == 1) {
                let author = at * 8 + bit;
                if author >= size.min(VALIDATORS_MAX) {
                    return None;
                }
                set.insert(ValidatorIndex(u16::try_from(author).ok()?));
            }
        }
        Some(set)
    }

    /// Writes as many bits as there is room for, eight members a byte, lowest index first.
    pub(crate) fn put(&self, to: &mut [u8]) {
        for (to, word) in to.chunks_mut(8).zip(self.words) {
            let bytes = word.to_le_bytes();
            to.iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte);
        }
    }

    /// The bits of so many bytes, eight members a byte, lowest index first.
    pub(crate) fn bytes(&self, count: usize) -> impl Iterator<Item = u8> {
        let words = self.words;
        (0..count).map(move |at| words[at / 8].to_le_bytes()[at % 8])
    }
}

impl FromIterator<ValidatorIndex> for AuthorSet {
    /// Each word is written once if the members ascend, as parents mostly do.
    fn from_iter<Members: IntoIterator<Item = ValidatorIndex>>(members: Members) -> Self {
        let mut set = Self::default();
        let (mut at, mut bits) = (0, 0);
        for author in members {
            let (word, bit) = place(author);
            if word != at {
                set.words[at] |= bits;
                (at, bits) = (word, 0);
            }
            bits |= bit;
        }
        set.words[at] |= bits;
        set
    }
}

fn place(author: ValidatorIndex) -> (usize, u64) {
    (author.position() / 64, 1 << (author.0 % 64))
}

/// A set of validators together with its weight.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    authors: AuthorSet,
    weight: u64,
}

impl Tally {
    /// Counts `author`, once.
    pub fn add(&mut self, author: ValidatorIndex, committee: &Committee) {
        if self.authors.insert(author) || planted!(WeightPerBlock) {
            self.weight += committee.weight(author);
        }
    }

    /// The weight of all that were counted.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.weight
    }

    /// Who was counted.
    #[must_use]
    pub fn authors(&self) -> &AuthorSet {
        &self.authors
    }
}
