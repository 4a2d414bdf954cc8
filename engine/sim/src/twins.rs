//! Twins: one validator runs twice with one key, and a script says who hears whom in every round (arXiv 2004.10617).
//!
//! A split of a round puts every process on one of two sides; a frame passes if sender and receiver are on the same
//! side in the round that the sender is in. After the scripted rounds everything passes. Four validators with one twin
//! are five processes; the first one is always on the left, so a round has 2^4 splits, and four rounds have 65,536
//! scripts. Exchanging the two copies changes nothing, which removes almost half of them.

use probity_core::Profile;

use crate::plan::{
    ClientPlan, CommitteePlan, Delay, DiskPlan, EpochsPlan, NetworkPlan, Plan, Signatures, Sinner,
};
use crate::random::Random;

/// Splits of one round of five processes.
const SPLITS: u32 = 16;
/// Rounds that are scripted exhaustively.
pub const ROUNDS: u32 = 4;
/// Scripts before symmetry is removed.
pub const SCRIPTS: u32 = SPLITS.pow(ROUNDS);

/// The splits of script `number`, one a round: bit `p` set puts process `p` on the right.
fn splits(number: u32) -> Vec<u32> {
    let split = |round: u32| number / SPLITS.pow(round) % SPLITS;
    // Process 0 is on the left; bits 1 to 4 are the others, the copies last.
    (0..ROUNDS).map(|round| split(round) << 1).collect()
}

/// The same script with the copies exchanged.
fn exchanged(splits: &[u32]) -> Vec<u32> {
    let exchange = |split: &u32| {
        let (a, b) = (split >> 3 & 1, split >> 4 & 1);
        split & 0b0111 | b << 3 | a << 4
    };
    splits.iter().map(exchange).collect()
}

/// Every script of four rounds, one of each symmetric pair.
pub fn scripts() -> impl Iterator<Item = Vec<u32>> {
    (0..SCRIPTS)
        .map(splits)
        .filter(|script| *script <= exchanged(script))
}

/// A longer script, drawn.
#[must_use]
pub fn drawn(seed: u64, rounds: u32) -> Vec<u32> {
    let mut random = Random::new(seed);
    let mut split = |_| u32::try_from(random.below(u64::from(SPLITS))).expect("few") << 1;
    (0..rounds).map(&mut split).collect()
}

/// The run of a script: four validators of equal weight, the last one twice.
#[must_use]
pub fn plan(script: Vec<u32>, profile: Profile) -> Plan {
    Plan {
        seed: 1,
        scenario: "twins".to_owned(),
        faulty_ms: 40 * (script.len() as u64 + 1),
        over_the_limit: false,
        reference: false,
        script,
        committee: CommitteePlan {
            weights: vec![1; 4],
            profile: profile.name().to_owned(),
            byzantine: None,
            scores: None,
            leaders: None,
            slots_per_round: None,
            gc_depth: 16,
            signatures: Signatures::StandIn,
            min_round_delay_us: 5_000,
            idle_round_delay_us: 5_000,
            clock_skew_ms: Vec::new(),
        },
        network: NetworkPlan {
            delay: Delay::Range {
                least_us: 4_000,
                most_us: 6_000,
            },
            loss_ppm: 0,
            duplicate_ppm: 0,
            reorder_ppm: 0,
            corrupt_ppm: 0,
            bytes_per_second: 0,
        },
        disk: DiskPlan {
            least_us: 100,
            most_us: 200,
        },
        epochs: EpochsPlan::default(),
        clients: ClientPlan {
            every_ms: 20,
            burst: 1,
            bytes: 16,
            duplicate_ppm: 0,
            oversized_ppm: 0,
            answer_us: 0,
            only: None,
        },
        sinners: vec![Sinner {
            validator: 3,
            sin: "twin".to_owned(),
        }],
        faults: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use probity_core::Profile;

    use super::{SCRIPTS, drawn, exchanged, plan, scripts, splits};
    use crate::run::run;

    #[test]
    fn symmetry_removes_one_of_each_pair() {
        let kept: Vec<Vec<u32>> = scripts().collect();
        let fixed = (0..SCRIPTS)
            .map(splits)
            .filter(|script| *script == exchanged(script))
            .count();
        // Pairs and scripts that are their own mirror image.
        assert_eq!(2 * kept.len() - fixed, SCRIPTS as usize);
        assert!(scripts().all(|script| exchanged(&exchanged(&script)) == script));
    }

    #[test]
    fn some_scripts_of_each_length_agree() {
        let every = scripts().step_by(331);
        let longer = (0..20).map(|seed| drawn(seed, 9));
        for (at, script) in every.chain(longer).enumerate() {
            let profile = [Profile::Dual30, Profile::Classic33][at % 2];
            let report = run(plan(script.clone(), profile)).expect("the plan is sound");
            let violation = report.violation;
            assert!(
                violation.is_none(),
                "script {script:?}, {profile}: {violation:?}"
            );
            assert!(
                report.commits > 0,
                "script {script:?}: nothing was committed"
            );
        }
    }
}
