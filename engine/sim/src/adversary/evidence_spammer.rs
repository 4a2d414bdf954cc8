//! Accuses in every block: itself truly, in many slots, and others falsely (R12). Also shows its own crimes to
//! everybody, slot after slot.

use std::sync::Arc;

use probity_core::block::EquivocationProof;
use probity_core::crypto::Signature;
use probity_core::limits::EVIDENCE_MAX;
use probity_core::{Block, Header, Payload, Round, Slot, ValidatorIndex};

use super::hands::noise;
use super::{Hands, Sin};
use crate::random::Random;

struct EvidenceSpammer {
    random: Random,
    ppm: u64,
    slots_a_wake: u64,
}

pub(super) fn make(mut random: Random) -> Box<dyn Sin> {
    let ppm = *random.pick(&[1_000_000, 200_000]);
    let slots_a_wake = *random.pick(&[0, 2, 10]);
    Box::new(EvidenceSpammer {
        random,
        ppm,
        slots_a_wake,
    })
}

impl EvidenceSpammer {
    /// Two own blocks of a round that differ in a millisecond.
    fn pair(&mut self, hands: &Hands<'_>, round: Round) -> (Arc<Block>, Arc<Block>) {
        let parents = if self.random.chance(500_000) {
            hands.real_parents(round)
        } else {
            hands.invented_row(&mut self.random, round.minus(1))
        };
        let header = hands.header(round, parents);
        let mut other = header.clone();
        other.timestamp_ms += 1 + self.random.below(100);
        let sign = |header| hands.sign(header, Payload::empty());
        (sign(header), sign(other))
    }

    fn round(&mut self, hands: &Hands<'_>) -> Round {
        let below = u32::try_from(self.random.below(20)).expect("below twenty");
        let above = u32::try_from(self.random.below(60)).expect("below sixty");
        let above = *self.random.pick(&[0, 5, above]);
        hands.status.frontier.plus(above).minus(below).max(Round(1))
    }

    fn proof(&mut self, hands: &Hands<'_>) -> Option<EquivocationProof> {
        let round = self.round(hands);
        let (a, b) = self.pair(hands, round);
        let signed = |block: &Block| (block.header_digest(), *block.signature());
        EquivocationProof::new(a.reference().slot(), signed(&a), signed(&b))
    }

    /// Names another, without its signatures, or with them in the wrong order.
    fn libel(&mut self, hands: &Hands<'_>) -> Option<EquivocationProof> {
        let size = hands.committee.size() as u64;
        let author = u16::try_from(self.random.below(size + 1)).expect("at most 256");
        let slot = Slot {
            round: self.round(hands),
            author: ValidatorIndex(author),
        };
        let mut made_up = || (noise(&mut self.random), Signature([9; 64]));
        let (first, second) = (made_up(), made_up());
        EquivocationProof::new(slot, first, second)
    }
}

impl Sin for EvidenceSpammer {
    fn header(&mut self, hands: &mut Hands<'_>, header: &mut Header, _: &mut Payload) {
        if self.random.chance(self.ppm) {
            let proofs = (0..EVIDENCE_MAX).filter_map(|_| self.proof(hands));
            header.evidence = proofs.collect();
        }
    }

    fn wake(&mut self, hands: &mut Hands<'_>) {
        for _ in 0..self.slots_a_wake {
            let round = self.round(hands);
            let (a, b) = self.pair(hands, round);
            hands.push_all(&a);
            hands.push_all(&b);
            // A false accusation makes a block invalid: nobody links it, and it proves nothing.
            let mut header = hands.header(round, hands.real_parents(round));
            header.evidence = self.libel(hands).into_iter().collect();
            let libellous = hands.sign(header, Payload::empty());
            hands.push_all(&libellous);
        }
    }
}
