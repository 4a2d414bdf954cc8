use super::*;
use crate::crypto::Keypair;
use crate::thresholds::Mode;

fn key(seed: u8) -> PublicKey {
    Keypair::from_seed(&[seed; 32]).public()
}

fn config(weights: &[u64]) -> CommitteeConfig {
    let members = weights.iter().zip(1u8..).map(|(w, s)| Member {
        key: key(s),
        weight: *w,
    });
    CommitteeConfig {
        epoch: 0,
        previous: Digest::ZERO,
        members: members.collect(),
        bounds: FaultBounds {
            mode: Mode::Graded,
            byzantine: 1,
            crashed: 0,
        },
        gc_depth: 64,
        reputation: ReputationParams::default(),
        epochs: EpochTerms::default(),
        check: "opaque/1".to_owned(),
    }
}

#[test]
fn stakes_are_normalised_by_largest_remainder() {
    assert_eq!(normalise(&[1, 1, 1]).unwrap(), [333_334, 333_333, 333_333]);
    assert_eq!(normalise(&[1, 2, 4]).unwrap(), [142_857, 285_714, 571_429]);
    assert_eq!(
        normalise(&[u64::MAX, u64::MAX]).unwrap(),
        [500_000, 500_000]
    );
    assert_eq!(normalise(&[7]).unwrap(), [1_000_000]);
    assert_eq!(
        normalise(&[u64::MAX, 1]),
        Err(CommitteeError::ZeroWeight { index: 1 })
    );
    assert_eq!(
        normalise(&[0, 0]),
        Err(CommitteeError::Size { validators: 0 })
    );
}

#[test]
fn impossible_committees_are_refused() {
    assert_eq!(
        Committee::new(config(&[])).unwrap_err(),
        CommitteeError::Size { validators: 0 }
    );
    let zero = Committee::new(config(&[4, 0])).unwrap_err();
    assert_eq!(zero, CommitteeError::ZeroWeight { index: 1 });
    let overflow = Committee::new(config(&[u64::MAX, 2])).unwrap_err();
    assert_eq!(overflow, CommitteeError::WeightOverflow);
    assert!(matches!(
        Committee::new(config(&[1, 1])),
        Err(CommitteeError::Thresholds(_))
    ));
    let mut twice = config(&[1, 1, 1, 1]);
    twice.members[3].key = twice.members[1].key;
    let twice = Committee::new(twice).unwrap_err();
    assert_eq!(
        twice,
        CommitteeError::DuplicateKey {
            first: 1,
            second: 3
        }
    );
    let shallow = CommitteeConfig {
        gc_depth: 2,
        ..config(&[1, 1, 1, 1])
    };
    assert!(matches!(
        Committee::new(shallow),
        Err(CommitteeError::GcDepth { .. })
    ));
    let endless = CommitteeConfig {
        reputation: ReputationParams {
            score_rounds: 0,
            ..ReputationParams::default()
        },
        ..config(&[1, 1, 1, 1])
    };
    let endless = Committee::new(endless).unwrap_err();
    assert_eq!(endless, CommitteeError::ReputationWindow);
}

#[test]
fn the_weight_of_a_set_is_the_sum_of_its_members() {
    let weights: Vec<u64> = (1..=20).collect();
    let committee = Committee::new(config(&weights)).unwrap();
    let mut set = AuthorSet::default();
    let mut tally = Tally::default();
    let mut sum = 0;
    for index in [0u16, 3, 7, 8, 9, 15, 16, 19] {
        for _ in 0..2 {
            set.insert(ValidatorIndex(index));
            tally.add(ValidatorIndex(index), &committee);
        }
        sum += u64::from(index) + 1;
        assert_eq!(committee.weight_of(&set), sum);
        assert_eq!(tally.weight(), sum);
    }
    assert_eq!(set.len(), 8);
}

/// R32: every field that decides validity changes the chain id.
#[test]
fn every_parameter_changes_the_chain_id() {
    let base = config(&[1, 1, 1, 1, 1]);
    let chain = |c: CommitteeConfig| *Committee::new(c).unwrap().chain();
    let mut other_key = base.clone();
    other_key.members[2].key = key(99);
    let mut other_weight = base.clone();
    other_weight.members[4].weight = 2;
    let mut swapped = base.clone();
    swapped.members.swap(0, 1);
    let classic = FaultBounds {
        mode: Mode::Classic,
        byzantine: 1,
        crashed: 0,
    };
    let fewer = FaultBounds {
        mode: Mode::Graded,
        byzantine: 0,
        crashed: 0,
    };
    let crash = FaultBounds {
        mode: Mode::Graded,
        byzantine: 0,
        crashed: 1,
    };
    let with_windows = |change: fn(&mut ReputationParams)| {
        let mut config = base.clone();
        change(&mut config.reputation);
        config
    };
    let variants = [
        base.clone(),
        other_key,
        other_weight,
        swapped,
        CommitteeConfig {
            epoch: 1,
            ..base.clone()
        },
        CommitteeConfig {
            previous: Digest([1; 32]),
            ..base.clone()
        },
        CommitteeConfig {
            bounds: classic,
            ..base.clone()
        },
        CommitteeConfig {
            bounds: fewer,
            ..base.clone()
        },
        CommitteeConfig {
            bounds: crash,
            ..base.clone()
        },
        CommitteeConfig {
            gc_depth: 63,
            ..base.clone()
        },
        CommitteeConfig {
            check: "opaque/2".to_owned(),
            ..base.clone()
        },
        with_windows(|windows| windows.score_rounds += 1),
        with_windows(|windows| windows.slot_rounds += 1),
        with_windows(|windows| windows.schedule_rounds += 1),
        with_windows(|windows| windows.schedule_lead_rounds += 1),
    ];
    let chains: std::collections::BTreeSet<Digest> = variants.into_iter().map(chain).collect();
    assert_eq!(chains.len(), 15);
}

#[test]
fn crashes_tolerated_counts_the_heaviest_first() {
    let equal = |n: u8, profile| {
        let stakes: Vec<_> = (0..n).map(|s| (key(s + 1), 1)).collect();
        Committee::from_stakes(&stakes, profile, "opaque/1")
            .unwrap()
            .crashes_tolerated()
    };
    assert_eq!(
        [1, 2, 3, 4, 7].map(|n| equal(n, Profile::Dual30)),
        [0, 0, 0, 1, 2]
    );
    assert_eq!([4, 5, 6].map(|n| equal(n, Profile::Fast20)), [0, 0, 1]);
}
