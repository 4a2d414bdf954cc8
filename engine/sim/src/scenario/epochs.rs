//! Scenarios about epochs: when they end, and whose stake changes.

use probity_core::ValidatorIndex;

use super::change::{calm, reweigh};
use crate::plan::{ChangePlan, Plan, Sinner};
use crate::random::Random;

pub(super) fn epochs_calm(plan: &mut Plan, random: &mut Random) {
    calm(plan, random);
    epochs(plan, random);
}

/// One run in four has short epochs.
pub(super) fn swarm(plan: &mut Plan, random: &mut Random) {
    if random.chance(250_000) {
        plan.epochs.length_ms = Some(random.between(1_000, 6_000));
        spare_the_bound(plan);
    }
}

/// The end of an epoch by time, or because everybody asks for it.
pub(super) fn epochs(plan: &mut Plan, random: &mut Random) {
    if random.chance(700_000) {
        plan.epochs.length_ms = Some(random.between(2_000, 8_000));
    }
    for _ in 0..random.between(1, 3) {
        plan.epochs.changes.push(ChangePlan {
            at_ms: random.between(500, plan.faulty_ms),
            validator: 0,
            stake: None,
        });
    }
    spare_the_bound(plan);
}

/// R30 lets sinners gain a ninth: who tolerates just so much beforehand does not afterwards.
fn spare_the_bound(plan: &mut Plan) {
    let Ok(committee) = plan.check() else { return };
    let weight = |sinner: &Sinner| committee.weight(ValidatorIndex(sinner.validator));
    let byzantine = committee.thresholds().byzantine;
    // One more for what is rounded to small weights.
    let affordable = |sinners: &[Sinner]| {
        let sinned: u64 = sinners.iter().map(weight).sum();
        sinned * 10 / 9 < byzantine || sinned == 0
    };
    while !affordable(&plan.sinners) {
        plan.sinners.pop();
    }
}

/// Joiners, leavers and others whose stake changes; in the end the committee may be another one altogether.
pub(super) fn membership(plan: &mut Plan, random: &mut Random) {
    let first = *random.pick(&[4usize, 5, 7]);
    let later = *random.pick(&[1usize, 2, 3, 4]);
    let mut weights = vec![1_000u64; first];
    weights.extend(vec![0; later]);
    plan.sinners.clear();
    plan.faults.retain(|fault| {
        let members = fault.kind.validators();
        members
            .iter()
            .all(|validator| usize::from(*validator) < first)
    });
    plan.epochs.length_ms = Some(random.between(2_000, 6_000));
    reweigh(plan, weights);
    for joiner in first..first + later {
        plan.epochs.changes.push(ChangePlan {
            at_ms: random.between(500, plan.faulty_ms / 2),
            validator: u16::try_from(joiner).expect("few"),
            stake: Some(random.between(300, 1_500)),
        });
    }
    for validator in 0..first {
        if random.chance(400_000) {
            plan.epochs.changes.push(ChangePlan {
                at_ms: random.between(plan.faulty_ms / 2, plan.faulty_ms),
                validator: u16::try_from(validator).expect("few"),
                stake: Some(*random.pick(&[0, 500, 2_000])),
            });
        }
    }
}
