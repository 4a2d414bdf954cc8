//! Returning from far behind (R35): when to fetch certified commits, and how they join the sequence.
//!
//! A certified commit is installed as if its leader's slot had just been decided: its blocks join the window, and the
//! output step does the rest. What comes out must be the certified record, bit for bit, or more weight than `f` is faulty.
//! So a crash in the middle leaves what a crash of the live path leaves.

use std::sync::Arc;

use bytes::Bytes;

use crate::block::{Block, Slot};
use crate::catchup::{CatchUp, Forked, Proved};
use crate::committee::AuthorSet;
use crate::finality::CommitCertificate;
use crate::id::{CommitIndex, Round, Time, ValidatorIndex};
use crate::input::Intake;
use crate::limits::{
    CATCH_UP_STALL_US, CATCH_UP_WRITES_MAX, CERTIFICATE_RETRY_US, CERTIFICATE_SPACING,
    FAR_BEHIND_COMMITS, RECORDS_WAITING_MAX,
};
use crate::message::Message;
use crate::output::{Halt, Output};
use crate::record::Record;
use crate::reputation::Leadership;
use crate::verify::VerifiedBlock;

use super::Replica;
use super::output_step::DecidedBy;

/// What a replica knows about being far behind.
#[derive(Clone, Debug)]
pub(super) struct CatchingUp {
    /// Under way.
    pub(super) run: Option<Box<CatchUp>>,
    /// Commits were installed since slots were decided last: nothing is decided, proposed or asked to be replayed before
    /// they are decided again.
    pub(super) order_waits: bool,
    /// When a commit was installed last.
    installed_at: Time,
    /// How many were.
    pub(super) installed: u64,
    /// By author: the highest round of a header with a valid signature.
    heard: Vec<Round>,
    /// When a peer was asked how far it is, and which one.
    asked: (Time, ValidatorIndex),
    intake: Intake,
    kept: Kept,
}

/// Which certificates are kept for others (R35): one in so many of those that votes made, and of those that ended a window.
/// Apart from each other, as the certificate of the tip is known long before those on the way there are.
#[derive(Clone, Copy, Default, Debug)]
struct Kept {
    voted: CommitIndex,
    proved: CommitIndex,
}

impl Kept {
    /// Whether to keep this one, as the last of its kind.
    fn takes(last: &mut CommitIndex, index: CommitIndex) -> bool {
        let takes = index.0 >= last.0 + CERTIFICATE_SPACING;
        if takes {
            *last = index;
        }
        takes
    }
}

impl CatchingUp {
    pub(super) fn new(validators: usize, now: Time) -> Self {
        Self {
            run: None,
            order_waits: false,
            installed_at: now,
            installed: 0,
            heard: vec![Round::GENESIS; validators],
            asked: (Time(0), ValidatorIndex(0)),
            intake: Intake::Open,
            kept: Kept::default(),
        }
    }
}

/// Rounds above the own last leader that mean nothing when `gc_depth` is smaller than outside of tests: frames are under
/// way for some.
const LAG_ROUNDS_MIN: u32 = 16;

impl Replica {
    /// A peer asks for a certificate (R35).
    pub fn handle_fetch_certificate(&mut self, from: ValidatorIndex, at_least: CommitIndex) {
        let newest = self.finality.certificate().cloned();
        self.outputs.push_back(Output::ServeCertificate {
            to: from,
            at_least,
            newest,
        });
    }

    /// A peer's answer: a certificate, or that it has none. Whoever hands it in has verified it
    /// ([`CommitCertificate::verify`]).
    pub fn handle_certificate(
        &mut self,
        now: Time,
        from: ValidatorIndex,
        certificate: Option<&Arc<CommitCertificate>>,
    ) {
        match certificate {
            Some(certificate) => {
                for votes in &certificate.votes {
                    self.handle_votes(votes);
                }
                if let Some(run) = &mut self.catching_up.run {
                    run.handle_certificate(Some(from), certificate);
                }
            }
            None => {
                if let Some(run) = &mut self.catching_up.run {
                    run.handle_no_certificate(from);
                }
            }
        }
        self.settle(now);
        self.step(now);
    }

    /// A peer's answer: commit records from `first` on, not verified.
    pub fn handle_commits(
        &mut self,
        now: Time,
        from: ValidatorIndex,
        (first, records): (CommitIndex, &[Bytes]),
    ) {
        let Some(run) = &mut self.catching_up.run else {
            return;
        };
        if let Err(Forked { index }) = run.handle_commits(now, from, (first, records)) {
            // The own sequence may have gone on meanwhile; what it holds at `index` differs all the same.
            self.halt(Halt::Forked { index });
        }
        self.settle(now);
        self.step(now);
    }

    /// Whether the application keeps up; told on every change.
    pub fn handle_intake(&mut self, now: Time, intake: Intake) {
        self.catching_up.intake = intake;
        self.settle(now);
        self.step(now);
    }

    /// A header of this slot was signed, whether or not the block is taken.
    pub(super) fn note_heard(&mut self, slot: Slot) {
        if let Some(heard) = self.catching_up.heard.get_mut(slot.author.position()) {
            *heard = slot.round.max(*heard);
        }
    }

    /// R35: certificates in between are kept, so that nobody needs to hold a long chain of records.
    pub(super) fn keep_certificate(&mut self, certificate: &CommitCertificate) {
        if Kept::takes(&mut self.catching_up.kept.voted, certificate.index) {
            let record = Record::certificate(self.committee.epoch(), certificate);
            self.records.push(record);
        }
    }

    /// The same for what the installed windows hung on.
    fn keep_proofs(&mut self, proofs: &[Arc<CommitCertificate>]) {
        for proof in proofs {
            if Kept::takes(&mut self.catching_up.kept.proved, proof.index) {
                let record = Record::certificate(self.committee.epoch(), proof);
                self.records.push(record);
            }
        }
    }

    /// A block that was asked for to be installed is not for the DAG yet.
    pub(super) fn take_for_catch_up(
        &mut self,
        now: Time,
        from: ValidatorIndex,
        block: &VerifiedBlock,
    ) -> bool {
        let Some(run) = &mut self.catching_up.run else {
            return false;
        };
        if !run.takes(now, from, block) {
            return false;
        }
        let reference = block.block().reference();
        let own = reference.author == self.config.me && !self.is_lawless();
        if own && !self.dag.contains(&reference) {
            self.suspect_amnesia(block.block());
        }
        true
    }

    /// Begins to catch up when it is time, and asks for what is missing.
    pub(super) fn catch_up(&mut self, now: Time) {
        if self.is_ending() || self.halted.is_some() {
            self.catching_up.run = None;
            self.catching_up.order_waits = false;
            return;
        }
        let lags = self.lags();
        if self.catching_up.run.is_none() {
            self.begin_catch_up(lags);
        }
        let stalled = self.catching_up.installed_at.plus_us(CATCH_UP_STALL_US) <= now;
        if self.catching_up.order_waits && stalled {
            sometimes!(CatchUpStalled);
            self.decide_again(now);
            self.settle(now);
        }
        let waits = self.catching_up.run.is_none();
        if waits && lags {
            self.ask_tip(now);
        }
        if self.catching_up.intake == Intake::Closed {
            return;
        }
        let target = self.target_above(self.last_index());
        let Some(run) = &mut self.catching_up.run else {
            return;
        };
        if let Some(target) = target.filter(|target| target.index > run.target().index) {
            run.handle_certificate(None, &target);
        }
        let dag = &self.dag;
        for (to, message) in run.poll(now, &self.connected, |block| dag.contains(block)) {
            self.outputs.push_back(Output::Send { to, message });
        }
    }

    fn begin_catch_up(&mut self, lags: bool) {
        let last = self.last_index();
        let Some(target) = self.target_above(last) else {
            return;
        };
        let commits = FAR_BEHIND_COMMITS * self.committee.size() as u64;
        if !lags && self.known_end.is_none() && target.index.0 <= last.0 + commits {
            return;
        }
        sometimes!(CatchUpBegun);
        sometimes!(CatchUpToEnd if self.known_end.is_some());
        let chain = *self.committee.chain();
        let digest = self.last.as_ref().map_or(chain, |(_, digest)| *digest);
        let run = CatchUp::new(
            (self.config.me, self.committee.size()),
            self.committee.epoch(),
            (last, digest),
            target,
        );
        self.catching_up.run = Some(Box::new(run));
    }

    /// The highest certified commit, if it is above this one.
    fn target_above(&self, last: CommitIndex) -> Option<Arc<CommitCertificate>> {
        let newest = self.finality.certificate().filter(|c| c.index > last);
        let end = self.known_end.as_ref().map(|end| &end.certificate);
        match (newest, end.filter(|end| end.index > last)) {
            (Some(newest), Some(end)) if end.index <= newest.index => Some(Arc::clone(newest)),
            (_, Some(end)) => Some(Arc::new(end.clone())),
            (newest, None) => newest.cloned(),
        }
    }

    /// R35: authors of weight `f + 1` are far above the own last leader, so one of them that is correct is.
    fn lags(&self) -> bool {
        let depth = (self.committee.gc_depth() / 2).max(LAG_ROUNDS_MIN);
        let limit = self.last_leader().plus(depth);
        let heard = (0..).map(ValidatorIndex).zip(&self.catching_up.heard);
        let ahead = heard.filter(|(_, round)| **round > limit);
        let weight: u64 = ahead.map(|(author, _)| self.committee.weight(author)).sum();
        weight > self.committee.thresholds().byzantine
    }

    fn last_leader(&self) -> Round {
        let last = self.last.as_ref();
        last.map_or(Round::GENESIS, |(last, _)| last.leader.round)
    }

    /// Asks one peer after the other for its newest certificate.
    fn ask_tip(&mut self, now: Time) {
        let (asked_at, asked) = self.catching_up.asked;
        if asked_at.plus_us(CERTIFICATE_RETRY_US) > now {
            return;
        }
        let mut after = self.connected.iter().filter(|peer| *peer > asked);
        let Some(to) = after.next().or_else(|| self.connected.iter().next()) else {
            return;
        };
        sometimes!(CatchUpAsksTip);
        self.catching_up.asked = (now, to);
        let message = Message::FetchCertificate {
            epoch: self.committee.epoch(),
            at_least: CommitIndex(u64::MAX),
        };
        self.outputs.push_back(Output::Send { to, message });
    }

    /// When to look again at the latest.
    pub(super) fn catch_up_deadline(&self) -> Option<Time> {
        if self.halted.is_some() || self.is_ending() {
            return None;
        }
        let state = &self.catching_up;
        let stall = state
            .order_waits
            .then(|| state.installed_at.plus_us(CATCH_UP_STALL_US));
        let run = match &state.run {
            _ if self.connected.is_empty() => None,
            Some(run) if state.intake == Intake::Open => run.next_deadline(),
            Some(_) => None,
            None => self
                .lags()
                .then(|| state.asked.0.plus_us(CERTIFICATE_RETRY_US)),
        };
        stall.into_iter().chain(run).min()
    }

    /// Installs the next certified commit if it is here; whether it was.
    pub(super) fn install_next(&mut self, now: Time) -> bool {
        let writes = self.last_ticket.0 - self.durable.0;
        let stopped = self.is_ending() || self.halted.is_some();
        if stopped || self.catching_up.intake == Intake::Closed || writes > CATCH_UP_WRITES_MAX {
            return false;
        }
        let last = self.last_index();
        let Some(run) = &mut self.catching_up.run else {
            return false;
        };
        run.handle_output(last);
        let dag = &self.dag;
        if run.ready(|block| dag.contains(block)).is_none() {
            return false;
        }
        let Some((proved, blocks)) = run.take() else {
            return false;
        };
        let proofs = run.take_proofs();
        self.keep_proofs(&proofs);
        self.catching_up.order_waits = true;
        self.catching_up.installed_at = now;
        if let Err(halt) = self.install(now, &proved, blocks) {
            self.halt(halt);
            return false;
        }
        sometimes!(CatchUpInstalled);
        self.catching_up.installed += 1;
        if self.records.len() > RECORDS_WAITING_MAX / 2 {
            self.persist();
        }
        true
    }

    /// R35: the output step for a leader that a certificate has decided about.
    fn install(
        &mut self,
        now: Time,
        proved: &Proved,
        blocks: Vec<Option<VerifiedBlock>>,
    ) -> Result<(), Halt> {
        let Proved { record, digest } = proved;
        let unfounded = Halt::Unfounded {
            index: record.index,
        };
        for block in blocks.into_iter().flatten() {
            let block = block.block();
            let reference = block.reference();
            if self.dag.contains(&reference) {
                continue;
            }
            let above = reference.round > self.dag.gc_round();
            if !above || !self.dag.missing_parents(block).is_empty() {
                return Err(unfounded);
            }
            self.insert_proved(now, block);
        }
        let leader = self.dag.id_of(&record.leader).ok_or(unfounded)?;
        if record.leader.round > self.last_leader() {
            // R25: nothing of the round before is left.
            self.finality.handle_round_output();
        }
        self.skipped.clone_from(&record.skipped);
        let ends_round = self.order.pass(record.leader.slot()).ok_or(unfounded)?;
        let decided = DecidedBy::Certificate(*digest);
        let (round, leadership) = self.output_commit(leader, decided)?;
        if ends_round {
            self.finality.handle_round_output();
        }
        if leadership == Leadership::Scheduled && !planted!(InstalledInAnyRound) {
            self.order.install(&self.dag, self.reputation.schedules());
        }
        if !planted!(InstalledGcStays) {
            self.raise_gc_round(now, self.committee.gc_round(round));
        }
        Ok(())
    }

    /// A block of a certified commit joins the window. It is grounded by the commit, whatever its parents are.
    fn insert_proved(&mut self, now: Time, block: &Arc<Block>) {
        let reference = block.reference();
        self.note_equivocation(block);
        self.accepted_blocks += 1;
        self.records.push(Record::header(block));
        self.records.extend(Record::payload(block));
        let id = self.dag.insert(Arc::clone(block));
        if !block.payload().is_empty() {
            self.payload_blocks += 1;
        }
        if reference.author == self.config.me {
            self.note_own(block);
        }
        self.note_received_evidence(block);
        self.note_replay_progress(now, reference.author, reference.round);
        self.order.handle_installed(&self.dag, id);
        self.fetch.forget(&reference);
        self.extra.forget(&reference);
        for (_, child) in self.suspended.handle_available(&reference) {
            self.ready.push_back(child);
        }
    }

    /// Goes on by the rules when the highest certified commit is installed; whether it did.
    pub(super) fn end_catch_up(&mut self, now: Time) -> bool {
        let last = self.last_index();
        let near = CommitIndex(last.0 + FAR_BEHIND_COMMITS / 2 * self.committee.size() as u64);
        let further = self.target_above(near);
        let Some(run) = &mut self.catching_up.run else {
            return false;
        };
        if !run.is_done(last) {
            return false;
        }
        if let Some(further) = further {
            run.handle_certificate(None, &further);
            return false;
        }
        sometimes!(CatchUpDone);
        self.catching_up.run = None;
        let waited = self.catching_up.order_waits;
        if waited {
            self.decide_again(now);
        }
        waited
    }

    /// R18: nothing that was decided before the installed commits counts, and who was not heard meanwhile is asked.
    fn decide_again(&mut self, now: Time) {
        self.catching_up.order_waits = false;
        if self.is_ending() {
            return;
        }
        self.order.decide_again(&self.dag);
        let connected: AuthorSet = self.connected;
        for peer in connected.iter() {
            self.ask_replay(now, peer);
        }
    }

    /// Stops for good.
    fn halt(&mut self, halt: Halt) {
        if self.halted.is_none() {
            self.halted = Some(halt);
            self.catching_up.run = None;
            self.drop_in_flight();
            self.outputs.push_back(Output::Halted(halt));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Kept;
    use crate::id::CommitIndex;
    use crate::limits::CERTIFICATE_SPACING;

    #[test]
    fn the_certificate_of_the_tip_does_not_keep_out_those_on_the_way() {
        let mut kept = Kept::default();
        let tip = CommitIndex(100 * CERTIFICATE_SPACING);
        assert!(Kept::takes(&mut kept.voted, tip));
        assert!(!Kept::takes(&mut kept.voted, tip.next()));
        for at in 1..100 {
            let on_the_way = CommitIndex(at * CERTIFICATE_SPACING);
            assert!(Kept::takes(&mut kept.proved, on_the_way));
            assert!(!Kept::takes(&mut kept.proved, on_the_way.next()));
        }
    }
}
