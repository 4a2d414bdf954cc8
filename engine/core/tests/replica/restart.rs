//! A restart keeps the own blocks whose end is not known (R13, R24, R36).

use probity_core::limits::OWN_PAYLOAD_BYTES_MAX;
use probity_core::{Mode, Outcome, PayloadRoom, Round};

use crate::draw::{big, equal, genesis, refs, row};
use crate::hand::{Hand, Takes};

const GC_DEPTH: u32 = 32;
const PAYLOADS: u32 = 9;

/// Others' committed blocks stand in the rounds of own blocks that nobody links. If they took the own ones' place, the
/// application would never hear that its payload is to be submitted again, or the brake would hold forever.
#[test]
fn own_open_blocks_outlive_a_restart_beside_committed_blocks_of_their_round() {
    let committee = equal(4, Mode::Graded, GC_DEPTH);
    let mut hand = Hand::new(&committee, 0, Takes::Nothing);
    hand.payloads = (1..=9).map(big).collect();
    let bytes: usize = hand.payloads.iter().map(|p| p.bytes().len()).sum();
    assert!(bytes > OWN_PAYLOAD_BYTES_MAX, "the brake takes hold");
    let (round, room) = hand.wanted[0];
    hand.takes = Takes::All;
    hand.answer(round, room);

    let mut below = genesis(&committee);
    for round in 1..=GC_DEPTH + PAYLOADS + 6 {
        if round == PAYLOADS + 4 {
            assert_eq!(hand.payloads.len(), 0, "all payloads are proposed");
            assert_eq!(hand.wanted.last().unwrap().1, PayloadRoom::Closed, "R13");
            assert_eq!(hand.status().gc_round, Round(0), "nothing is collected yet");
            assert!(hand.status().last_leader >= Round(PAYLOADS));
            hand.restart();
        }
        let others = row(&committee, round, 1..4, &below);
        others.iter().for_each(|block| hand.take(block));
        hand.wait_us(2_000);
        below = refs(&others);
    }
    assert!(hand.status().gc_round >= Round(PAYLOADS));
    assert_eq!(hand.wanted.last().unwrap().1, PayloadRoom::Open, "R13");
    for round in (1..=PAYLOADS).map(Round) {
        let ends: Vec<_> = hand
            .outcomes
            .iter()
            .filter(|(of, _)| *of == round)
            .collect();
        assert_eq!(ends, [&(round, Outcome::Collected)], "R24");
    }
}
