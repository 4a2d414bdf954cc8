use probity_core::{Path, Profile};

use crate::world::World;

#[test]
fn every_committee_size_and_profile_commits() {
    for profile in Profile::ALL {
        for validators in [1, 2, 3, 4, 7] {
            let mut world = World::new(1, validators, profile);
            world.run_for_ms(1_000);
            for (node, state) in world.nodes.iter().enumerate() {
                let sent: usize = state.commits.iter().map(|c| c.transactions().count()).sum();
                let expected = 5 * usize::from(validators);
                assert_eq!(sent, expected, "{profile} n={validators} node {node}");
            }
        }
    }
}

#[test]
fn a_calm_dual_cluster_commits_on_the_fast_path() {
    let mut world = World::new(7, 4, Profile::Dual30);
    world
        .nodes
        .iter_mut()
        .for_each(|node| node.payloads_left = 100);
    world.run_for_ms(2_000);
    let commits = &world.nodes[0].commits;
    let fast = commits
        .iter()
        .filter(|commit| commit.path == Some(Path::Fast))
        .count();
    assert!(
        fast * 10 >= commits.len() * 9,
        "{fast} of {}",
        commits.len()
    );
}

#[test]
fn one_crashed_validator_of_four_stops_nobody() {
    for profile in [
        Profile::Dual30,
        Profile::Classic33,
        Profile::Dual25,
        Profile::Dual20c,
    ] {
        let mut world = World::new(3, 4, profile);
        world.run_for_ms(300);
        world.crash(2);
        let before = world.commits();
        world.submit(0, 50);
        world.run_for_ms(3_000);
        let after = world.commits();
        assert!(
            after[0] > before[0] + 50 && after[1] > before[1] + 50,
            "{profile} {after:?}"
        );
    }
}

#[test]
fn a_restarted_validator_catches_up_from_far_behind() {
    let mut world = World::new(5, 4, Profile::Dual30);
    world.run_for_ms(300);
    world.crash(2);
    for _ in 0..4 {
        world.submit(0, 400);
        world.submit(1, 400);
        world.run_for_ms(1_500);
    }
    let behind = world.commits();
    assert!(behind[0] > behind[2] + 1_000, "{behind:?}");
    world.start(2);
    world.submit(0, 400);
    world.run_for_ms(4_000);
    let after = world.commits();
    assert!(
        after[2] + 20 > after[0],
        "{after:?} {:?}",
        world.nodes[2].replica.as_ref().map(|r| r.status())
    );
    world.submit(2, 3);
    let before = world.commits();
    world.run_for_ms(1_000);
    let own: usize = world.nodes[0].commits[before[0]..]
        .iter()
        .flat_map(|commit| commit.transactions().collect::<Vec<_>>())
        .filter(|tx| tx.starts_with(b"tx 2"))
        .count();
    assert_eq!(
        own, 3,
        "the returned validator's own transactions are ordered"
    );
}

#[test]
fn all_validators_lose_power_and_go_on() {
    for seed in 0..10 {
        let mut world = World::new(seed, 4, Profile::Dual30);
        world
            .nodes
            .iter_mut()
            .for_each(|node| node.payloads_left = 1_000);
        world.run_for_ms(200 + seed * 7);
        let before = world.commits();
        (0..4).for_each(|node| world.crash(node));
        (0..4).for_each(|node| world.start(node));
        world.run_for_ms(1_000);
        let after = world.commits();
        assert!(
            after.iter().zip(&before).all(|(a, b)| a > &(b + 10)),
            "{seed}: {before:?} {after:?}"
        );
    }
}

#[test]
fn loss_and_delay_cost_time_but_neither_safety_nor_liveness() {
    for seed in 0..10 {
        let mut world = World::new(seed, 4, Profile::Dual30);
        world.loss_percent = 20;
        world.delay_us = (1_000, 40_000);
        world
            .nodes
            .iter_mut()
            .for_each(|node| node.payloads_left = 50);
        world.run_for_ms(20_000);
        let commits = world.commits();
        assert!(
            commits.iter().all(|count| *count > 50),
            "seed {seed}: {commits:?}"
        );
    }
}

#[test]
fn a_healed_partition_goes_on() {
    for seed in 0..5 {
        let mut world = World::new(seed, 4, Profile::Dual30);
        world.run_for_ms(200);
        world.cut = vec![
            (0, 2),
            (2, 0),
            (0, 3),
            (3, 0),
            (1, 2),
            (2, 1),
            (1, 3),
            (3, 1),
        ];
        (0..4).for_each(|node| world.submit(node, 20));
        world.run_for_ms(5_000);
        let cut = world.commits();
        world.cut.clear();
        world.run_for_ms(8_000);
        let healed = world.commits();
        assert!(
            healed.iter().zip(&cut).all(|(a, b)| a > b),
            "seed {seed}: {cut:?} {healed:?}"
        );
        let sent: usize = world.nodes[0]
            .commits
            .iter()
            .map(|c| c.transactions().count())
            .sum();
        assert_eq!(sent, 100, "seed {seed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_sequence() {
    let run = || {
        let mut world = World::new(42, 4, Profile::Dual30);
        world.loss_percent = 10;
        world.run_for_ms(3_000);
        world.nodes[3]
            .commits
            .last()
            .map(|commit| (commit.index(), commit.digest))
    };
    assert_eq!(run(), run());
}
