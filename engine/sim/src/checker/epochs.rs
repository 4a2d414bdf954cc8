//! An epoch ends once and alike for everybody, provably; the next committee is what R30 makes of it, under the chain id
//! that R32 gives it.

use std::collections::BTreeMap;
use std::sync::Arc;

use probity_core::crypto::{Digest, PublicKey};
use probity_core::{Committee, EpochEnd};

use super::{Checker, Observation, Scene};
use crate::seats::seat_of;

mod chain;

use chain::check_chain;

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
            self.note_started(scene.committee)?;
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
        check_chain(&next, &end.record.digest())?;
        self.first.insert(epoch, ((*end).clone(), next));
        Ok(())
    }
}

impl Epochs {
    /// Every process of an epoch has its one chain.
    fn note_started(&mut self, committee: &Arc<Committee>) -> Result<(), String> {
        let epoch = committee.epoch();
        if let Some(known) = self.chains.get(&epoch) {
            if known.chain() == committee.chain() {
                return Ok(());
            }
            return Err(format!("epoch {epoch} has two chains"));
        }
        if epoch == 0 {
            check_chain(committee, &Digest::ZERO)?;
        }
        self.chains.insert(epoch, Arc::clone(committee));
        Ok(())
    }
}

/// R30's amplification bound: sinners that share `b` of the base stake weigh `b / .9` at most, but for rounding.
fn check_weights(scene: &Scene<'_>, end: &EpochEnd, next: &Committee) -> Result<(), String> {
    let sins = |key: &PublicKey| {
        let seat = seat_of(scene.keys, key);
        seat.is_some_and(|seat| scene.plan.sinners.iter().any(|s| s.validator == seat.0))
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

#[cfg(test)]
mod tests {
    use probity_core::crypto::Digest;
    use probity_core::{Charter, EpochEnd, Roster, Seat};

    use super::{Epochs, check_chain};
    use crate::checker::Observation;
    use crate::checker::stage::Stage;

    fn end(stage: &Stage, stakes: [u64; 4], votes: u16) -> EpochEnd {
        let members = stage.committee.indices().zip(stakes);
        let seat = |(index, stake)| {
            let member = stage.committee.member(index).unwrap();
            Seat::newcomer(member.key, stake)
        };
        let charter = Charter {
            roster: Roster::new(members.map(seat).collect()).unwrap(),
            bounds: stage.committee.bounds(),
            total: stage.committee.thresholds().total,
        };
        let mut commit = stage.commits()[0].clone();
        commit.record.next = charter.digest();
        commit.digest = commit.record.digest();
        EpochEnd {
            certificate: stage.certificate(&commit, votes),
            record: commit.record,
            charter,
        }
    }

    fn look(checker: &mut Epochs, stage: &Stage, end: &EpochEnd) -> Result<(), String> {
        stage.look(checker, 0, &Observation::EpochEnded(end))
    }

    #[test]
    fn an_end_without_a_quorum_and_a_second_end_are_seen() {
        let stage = Stage::full_dag(5);
        let mut checker = Epochs::default();
        let few = look(&mut checker, &stage, &end(&stage, [1; 4], 2));
        assert!(few.unwrap_err().contains("proves nothing"));
        let first = end(&stage, [1; 4], 4);
        assert_eq!(look(&mut checker, &stage, &first), Ok(()));
        assert_eq!(look(&mut checker, &stage, &first), Ok(()));
        let other = look(&mut checker, &stage, &end(&stage, [1, 1, 1, 2], 4));
        assert!(other.unwrap_err().contains("two ways"));
    }

    /// A committee of the first epoch under the number of another one has another chain.
    #[test]
    fn a_chain_that_does_not_follow_is_seen() {
        let stage = Stage::full_dag(5);
        let end = end(&stage, [1; 4], 4);
        let next = end.next_committee(&stage.committee).unwrap();
        assert_eq!(check_chain(&next, &end.record.digest()), Ok(()));
        assert_eq!(check_chain(&stage.committee, &Digest::ZERO), Ok(()));
        let other = check_chain(&next, &Digest([1; 32]));
        assert!(other.unwrap_err().contains("chain id"));
        let other = check_chain(&stage.committee, &end.record.digest());
        assert!(other.unwrap_err().contains("chain id"));
    }

    #[test]
    fn weight_that_no_stake_pays_for_is_seen() {
        let mut stage = Stage::full_dag(5);
        stage.plan.sinners.push(crate::plan::Sinner {
            validator: 0,
            sin: "twin".to_owned(),
        });
        let mut end = end(&stage, [1; 4], 4);
        let mut seats = end.charter.roster.seats().to_vec();
        for seat in &mut seats[1..] {
            seat.rho /= 2;
        }
        end.charter.roster = Roster::new(seats).unwrap();
        let mut commit = stage.commits()[0].clone();
        commit.record.next = end.charter.digest();
        commit.digest = commit.record.digest();
        end.certificate = stage.certificate(&commit, 4);
        end.record = commit.record;
        // A total of a thousand, so that rounding hides nothing.
        end.charter.total = 1_000;
        let how = look(&mut Epochs::default(), &stage, &end);
        assert!(how.is_err());
    }
}
