//! The name of a table.

/// One of the 16 ordered tables of a storage. Tables share batches but never keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Table(u8);

impl Table {
    /// How many tables a storage has. Ids run from 0 to one less.
    pub const COUNT_MAX: u8 = 16;

    /// The table with this id.
    ///
    /// # Panics
    ///
    /// When `id` is not below [`Table::COUNT_MAX`]; in a constant that is a compile error.
    pub const fn new(id: u8) -> Self {
        assert!(id < Self::COUNT_MAX, "a table id is below Table::COUNT_MAX");
        Self(id)
    }

    /// The number given to [`Table::new`].
    pub const fn id(self) -> u8 {
        self.0
    }

    /// Every table, in the order of ids.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT_MAX).map(Self)
    }

    /// Where this table stands in an array of all tables.
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}
