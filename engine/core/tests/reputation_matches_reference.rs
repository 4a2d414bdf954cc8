//! Scores and schedules against the slow reference, on random DAGs with windows of a few rounds.
//!
//! `PROBITY_SEEDS=from..to cargo test --release -p probity-core --test reputation_matches_reference` runs other seeds.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use probity_core::testing::{
    AnswerCommit, Chance, Committed, Committer, RandomDag, ReferenceScores, ReferenceSums, Shape,
    committee_with, delivery, plain_commits, reference_answer, reference_scores, schedule_of,
};
use probity_core::{
    Block, Committee, Eligibility, FaultBounds, Mode, ReputationParams, Round, SlotOutcome,
    SlotStanding, Standing, ValidatorIndex,
};

mod seeds;

use seeds::check_seeds;

/// What a run of seeds has met, so that a generator gone dull fails the test.
#[derive(Default)]
struct Met([AtomicU64; 5]);

const MET: [&str; 5] = [
    "schedules",
    "schedules with leaders dropped",
    "commits under a schedule that was made",
    "slashed",
    "restarts under a schedule that was made",
];

#[test]
fn the_scores_are_those_of_the_reference() {
    let met = Met::default();
    let checked = check_seeds(0..1_500, |seed| check_seed(seed, &met));
    if checked >= 1_500 {
        for (name, count) in MET.iter().zip(&met.0) {
            let count = count.load(Relaxed);
            println!("{count} {name}");
            assert!(count >= 100, "{count} {name}");
        }
    }
}

/// A small committee of unequal weights that makes a schedule every few rounds.
fn draw_committee(chance: &mut Chance) -> Committee {
    let validators = 1 + chance.below(7);
    let heaviest = chance.pick(&[1, 1, 2, 4]);
    let weights: Vec<u64> = (0..validators)
        .map(|_| 1 + chance.below(heaviest))
        .collect();
    let total: u64 = weights.iter().sum();
    let byzantine = chance.below((total - 1) / 3 + 1);
    let crashed = chance.below((total - 1 - 3 * byzantine) / 2 + 1);
    let bounds = FaultBounds {
        mode: chance.pick(&[Mode::Graded, Mode::Graded, Mode::Classic]),
        byzantine,
        crashed,
    };
    let mut rounds = |from: u32, below: u64| from + u32::try_from(chance.below(below)).unwrap();
    let gc_depth = rounds(4, 8);
    let windows = ReputationParams {
        score_rounds: rounds(1, 8),
        slot_rounds: rounds(1, 12),
        schedule_rounds: rounds(1, 6),
        schedule_lead_rounds: rounds(1, 6),
    };
    committee_with(&weights, bounds, (gc_depth, windows))
}

fn check_seed(seed: u64, met: &Met) {
    let mut chance = Chance::new(seed);
    let committee = Arc::new(draw_committee(&mut chance));
    let rounds = 8 + u32::try_from(chance.below(24)).unwrap();
    let mut shape = Shape::with_committee(committee, rounds, &mut chance);
    shape.link_percent = chance.pick(&[50, 95, 100]);
    let dag = RandomDag::of(shape, &mut chance);
    let mut commits: Option<Vec<Committed>> = None;
    for observer in 0..2 {
        let noise = chance.pick(&[0, 10, 40, 200]);
        let arriving = delivery(&dag.blocks, noise, &mut chance);
        let mut committer = Committer::new(Arc::clone(&dag.shape.committee));
        let cut = chance.below(arriving.len() as u64 + 1);
        for (at, block) in (1..).zip(&arriving) {
            committer.insert(Arc::clone(block));
            if observer == 0 && at == cut {
                check(&committer, &dag, None);
            }
        }
        check(&committer, &dag, (observer == 0).then_some(met));
        check_restart(&dag, &arriving, (&mut chance, met), committer.commits());
        match &commits {
            None => commits = Some(committer.commits().to_vec()),
            Some(first) => assert_eq!(first, committer.commits(), "one output for one DAG"),
        }
    }
}

fn check(committer: &Committer, dag: &RandomDag, met: Option<&Met>) {
    let committee = &dag.shape.committee;
    let answer = reference_answer(committee, committer.accepted());
    assert_eq!(committer.decisions(), answer.decisions);
    let plain = |committed: &Committed| AnswerCommit {
        leader: committed.record.leader,
        blocks: committed.record.blocks.clone(),
        timestamp_ms: committed.record.timestamp_ms,
        skipped: committed.record.skipped.clone(),
        gc_round: committed.gc_round,
        schedule: committed.record.schedule,
    };
    let commits: Vec<AnswerCommit> = committer.commits().iter().map(plain).collect();
    assert_eq!(commits, answer.commits, "commits and schedules");
    let commits = plain_commits(&commits, committer.accepted());
    let scores = reference_scores(committee, &commits);
    for (committed, digest) in committer.commits().iter().zip(&scores.digests) {
        let record = &committed.record;
        assert_eq!(record.reputation, *digest, "commit {}", record.index);
    }
    check_explanations(committer, committee, &scores);
    let Some(Met(met)) = met else { return };
    let dropped = |s: &&probity_core::testing::ReferenceSchedule| s.pool.len() < committee.size();
    let made = committer.commits().iter();
    let made = made.filter(|commit| commit.record.schedule > 0).count();
    met[0].fetch_add(scores.schedules.len() as u64 - 1, Relaxed);
    met[1].fetch_add(
        scores.schedules.iter().filter(dropped).count() as u64,
        Relaxed,
    );
    met[2].fetch_add(made as u64, Relaxed);
    met[3].fetch_add(scores.slashed.len() as u64, Relaxed);
}

/// R31: what the explanation lists adds up to the score, and its sums are the reference's.
fn check_explanations(committer: &Committer, committee: &Committee, scores: &ReferenceScores) {
    for validator in committee.indices() {
        let standing = committer.reputation(validator).unwrap();
        assert_eq!(standing.score, scores.scores[validator.position()]);
        assert_eq!(standing.median, scores.median);
        assert_eq!(standing.slashed, scores.slashed.contains(&validator));
        assert_eq!(standing.weight, committee.weight(validator));
        check_leading(&standing, scores);
        let sums = scores.sums[validator.position()];
        let found = ReferenceSums {
            points: standing.points.into(),
            slots: standing.slots.into(),
            skipped: standing.skipped.into(),
            merit: standing.merit.into(),
        };
        assert_eq!(found, sums);
        assert_eq!(standing.scored_rounds, scores.scored_rounds);
        let share = sums.merit.checked_div(2 * u128::from(scores.scored_rounds));
        assert_eq!(standing.merit_share.map(u128::from), share);
        let points: u64 = standing.rounds.iter().map(|r| u64::from(r.points)).sum();
        assert_eq!(points, standing.points);
        assert_eq!(standing.slots_led.len(), standing.slots as usize);
        let skipped = |slot: &&SlotStanding| slot.outcome == SlotOutcome::Skipped;
        let skipped = standing.slots_led.iter().filter(skipped).count();
        assert_eq!(skipped, standing.skipped as usize);
        for pair in standing.rounds.windows(2) {
            assert_eq!(pair[0].round.next(), pair[1].round);
        }
    }
    let nobody = ValidatorIndex(u16::try_from(committee.size()).unwrap());
    assert_eq!(committer.reputation(nobody), None);
}

fn check_leading(standing: &Standing, scores: &ReferenceScores) {
    let in_force = schedule_of(&scores.schedules, Round(scores.scored_rounds + 3));
    let newest = scores.schedules.len() - 1;
    for (leading, number) in [(standing.in_force, in_force), (standing.newest, newest)] {
        let schedule = &scores.schedules[number];
        let found = (leading.schedule, leading.start);
        assert_eq!(found, (number as u64, schedule.start));
        let mut pool = schedule.pool.iter();
        let expected = match pool.any(|(leader, _)| *leader == standing.validator) {
            true => Eligibility::Eligible,
            false if standing.slashed => Eligibility::Slashed,
            false => Eligibility::LowScore,
        };
        assert_eq!(leading.eligibility, expected);
    }
}

/// R36: a validator that stops somewhere and starts again scores and orders as before.
fn check_restart(
    dag: &RandomDag,
    arriving: &[Arc<Block>],
    (chance, met): (&mut Chance, &Met),
    expected: &[Committed],
) {
    let stop = usize::try_from(chance.below(arriving.len() as u64 + 1)).unwrap();
    let committee = &dag.shape.committee;
    let mut before = Committer::new(Arc::clone(committee));
    arriving[..stop]
        .iter()
        .for_each(|block| before.insert(Arc::clone(block)));
    let Some(checkpoint) = before.checkpoint() else {
        return;
    };
    let done = before.commits().len();
    let gc_round = before.gc_round();
    let mut after = Committer::resume(Arc::clone(committee), checkpoint);
    for block in before.accepted().iter().chain(arriving) {
        if block.round() > gc_round {
            after.insert(Arc::clone(block));
        }
    }
    assert_eq!(
        after.commits(),
        &expected[done..],
        "a restart changes nothing"
    );
    let scheduled = |commit: &&Committed| commit.record.schedule > 0;
    let count = after.commits().iter().filter(scheduled).count();
    met.0[4].fetch_add(u64::from(count > 0), Relaxed);
}
