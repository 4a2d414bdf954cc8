//! A key-value store on every validator of a cluster in trouble: once sound, once with a mistake that the run finds.
//!
//! `cargo run --release -p probity-sim --example own_application`

use std::collections::{BTreeMap, HashMap};

use probity_core::Commit;
use probity_sim::{Application, Report, World};

fn main() {
    let sound = run(KeyValue::default);
    println!("sound: {} commits, nothing broken", sound.commits);
    assert!(sound.commits > 100);
    assert_eq!(sound.violation, None);

    let flawed = run(Forgetful::default);
    let violation = flawed.violation.expect("the mistake is found");
    println!("flawed: {}", violation.how);
    assert!(violation.how.contains("the states after commit"));
}

/// Four validators, a few troubles, 20 seconds.
fn run<A: Application + 'static>(make: fn() -> A) -> Report {
    World::new(SEED)
        .validators(4)
        .duration_ms(20_000)
        .application(make)
        .run()
        .expect("the scenario exists")
}

const SEED: u64 = 3;

/// What a transaction of the simulator's clients means here: set this key to that value.
fn read(transaction: &[u8]) -> Option<(u64, u64)> {
    let number = u64::from_le_bytes(transaction.get(..8)?.try_into().ok()?);
    Some((number % 64, number))
}

/// A sound store: what it holds follows from the commits and nothing else.
#[derive(Default)]
struct KeyValue {
    values: BTreeMap<u64, u64>,
}

impl Application for KeyValue {
    fn apply(&mut self, commit: &Commit) {
        for transaction in commit.transactions() {
            self.values.extend(read(&transaction));
        }
    }

    fn state(&self) -> Vec<u8> {
        let bytes = |(key, value): (&u64, &u64)| [key.to_le_bytes(), value.to_le_bytes()];
        self.values.iter().flat_map(bytes).flatten().collect()
    }
}

/// Keeps eight keys and throws out another when a ninth comes: whichever its hash map happens to name first. Every
/// hash map has a seed of its own, so every validator throws out a different one.
#[derive(Default)]
struct Forgetful {
    values: HashMap<u64, u64>,
}

impl Application for Forgetful {
    fn apply(&mut self, commit: &Commit) {
        for transaction in commit.transactions() {
            self.values.extend(read(&transaction));
            while self.values.len() > 8 {
                let first = self.values.keys().next().copied();
                first.and_then(|key| self.values.remove(&key));
            }
        }
    }

    fn state(&self) -> Vec<u8> {
        let sorted: BTreeMap<_, _> = self.values.iter().collect();
        let bytes = |(key, value): (&u64, &u64)| [key.to_le_bytes(), value.to_le_bytes()];
        sorted.into_iter().flat_map(bytes).flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_mistake_is_found_and_the_sound_store_is_not_blamed() {
        super::main();
    }
}
