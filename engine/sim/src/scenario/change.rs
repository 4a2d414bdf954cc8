//! What turns a plan drawn at large into one of a scenario.

use crate::plan::{
    Boundary, ClientPlan, Delay, DiskPlan, Fault, FaultKind, NetworkPlan, Plan, Sinner,
};
use crate::random::Random;
use crate::regions;

/// A network on which every frame arrives once, whole, in about the same time.
pub(super) fn even_network(least_us: u64, most_us: u64) -> NetworkPlan {
    NetworkPlan {
        delay: Delay::Range { least_us, most_us },
        loss_ppm: 0,
        duplicate_ppm: 0,
        reorder_ppm: 0,
        corrupt_ppm: 0,
        bytes_per_second: 0,
    }
}

/// A disk whose writes take so long.
pub(super) fn disk(least_us: u64, most_us: u64) -> DiskPlan {
    DiskPlan { least_us, most_us }
}

pub(super) fn count(plan: &Plan) -> u16 {
    u16::try_from(plan.validators()).expect("a committee has at most 256 members")
}

fn any(plan: &Plan, random: &mut Random) -> u16 {
    u16::try_from(random.below(u64::from(count(plan)))).expect("below 256")
}

fn any_correct(plan: &Plan, random: &mut Random) -> u16 {
    let sins = |validator: &u16| plan.sinners.iter().any(|s| s.validator == *validator);
    let correct: Vec<u16> = (0..count(plan)).filter(|v| !sins(v)).collect();
    *random.pick(&correct)
}

fn some(plan: &Plan, random: &mut Random) -> Vec<u16> {
    (0..count(plan))
        .filter(|_| random.chance(500_000))
        .collect()
}

fn add_anytime(plan: &mut Plan, random: &mut Random, longest_ms: u64, kind: FaultKind) {
    let fault = Fault {
        at_ms: random.below(plan.faulty_ms.max(1)),
        for_ms: random.between(50, longest_ms),
        kind,
    };
    add(plan, [fault]);
}

/// A fault from a time on, for a time.
pub(super) fn add_at(plan: &mut Plan, (at_ms, for_ms): (u64, u64), kind: FaultKind) {
    let fault = Fault {
        at_ms,
        for_ms,
        kind,
    };
    add(plan, [fault]);
}

pub(super) fn add(plan: &mut Plan, faults: impl IntoIterator<Item = Fault>) {
    plan.faults.extend(faults);
    plan.faults.sort_by_key(|fault| fault.at_ms);
}

/// Other weights, and what was drawn for the old ones put right.
pub(super) fn reweigh(plan: &mut Plan, weights: Vec<u64>) {
    plan.committee.weights = weights;
    plan.sinners.clear();
    let validators = count(plan);
    let exists = |fault: &Fault| fault.kind.validators().iter().all(|v| *v < validators);
    plan.faults.retain(exists);
    plan.committee
        .clock_skew_ms
        .truncate(usize::from(validators));
    if let Delay::Regions { of } = &mut plan.network.delay {
        of.resize(usize::from(validators), 0);
    }
}

/// Sinners of any kind, of weight at most `f`.
fn redraw_sinners(plan: &mut Plan, random: &mut Random) {
    let Ok(committee) = plan.check() else { return };
    let mut left = committee.thresholds().byzantine;
    let names = crate::adversary::names_at_large();
    for validator in committee.indices() {
        let weight = committee.weight(validator);
        if weight <= left && random.chance(600_000) {
            left -= weight;
            plan.sinners.push(Sinner {
                validator: validator.0,
                sin: (*random.pick(&names)).to_owned(),
            });
        }
    }
}

pub(super) fn calm(plan: &mut Plan, _: &mut Random) {
    plan.sinners.clear();
    plan.faults.clear();
    plan.committee.clock_skew_ms.clear();
    plan.network = even_network(20_000, 30_000);
    plan.clients = ClientPlan {
        every_ms: 200,
        burst: 1,
        bytes: 100,
        duplicate_ppm: 0,
        oversized_ppm: 0,
        answer_us: 0,
        only: None,
    };
}

pub(super) fn fast_path(plan: &mut Plan, random: &mut Random) {
    calm(plan, random);
    plan.committee.profile = (*random.pick(&["dual30", "dual25", "dual20c"])).to_owned();
    plan.network = even_network(20_000, 20_000 + random.below(1_000));
    plan.disk = disk(200, 400);
}

pub(super) fn partitions(plan: &mut Plan, random: &mut Random) {
    for _ in 0..random.between(4, 12) {
        let left = some(plan, random);
        let from = any(plan, random);
        let kind = match random.below(6) {
            0 => FaultKind::Split { left },
            1 => FaultKind::SilentSplit { left },
            2 => FaultKind::Flap {
                left,
                period_ms: random.between(50, 2_000),
            },
            3 => FaultKind::Ring,
            4 => FaultKind::Split { left: vec![from] },
            _ => FaultKind::OneWay {
                from,
                to: (from + 1) % count(plan),
            },
        };
        add_anytime(plan, random, 15_000, kind);
    }
}

pub(super) fn crashes(plan: &mut Plan, random: &mut Random) {
    for boundary in Boundary::ALL {
        for _ in 0..random.between(1, 3) {
            let validator = any(plan, random);
            let kind = FaultKind::CrashAt {
                validator,
                boundary,
            };
            add_anytime(plan, random, 4_000, kind);
        }
    }
    for _ in 0..random.between(0, 4) {
        let validator = any(plan, random);
        let kind = if random.chance(500_000) {
            FaultKind::Crash { validator }
        } else {
            FaultKind::WriteError { validator }
        };
        add_anytime(plan, random, 4_000, kind);
    }
}

pub(super) fn power_loss(plan: &mut Plan, random: &mut Random) {
    plan.disk = disk(1_000, *random.pick(&[2_000, 20_000, 100_000]));
    for _ in 0..random.between(2, 8) {
        add_anytime(plan, random, 2_000, FaultKind::PowerLoss);
    }
}

pub(super) fn slow_disk(plan: &mut Plan, random: &mut Random) {
    plan.disk = disk(
        *random.pick(&[1_000, 20_000]),
        *random.pick(&[50_000, 200_000, 500_000]),
    );
}

pub(super) fn clocks(plan: &mut Plan, random: &mut Random) {
    let hours = |random: &mut Random| {
        i64::try_from(random.below(7_200_000)).expect("two hours") - 3_600_000
    };
    plan.committee.clock_skew_ms = (0..plan.validators()).map(|_| hours(random)).collect();
    for _ in 0..random.between(2, 10) {
        let validator = any(plan, random);
        let by_ms = hours(random);
        let kind = FaultKind::ClockJump { validator, by_ms };
        add_anytime(plan, random, 1_000, kind);
    }
}

pub(super) fn lossy(plan: &mut Plan, random: &mut Random) {
    plan.network.loss_ppm = random.between(20_000, 300_000);
    plan.network.duplicate_ppm = *random.pick(&[0, 200_000, 500_000]);
    plan.network.reorder_ppm = *random.pick(&[0, 200_000, 500_000]);
    plan.network.corrupt_ppm = *random.pick(&[0, 0, 10_000, 100_000]);
    let loss_ppm = random.between(300_000, 900_000);
    add_anytime(plan, random, 8_000, FaultKind::Storm { loss_ppm });
}

pub(super) fn wan(plan: &mut Plan, random: &mut Random) {
    let region = |_| u8::try_from(random.below(regions::COUNT)).expect("few regions");
    let of = (0..plan.validators()).map(region).collect();
    plan.network.delay = Delay::Regions { of };
}

pub(super) fn tiny(plan: &mut Plan, random: &mut Random) {
    let validators = random.between(1, 3);
    let weight = *random.pick(&[1, 5, 1_000]);
    let weights = (0..validators).map(|_| weight).collect();
    reweigh(plan, weights);
}

pub(super) fn weights(plan: &mut Plan, random: &mut Random) {
    let mut weights: Vec<u64> = match random.below(4) {
        // One above the quorum: it goes on alone.
        0 => vec![97, 1, 1, 1],
        1 => vec![1_000_000, 1, 1, 1, 1],
        2 => vec![1, 2, 4, 8, 16, 32],
        _ => vec![30, 30, 30, 4, 3, 2, 1],
    };
    random.shuffle(&mut weights);
    reweigh(plan, weights);
    redraw_sinners(plan, random);
}

pub(super) fn split_votes(plan: &mut Plan, random: &mut Random) {
    plan.network = even_network(1_000, *random.pick(&[1_500, 5_000, 15_000]));
    plan.disk = disk(100, 500);
    plan.committee.min_round_delay_us = *random.pick(&[2_000, 25_000]);
    plan.clients.every_ms = 100;
    plan.faulty_ms = plan.faulty_ms.min(15_000);
    // Equal small weights, every sinner that f allows, no other trouble than a slow one.
    let validators = *random.pick(&[4, 4, 6, 7]);
    let sins: Vec<String> = plan.sinners.iter().map(|s| s.sin.clone()).collect();
    reweigh(plan, vec![1; validators]);
    plan.faults
        .retain(|fault| matches!(fault.kind, FaultKind::Slow { .. } | FaultKind::Pause { .. }));
    let Ok(committee) = plan.check() else { return };
    let sinners = usize::try_from(committee.thresholds().byzantine).unwrap_or(0);
    let mut order: Vec<u16> = (0..count(plan)).collect();
    random.shuffle(&mut order);
    let of_two = ["equivocator", "double-voter"].map(str::to_owned);
    let mut sin = |at: usize| match sins.get(at) {
        Some(sin) if random.chance(500_000) => sin.clone(),
        _ => random.pick(&of_two).clone(),
    };
    for (at, validator) in order.into_iter().take(sinners).enumerate() {
        let sin = sin(at);
        plan.sinners.push(Sinner { validator, sin });
    }
}

pub(super) fn gc_poison(plan: &mut Plan, random: &mut Random) {
    plan.committee.gc_depth = u32::try_from(random.between(4, 6)).expect("a small number");
    plan.committee.min_round_delay_us = *random.pick(&[2_000, 25_000]);
    plan.clients.every_ms = *random.pick(&[50, 200]);
    plan.faulty_ms = plan.faulty_ms.min(20_000);
}

pub(super) fn isolated(plan: &mut Plan, random: &mut Random) {
    gc_poison(plan, random);
    let lonely = any_correct(plan, random);
    let deaf = random.chance(500_000);
    let (at_ms, for_ms) = (random.between(500, 5_000), random.between(3_000, 14_000));
    for other in (0..count(plan)).filter(|other| *other != lonely) {
        let (from, to) = if deaf {
            (other, lonely)
        } else {
            (lonely, other)
        };
        let kind = FaultKind::OneWay { from, to };
        add_at(plan, (at_ms, for_ms), kind);
    }
    plan.clients.answer_us = *random.pick(&[0, 0, 5_000, 40_000]);
}

/// What keeps a validator away.
fn absence(validator: u16, random: &mut Random) -> FaultKind {
    match random.below(3) {
        0 => FaultKind::Crash { validator },
        1 => FaultKind::Pause { validator },
        _ => FaultKind::Split {
            left: vec![validator],
        },
    }
}

pub(super) fn far_behind(plan: &mut Plan, random: &mut Random) {
    plan.committee.min_round_delay_us = 25_000;
    plan.clients.every_ms = 100;
    let validator = any_correct(plan, random);
    let kind = absence(validator, random);
    let at_ms = plan.faulty_ms / 20;
    let for_ms = plan.faulty_ms * 9 / 10;
    add_at(plan, (at_ms, for_ms), kind);
}

/// Small windows, fast rounds, and one or two that come back to all of it, one of them perhaps again and again.
pub(super) fn catch_up(plan: &mut Plan, random: &mut Random) {
    plan.committee.min_round_delay_us = 25_000;
    plan.network = even_network(2_000, *random.pick(&[5_000, 20_000]));
    if random.chance(500_000) {
        // So fast that the tip is more than one window away.
        plan.committee.min_round_delay_us = 4_000;
        plan.network = even_network(500, 2_000);
        plan.disk = DiskPlan {
            least_us: 100,
            most_us: 400,
        };
    }
    plan.committee.idle_round_delay_us = plan.committee.min_round_delay_us;
    plan.committee.gc_depth = *random.pick(&[8, 12, 16, 32]);
    if random.chance(300_000) {
        plan.network.loss_ppm = random.between(1_000, 50_000);
    }
    plan.clients.every_ms = 100;
    plan.faults.retain(|_| random.chance(200_000));
    let at_ms = plan.faulty_ms / 20;
    for validator in [any_correct(plan, random), any_correct(plan, random)] {
        let kind = absence(validator, random);
        let for_ms = plan.faulty_ms * random.between(5, 9) / 10;
        let again = FaultKind::Crash { validator };
        let again_at_ms = at_ms + for_ms + random.between(100, 2_000);
        add_at(plan, (at_ms, for_ms), kind);
        add_at(plan, (again_at_ms, 200), again);
        if random.chance(600_000) {
            break;
        }
    }
}

/// Any three of the lighter six weigh less than `f`, three tenths of a million.
const TROUBLED_WEIGHTS: [u64; 10] = [
    130_000, 120_000, 110_000, 105_000, 100_000, 95_000, 90_000, 85_000, 85_000, 80_000,
];

pub(super) fn troubled(plan: &mut Plan, random: &mut Random) {
    calm(plan, random);
    reweigh(plan, TROUBLED_WEIGHTS.to_vec());
    let committee = &mut plan.committee;
    committee.profile = "dual30".to_owned();
    committee.byzantine = None;
    // The protocol's windows: a minute sees several schedules.
    committee.scores = None;
    committee.min_round_delay_us = 50_000;
    plan.clients.every_ms = 100;
    let mut lighter: Vec<u16> = (4..10).collect();
    random.shuffle(&mut lighter);
    let (crashed, slow, equivocator) = (lighter[0], lighter[1], lighter[2]);
    plan.sinners.push(Sinner {
        validator: equivocator,
        sin: "equivocator".to_owned(),
    });
    // A frame takes 25 ms on average.
    let kinds = [
        FaultKind::Crash { validator: crashed },
        FaultKind::Slow {
            validator: slow,
            extra_us: 4 * 25_000,
        },
    ];
    let for_ms = plan.faulty_ms;
    let all_the_time = kinds.map(|kind| Fault {
        at_ms: 0,
        for_ms,
        kind,
    });
    add(plan, all_the_time);
}

pub(super) fn fast_rounds(plan: &mut Plan, random: &mut Random) {
    calm(plan, random);
    plan.network = even_network(200, 500);
    plan.disk = disk(100, 200);
    plan.committee.min_round_delay_us = 2_000;
    plan.committee.gc_depth = 8;
    plan.clients.every_ms = 20;
    plan.faulty_ms = plan.faulty_ms.min(4_000);
    equals(plan, random, 4);
    let validator = any(plan, random);
    let left = vec![validator];
    let kind = match random.below(2) {
        0 => FaultKind::Crash { validator },
        _ => FaultKind::Split { left },
    };
    let (at_ms, for_ms) = (plan.faulty_ms / 20, plan.faulty_ms);
    add_at(plan, (at_ms, for_ms), kind);
}

/// So many equal weights of which one is at most `f`, and no sinners.
fn equals(plan: &mut Plan, random: &mut Random, validators: u64) {
    let profiles = ["dual30", "classic33"];
    plan.committee.profile = (*random.pick(&profiles)).to_owned();
    plan.committee.byzantine = None;
    let validators = usize::try_from(validators).expect("a small number");
    reweigh(plan, vec![1; validators]);
}

pub(super) fn stolen_key(plan: &mut Plan, random: &mut Random) {
    let validators = random.between(4, 7);
    equals(plan, random, validators);
    plan.clients.every_ms = 100;
    plan.clients.answer_us = *random.pick(&[0, 3_000, 30_000]);
    let validator = any(plan, random);
    for _ in 0..random.between(1, 3) {
        add_anytime(plan, random, 100, FaultKind::StolenKey { validator });
    }
}

pub(super) fn unheard_and_full(plan: &mut Plan, random: &mut Random) {
    let validators = random.between(4, 7);
    equals(plan, random, validators);
    plan.faults.clear();
    plan.network = even_network(5_000, 10_000);
    plan.committee.min_round_delay_us = 50_000;
    plan.committee.gc_depth = 64;
    plan.faulty_ms = plan.faulty_ms.min(4_000);
    let lonely = any(plan, random);
    plan.clients = ClientPlan {
        every_ms: 40,
        burst: 64,
        bytes: 32_000,
        duplicate_ppm: 0,
        oversized_ppm: 0,
        answer_us: 0,
        only: Some(lonely),
    };
    let one_way = |to| Fault {
        at_ms: 500,
        for_ms: 3_000,
        kind: FaultKind::OneWay { from: lonely, to },
    };
    let others: Vec<Fault> = (0..count(plan))
        .filter(|other| *other != lonely)
        .map(one_way)
        .collect();
    add(plan, others);
}

/// Frames of megabytes arrive like others, and there are few of them.
pub(super) fn heavy(plan: &mut Plan, random: &mut Random) {
    plan.network = even_network(5_000, *random.pick(&[10_000, 40_000]));
    plan.committee.min_round_delay_us = 80_000;
    plan.committee.gc_depth = *random.pick(&[16, 32, 64]);
    plan.clients.every_ms = 100;
    plan.faulty_ms = plan.faulty_ms.min(8_000);
}

pub(super) fn over_the_limit(plan: &mut Plan, random: &mut Random) {
    let validators = *random.pick(&[4, 4, 5, 7]);
    reweigh(plan, vec![1; validators]);
    plan.over_the_limit = true;
    plan.faulty_ms = plan.faulty_ms.min(20_000);
    plan.faults.clear();
    plan.network = even_network(5_000, 20_000);
    plan.clients.every_ms = 100;
    let Ok(committee) = plan.check() else { return };
    let thresholds = committee.thresholds();
    // So many that each half of the correct ones is a quorum with them.
    let enough = (2 * thresholds.quorum).saturating_sub(thresholds.total);
    let sinners = enough.max(thresholds.byzantine + 1);
    let sinners = usize::try_from(sinners).unwrap_or(usize::MAX);
    let sin = *random.pick(&["twin", "twin", "twin", "equivocator", "double-voter"]);
    let mut order: Vec<u16> = (0..count(plan)).collect();
    random.shuffle(&mut order);
    for validator in order.into_iter().take(sinners.min(validators - 2)) {
        let sin = sin.to_owned();
        plan.sinners.push(Sinner { validator, sin });
    }
    if sin == "twin" {
        let rounds = usize::try_from(plan.faulty_ms / 10).unwrap_or(usize::MAX);
        plan.script = vec![two_clusters(plan); rounds];
    }
}

/// The split that puts one copy of each twin, and every other correct validator, on the right.
fn two_clusters(plan: &Plan) -> u32 {
    let (mut split, mut process, mut right) = (0, 0, false);
    for validator in plan.committee.weights.iter().zip(0..).map(|(_, at)| at) {
        if plan.sinners.iter().any(|s| s.validator == validator) {
            process += 1;
            split |= 1 << process;
        } else {
            split |= u32::from(right) << process;
            right = !right;
        }
        process += 1;
    }
    split
}
