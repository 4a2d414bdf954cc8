//! Proofs of equivocation on their way into the sequence (R12).
//!
//! ```text
//!   made ────┐            take          committed: its author is slashed for good
//!            ├─▶ waiting ──────▶ carried ──────▶
//!   received ┘      ◀────────────────── collected before it was committed
//! ```
//!
//! A proof is *carried* by an own block, or by another's block that an own block links: either is in the history of all
//! own blocks to come. One proof about a validator slashes it, so a few about each are kept, and none is ever forgotten:
//! a sinner uses up its own room and nobody else's.

use crate::block::{EquivocationProof, Slot};
use crate::id::{Round, ValidatorIndex};
use crate::limits::{EVIDENCE_AUTHOR_MAX, EVIDENCE_MAX};

/// The proofs of an epoch, at most [`EVIDENCE_AUTHOR_MAX`] about each validator.
#[derive(Clone, Debug)]
pub(crate) struct Evidence {
    by_author: Vec<Vec<Kept>>,
}

#[derive(Clone, Debug)]
struct Kept {
    proof: EquivocationProof,
    /// The highest round of a block in the own history that carries it and is not collected.
    carried: Option<Round>,
}

impl Evidence {
    pub(crate) fn new(validators: usize) -> Self {
        Self {
            by_author: vec![Vec::new(); validators],
        }
    }

    /// Whether a proof about this slot would be kept.
    pub(crate) fn has_room(&self, slot: Slot) -> bool {
        let kept = self.by_author.get(slot.author.position());
        kept.is_some_and(|kept| {
            kept.len() < EVIDENCE_AUTHOR_MAX && kept.iter().all(|kept| kept.proof.slot() != slot)
        })
    }

    /// Keeps a verified proof; whether there was room for it.
    pub(crate) fn insert(&mut self, proof: EquivocationProof) -> bool {
        let room = self.has_room(proof.slot());
        if room {
            let kept = &mut self.by_author[proof.author.position()];
            let at = kept.partition_point(|kept| kept.proof.round < proof.round);
            let carried = None;
            kept.insert(at, Kept { proof, carried });
        }
        room
    }

    /// Notes that a block of `round` in the own history carries a proof about this slot.
    pub(crate) fn handle_carried(&mut self, slot: Slot, round: Round) {
        let kept = self.by_author.get_mut(slot.author.position());
        let kept = kept.and_then(|kept| kept.iter_mut().find(|kept| kept.proof.slot() == slot));
        if let Some(kept) = kept {
            kept.carried = kept.carried.max(Some(round));
        }
    }

    /// Takes the proofs for the own block of `round`: of those about validators that `wanted` names, first one about
    /// each validator, so that many sins of one delay no proof about another.
    pub(crate) fn take(
        &mut self,
        round: Round,
        wanted: impl Fn(ValidatorIndex) -> bool,
    ) -> Vec<EquivocationProof> {
        if planted!(EvidenceNever) {
            return Vec::new();
        }
        let mut waiting: Vec<(usize, Slot)> = Vec::new();
        for kept in &self.by_author {
            let open = |kept: &&Kept| kept.carried.is_none() && wanted(kept.proof.author);
            let before = kept.iter().filter(|kept| kept.carried.is_some()).count();
            let open = kept.iter().filter(open).enumerate();
            waiting.extend(open.map(|(at, kept)| (before + at, kept.proof.slot())));
        }
        waiting.sort_unstable_by_key(|(rank, slot)| (*rank, *slot));
        sometimes!(EvidenceWaits if waiting.len() > EVIDENCE_MAX);
        let mut taken = Vec::new();
        for (_, slot) in waiting.into_iter().take(EVIDENCE_MAX) {
            let kept = self.by_author[slot.author.position()].iter_mut();
            for kept in kept.filter(|kept| kept.proof.slot() == slot) {
                sometimes!(EvidenceCarried);
                if !planted!(EvidenceTwice) {
                    kept.carried = Some(round);
                }
                taken.push(kept.proof.clone());
            }
        }
        taken
    }

    /// What was carried by blocks up to `gc_round` waits again: had such a block been committed, it would have slashed.
    pub(crate) fn handle_collected(&mut self, gc_round: Round) {
        for kept in self.by_author.iter_mut().flatten() {
            if kept.carried.is_some_and(|round| round <= gc_round) {
                kept.carried = None;
            }
        }
    }

    /// The proofs, by author and round.
    pub(crate) fn proofs(&self) -> impl Iterator<Item = &EquivocationProof> {
        self.by_author.iter().flatten().map(|kept| &kept.proof)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_author.iter().map(Vec::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{Digest, Signature};

    fn proof(author: u16, round: u32) -> EquivocationProof {
        let slot = Slot {
            round: Round(round),
            author: ValidatorIndex(author),
        };
        let side = |byte| (Digest([byte; 32]), Signature([byte; 64]));
        EquivocationProof::new(slot, side(1), side(2)).unwrap()
    }

    fn take(evidence: &mut Evidence, round: u32) -> Vec<(u16, u32)> {
        let taken = evidence.take(Round(round), |_| true);
        let name = |proof: &EquivocationProof| (proof.author.0, proof.round.0);
        taken.iter().map(name).collect()
    }

    #[test]
    fn one_about_each_goes_first_and_none_goes_twice() {
        let mut evidence = Evidence::new(4);
        for (author, round) in [(1, 9), (1, 3), (1, 5), (1, 7), (1, 8), (3, 20), (2, 30)] {
            assert!(evidence.insert(proof(author, round)));
        }
        assert!(!evidence.insert(proof(1, 5)), "once a slot");
        assert_eq!(take(&mut evidence, 1), [(1, 3), (3, 20), (2, 30), (1, 5)]);
        assert!(evidence.insert(proof(2, 4)));
        assert_eq!(take(&mut evidence, 2), [(2, 4), (1, 7), (1, 8), (1, 9)]);
        assert_eq!(take(&mut evidence, 3), []);
    }

    #[test]
    fn what_was_collected_is_carried_again_unless_another_block_carries_it() {
        let mut evidence = Evidence::new(4);
        evidence.insert(proof(1, 3));
        evidence.insert(proof(2, 3));
        assert_eq!(take(&mut evidence, 5), [(1, 3), (2, 3)]);
        evidence.handle_carried(proof(1, 3).slot(), Round(6));
        evidence.handle_collected(Round(4));
        assert_eq!(take(&mut evidence, 7), []);
        evidence.handle_collected(Round(5));
        assert_eq!(take(&mut evidence, 8), [(2, 3)]);
    }

    #[test]
    fn a_sinner_uses_up_its_own_room_only() {
        let mut evidence = Evidence::new(4);
        let inserted = (1..100).filter(|round| evidence.insert(proof(1, *round)));
        assert_eq!(inserted.count(), EVIDENCE_AUTHOR_MAX);
        assert!(!evidence.insert(proof(4, 1)), "no member");
        assert!(evidence.insert(proof(2, 1)));
        assert_eq!(evidence.len(), EVIDENCE_AUTHOR_MAX + 1);
        assert!(evidence.take(Round(1), |author| author.0 == 0).is_empty());
    }
}
