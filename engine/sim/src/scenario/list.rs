//! The scenarios: one for each sin, and one for each kind of trouble.

use super::Scenario;
use super::change::{
    calm, catch_up, clocks, crashes, far_behind, fast_path, fast_rounds, gc_poison, heavy,
    isolated, lossy, over_the_limit, partitions, power_loss, slow_disk, split_votes, stolen_key,
    tiny, troubled, unheard_and_full, wan, weights,
};
use super::epochs::{epochs, epochs_calm, membership, swarm};
use super::standing::{amplified, coalition, flaky, sleepers, slow_lane};

/// A scenario for one sin: whatever else goes wrong, every sinner commits this one.
macro_rules! sin {
    ($sin:literal) => {
        Scenario {
            name: concat!("sin-", $sin),
            about: concat!("every sinner is of the kind ", $sin),
            sins: &[$sin],
            change: |_, _| {},
        }
    };
}

/// Every scenario; the first one is the default.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "swarm",
        about: "a few troubles of any kind at a time, one run in four with short epochs",
        sins: &[],
        change: swarm,
    },
    Scenario {
        name: "calm",
        about: "nothing goes wrong, nobody sins",
        sins: &[],
        change: calm,
    },
    Scenario {
        name: "fast-path",
        about: "calm, in dual mode: every leader commits at two delays",
        sins: &[],
        change: fast_path,
    },
    Scenario {
        name: "epochs",
        about: "epochs of a few seconds that end amid any trouble",
        sins: &[],
        change: epochs,
    },
    Scenario {
        name: "epochs-calm",
        about: "epochs of a few seconds, and nothing goes wrong",
        sins: &[],
        change: epochs_calm,
    },
    Scenario {
        name: "membership",
        about: "epochs at whose ends validators join, leave and change their stake, amid any trouble",
        sins: &[],
        change: membership,
    },
    Scenario {
        name: "partitions",
        about: "splits, silent or not, flapping ones, rings and one-way links, all the time",
        sins: &[],
        change: partitions,
    },
    Scenario {
        name: "crashes",
        about: "crashes at every boundary between a header and its arrival, and failing writes",
        sins: &[],
        change: crashes,
    },
    Scenario {
        name: "power-loss",
        about: "all processes die at once, again and again, while the disks are slow",
        sins: &[],
        change: power_loss,
    },
    Scenario {
        name: "slow-disk",
        about: "synced writes take up to half a second",
        sins: &[],
        change: slow_disk,
    },
    Scenario {
        name: "clocks",
        about: "wall clocks are hours apart and jump, and some lie",
        sins: &["clock-liar"],
        change: clocks,
    },
    Scenario {
        name: "lossy",
        about: "frames are lost, repeated, reordered and flipped, in storms and without",
        sins: &[],
        change: lossy,
    },
    Scenario {
        name: "wan",
        about: "validators all over the world",
        sins: &[],
        change: wan,
    },
    Scenario {
        name: "tiny",
        about: "one, two or three validators",
        sins: &[],
        change: tiny,
    },
    Scenario {
        name: "weights",
        about: "a few validators weigh far more than the others; sometimes one more than a quorum",
        sins: &[],
        change: weights,
    },
    Scenario {
        name: "split-votes",
        about: "small weights, equal delays, equivocating leaders and double voters: votes at the thresholds",
        sins: &["equivocator", "double-voter", "selective-sender", "mutator"],
        change: split_votes,
    },
    Scenario {
        name: "gc-poison",
        about: "a gc depth of 4 to 6, and invented parents where one validator has collected and another has not",
        sins: &[
            "collected-poisoner",
            "collected-poisoner",
            "invented-parents",
        ],
        change: gc_poison,
    },
    Scenario {
        name: "isolated",
        about: "one validator is heard by nobody, or hears nobody, for many gc depths, among poison",
        sins: &["collected-poisoner", "withholder", "fetch-liar"],
        change: isolated,
    },
    Scenario {
        name: "far-behind",
        about: "one validator is gone for most of the run",
        sins: &[],
        change: far_behind,
    },
    Scenario {
        name: "catch-up",
        about: "one or two validators return after thousands of commits, among liars",
        sins: &[
            "catch-up-liar",
            "catch-up-liar",
            "catch-up-liar",
            "withholder",
            "fetch-liar",
        ],
        change: catch_up,
    },
    Scenario {
        name: "troubled",
        about: "ten validators: one crashed all the time, one five times as slow as the others, one equivocating",
        sins: &["equivocator"],
        change: troubled,
    },
    Scenario {
        name: "fast-rounds",
        about: "one validator is gone for most of the run, while the others make hundreds of rounds a second",
        sins: &[],
        change: fast_rounds,
    },
    Scenario {
        name: "stolen-key",
        about: "somebody else signs with a validator's key, and the validator is shown it",
        sins: &[],
        change: stolen_key,
    },
    Scenario {
        name: "unheard-and-full",
        about: "all transactions come to one validator, and its blocks to nobody",
        sins: &[],
        change: unheard_and_full,
    },
    Scenario {
        name: "griefing",
        about: "a coalition starves one victim, while all that follow the rules are in time",
        sins: &["griefer"],
        change: coalition,
    },
    Scenario {
        name: "boosting",
        about: "a coalition votes for its own leaders, while all that follow the rules are in time",
        sins: &["booster"],
        change: coalition,
    },
    Scenario {
        name: "sleepers",
        about: "a coalition earns a good score first, and then withholds or equivocates",
        sins: &["sleeper"],
        change: sleepers,
    },
    Scenario {
        name: "flaky",
        about: "validators of weight f come and go, the others are in time: a promise is known to break (docs/testing.md)",
        sins: &[],
        change: flaky,
    },
    Scenario {
        name: "slow-lane",
        about: "validators of weight f are five times as slow as the others",
        sins: &[],
        change: slow_lane,
    },
    Scenario {
        name: "amplified",
        about: "a coalition over many epochs, while correct validators of a fifth of the stake are slow or down",
        sins: &[],
        change: amplified,
    },
    Scenario {
        name: "over-the-limit",
        about: "twins and equivocators of more weight than f: some seed must break a promise",
        sins: &[],
        change: over_the_limit,
    },
    sin!("equivocator"),
    sin!("selective-sender"),
    sin!("withholder"),
    sin!("double-voter"),
    sin!("late-proposer"),
    sin!("parent-picker"),
    sin!("far-future"),
    sin!("invented-parents"),
    sin!("collected-poisoner"),
    sin!("invalid-payload"),
    sin!("garbler"),
    sin!("vote-liar"),
    sin!("replayer"),
    sin!("mutator"),
    sin!("twin"),
    sin!("fetch-flooder"),
    sin!("fetch-liar"),
    sin!("catch-up-liar"),
    sin!("evidence-spammer"),
    sin!("clock-liar"),
    sin!("griefer"),
    sin!("booster"),
    sin!("sleeper"),
    Scenario {
        name: "sin-fat-equivocator",
        about: "every sinner is of the kind fat-equivocator, and frames have room",
        sins: &["fat-equivocator"],
        change: heavy,
    },
    Scenario {
        name: "sin-hoarder",
        about: "every sinner is of the kind hoarder, and frames have room",
        sins: &["hoarder"],
        change: heavy,
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::SCENARIOS;
    use crate::adversary::{SINS, named};

    #[test]
    fn every_sin_has_a_scenario_and_every_name_is_one() {
        let names: BTreeSet<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), SCENARIOS.len());
        for sin in SINS {
            assert!(
                names.contains(format!("sin-{}", sin.name).as_str()),
                "{}",
                sin.name
            );
        }
        let sins = SCENARIOS.iter().flat_map(|scenario| scenario.sins);
        assert!(sins.copied().all(|sin| named(sin).is_some()));
    }
}
