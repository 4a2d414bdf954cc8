//! Inputs of the targets that take their bytes for choices: some of chance, and some that lead far.

use std::io;

use probity_core::testing::Chance;

use super::write;

/// How many choices an input of chance holds, by target.
const LENGTHS: [(&str, &[usize]); 10] = [
    ("verify_block", &[0, 8, 40, 80, 120]),
    ("signatures", &[4, 30, 100, 250]),
    ("transaction_envelope", &[20, 40]),
    ("lane_frames", &[10, 60, 400]),
    ("dag_operations", &[2, 100, 600, 2_500]),
    ("linearize_gc", &[2, 100, 600, 2_500]),
    ("replica_operations", &[50, 300, 1_500]),
    ("storage_model", &[30, 200]),
    ("storage_recovery", &[5, 20, 60]),
    ("simulation", &[3, 9, 21, 45]),
];

/// Inputs of each length.
const DRAWS: u64 = 4;

pub(super) fn write_all() -> io::Result<()> {
    for (target, lengths) in LENGTHS {
        for length in lengths {
            for seed in 0..DRAWS {
                let mut chance = Chance::new(seed << 16 | *length as u64);
                let bytes: Vec<u8> = (0..*length).map(|_| byte(&mut chance)).collect();
                write(target, &format!("chance-{length}-{seed}"), &bytes)?;
            }
        }
    }
    for committee in 0..7 {
        for (name, day) in days() {
            let bytes = [&[committee][..], &day].concat();
            write("replica_operations", &format!("{name}-{committee}"), &bytes)?;
        }
    }
    Ok(())
}

fn byte(chance: &mut Chance) -> u8 {
    u8::try_from(chance.below(256)).expect("below 256")
}

/// Days in the life of a replica: quiet ones get far, and what is strewn in meets a long history.
fn days() -> Vec<(&'static str, Vec<u8>)> {
    let quiet = vec![QUIET; 90];
    let strewn = |operation: &[u8], every: usize| -> Vec<u8> {
        (0..60)
            .flat_map(|at| {
                let extra = if at % every == 0 { operation } else { &[] };
                [&[QUIET][..], extra].concat()
            })
            .collect()
    };
    let slow_disk = [4, 1, 0, 0, 19, 12, 17, 1, 18, 0].repeat(50);
    vec![
        ("quiet", quiet),
        ("slow-disk", slow_disk),
        ("crashes", strewn(&[22, 1], 3)),
        ("equivocation", strewn(&[8, 0xff, 0x01, 0], 2)),
        ("invented-parents", strewn(&[6, 0x01, 0x64, 0], 4)),
        ("flapping", strewn(&[12, 0, 3, 12, 0, 1], 5)),
        (
            "requests",
            strewn(&[5, 0, 0, 1, 0, 0, 0, 2, 20, 0, 10, 0, 1], 4),
        ),
        (
            "forgery",
            [vec![QUIET; 10], vec![16, 1, 2, 0, 0], vec![QUIET; 20]].concat(),
        ),
        (
            "payloads",
            [vec![21, 2], vec![QUIET; 40], vec![21, 1], vec![QUIET; 20]].concat(),
        ),
    ]
}

/// The operation of a whole quiet round.
const QUIET: u8 = 31;
