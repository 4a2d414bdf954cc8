//! Scenarios about scores: what a coalition can do to others' or to its own, and whom trouble costs its slots.

use probity_core::ValidatorIndex;

use super::change::{add_at, calm, count, disk, even_network, reweigh};
use crate::plan::{FaultKind, Plan, ScoresPlan, Sinner};
use crate::random::Random;

/// A network on which whoever follows the rules is in time, and schedules every few rounds.
fn prompt(plan: &mut Plan, random: &mut Random) {
    calm(plan, random);
    plan.network = even_network(20_000, 20_000 + random.below(1_000));
    plan.disk = disk(200, 400);
    plan.clients.every_ms = 50;
    let schedule_rounds = *random.pick(&[4, 8, 16]);
    let committee = &mut plan.committee;
    committee.min_round_delay_us = *random.pick(&[10_000, 25_000]);
    // Nobody waits for work: who does and finds none comes late for those who have some.
    committee.idle_round_delay_us = committee.min_round_delay_us;
    committee.scores = Some(ScoresPlan {
        score_rounds: schedule_rounds * *random.pick(&[1, 4]),
        slot_rounds: schedule_rounds * *random.pick(&[1, 8]),
        schedule_rounds,
        schedule_lead_rounds: *random.pick(&[1, 3, 11]),
    });
}

/// A coalition of the sinners that were drawn, and nothing else goes wrong.
pub(super) fn coalition(plan: &mut Plan, random: &mut Random) {
    let mut sinners = std::mem::take(&mut plan.sinners);
    prompt(plan, random);
    if random.chance(250_000) {
        sinners.truncate(1);
    }
    plan.sinners = sinners;
}

/// Sleepers wake up in the middle of a run.
pub(super) fn sleepers(plan: &mut Plan, random: &mut Random) {
    coalition(plan, random);
    plan.committee.min_round_delay_us = 10_000;
    plan.committee.idle_round_delay_us = 10_000;
}

/// Correct validators of weight `f` at most, in a random order.
fn troubled(plan: &Plan, random: &mut Random) -> Vec<u16> {
    let Ok(committee) = plan.check() else {
        return Vec::new();
    };
    let mut order: Vec<u16> = (0..count(plan)).collect();
    random.shuffle(&mut order);
    let mut left = committee.thresholds().byzantine;
    order.retain(|at| {
        let weight = plan.committee.weights[usize::from(*at)];
        let fits = weight <= left;
        left -= if fits { weight } else { 0 };
        fits
    });
    order
}

pub(super) fn flaky(plan: &mut Plan, random: &mut Random) {
    prompt(plan, random);
    for validator in troubled(plan, random) {
        let mut at_ms = random.between(500, 2_000);
        while at_ms < plan.faulty_ms {
            let for_ms = random.between(100, 2_000);
            let kind = if random.chance(500_000) {
                FaultKind::Crash { validator }
            } else {
                FaultKind::Pause { validator }
            };
            add_at(plan, (at_ms, for_ms), kind);
            at_ms += for_ms + random.between(100, 3_000);
        }
    }
}

pub(super) fn slow_lane(plan: &mut Plan, random: &mut Random) {
    prompt(plan, random);
    for validator in troubled(plan, random) {
        // A frame takes 20 ms, one from or to the slow lane five times as long.
        let extra_us = 4 * 20_000;
        let kind = FaultKind::Slow {
            validator,
            extra_us,
        };
        let for_ms = plan.faulty_ms;
        add_at(plan, (0, for_ms), kind);
    }
}

/// As many correct validators as R30 may demote are slow or down for many short epochs, beside a coalition of nine tenths
/// of `f` that helps to keep them out.
pub(super) fn amplified(plan: &mut Plan, random: &mut Random) {
    prompt(plan, random);
    let members = random.between(5, 10);
    let stakes: Vec<u64> = (0..members).map(|_| random.between(800, 1_200)).collect();
    let all: u64 = stakes.iter().sum();
    reweigh(plan, stakes.clone());
    let sins = ["griefer", "booster", "sleeper", "selective-sender"];
    let Ok(committee) = plan.check() else { return };
    let mut left = committee.thresholds().byzantine * 9 / 10;
    for validator in (0..count(plan)).rev() {
        let weight = committee.weight(ValidatorIndex(validator));
        if weight > left {
            break;
        }
        left -= weight;
        let sin = (*random.pick(&sins)).to_owned();
        plan.sinners.push(Sinner { validator, sin });
    }
    let mut left = all / 5;
    let sinners = plan.sinners.len();
    for (validator, stake) in (0u16..).zip(&stakes[..stakes.len() - sinners]) {
        if *stake > left {
            continue;
        }
        left -= stake;
        let kind = if random.chance(500_000) {
            FaultKind::Crash { validator }
        } else {
            let extra_us = 8 * 20_000;
            FaultKind::Slow {
                validator,
                extra_us,
            }
        };
        let for_ms = plan.faulty_ms;
        add_at(plan, (0, for_ms), kind);
    }
    plan.epochs.length_ms = Some(random.between(1_000, 2_500));
}
