//! An epoch ends once and alike for everybody, provably, and the next committee is what R30 makes of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use probity_core::crypto::PublicKey;
use probity_core::{Committee, EpochEnd};

use super::{Checker, Observation, Scene};

#[derive(Default)]
pub(super) struct Epochs {
    /// By epoch: its end as the first validator had it, and the next committee.
    first: BTreeMap<u64, (EpochEnd, Arc<Committee>)>,
    /// By epoch: its chain.
    chains: BTreeMap<u64, Arc<Committee>>,
}

impl Checker for Epochs {
    fn promise(&self) -> &'static str {
        "an epoch ends once and alike for everybody, and no adversary gains weight beyond the bound"
    }

    fn look(&mut self, scene: &Scene<'_>, seen: &Observation<'_>) -> Result<(), String> {
        let epoch = scene.committee.epoch();
        if let Observation::Started { .. } = seen {
            let known = self.chains.entry(epoch);
            let known = known.or_insert_with(|| Arc::clone(scene.committee));
            if known.chain() != scene.committee.chain() {
                return Err(format!("epoch {epoch} has two chains"));
            }
        }
        let Observation::EpochEnded(end) = seen else {
            return Ok(());
        };
        if end.record.epoch != epoch || !end.verify(scene.committee) {
            return Err(format!("the end of epoch {epoch} proves nothing"));
        }
        let next = end.next_committee(scene.committee);
        let next = next.map_err(|why| format!("epoch {epoch} leaves no committee: {why}"))?;
        if let Some((first, committee)) = self.first.get(&epoch) {
            let same = first.record == end.record && first.charter == end.charter;
            if !same || committee.chain() != next.chain() {
                return Err(format!("epoch {epoch} ends in two ways"));
            }
            return Ok(());
        }
        check_weights(scene, end, &next)?;
        self.first.insert(epoch, ((*end).clone(), next));
        Ok(())
    }
}

/// R30's amplification bound: sinners that share `b` of the base stake weigh `b / .9` at most, but for rounding.
fn check_weights(scene: &Scene<'_>, end: &EpochEnd, next: &Committee) -> Result<(), String> {
    let sins = |key: &PublicKey| {
        let seat = scene.keys.iter().position(|known| known == key);
        seat.is_some_and(|seat| {
            scene
                .plan
                .sinners
                .iter()
                .any(|s| usize::from(s.validator) == seat)
        })
    };
    let seats = end.charter.roster.seats();
    let all: u128 = seats.iter().map(|seat| u128::from(seat.stake)).sum();
    let bad = seats.iter().filter(|seat| sins(&seat.key));
    let bad: u128 = bad.map(|seat| u128::from(seat.stake)).sum();
    let members = next.indices().filter_map(|index| next.member(index));
    let weighed: u64 = members.filter(|m| sins(&m.key)).map(|m| m.weight).sum();
    let total = u128::from(next.thresholds().total);
    // Each part is rounded by less than one.
    let most = bad * total * 10 / (9 * all) + next.size() as u128;
    if u128::from(weighed) > most {
        return Err(format!(
            "sinners weigh {weighed} of {total}, at most {most} are due"
        ));
    }
    for seat in seats {
        if seat.slashed && !sins(&seat.key) {
            return Err(format!("{:?} is correct and slashed", seat.key));
        }
        if seat.slashed && next.index_of(&seat.key).is_some() {
            return Err(format!("{:?} is slashed and a member", seat.key));
        }
    }
    Ok(())
}
