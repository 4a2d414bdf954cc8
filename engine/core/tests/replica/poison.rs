//! Invented parents at the gc round, shown to the one validator that is a commit ahead (R6, grounding).

use std::sync::Arc;

use probity_core::crypto::Digest;
use probity_core::testing::slots;
use probity_core::{Block, BlockRef, Committee, Mode, Round, ValidatorIndex};

use crate::draw::{block, equal, genesis};
use crate::lab::Lab;

/// The validator that will be a commit ahead.
const A: u16 = 0;
/// The two others.
const B: u16 = 1;
const C: u16 = 2;
/// The Byzantine one.
const Z: u16 = 3;

struct Poison {
    committee: Arc<Committee>,
    lab: Lab,
    /// The primary of this round is the leader that A alone commits.
    lead: u32,
    /// The Byzantine author's newest block.
    newest: BlockRef,
}

impl Poison {
    /// All four go along until they proposed in `lead`.
    fn start(gc_depth: u32) -> Self {
        let committee = equal(4, Mode::Graded, gc_depth);
        let honest_leads = |round: &u32| slots(&committee, Round(*round))[0] != ValidatorIndex(Z);
        let lead = (gc_depth + 3..).find(honest_leads).unwrap();
        let mut poison = Self {
            lab: Lab::new(&committee, 3, &[]),
            newest: genesis(&committee)[usize::from(Z)],
            committee,
            lead,
        };
        for round in 1..=lead {
            poison.lab.run_to(&(A..Z), round);
            let below = match round {
                1 => genesis(&poison.committee)[..3].to_vec(),
                _ => poison.lab.round(A..Z, round - 1),
            };
            let own = poison.make(round, below);
            poison.lab.play(&own, A..Z);
        }
        poison
    }

    /// The Byzantine author's next block.
    fn make(&mut self, round: u32, others: Vec<BlockRef>) -> Arc<Block> {
        let parents: Vec<_> = others.into_iter().chain([self.newest]).collect();
        let block = block(&self.committee, (round, Z), &parents);
        self.newest = block.reference();
        block
    }

    fn gc_round(&self, node: u16) -> Round {
        self.lab.hand(node).status().gc_round
    }

    /// Makes the leader certified in the blocks of A and B, in C's not, and in one more that only A gets: A commits it,
    /// and the others cannot until A's next block shows it to them.
    fn put_one_ahead(&mut self) {
        let lead = self.lead;
        // C hears of B and of a block that leaves the leader out, and in time not of A.
        self.lab.stopped.insert((A, C));
        self.lab.run_to(&(A..Z), lead + 1);
        let primary = slots(&self.committee, Round(lead))[0];
        let mut below = self.lab.round(A..Z, lead);
        below.retain(|block| block.author != primary);
        let blames = self.make(lead + 1, below);
        self.lab.play(&blames, [C]);
        self.lab.stopped.insert((B, C));
        self.lab.run_to(&(A..Z), lead + 2);
        self.lab.release();
        let without_a = self.lab.own(C, lead + 2).unwrap();
        assert!(
            !without_a
                .parents()
                .contains(&self.lab.round([A], lead + 1)[0])
        );
        // Everybody proposes once more before anybody hears the others.
        for from in A..Z {
            self.lab.stopped.extend((A..Z).map(|to| (from, to)));
        }
        self.lab.run_to(&(A..Z), lead + 3);
        let stuck = [A, B, C].map(|node| self.gc_round(node));
        assert_eq!(stuck, [Round(lead - 1).minus(self.committee.gc_depth()); 3]);
        let below = self.lab.round(A..Z, lead + 1);
        let certifies = self.make(lead + 2, below);
        self.lab.play(&certifies, [A]);
        assert!(self.gc_round(A) > stuck[0], "A is a commit ahead");
        assert_eq!([B, C].map(|node| self.gc_round(node)), stuck[1..]);
    }
}

/// A accepts the poisoned block, for its invented parent is collected there. The others cannot accept it, nor any block
/// that has it in its history, before they commit what A committed, and for that they need A's blocks. If A linked it,
/// four validators would stand still for good, with one Byzantine among them.
#[test]
fn a_block_with_an_invented_parent_at_the_gc_round_is_not_linked_and_halts_nobody() {
    for gc_depth in 4..=6 {
        let mut poison = Poison::start(gc_depth);
        poison.put_one_ahead();
        let lead = poison.lead;
        let invented = BlockRef {
            round: poison.gc_round(A),
            author: ValidatorIndex(Z),
            digest: Digest([13; 32]),
        };
        let mut parents = poison.lab.round(A..Z, lead + 2);
        parents.push(invented);
        let poisoned = block(&poison.committee, (lead + 3, Z), &parents);
        let before = poison.lab.hand(A).status().accepted_blocks;
        poison.lab.play(&poisoned, [A]);
        let after = poison.lab.hand(A).status().accepted_blocks;
        assert_eq!(after, before + 1, "R5: A accepts it");
        let before = poison.lab.agreed();
        poison.lab.release();
        poison.lab.play(&poisoned, [B, C]);

        poison.lab.run_to(&(A..Z), lead + 6 * gc_depth);
        assert!(poison.lab.agreed() > before + 40, "all keep committing");
        for hand in &poison.lab.hands {
            let mut linked = hand.own.iter().flat_map(|own| own.parents());
            assert!(!linked.any(|parent| *parent == poisoned.reference()));
        }
    }
}
