//! Random operations, compared with the plainest possible storage. Failures name their seed.

use std::collections::BTreeMap;

use super::{Opener, Random, cases, noise, scan};
use crate::{Batch, Storage, Table};

cases![
    random_operations_match_a_map,
    random_large_values_match_a_map
];

/// Small keys and values, so that operations meet each other often.
fn random_operations_match_a_map(open: Opener<'_>) {
    for seed in 0..8 {
        compare(
            open,
            &Plan {
                seed,
                batches: 60,
                value_bytes_max: 300,
                keys: 40,
            },
        );
    }
}

/// Values that span pages, so that space is freed and taken again in pieces.
fn random_large_values_match_a_map(open: Opener<'_>) {
    for seed in 100..103 {
        compare(
            open,
            &Plan {
                seed,
                batches: 40,
                value_bytes_max: 60_000,
                keys: 25,
            },
        );
    }
}

struct Plan {
    seed: u64,
    batches: usize,
    value_bytes_max: usize,
    keys: usize,
}

type Model = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

/// Starts by emptying the storage, so that one place serves several seeds.
fn compare(open: Opener<'_>, plan: &Plan) {
    let mut random = Random(plan.seed);
    let mut model = Model::new();
    let mut storage = open();
    let mut batch = Batch::new();
    for table in Table::all() {
        batch.remove_range(table, "", vec![255; 600]);
    }
    storage.write(&batch).expect("removals succeed");

    for number in 0..plan.batches {
        batch.clear();
        for _ in 0..=random.below(8) {
            add_operation(&mut batch, &mut model, (&mut random, plan));
        }
        storage.write(&batch).expect("a batch succeeds");
        if random.below(8) == 0 {
            drop(storage);
            storage = open();
        }
        check(
            &*storage,
            &model,
            &format!("seed {}, after batch {number}", plan.seed),
        );
    }
}

fn add_operation(batch: &mut Batch, model: &mut Model, (random, plan): (&mut Random, &Plan)) {
    let table = TABLES[random.below(TABLES.len())];
    let key = random_key(random, plan);
    match random.below(10) {
        0..=5 => {
            let length = random.below(plan.value_bytes_max + 1);
            let value = noise(random.next(), length);
            batch.put(table, key.clone(), value.clone());
            model.insert((table, key), value);
        }
        6..=7 => {
            batch.remove(table, key.clone());
            model.remove(&(table, key));
        }
        _ => {
            let to = random_key(random, plan);
            batch.remove_range(table, key.clone(), to.clone());
            model.retain(|(other, at), _| *other != table || *at < key || *at >= to);
        }
    }
}

/// One of `plan.keys` keys of 1 to 9 bytes; some are prefixes of others.
fn random_key(random: &mut Random, plan: &Plan) -> Vec<u8> {
    let number = random.below(plan.keys);
    let length = 1 + number % 9;
    let letter = u8::try_from(number / 9).expect("few keys");
    vec![letter; length]
}

fn check(storage: &dyn Storage, model: &Model, context: &str) {
    for table in TABLES {
        let expected: Vec<_> = model
            .iter()
            .filter(|((other, _), _)| *other == table)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect();
        assert!(
            scan(storage, table, b"") == expected,
            "{context}: scan of {table:?} differs"
        );
        for (key, value) in &expected {
            let found = storage.read(table, key).expect("a read succeeds");
            assert!(
                found.as_deref() == Some(&value[..]),
                "{context}: {key:?} differs"
            );
        }
    }
}

const TABLES: [Table; 3] = [Table::new(0), Table::new(1), Table::new(15)];
