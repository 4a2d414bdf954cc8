//! Named families of plans: what a run is about.

use crate::plan::Plan;
use crate::random::Random;

mod change;
mod epochs;
mod list;
mod standing;

pub use list::SCENARIOS;

/// A family of plans.
#[derive(Debug)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// The sins its sinners commit; any, or none at all, when the list is empty.
    pub sins: &'static [&'static str],
    /// Makes it out of a plan drawn at large.
    pub change: fn(&mut Plan, &mut Random),
}

impl PartialEq for Scenario {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Scenario {}

/// The scenario of this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Scenario> {
    SCENARIOS.iter().find(|scenario| scenario.name == name)
}

/// Every name.
#[must_use]
pub fn names() -> Vec<&'static str> {
    SCENARIOS.iter().map(|scenario| scenario.name).collect()
}
