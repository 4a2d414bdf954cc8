//! The disk's storage against the plainest possible one.

use std::collections::BTreeMap;

use arbitrary::{Result, Unstructured};
use probity_storage::{
    Absent, Batch, KEY_BYTES_MAX, LmdbOptions, LmdbStorage, Scan, Storage, StorageError, Table,
};

/// Writes batches drawn from `data`, reads and scans between them, and opens the storage anew.
///
/// - Everything read is what a map would hold, before and after a restart.
/// - A batch is applied whole, in order, or refused whole: for a key of a wrong length, or because it does not fit.
/// - A batch that only removes always fits.
///
/// # Panics
/// When one of these promises is broken.
pub fn storage_model(data: &[u8]) {
    let mut input = Unstructured::new(data);
    // An input that ends early is a shorter run.
    let _ = run(&mut input);
}

fn run(input: &mut Unstructured<'_>) -> Result<()> {
    let place = tempfile::tempdir().expect("a directory");
    let options = LmdbOptions {
        limit_bytes: (64 * 1024) << input.int_in_range(0..=4)?,
        absent: Absent::Create,
    };
    let open = || LmdbStorage::open_with(place.path(), &options).expect("the directory is ours");
    let mut storage = open();
    let mut model = Model::new();
    for _ in 0..OPERATIONS_MAX {
        if input.is_empty() {
            break;
        }
        match input.int_in_range(0..=9)? {
            0..=5 => write(&storage, &mut model, input)?,
            6 => check_read(&storage, &model, input)?,
            7 => check_scan(&storage, &model, input)?,
            8 => check_space(&storage, &options),
            _ => {
                drop(storage);
                storage = open();
                check_all(&storage, &model);
            }
        }
    }
    check_all(&storage, &model);
    drop(storage);
    check_all(&open(), &model);
    Ok(())
}

type Model = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

fn write(storage: &LmdbStorage, model: &mut Model, input: &mut Unstructured<'_>) -> Result<()> {
    let mut batch = Batch::new();
    let mut changed = model.clone();
    let (mut puts, mut bad_keys) = (0, 0);
    for _ in 0..input.int_in_range(1..=CHANGES_MAX)? {
        let (table, key) = (table(input)?, key(input)?);
        bad_keys += usize::from(key.is_empty() || key.len() > KEY_BYTES_MAX);
        match input.int_in_range(0..=9)? {
            0..=5 => {
                let value = value(input)?;
                puts += 1;
                batch.put(table, key.clone(), value.clone());
                changed.insert((table, key), value);
            }
            6..=7 => {
                batch.remove(table, key.clone());
                changed.remove(&(table, key));
            }
            _ => {
                let to = self::key(input)?;
                // Bounds are no keys: they may have any length.
                bad_keys -= usize::from(key.is_empty() || key.len() > KEY_BYTES_MAX);
                batch.remove_range(table, key.clone(), to.clone());
                changed.retain(|(other, at), _| *other != table || *at < key || *at >= to);
            }
        }
    }
    match storage.write(&batch) {
        Ok(()) => {
            assert_eq!(bad_keys, 0, "a key of a wrong length was taken");
            *model = changed;
        }
        Err(StorageError::KeyLength { .. }) => assert!(bad_keys > 0, "all keys are good"),
        Err(StorageError::Full { .. }) => assert!(puts > 0, "a removal did not fit"),
        Err(other) => panic!("{other}"),
    }
    Ok(())
}

fn check_read(storage: &LmdbStorage, model: &Model, input: &mut Unstructured<'_>) -> Result<()> {
    let (table, key) = (table(input)?, key(input)?);
    let found = storage.read(table, &key).expect("nothing is damaged");
    let expected = model.get(&(table, key));
    assert_eq!(
        found.as_deref(),
        expected.map(Vec::as_slice),
        "another value"
    );
    Ok(())
}

/// From some key on, up to some number of records.
fn check_scan(storage: &LmdbStorage, model: &Model, input: &mut Unstructured<'_>) -> Result<()> {
    let (table, from) = (table(input)?, key(input)?);
    let most = input.int_in_range(1..=20)?;
    let mut seen = Vec::new();
    let mut visit = |key: &[u8], value: &[u8]| {
        seen.push((key.to_vec(), value.to_vec()));
        if seen.len() < most {
            Scan::Continue
        } else {
            Scan::Stop
        }
    };
    storage
        .scan(table, &from, &mut visit)
        .expect("nothing is damaged");
    assert!(
        seen.iter().eq(&records(model, table, &from, most)),
        "another scan"
    );
    Ok(())
}

fn check_space(storage: &LmdbStorage, options: &LmdbOptions) {
    let space = storage.space().expect("nothing is damaged");
    assert_eq!(space.limit_bytes, options.limit_bytes);
    assert!(
        space.used_bytes <= space.limit_bytes,
        "more is used than may be"
    );
}

fn check_all(storage: &LmdbStorage, model: &Model) {
    for table in TABLES {
        let mut seen = Vec::new();
        let mut visit = |key: &[u8], value: &[u8]| {
            seen.push((key.to_vec(), value.to_vec()));
            Scan::Continue
        };
        storage
            .scan(table, b"", &mut visit)
            .expect("nothing is damaged");
        assert!(
            seen.iter().eq(&records(model, table, b"", usize::MAX)),
            "another content"
        );
    }
}

fn records(model: &Model, table: Table, from: &[u8], most: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let rest = model.range((table, from.to_vec())..);
    let same = rest
        .take_while(|((other, _), _)| *other == table)
        .take(most);
    same.map(|((_, key), value)| (key.clone(), value.clone()))
        .collect()
}

fn table(input: &mut Unstructured<'_>) -> Result<Table> {
    Ok(*input.choose(&TABLES)?)
}

/// Few different keys, so that operations meet; some are prefixes of others, some too long, one empty.
fn key(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let number = input.arbitrary::<u8>()?;
    let length = match number {
        0..=3 => 0,
        4..=239 => 1 + usize::from(number % 7),
        240..=247 => KEY_BYTES_MAX,
        _ => KEY_BYTES_MAX + 1,
    };
    Ok(vec![number / 7 % 4; length])
}

/// Short ones, and some that take pages of their own.
fn value(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let kind = input.arbitrary::<u8>()?;
    let length = match kind {
        0..=199 => usize::from(kind),
        200..=239 => usize::from(kind - 200) * 100,
        _ => usize::from(kind - 239) * 5_000,
    };
    Ok(vec![input.arbitrary::<u8>()?; length])
}

const TABLES: [Table; 3] = [Table::new(0), Table::new(1), Table::new(15)];
const OPERATIONS_MAX: usize = 60;
const CHANGES_MAX: usize = 8;
