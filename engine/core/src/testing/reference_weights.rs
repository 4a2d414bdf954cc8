//! R30 word by word: what an epoch's scored rounds make of its seats.

use std::collections::BTreeSet;

use super::reference_scores::ReferenceReputation;
use crate::committee::Committee;
use crate::crypto::{Context, Digest, hash};
use crate::epoch::Seat;
use crate::order::schedule::epoch_seed;

const ONE: u128 = 1 << 20;

/// The seats of the next epoch, from seats that have the epoch's changes already.
#[must_use]
pub fn reference_seats(
    committee: &Committee,
    scores: &ReferenceReputation,
    seats: &[Seat],
) -> Vec<Seat> {
    let epoch = Epoch {
        committee,
        scores,
        equivocated: equivocated(committee, scores),
        all: seats.iter().map(|seat| u128::from(seat.stake)).sum(),
    };
    let alarm = epoch.is_broken(seats);
    let demoted = epoch.demoted(seats);
    let next = |seat: &Seat| {
        let slashed = seat.slashed || (!alarm && epoch.equivocated.contains(seat.key.as_bytes()));
        let rho = if slashed {
            0
        } else {
            epoch.rho(seat, demoted.contains(seat.key.as_bytes()))
        };
        Seat {
            slashed,
            rho,
            ..seat.clone()
        }
    };
    seats.iter().map(next).collect()
}

fn equivocated(committee: &Committee, scores: &ReferenceReputation) -> BTreeSet<[u8; 32]> {
    let slashed = scores.slashed().into_iter();
    let members = slashed.filter_map(|index| committee.member(index));
    members.map(|member| *member.key.as_bytes()).collect()
}

struct Epoch<'a> {
    committee: &'a Committee,
    scores: &'a ReferenceReputation,
    equivocated: BTreeSet<[u8; 32]>,
    /// All base stake.
    all: u128,
}

impl Epoch<'_> {
    /// Whether slashed base stake exceeds `f/W` of all.
    fn is_broken(&self, seats: &[Seat]) -> bool {
        let slashed = |s: &&Seat| s.slashed || self.equivocated.contains(s.key.as_bytes());
        let slashed = seats.iter().filter(slashed);
        let slashed: u128 = slashed.map(|seat| u128::from(seat.stake)).sum();
        let t = self.committee.thresholds();
        slashed * u128::from(t.total) > u128::from(t.byzantine) * self.all
    }

    /// `u`; none without a scored round, or for who was no member.
    fn merit(&self, seat: &Seat) -> Option<u128> {
        let rounds = u128::from(self.scores.scored_rounds());
        let member = self.committee.index_of(&seat.key)?;
        self.scores.merit(member).checked_div(2 * rounds)
    }

    /// The set `K`. Who equivocated is in it on no account.
    fn demoted(&self, seats: &[Seat]) -> BTreeSet<[u8; 32]> {
        let seed = epoch_seed(self.committee);
        let mut worst: Vec<(u128, Digest, &Seat)> = Vec::new();
        for seat in seats {
            let spared = seat.slashed || self.equivocated.contains(seat.key.as_bytes());
            let bad = self.merit(seat).filter(|merit| target(*merit) < ONE);
            if let Some(merit) = bad.filter(|_| !spared) {
                let parts = [seed.as_bytes().as_slice(), seat.key.as_bytes()];
                worst.push((merit, hash(Context::WeightOrder, &parts), seat));
            }
        }
        worst.sort_by_key(|(merit, tie, _)| (*merit, *tie));
        let stake_to = |at: usize| -> u128 {
            let stakes = worst[..=at].iter().map(|(.., s)| u128::from(s.stake));
            stakes.sum()
        };
        let fits = (0..worst.len()).take_while(|at| 5 * stake_to(*at) <= self.all);
        fits.map(|at| *worst[at].2.key.as_bytes()).collect()
    }

    fn rho(&self, seat: &Seat, demoted: bool) -> u32 {
        let before = u128::from(seat.rho);
        let Some(merit) = self.merit(seat) else {
            return seat.rho;
        };
        let mut rho = ONE;
        if demoted {
            rho = target(merit);
            rho = rho.max(before.saturating_sub(ONE / 10));
            rho = rho.min(before + ONE / 10).min(ONE);
        }
        if 2 * self.scores.healthy_rounds() < self.scores.scored_rounds() {
            rho = rho.max(before);
        }
        u32::try_from(rho).expect("at most one")
    }
}

/// `t`.
fn target(merit: u128) -> u128 {
    match 10 * merit {
        tenfold if tenfold >= 8 * ONE => ONE,
        tenfold if tenfold <= 4 * ONE => ONE / 2,
        tenfold => ONE / 2 + (tenfold - 4 * ONE) / 8,
    }
}
