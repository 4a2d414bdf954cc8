//! Equivocations: from two headers to a proof in an own block (R12).

use crate::block::{Block, BlockRef, EquivocationProof, Header};
use crate::id::Round;
use crate::output::Output;
use crate::record::Record;
use crate::verify::VerifiedBlock;

use super::Replica;

impl Replica {
    /// Two headers of one slot under valid signatures are a proof; differing only in the signature they are not.
    pub(super) fn note_equivocation(&mut self, block: &Block) {
        let slot = block.reference().slot();
        let in_dag = self.dag.first_of(slot.round, slot.author);
        let other = match in_dag {
            Some(id) => Some(&self.dag.entry(id).block),
            None => self.suspended.of_slot(slot).map(VerifiedBlock::block),
        };
        let Some(other) = other else { return };
        let proof = EquivocationProof::new(
            slot,
            (other.header_digest(), *other.signature()),
            (block.header_digest(), *block.signature()),
        );
        sometimes!(SignatureVariant if proof.is_none());
        let Some(proof) = proof else { return };
        sometimes!(EvidenceMade if self.evidence.has_room(slot));
        self.keep_evidence(proof);
    }

    /// Proofs in an accepted block are as good as own ones: its author may never be heard by others.
    pub(super) fn note_received_evidence(&mut self, block: &Block) {
        for proof in &block.header().evidence {
            sometimes!(EvidenceReceived if self.evidence.has_room(proof.slot()));
            self.keep_evidence(proof.clone());
        }
    }

    fn keep_evidence(&mut self, proof: EquivocationProof) {
        if self.evidence.insert(proof.clone()) {
            let record = Record::evidence(self.committee.epoch(), &proof);
            self.records.push(record);
            self.outputs.push_back(Output::Evidence(proof));
        }
    }

    /// A block that an own block links, and its author's blocks below it down to one linked before, bring their proofs
    /// into the own history.
    pub(super) fn note_linked_evidence(&mut self, block: &BlockRef) {
        let mut next = self.dag.id_of(block);
        while let Some(id) = next {
            let header = self.dag.entry(id).block.header();
            for proof in &header.evidence {
                sometimes!(EvidenceLinked);
                self.evidence.handle_carried(proof.slot(), header.round);
            }
            let own_parent = header.parents.first();
            next = own_parent
                .and_then(|parent| self.dag.id_of(parent))
                .filter(|id| !self.dag.entry(*id).linked);
        }
    }

    /// What an own block carries is not carried again.
    pub(super) fn note_own_evidence(&mut self, own: &Header) {
        for proof in &own.evidence {
            self.evidence.handle_carried(proof.slot(), own.round);
        }
    }

    /// The proofs for the own block of `round`. A validator that is slashed already cannot be slashed again, and
    /// nobody accuses itself.
    pub(super) fn take_evidence(&mut self, round: Round) -> Vec<EquivocationProof> {
        let (me, reputation) = (self.config.me, &self.reputation);
        let wanted = |author| author != me && !reputation.is_slashed(author);
        self.evidence.take(round, wanted)
    }

    /// R22: what collected blocks carried in vain is carried again.
    pub(super) fn collect_evidence(&mut self, gc_round: Round) {
        self.evidence.handle_collected(gc_round);
    }

    /// R36: what was kept before the restart; which of it is carried, the own blocks say.
    pub(super) fn load_evidence(&mut self, proofs: Vec<EquivocationProof>) {
        sometimes!(RestartEvidence if !proofs.is_empty());
        for proof in proofs {
            self.evidence.insert(proof);
        }
    }
}
