//! Bytes become a schedule of faults and sins for a whole cluster.

use probity_sim::adversary;
use probity_sim::plan::{Boundary, Draws, Fault, FaultKind, Plan, Sinner};
use probity_sim::run::run;

/// Virtual time of one run before everything heals; long enough for a dozen rounds.
const FAULTY_MS: u64 = 1_500;
/// Faults of one run.
const FAULTS_MAX: usize = 12;
/// Bytes of one fault.
const FAULT_BYTES: usize = 6;

/// Runs four validators: two bytes choose committee, network and clients, one whether and how the last validator sins,
/// and each six more are a fault.
///
/// # Panics
/// When a promise of the simulator's checkers is broken.
pub fn simulation(data: &[u8]) {
    let Some(plan) = plan(data) else { return };
    let report = run(plan).expect("the plan names only what exists");
    assert!(report.violation.is_none(), "{:?}", report.violation);
}

fn plan(data: &[u8]) -> Option<Plan> {
    let (head, faults) = data.split_first_chunk::<3>()?;
    let mut draws = Draws::of_scenario("swarm").expect("the first scenario");
    draws.validators = Some(4);
    draws.faulty_ms = FAULTY_MS;
    draws.reference_every = 0;
    let seed = u64::from(u16::from_le_bytes([head[0], head[1]]));
    let mut plan = draws.plan(seed).expect("four validators exist");
    plan.sinners = sinner(head[2]).into_iter().collect();
    if plan.check().is_err() {
        plan.sinners.clear(); // The last one weighs too much to be allowed to sin.
    }
    let faults = faults.chunks_exact(FAULT_BYTES).take(FAULTS_MAX);
    plan.faults = faults.map(fault).collect();
    plan.faults.sort_by_key(|fault| fault.at_ms);
    Some(plan)
}

/// The last validator, with a sin or none.
fn sinner(byte: u8) -> Option<Sinner> {
    let names = adversary::names();
    let sin = names.get(usize::from(byte) % (names.len() + 1))?;
    Some(Sinner {
        validator: 3,
        sin: (*sin).to_owned(),
    })
}

fn fault(bytes: &[u8]) -> Fault {
    let [kind, who, at, lasts, a, b] = bytes.try_into().expect("chunks of six bytes");
    let (validator, other) = (u16::from(who % 4), u16::from((who / 4) % 4));
    let left: Vec<u16> = (0..4).filter(|bit| a >> bit & 1 == 1).collect();
    let kind = match kind % 13 {
        0 => FaultKind::Crash { validator },
        1 => FaultKind::CrashAt {
            validator,
            boundary: Boundary::ALL[usize::from(a) % Boundary::ALL.len()],
        },
        2 => FaultKind::PowerLoss,
        3 => FaultKind::Pause { validator },
        4 => FaultKind::Slow {
            validator,
            extra_us: u64::from(a) * 1_000,
        },
        5 => FaultKind::ClockJump {
            validator,
            by_ms: i64::from(i16::from_le_bytes([a, b])) * 100,
        },
        6 => FaultKind::WriteError { validator },
        7 => FaultKind::OneWay {
            from: validator,
            to: other,
        },
        8 => FaultKind::Split { left },
        9 => FaultKind::SilentSplit { left },
        10 => FaultKind::Ring,
        11 => FaultKind::Flap {
            left,
            period_ms: u64::from(b) + 20,
        },
        _ => FaultKind::Storm {
            loss_ppm: u64::from(a) * 3_000,
        },
    };
    Fault {
        at_ms: u64::from(at) * FAULTY_MS / 256,
        for_ms: u64::from(lasts) * 4 + 1,
        kind,
    }
}
