//! From a verified block to an accepted one (R5, R6).

use std::sync::Arc;

use crate::block::{Block, BlockRef};
use crate::fetch::{Need, Reason};
use crate::grounding::Grounded;
use crate::id::{Round, Time, ValidatorIndex};
use crate::input::Delivery;
use crate::limits::FETCH_RETRY_MAX_US;
use crate::record::Record;
use crate::verify::{SignedVotes, VerifiedBlock};

use super::Replica;

impl Replica {
    /// R5, R6: drops, suspends or readies a block.
    pub(super) fn admit(&mut self, now: Time, delivery: Delivery) {
        let Delivery { from, block } = delivery;
        let reference = block.block().reference();
        self.handle_votes(&SignedVotes::of(block.block()));
        if self.take_for_catch_up(now, from, &block) {
            return;
        }
        if self.fetch.len() > 0 {
            self.fetch.handle_sign_of_life(now, from);
        }
        if self.is_known(&reference) {
            sometimes!(KnownAgain);
            return;
        }
        if reference.author == self.config.me && !self.is_lawless() {
            self.suspect_amnesia(block.block());
            return;
        }
        let asked = self.fetch.contains(&reference) || self.suspended.is_awaited(&reference);
        let stream = self.fetch.handle_arrived(now, from, &reference);
        if reference.round <= self.dag.gc_round() {
            self.hold_collected(now, from, block.block());
            if let Some(stream) = stream {
                for parent in block.block().parents() {
                    self.fetch.expect(now, parent, stream);
                }
            }
            return;
        }
        self.note_equivocation(block.block());
        let unsolicited = !asked;
        if unsolicited {
            let ceiling = self.clock.frontier().plus(self.committee.gc_depth());
            if reference.round > ceiling {
                sometimes!(AboveCeiling);
                // R6: its votes were counted; its author is asked for what lies between.
                self.note_behind(now, reference.author);
                return;
            }
            if self.is_occupied(block.block()) {
                sometimes!(OccupiedDropped);
                return;
            }
        } else if self.is_occupied(block.block()) && !self.pay_extra(block.block()) {
            self.put_off_extra(now, from, reference);
            return;
        }
        self.note_reachable(reference.author);
        self.suspend_or_ready(now, from, block);
    }

    fn is_known(&self, reference: &BlockRef) -> bool {
        self.dag.contains(reference) || self.suspended.contains(reference)
    }

    /// Whether another block already stands in its slot.
    fn is_occupied(&self, block: &Block) -> bool {
        self.dag.first_of(block.round(), block.author()).is_some()
            || self.suspended.of_slot(block.reference().slot()).is_some()
    }

    pub(super) fn suspend_or_ready(
        &mut self,
        now: Time,
        from: ValidatorIndex,
        block: VerifiedBlock,
    ) {
        let missing = self.dag.missing_parents(block.block());
        if missing.is_empty() {
            self.ready.push_back(block);
            return;
        }
        sometimes!(Suspended);
        for parent in &missing {
            if !self.suspended.contains(parent) {
                self.note_gap(now, parent);
                for hint in [from, block.block().author()] {
                    self.fetch.want(
                        now,
                        *parent,
                        Reason {
                            hint,
                            need: Need::Accept,
                        },
                    );
                }
            }
        }
        let reference = block.block().reference();
        let evicted = self.suspended.insert(block, from, &missing);
        self.retry_extra_beneath(now, &reference);
        for evicted in evicted {
            sometimes!(Evicted);
            if self.suspended.is_awaited(&evicted) {
                let reason = Reason {
                    hint: from,
                    need: Need::Accept,
                };
                self.fetch
                    .want(now.plus_us(FETCH_RETRY_MAX_US), evicted, reason);
            }
        }
    }

    /// R6: a collected block is of use only if it was asked for to ground others.
    fn hold_collected(&mut self, now: Time, from: ValidatorIndex, block: &Arc<Block>) {
        let reference = block.reference();
        if !self.grounding.wants(&reference) {
            sometimes!(CollectedDropped);
            return;
        }
        sometimes!(CollectedHeld);
        // Others may need it while nobody can propose, and collected blocks are served from storage.
        self.records.push(Record::header(block));
        self.records.extend(Record::payload(block));
        self.records_wanted = true;
        let grounded = self
            .grounding
            .handle_fetched(&mut self.dag, reference, block.parents());
        self.handle_grounded(now, from, grounded);
    }

    /// Raises the frontier for what is grounded now, and asks for parents that ground more.
    pub(super) fn handle_grounded(&mut self, now: Time, from: ValidatorIndex, news: Grounded) {
        for (payer, parent) in news.fetch {
            for hint in [from, payer] {
                let need = Need::Ground;
                self.fetch.want(now, parent, Reason { hint, need });
            }
        }
        let gc_round = self.dag.gc_round();
        for block in news.blocks.iter().filter(|block| block.round > gc_round) {
            self.raise_frontier(now, block.round);
        }
    }

    /// R6: asks for what grounds blocks and was refused while its author's budget was spent.
    pub(super) fn retry_grounding(&mut self, now: Time) {
        for (hint, parent) in self.grounding.retry(&self.dag) {
            let need = Need::Ground;
            self.fetch.want(now, parent, Reason { hint, need });
        }
    }

    /// `T`: the highest round with a quorum of grounded blocks right below it.
    pub(super) fn raise_frontier(&mut self, now: Time, round: Round) {
        let mut weight = self.dag.grounded_weight(round);
        if planted!(FrontierUngrounded) {
            weight = weight.max(self.dag.authors(round).weight());
        }
        if weight >= self.committee.thresholds().quorum {
            self.clock.handle_quorum(now, round.next(), self.own_round);
        }
    }

    /// R37: a block under our key that we did not make, or no longer know, means that the disk forgot or that the key
    /// runs twice. Signing on could equivocate, also what is under way: it may be the second block of that very slot.
    pub(super) fn suspect_amnesia(&mut self, block: &Block) {
        let gone = block.round() <= self.dag.gc_round() && block.round() <= self.own_round;
        let resigning = self
            .in_flight
            .as_ref()
            .is_some_and(|in_flight| in_flight.proposal().header_digest() == block.header_digest());
        sometimes!(OwnForgotten if gone);
        if !gone && !resigning && !planted!(AmnesiaIgnored) {
            sometimes!(AmnesiaSuspected);
            self.amnesia = true;
            self.drop_in_flight();
        }
    }
}

/// R5: the block joins the DAG, counts as votes, and frees those that waited for it.
pub(super) fn accept(replica: &mut Replica, now: Time, block: &Arc<Block>) {
    let reference = block.reference();
    let already = replica.dag.contains(&reference);
    if already || reference.round <= replica.dag.gc_round() {
        return;
    }
    replica.accepted_blocks += 1;
    replica.records.push(Record::header(block));
    if reference.author != replica.config.me || replica.is_lawless() {
        replica.records.extend(Record::payload(block));
    }
    let id = replica.insert_accepted(now, block);
    if replica.catching_up.order_waits {
        replica.order.handle_installed(&replica.dag, id);
    } else {
        replica.order.handle_accepted(&replica.dag, id);
    }
    replica.fetch.forget(&reference);
    for (_, child) in replica.suspended.handle_available(&reference) {
        sometimes!(FreedByParent);
        replica.ready.push_back(child);
    }
}

impl Replica {
    /// Puts a block into the window, with its marks.
    pub(super) fn insert_accepted(&mut self, now: Time, block: &Arc<Block>) -> crate::dag::BlockId {
        let reference = block.reference();
        let id = self.dag.insert(Arc::clone(block));
        if !block.payload().is_empty() {
            self.payload_blocks += 1;
        }
        if reference.author == self.config.me {
            self.note_own(block);
        }
        self.note_received_evidence(block);
        let grounded = self
            .grounding
            .handle_held(&mut self.dag, reference, block.parents());
        self.handle_grounded(now, reference.author, grounded);
        self.note_replay_progress(now, reference.author, reference.round);
        id
    }
}
