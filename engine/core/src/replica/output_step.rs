//! One output step: from a decided slot to a commit (R19 to R25).

use std::sync::Arc;

use bytes::Bytes;

use crate::block::{BlockRef, Slot};
use crate::commit::{COMMIT_RECORD_VERSION, Commit, CommitRecord, CommittedBlock, digest_of};
use crate::crypto::Digest;
use crate::dag::BlockId;
use crate::id::{CommitIndex, Round, Time};
use crate::order::linearize::{linearize, timestamp_ms};
use crate::order::{Decision, Path};
use crate::output::{Halt, Outcome, Output};
use crate::record::Record;
use crate::reputation::{Leadership, Scored};

use super::Replica;

/// What decided a leader's slot.
#[derive(Clone, Copy)]
pub(super) enum DecidedBy {
    /// R16, R17.
    Rules(Path),
    /// R35: a certificate, and the record with this digest.
    Certificate(Digest),
}

impl DecidedBy {
    /// How the commit was decided; none if by a certificate, which has to name what the rules make of the leader.
    fn path(self, record: &CommitRecord, digest: Digest) -> Result<Option<Path>, Halt> {
        match self {
            Self::Rules(path) => Ok(Some(path)),
            Self::Certificate(certified) if certified == digest => Ok(None),
            Self::Certificate(_) => Err(Halt::Unfounded {
                index: record.index,
            }),
        }
    }
}

impl Replica {
    /// Outputs the next slot if it is decided; whether it was.
    pub(super) fn output_next(&mut self, now: Time) -> bool {
        if self.is_ending() || self.catching_up.order_waits || self.halted.is_some() {
            return false;
        }
        let Some(next) = self.order.next_output() else {
            return false;
        };
        let slot = next.slot;
        let committed = match next.decided.decision {
            Decision::Commit(leader) => {
                let decided = DecidedBy::Rules(next.decided.path);
                self.output_commit(leader, decided).ok()
            }
            Decision::Skip => {
                self.skipped.push(slot);
                None
            }
        };
        self.order.advance();
        if next.ends_round {
            self.finality.handle_round_output();
        }
        if planted!(GcBySkips) && committed.is_none() {
            self.raise_gc_round(now, self.committee.gc_round(slot.round));
        }
        if let Some((leader, leadership)) = committed {
            if leadership == Leadership::Scheduled {
                self.order.install(&self.dag, self.reputation.schedules());
            }
            self.raise_gc_round(now, self.committee.gc_round(leader));
        }
        true
    }

    /// R19, R21: linearises, stamps, scores, records, and holds the commit until it is durable.
    ///
    /// # Errors
    /// When a certificate names another record than the one that the rules make of the leader.
    pub(super) fn output_commit(
        &mut self,
        leader: BlockId,
        decided: DecidedBy,
    ) -> Result<(Round, Leadership), Halt> {
        let before_first = self.origin.timestamp_ms;
        let last = self.last.as_ref();
        let previous_ms = last.map_or(before_first, |(last, _)| last.timestamp_ms);
        let mut timestamp_ms = timestamp_ms(&self.dag, leader, previous_ms);
        if planted!(TimestampOwn) {
            let own = self.own_refs.back().and_then(|own| self.dag.block(own));
            timestamp_ms = own.map_or(timestamp_ms, |own| own.header().timestamp_ms);
        }
        let leader_ref = self.dag.entry(leader).block.reference();
        let ordered = linearize(&mut self.dag, leader);
        let skipped = std::mem::take(&mut self.skipped);
        let leadership = self.score(leader_ref, &skipped, &ordered);
        let previous = self
            .last
            .as_ref()
            .map_or_else(|| *self.committee.chain(), |(_, digest)| *digest);
        let mut record = CommitRecord {
            version: COMMIT_RECORD_VERSION,
            epoch: self.committee.epoch(),
            index: self.last_index().next(),
            previous,
            leader: leader_ref,
            blocks: ordered
                .iter()
                .map(|(_, reference, void)| (*reference, *void))
                .collect(),
            timestamp_ms,
            skipped,
            schedule: self.reputation.schedules().of(leader_ref.round).id(),
            reputation: self.reputation.digest(),
            next: Digest::ZERO,
        };
        let written = self.records.len();
        let next = self.progress(&mut record, &ordered);
        let agenda = self.records.split_off(written);
        let encoded = record.encode();
        let digest = digest_of(&encoded);
        let path = decided.path(&record, digest)?;
        self.records.extend(agenda);
        self.write_down(&record, encoded);
        let mut blocks = Vec::with_capacity(ordered.len());
        let mut outcomes = Vec::new();
        for (id, reference, void) in ordered {
            let block = Arc::clone(&self.dag.entry(id).block);
            if !block.payload().is_empty() {
                self.payload_blocks -= 1;
            }
            if reference.author == self.config.me {
                outcomes.push(self.own_ordered(reference.round, record.index, void));
            }
            blocks.push(CommittedBlock { block, void });
            let grounded = self.grounding.handle_committed(&mut self.dag, reference);
            self.committed_grounded(&grounded);
        }
        self.finality.handle_commit(&record, digest);
        self.clock.handle_commit();
        self.last = Some((record.clone(), digest));
        let commit = Arc::new(Commit {
            record,
            digest,
            blocks,
            path,
        });
        self.hold(Output::Commit(Arc::clone(&commit)));
        outcomes.into_iter().for_each(|outcome| self.hold(outcome));
        self.tell_changes(&commit);
        if let Some(next) = next {
            self.begin_ending(commit.record.clone(), digest, next);
        }
        Ok((leader_ref.round, leadership))
    }

    /// The commit's records.
    fn write_down(&mut self, record: &CommitRecord, encoded: Bytes) {
        self.records.extend(Record::commit(record, encoded));
        let snapshot = self.reputation.snapshot(record.index, record.leader.round);
        let snapshot = snapshot.map(|bytes| Record::reputation(record.epoch, bytes));
        self.records.extend(snapshot);
    }

    /// R26 to R29, from the headers of the blocks that a commit orders.
    fn score(
        &mut self,
        leader: BlockRef,
        skipped: &[Slot],
        ordered: &[(BlockId, BlockRef, bool)],
    ) -> Leadership {
        let header = |id: BlockId| self.dag.entry(id).block.header();
        self.reputation.handle_commit(Scored {
            leader,
            skipped,
            blocks: ordered.iter().map(|(id, of, _)| (*of, header(*id))),
        })
    }

    /// Blocks that a commit grounded may complete a quorum; the frontier is looked at when the gc round is raised.
    fn committed_grounded(&mut self, grounded: &[BlockRef]) {
        let highest = grounded.iter().map(|block| block.round).max();
        self.regrounded = self.regrounded.max(highest.unwrap_or(Round::GENESIS));
    }

    fn own_ordered(&mut self, round: Round, index: CommitIndex, void: bool) -> Output {
        if let Some(own) = self.own_open.remove(&round) {
            self.own_payload_bytes -= own.payload_bytes;
        }
        sometimes!(OutcomeVoid if void);
        sometimes!(OutcomeSequenced if !void);
        let outcome = if void {
            Outcome::SequencedVoid
        } else {
            Outcome::Sequenced { index }
        };
        Output::Outcome { round, outcome }
    }

    /// R22, R5: collects rounds and re-examines what was suspended, in the same step.
    pub(super) fn raise_gc_round(&mut self, now: Time, gc_round: Round) {
        let before = self.dag.gc_round();
        if gc_round > before {
            let gone = self.dag.collect(gc_round);
            let lost = gone.iter().filter(|entry| !entry.committed);
            sometimes!(GcRoundRose);
            sometimes!(CollectedUncommitted if lost.clone().next().is_some());
            self.payload_blocks -= lost
                .filter(|entry| !entry.block.payload().is_empty())
                .count();
            self.order.collect(gc_round);
            let grounded = self.grounding.collect(&mut self.dag, gc_round, &gone);
            self.committed_grounded(&grounded);
            for (_, block) in self.suspended.collect(gc_round) {
                sometimes!(FreedByGc);
                self.ready.push_back(block);
            }
            let grounding = &self.grounding;
            self.fetch
                .collect(gc_round, |reference| grounding.wants(reference));
            self.forget_own(gc_round);
            self.collect_evidence(gc_round);
            self.collect_extra(now, gc_round);
        }
        for round in (gc_round.0 + 1..=self.regrounded.0).map(Round) {
            sometimes!(FrontierByGrounding if self.raises_frontier(round));
            self.raise_frontier(now, round);
        }
        self.regrounded = Round::GENESIS;
    }

    #[cfg(any(test, feature = "testing"))]
    fn raises_frontier(&self, round: Round) -> bool {
        let quorum = self.committee.thresholds().quorum;
        round >= self.clock.frontier() && self.dag.grounded_weight(round) >= quorum
    }

    /// R24: own blocks that were collected before they were committed; their payload is to be submitted again.
    fn forget_own(&mut self, gc_round: Round) {
        while let Some(own) = self.own_open.first_entry() {
            let round = *own.key();
            if round > gc_round {
                break;
            }
            self.own_payload_bytes -= own.remove().payload_bytes;
            sometimes!(OutcomeCollected);
            if planted!(CollectedLost) {
                continue;
            }
            self.hold(Output::Outcome {
                round,
                outcome: Outcome::Collected,
            });
        }
        let oldest = gc_round.minus(self.committee.gc_depth());
        while self.own_refs.front().is_some_and(|own| own.round <= oldest) {
            self.own_refs.pop_front();
        }
    }
}
