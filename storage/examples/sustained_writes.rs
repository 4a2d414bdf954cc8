//! Writes blocks and forgets old ones, as a running validator does, and shows whether the rate
//! holds.
//!
//! ```text
//! cargo run --release -p probity-storage --example sustained_writes -- \
//!     DIRECTORY [GIB_WRITTEN] [VALUE_KIB] [VALUES_PER_BATCH] [GIB_KEPT] [fixed|mixed]
//! ```
//!
//! `mixed` draws each value's length between 1 KiB and twice `VALUE_KIB`, which scatters free
//! space.

use std::env;
use std::error::Error;
use std::fs;
use std::time::{Duration, Instant};

use bytes::Bytes;
use probity_storage::{Batch, LmdbStorage, Storage, Table};

const BLOCKS: Table = Table::new(0);
const VOTES: Table = Table::new(1);
const GIB: u64 = 1 << 30;

struct Plan {
    gib_written: u64,
    value_bytes: u64,
    values_per_batch: u64,
    gib_kept: u64,
    mixed: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let directory = arguments.first().ok_or("which directory?")?;
    let number = |at: usize, default: u64| match arguments.get(at) {
        Some(text) => text.parse(),
        None => Ok(default),
    };
    let plan = Plan {
        gib_written: number(1, 8)?,
        value_bytes: number(2, 128)? * 1024,
        values_per_batch: number(3, 8)?,
        gib_kept: number(4, 1)?,
        mixed: arguments.get(5).is_some_and(|word| word == "mixed"),
    };
    run(directory, &plan)
}

fn run(directory: &str, plan: &Plan) -> Result<(), Box<dyn Error>> {
    let storage = LmdbStorage::open(directory)?;
    let noise: Vec<u8> = (0..plan.value_bytes * 2)
        .map(|at: u64| (at * 31 / 8).to_le_bytes()[0])
        .collect();
    let noise = Bytes::from(noise);
    let (mut round, mut oldest) = (0_u64, 0_u64);
    let mut lengths = std::collections::VecDeque::new();
    let mut kept_bytes = 0;
    println!("GiB written    MB/s   p50 ms   p99 ms   max ms    used MiB    file MiB");
    for gib in 1..=plan.gib_written {
        let (started, mut written) = (Instant::now(), 0);
        let mut times = Vec::new();
        while written < GIB {
            let mut batch = Batch::new();
            for author in 0..plan.values_per_batch {
                let draw =
                    (round * plan.values_per_batch + author).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                let length = if plan.mixed {
                    1024 + (draw >> 20) % (plan.value_bytes * 2 - 1024)
                } else {
                    plan.value_bytes
                };
                let start = (draw >> 40) % (plan.value_bytes * 2 - length + 1);
                let value = noise.slice(usize::try_from(start)?..usize::try_from(start + length)?);
                batch.put(BLOCKS, key(round, author), value);
                batch.put(VOTES, key(round, author), noise.slice(0..100));
                written += length;
            }
            lengths.push_back(batch.bytes() as u64);
            kept_bytes += batch.bytes() as u64;
            while kept_bytes > plan.gib_kept * GIB {
                kept_bytes -= lengths.pop_front().ok_or("nothing kept")?;
                oldest += 1;
            }
            for table in [BLOCKS, VOTES] {
                batch.remove_range(table, key(0, 0), key(oldest, 0));
            }
            let before = Instant::now();
            storage.write(&batch)?;
            times.push(before.elapsed());
            round += 1;
        }
        report(
            gib,
            written as f64 / 1e6 / started.elapsed().as_secs_f64(),
            &mut times,
        );
        let file = fs::metadata(format!("{directory}/data.mdb"))?.len();
        println!(
            "{:>12}{:>12}",
            storage.space()?.used_bytes >> 20,
            file >> 20
        );
    }
    Ok(())
}

fn key(round: u64, author: u64) -> Bytes {
    Bytes::copy_from_slice(&[round.to_be_bytes(), author.to_be_bytes()].concat())
}

fn report(gib: u64, rate: f64, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1e3;
    print!(
        "{gib:>11}{rate:>8.0}{:>9.2}{:>9.2}{:>9.2}",
        at(50),
        at(99),
        at(100)
    );
}
