use bytes::Bytes;

use super::*;
use crate::block::EquivocationProof;
use crate::crypto::Signature;
use crate::id::ValidatorIndex;
use crate::reputation::rounds::ScoredRound;
use crate::reputation::slots::SlotOutcomes;
use crate::testing::{Committer, DagText, committee, committee_with};
use crate::thresholds::{FaultBounds, Mode};

const FULL: Mark = Mark {
    seen: 4,
    vote: ONE,
    prop: ONE,
    fast: ONE,
};

fn equal(validators: usize, byzantine: u64, params: ReputationParams) -> Arc<Committee> {
    let bounds = FaultBounds {
        mode: Mode::Graded,
        byzantine,
        crashed: 0,
    };
    Arc::new(committee_with(&vec![1; validators], bounds, (8, params)))
}

/// The committer after all blocks of a drawing.
fn run(drawing: &str) -> Committer {
    let dag = DagText::parse(drawing).unwrap();
    let mut committer = Committer::new(Arc::clone(&dag.committee));
    for block in &dag.blocks {
        committer.insert(Arc::clone(block));
    }
    committer
}

fn marks(committer: &Committer, validator: u16) -> Vec<(u32, Mark)> {
    let standing = committer.reputation(ValidatorIndex(validator)).unwrap();
    let marks = standing.rounds.iter();
    marks.map(|round| (round.round.0, round.mark)).collect()
}

fn leads(standing: &Standing) -> bool {
    standing.newest.eligibility == Eligibility::Eligible
}

const FOUR: &str = "weights 1 1 1 1\nfaults f=1 c=0\nmode graded\ngc 8\n";
const TO_ROUND_8: &str = "4: *\n5: *\n6: *\n7: *\n8: *\n";

/// n = 4, f = 1: Q - f = 2 and F - w = 3. All four slots of round 1 are committed.
#[test]
fn the_marks_of_a_drawn_dag_are_those_worked_out_by_hand() {
    let rows = "1: *\n2: A C <- A B C\n2: B <- B C D\n2: D <- all\n3: *\n";
    let committer = run(&[FOUR, rows, TO_ROUND_8].concat());
    let mark = |seen, vote, fast| Mark {
        seen,
        vote,
        prop: ONE,
        fast,
    };
    let two_thirds = 699_050;
    let three_quarters = 786_432;
    // By round: round 1 has no leaders below; A1 is linked by A, C and D, D1 by B and D.
    let expected = [
        [mark(3, ONE, two_thirds), mark(4, three_quarters, ONE)],
        [mark(4, ONE, ONE), mark(4, three_quarters, ONE)],
        [mark(4, ONE, ONE), mark(4, three_quarters, ONE)],
        [mark(2, ONE, 349_525), mark(4, ONE, ONE)],
    ];
    for (validator, expected) in (0..).zip(expected) {
        let found = marks(&committer, validator);
        assert_eq!(found[0], (1, expected[0]), "{validator} in round 1");
        assert_eq!(found[1], (2, expected[1]), "{validator} in round 2");
        assert!(found[2..].iter().all(|(_, mark)| *mark == FULL));
        let standing = committer.reputation(ValidatorIndex(validator)).unwrap();
        let merit = expected.iter().map(Mark::merit).sum::<u64>();
        let rest = u64::from(standing.scored_rounds - 2) * 2 * u64::from(ONE);
        assert_eq!(standing.merit, merit + rest);
        let full = u64::from(standing.scored_rounds) * 2 * u64::from(ONE);
        let share = u64::from(standing.merit_share.unwrap());
        assert_eq!(share, standing.merit * u64::from(ONE) / full);
    }
    let standing = committer.reputation(ValidatorIndex(0)).unwrap();
    assert_eq!(standing.rounds[0].points, two_thirds);
    // ONE * (ONE + 3/4 ONE) / (2 * ONE)
    assert_eq!(standing.rounds[1].points, 917_504);
    assert_eq!(standing.slots, standing.scored_rounds);
    assert_eq!(standing.skipped, 0);
}

/// A round is scored from what is committed when the leaders are three rounds further, and never again.
#[test]
fn a_block_that_comes_after_its_round_is_scored_earns_nothing() {
    let rows = "1: A B C D\n2: A B C <- A B C\n3: A B C <- A B C\n4: A B C <- A B C\n";
    let more = "5: A B C <- A B C\n6: A <- A B C D1\n6: B C <- all\n7: A B C <- all\n8: A B C <- all\n9: A B C <- all\n";
    let committer = run(&[FOUR, rows, more].concat());
    let commits = committer.commits().iter();
    let late = commits
        .flat_map(|commit| &commit.record.blocks)
        .any(|(block, _)| block.round == Round(1) && block.author == ValidatorIndex(3));
    assert!(late, "D1 is committed in the end");
    let standing = committer.reputation(ValidatorIndex(3)).unwrap();
    assert!(standing.scored_rounds >= 3);
    assert!(standing.rounds.iter().all(|r| r.mark == Mark::default()));
    assert_eq!((standing.score, standing.merit), (0, 0));
    assert_eq!(standing.skipped, standing.slots);
    assert!(!standing.slashed);
}

#[test]
fn two_committed_blocks_in_a_slot_earn_nothing_and_slash() {
    let rows = "1: *\n2: A B C D D'\n3: A B <- all\n3: C <- A B C D'\n3: D <- all\n";
    let committer = run(&[FOUR, rows, TO_ROUND_8].concat());
    let found = marks(&committer, 3);
    assert_eq!(found[0].1, FULL);
    assert_eq!(found[1].1, Mark::default());
    assert_eq!(found[2].1, FULL);
    let slashed = |v| committer.reputation(ValidatorIndex(v)).unwrap().slashed;
    assert_eq!([0, 1, 2, 3].map(slashed), [false, false, false, true]);
}

#[test]
fn committed_evidence_slashes_from_its_commit_on() {
    let committee = equal(4, 1, ReputationParams::default());
    let mut reputation = Reputation::new(Arc::clone(&committee));
    let before = reputation.digest();
    let dag = DagText::parse(&[FOUR, "1: *\n"].concat()).unwrap();
    let block = dag.block("A1").unwrap();
    let mut header = block.header().clone();
    let side = |byte| (Digest([byte; 32]), Signature([byte; 64]));
    let slot = Slot {
        round: Round(7),
        author: ValidatorIndex(2),
    };
    header.evidence = vec![EquivocationProof::new(slot, side(1), side(2)).unwrap()];
    let blocks = [(block.reference(), &header)];
    reputation.handle_commit(Scored {
        leader: block.reference(),
        skipped: &[],
        blocks: blocks.into_iter(),
    });
    assert!(reputation.standing(ValidatorIndex(2)).unwrap().slashed);
    assert_ne!(reputation.digest(), before, "the record shows it");
}

/// R26: who is never linked by a minority keeps every point that its voting weight is to depend on, and leads on.
#[test]
fn a_minority_that_never_links_a_victim_cannot_demote_it() {
    // C is Byzantine and leaves D out; everybody else links everybody.
    let rows: String = (2..=12)
        .map(|round| format!("{round}: A B D <- all\n{round}: C <- A B C\n"))
        .collect();
    let windows = "windows 512 4096 4 3\n1: *\n";
    let committer = run(&[FOUR, windows, &rows].concat());
    let standing = |v| committer.reputation(ValidatorIndex(v)).unwrap();
    let victim = standing(3);
    assert!(victim.scored_rounds >= 7);
    assert!(victim.rounds.iter().all(|r| r.mark.prop == ONE));
    assert_eq!(
        victim.merit,
        2 * u64::from(ONE) * u64::from(victim.scored_rounds)
    );
    assert!(victim.newest.schedule > 0 && leads(&victim));
    // Its points for the fast path suffer: 2 of 3 others. The griefer pays with its votes: 3 of 4 leaders linked.
    assert!(victim.rounds.iter().all(|r| r.points == 699_050));
    assert!(standing(2).merit < victim.merit);
}

/// R31: the schedule in force is not the newest one until its start, and says by itself why somebody leads no slot.
#[test]
fn a_standing_tells_the_schedule_in_force_from_the_newest() {
    let windows = "windows 4 4 4 8\n";
    let rows: String = (1..=9).map(|round| format!("{round}: A B C\n")).collect();
    let drawing = [FOUR, windows, &rows].concat();
    let standing = |drawing: &str| run(drawing).reputation(ValidatorIndex(3)).unwrap();
    let before = standing(&drawing);
    assert_eq!((before.in_force.schedule, before.newest.schedule), (0, 1));
    assert_eq!(before.in_force.eligibility, Eligibility::Eligible);
    assert_eq!(before.newest.eligibility, Eligibility::LowScore);
    let rows: String = (10..=18).map(|round| format!("{round}: A B C\n")).collect();
    let after = standing(&[drawing, rows].concat());
    assert!(after.in_force.schedule >= 1 && after.in_force.start <= Round(after.scored_rounds + 3));
    assert_eq!(after.in_force.eligibility, Eligibility::LowScore);
    assert_eq!((after.score, after.merit_share), (0, Some(0)));
    assert!(after.median > 0);
    assert_eq!((after.weight, after.rho), (1, ONE));
}

#[test]
fn before_a_round_is_scored_there_is_no_merit() {
    let standing = run(&[FOUR, "1: *\n"].concat()).reputation(ValidatorIndex(0));
    let standing = standing.unwrap();
    assert_eq!((standing.merit_share, standing.scored_rounds), (None, 0));
    assert_eq!(standing.in_force, standing.newest);
}

fn scored(committed: &[u16], skipped: &[u16], fast: u32) -> ScoredRound {
    let mut slots = SlotOutcomes::default();
    for author in committed {
        slots.committed.insert(ValidatorIndex(*author));
    }
    for author in skipped {
        slots.skipped.insert(ValidatorIndex(*author));
    }
    let mark = Mark { fast, ..FULL };
    ScoredRound {
        marks: vec![mark; 4],
        slots,
    }
}

/// R27 with windows of 2 and 8 rounds.
#[test]
fn scores_add_up_the_last_rounds_and_are_quartered_by_skipped_slots() {
    let params = ReputationParams {
        score_rounds: 2,
        slot_rounds: 8,
        ..ReputationParams::default()
    };
    let committee = equal(4, 1, params);
    let mut table = Table::new(&committee);
    for fast in [1000, 200, 30] {
        table.add(&scored(&[0, 1, 2], &[], fast), &committee);
    }
    // The first round has left; vote is ONE, so points are fast.
    assert_eq!(table.scores(), [230; 4]);
    // One of 8 slots skipped is not more than an eighth, two are.
    for _ in 0..4 {
        table.add(&scored(&[0, 1], &[], 1000), &committee);
    }
    table.add(&scored(&[0], &[1], 1000), &committee);
    assert_eq!(table.sums(ValidatorIndex(1)).slots, 8);
    assert_eq!(table.scores(), [2000; 4]);
    table.add(&scored(&[0], &[1, 3], 1001), &committee);
    // Validator 2 led 2 slots of the last 8 rounds, 3 led one, which was skipped.
    assert_eq!(table.scores(), [2001, 500, 2001, 500]);
    assert_eq!(table.sums(ValidatorIndex(2)).slots, 2);
    // Eight rounds later nothing is left of it.
    for _ in 0..8 {
        table.add(&scored(&[0, 1], &[], 7), &committee);
    }
    assert_eq!(table.scores(), [14; 4]);
    let sums = *table.sums(ValidatorIndex(3));
    let mut again = table.clone();
    again.add_up();
    assert_eq!(*again.sums(ValidatorIndex(3)), sums);
    assert_eq!(again, table);
}

/// R30's measure: 10 * sum(w * prop) >= 6 * W * ONE.
#[test]
fn a_round_is_healthy_when_six_tenths_of_the_weight_were_seen() {
    let bounds = FaultBounds {
        mode: Mode::Graded,
        byzantine: 3,
        crashed: 0,
    };
    let committee = committee(&[4, 3, 2, 1], bounds, 8);
    let healthy = |props: [u32; 4]| {
        let mut table = Table::new(&committee);
        let mark = |prop| Mark { prop, ..FULL };
        table.add(
            &ScoredRound {
                marks: props.map(mark).to_vec(),
                slots: SlotOutcomes::default(),
            },
            &committee,
        );
        table.healthy == 1
    };
    assert!(healthy([ONE, 0, ONE, 0]));
    assert!(!healthy([ONE, 0, ONE - 1, 0]));
}

fn commit(reputation: &mut Reputation, round: u32) -> Leadership {
    let leader = BlockRef {
        round: Round(round),
        author: ValidatorIndex(0),
        digest: Digest::ZERO,
    };
    reputation.handle_commit(Scored {
        leader,
        skipped: &[],
        blocks: std::iter::empty(),
    })
}

/// R29 with the protocol's windows.
#[test]
fn schedules_are_made_from_each_multiple_of_128_and_hold_11_rounds_later() {
    let mut reputation = Reputation::new(equal(4, 1, ReputationParams::default()));
    let mut made = Vec::new();
    for round in [
        1, 127, 127, 130, 131, 255, 256, 257, 300, 700, 701, 767, 768,
    ] {
        if commit(&mut reputation, round) == Leadership::Scheduled {
            let newest = reputation.schedules().newest();
            made.push((round, newest.id(), newest.start().0));
        }
    }
    let expected = [
        (130, 1, 141),
        (256, 2, 267),
        (300 + 400, 3, 711),
        (768, 4, 779),
    ];
    assert_eq!(made, expected);
    let in_force = |round| reputation.schedules().of(Round(round)).id();
    assert_eq!([768, 778, 779, 9_999].map(in_force), [3, 3, 4, 4]);
}

/// R28: no score yet, everybody leads; the keys are those of the epoch's start.
#[test]
fn a_schedule_without_scores_is_the_first_one() {
    let mut reputation = Reputation::new(equal(4, 1, ReputationParams::default()));
    commit(&mut reputation, 128);
    let schedules = reputation.schedules();
    assert_eq!(schedules.newest().id(), 1);
    let (first, newest) = (schedules.of(Round(130)), schedules.newest());
    assert_eq!(first.id(), 0);
    assert_eq!(first.slots(Round(500)), newest.slots(Round(500)));
}

#[test]
fn a_snapshot_is_read_back_as_it_was_or_not_at_all() {
    let rows = "1: *\n2: A B C D D'\n3: A B <- all\n3: C <- A B C D'\n3: D <- all\n";
    let windows = "windows 3 4 4 3\n";
    let drawing = [FOUR, windows, rows, TO_ROUND_8].concat();
    let dag = DagText::parse(&drawing).unwrap();
    let mut reputation = Reputation::new(Arc::clone(&dag.committee));
    let committer = run(&drawing);
    for committed in committer.commits() {
        let header = |of: &BlockRef| {
            let block = dag.blocks.iter().find(|b| b.reference() == *of);
            block.unwrap().header()
        };
        let record = &committed.record;
        let blocks = record.blocks.iter().map(|(of, _)| (*of, header(of)));
        reputation.handle_commit(Scored {
            leader: record.leader,
            skipped: &record.skipped,
            blocks,
        });
        assert!(reputation.matches(record));
        let bytes = reputation.encode(record.index);
        let (index, restored) = Reputation::restore(&bytes, &dag.committee).unwrap();
        assert_eq!(index, record.index);
        assert_eq!(restored.encode(index), bytes);
        assert_eq!(restored.digest(), reputation.digest());
        for validator in dag.committee.indices() {
            assert_eq!(restored.standing(validator), reputation.standing(validator));
        }
    }
    let bytes = reputation.encode(CommitIndex(1));
    for length in 0..bytes.len() {
        let cut = bytes.slice(..length);
        assert!(Reputation::restore(&cut, &dag.committee).is_err());
    }
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 1 << bit;
            let flipped = Bytes::from(flipped);
            if let Ok((index, other)) = Reputation::restore(&flipped, &dag.committee) {
                assert_eq!(other.encode(index), flipped, "one spelling");
            }
        }
    }
}
