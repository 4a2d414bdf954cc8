//! What every storage must pass, in one line.
//!
//! ```
//! use probity_storage::{MemoryStorage, conformance};
//!
//! conformance::run(|| {
//!     let memory = MemoryStorage::new(); // a fresh place for one case …
//!     move || memory.clone() // … and how to open the storage there, as often as it is closed
//! });
//! ```
//!
//! The outer closure makes an empty place, say a temporary directory; the inner one opens the
//! storage in it. A case closes the storage, by dropping it, before it opens it again. Cases run
//! one after the other, and each has a place of its own.
//!
//! What the suite cannot check is the loss of power: it reopens, but never pulls the plug.

mod batches;
mod concurrency;
mod durability;
mod model;
mod ranges;
mod records;
mod refusals;
mod scans;

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;

use crate::{Batch, Scan, Storage, Table};

/// Runs every case.
///
/// # Panics
///
/// When a case fails, after all have run; the message names those that failed, and the output above
/// it says why.
pub fn run<Open, S>(place: impl Fn() -> Open)
where
    Open: Fn() -> S,
    S: Storage,
{
    let failed: Vec<_> = names().filter(|name| !passes(name, &place)).collect();
    assert!(
        failed.is_empty(),
        "conformance cases failed: {}",
        failed.join(", ")
    );
}

/// Runs the case of this name, as [`run`] would; a debugging aid.
///
/// # Panics
///
/// When the case fails, or when there is none of this name.
pub fn run_case<Open, S>(name: &str, place: impl Fn() -> Open)
where
    Open: Fn() -> S,
    S: Storage,
{
    let case = all_cases()
        .find(|case| case.name == name)
        .expect("a case has this name");
    let open = place();
    (case.check)(&|| Box::new(open()));
}

/// The names of all cases, in the order in which they run.
pub fn names() -> impl Iterator<Item = &'static str> {
    all_cases().map(|case| case.name)
}

fn passes<Open, S>(name: &str, place: &impl Fn() -> Open) -> bool
where
    Open: Fn() -> S,
    S: Storage,
{
    let result = catch_unwind(AssertUnwindSafe(|| run_case(name, place)));
    if result.is_err() {
        eprintln!("conformance case {name} failed, see above");
    }
    result.is_ok()
}

/// A named sentence about storages, and what checks it.
struct Case {
    name: &'static str,
    check: fn(Opener<'_>),
}

/// Opens the storage under test at the place of the case.
type Opener<'a> = &'a dyn Fn() -> Box<dyn Storage>;

fn all_cases() -> impl Iterator<Item = &'static Case> {
    [
        records::CASES,
        refusals::CASES,
        batches::CASES,
        ranges::CASES,
        scans::CASES,
        durability::CASES,
        concurrency::CASES,
        model::CASES,
    ]
    .into_iter()
    .flatten()
}

/// Lists functions as cases under their own names.
macro_rules! cases {
    ($($name:ident),+ $(,)?) => {
        pub(super) const CASES: &[super::Case] =
            &[$(super::Case { name: stringify!($name), check: $name }),+];
    };
}
use cases;

/// Two tables that are neither first nor last, and adjacent.
const TABLE: Table = Table::new(7);
const OTHER: Table = Table::new(8);

type Record = (Vec<u8>, Vec<u8>);

fn put(storage: &dyn Storage, key: impl Into<Bytes>, value: impl Into<Bytes>) {
    storage
        .write(Batch::new().put(TABLE, key, value))
        .expect("a put succeeds");
}

/// Puts each character of `keys` as a key whose value is itself.
fn put_letters(storage: &dyn Storage, keys: &'static str) {
    let mut batch = Batch::new();
    for at in 0..keys.len() {
        batch.put(TABLE, &keys.as_bytes()[at..=at], &keys.as_bytes()[at..=at]);
    }
    storage.write(&batch).expect("puts succeed");
}

fn read(storage: &dyn Storage, key: &[u8]) -> Option<Bytes> {
    storage.read(TABLE, key).expect("a read succeeds")
}

fn scan(storage: &dyn Storage, table: Table, from: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    let mut visit = |key: &[u8], value: &[u8]| {
        records.push((key.to_vec(), value.to_vec()));
        Scan::Continue
    };
    storage
        .scan(table, from, &mut visit)
        .expect("a scan succeeds");
    records
}

/// The keys of [`TABLE`] from `from` on, joined.
fn letters(storage: &dyn Storage, from: &[u8]) -> String {
    let keys = scan(storage, TABLE, from)
        .into_iter()
        .flat_map(|(key, _)| key)
        .collect();
    String::from_utf8(keys).expect("keys are letters")
}

/// `length` bytes that depend on `seed` and do not repeat soon.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = Random(seed);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&random.next().to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// SplitMix64: small, and good enough to choose test cases.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is small.
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("below a usize")
    }
}
