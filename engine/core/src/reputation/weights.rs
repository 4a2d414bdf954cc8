//! From an epoch's marks to the next one's voting weights (R30). Demotion only, and of a fifth of the stake at most.

use crate::committee::Committee;
use crate::crypto::{Context, hash};
use crate::epoch::{Roster, Seat};
use crate::order::schedule::epoch_seed;
use crate::reputation::mark::ONE;
use crate::reputation::table::Table;

/// Most that `rho` moves from one epoch to the next.
const STEP: u32 = ONE / 10;

/// R30: merit `u` of a sum of marks, in units of [`ONE`]; `None` before a round is scored.
pub(crate) fn merit(sum: u64, scored_rounds: u32) -> Option<u32> {
    let merit = sum.checked_div(2 * u64::from(scored_rounds))?;
    Some(u32::try_from(merit).expect("marks are at most one"))
}

/// R30: `t`, what part of its stake a validator of this merit deserves.
fn target(merit: u32) -> u32 {
    let tenfold = 10 * u64::from(merit);
    let one = u64::from(ONE);
    if tenfold >= 8 * one {
        return ONE;
    }
    let above = tenfold.saturating_sub(4 * one);
    ONE / 2 + u32::try_from(above / 8).expect("at most half of one")
}

/// The roster with the `rho` of the next epoch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Reweighed {
    pub(crate) roster: Roster,
    /// More stake is shown to have equivocated than may be Byzantine: nobody was slashed for it.
    pub(crate) alarm: bool,
}

/// R30, over a roster that has the epoch's changes already.
pub(crate) fn reweigh(committee: &Committee, table: &Table, roster: &Roster) -> Reweighed {
    let mut next = roster.clone();
    let thresholds = committee.thresholds();
    let shown = |seat: &Seat| {
        let member = committee.index_of(&seat.key);
        member.is_some_and(|member| table.slashed.contains(member))
    };
    let slashed = roster.seats().iter().filter(|s| s.slashed || shown(s));
    let slashed: u128 = slashed.map(|seat| u128::from(seat.stake)).sum();
    let all = u128::from(roster.stake());
    let alarm = slashed * u128::from(thresholds.total) > u128::from(thresholds.byzantine) * all;
    let frozen = 2 * u64::from(table.healthy) < u64::from(table.scored.0);
    let demoted = demoted(committee, table, roster);
    for (at, seat) in next.seats_mut().iter_mut().enumerate() {
        let equivocated = shown(&roster.seats()[at]) && !planted!(EquivocatorKeepsWeight);
        seat.slashed |= equivocated && !alarm;
        let member = committee.index_of(&seat.key);
        let merit = member.and_then(|m| merit(table.merits[m.position()], table.scored.0));
        let before = seat.rho;
        let Some(merit) = merit else {
            if seat.slashed {
                seat.rho = 0;
            }
            continue;
        };
        seat.rho = if demoted.contains(&at) {
            let least = if planted!(DemotedAtOnce) {
                0
            } else {
                before.saturating_sub(STEP)
            };
            target(merit).clamp(least, (before + STEP).min(ONE))
        } else {
            ONE
        };
        if frozen {
            seat.rho = seat.rho.max(before);
        }
        if seat.slashed {
            seat.rho = 0;
        }
        if planted!(WeightsCompound) {
            let weight = u128::from(seat.stake) * u128::from(seat.rho) / u128::from(ONE);
            seat.stake = u64::try_from(weight).unwrap_or(seat.stake).max(1);
        }
    }
    // Whoever is left without weight leaves; should nobody be left, the alarm above was due.
    Reweighed {
        roster: next,
        alarm,
    }
}

/// R30: the set `K`, as seats: the worst members, as long as a fifth of the stake covers them.
fn demoted(committee: &Committee, table: &Table, roster: &Roster) -> Vec<usize> {
    let seed = epoch_seed(committee);
    let mut worst = Vec::new();
    for (at, seat) in roster.seats().iter().enumerate() {
        let Some(member) = committee.index_of(&seat.key) else {
            continue;
        };
        let merit = merit(table.merits[member.position()], table.scored.0);
        let Some(merit) = merit.filter(|merit| target(*merit) < ONE) else {
            continue;
        };
        if seat.slashed || table.slashed.contains(member) {
            continue;
        }
        let parts = [seed.as_bytes().as_slice(), seat.key.as_bytes()];
        worst.push((merit, hash(Context::WeightOrder, &parts), at));
    }
    worst.sort_unstable();
    let all = u128::from(roster.stake());
    let mut weight = 0u128;
    let mut demoted = Vec::new();
    for (_, _, at) in worst {
        weight += u128::from(roster.seats()[at].stake);
        if 5 * weight > all && !planted!(DemotedWithoutCap) {
            break;
        }
        demoted.push(at);
    }
    demoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Round, ValidatorIndex};
    use crate::testing::{committee, keypair};
    use crate::thresholds::{FaultBounds, Mode};

    const TENTH: u64 = ONE as u64 / 10;

    fn of(stakes: &[u64], byzantine: u64) -> Committee {
        let bounds = FaultBounds {
            mode: Mode::Classic,
            byzantine,
            crashed: 0,
        };
        committee(stakes, bounds, 8)
    }

    /// Ten scored rounds, all healthy, with these merits in tenths of one.
    fn table(committee: &Committee, tenths: &[u64]) -> Table {
        let mut table = Table::new(committee);
        (table.scored, table.healthy) = (Round(10), 10);
        let merits = tenths
            .iter()
            .map(|t| 2 * 10 * (t * u64::from(ONE)).div_ceil(10));
        table.merits = merits.collect();
        table
    }

    fn rhos(committee: &Committee, table: &Table) -> Vec<u32> {
        let next = reweigh(committee, table, committee.roster());
        assert!(!next.alarm);
        next.roster.seats().iter().map(|seat| seat.rho).collect()
    }

    #[test]
    fn merit_pays_between_four_and_eight_tenths() {
        assert_eq!(target(ONE), ONE);
        assert_eq!(target((ONE * 8).div_ceil(10)), ONE);
        assert_eq!(target((ONE * 6).div_ceil(10)), ONE / 4 * 3);
        assert_eq!(target(ONE / 10 * 4), ONE / 2);
        assert_eq!(target(0), ONE / 2);
        assert_eq!(merit(7, 0), None);
        assert_eq!(merit(2 * 5 * u64::from(ONE), 5), Some(ONE));
    }

    #[test]
    fn a_fifth_of_the_stake_is_demoted_at_most_and_by_a_tenth_an_epoch() {
        let ten = of(&[1; 10], 3);
        // Everybody is bad, the lowest two are demoted.
        let all_bad = table(&ten, &[1, 1, 1, 0, 1, 1, 1, 0, 1, 1]);
        let least = ONE - ONE / 10;
        let mut expected = vec![ONE; 10];
        (expected[3], expected[7]) = (least, least);
        assert_eq!(rhos(&ten, &all_bad), expected);
        // The worst weighs more than a fifth: nobody is.
        let heavy = of(&[3, 1, 1, 1, 1, 1, 1, 1], 3);
        let bad = table(&heavy, &[0, 1, 9, 9, 9, 9, 9, 9]);
        assert_eq!(rhos(&heavy, &bad), vec![ONE; 8]);
    }

    #[test]
    fn a_timely_validator_is_never_demoted_and_one_that_betters_itself_comes_back() {
        let ten = of(&[1; 10], 3);
        let mut roster = ten.roster().clone();
        roster.seats_mut()[0].rho = ONE / 2;
        let good = table(&ten, &[10; 10]);
        let next = reweigh(&ten, &good, &roster).roster;
        assert!(next.seats().iter().all(|seat| seat.rho == ONE));
        // Half-way merit: one step up.
        let mut half_way = table(&ten, &[10; 10]);
        half_way.merits[0] = 2 * 10 * 7 * TENTH;
        let next = reweigh(&ten, &half_way, &roster).roster;
        assert_eq!(next.seats()[0].rho, ONE / 2 + ONE / 10);
    }

    #[test]
    fn an_unhealthy_epoch_takes_nothing() {
        let ten = of(&[1; 10], 3);
        let mut bad = table(&ten, &[0, 10, 10, 10, 10, 10, 10, 10, 10, 10]);
        bad.healthy = 4;
        assert_eq!(rhos(&ten, &bad), vec![ONE; 10]);
        bad.healthy = 5;
        assert_eq!(rhos(&ten, &bad)[0], ONE - ONE / 10);
        bad.scored = Round(0);
        assert_eq!(rhos(&ten, &bad), vec![ONE; 10]);
    }

    #[test]
    fn equivocators_lose_everything_unless_there_are_too_many() {
        let ten = of(&[1; 10], 3);
        let mut shown = table(&ten, &[10; 10]);
        for author in [2, 5, 6] {
            shown.slashed.insert(ValidatorIndex(author));
        }
        let next = reweigh(&ten, &shown, ten.roster());
        assert!(!next.alarm);
        let slashed: Vec<usize> = (0..10)
            .filter(|at| next.roster.seats()[*at].slashed)
            .collect();
        assert_eq!(slashed, [2, 5, 6]);
        assert!(slashed.iter().all(|at| next.roster.seats()[*at].rho == 0));
        // One more in the next epoch is above f: it keeps its weight, those before it stay out.
        let mut fourth = table(&ten, &[10; 10]);
        fourth.slashed.insert(ValidatorIndex(9));
        let next = reweigh(&ten, &fourth, &next.roster);
        assert!(next.alarm);
        assert_eq!(next.roster.seats()[9].rho, ONE);
        assert_eq!(next.roster.seats()[2].rho, 0);
    }

    #[test]
    fn whoever_was_no_member_keeps_its_rho() {
        let two = of(&[1, 1], 0);
        let newcomer = keypair(ValidatorIndex(9)).public();
        let mut seats = two.roster().seats().to_vec();
        seats.push(Seat::newcomer(newcomer, 1));
        let roster = Roster::new(seats).unwrap();
        let next = reweigh(&two, &table(&two, &[10, 10]), &roster).roster;
        assert_eq!(next.seat(&newcomer).unwrap().rho, ONE);
    }

    /// R30: Byzantine validators that lose nothing, beside honest ones that lose all they can.
    #[test]
    fn the_amplification_bound_holds() {
        for byzantine in 1..=3u64 {
            let ten = of(&[1; 10], 3);
            let mut roster = ten.roster().clone();
            let mut share = 0;
            for _ in 0..20 {
                let merits: Vec<u64> = (0..10)
                    .map(|a| if a < byzantine { 10 } else { 0 })
                    .collect();
                roster = reweigh(&ten, &table(&ten, &merits), &roster).roster;
                let weights = roster.weights(1_000_000).unwrap();
                share = share.max(weights[..usize::try_from(byzantine).unwrap()].iter().sum());
            }
            let bound = (byzantine * 1_000_000).div_ceil(9) + byzantine;
            assert!(share <= bound, "{share} > {bound}");
            assert!(share * 10 > byzantine * 1_000_000, "the bound is met");
        }
    }
}
