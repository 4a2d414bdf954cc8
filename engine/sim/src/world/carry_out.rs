//! The shell of a simulated validator: carries out what its replica asks for, in order.

use std::sync::Arc;

use bytes::Bytes;
use probity_core::record::Record;
use probity_core::{
    Block, Commit, CommitIndex, Halt, Message, Output, Payload, PayloadRoom, Pending,
    PersistTicket, ProposalContent, Replica, Round, ValidatorIndex,
};

use super::{Event, START, START_WALL_MS, World};
use crate::adversary::Hands;
use crate::checker::Observation;
use crate::plan::Boundary;

/// Transactions of one block.
const BLOCK_TRANSACTIONS: usize = 64;

impl World {
    /// Lets a replica act, then carries out what it asks for.
    pub(super) fn with(&mut self, process: usize, act: impl FnOnce(&mut Replica)) {
        let Some(replica) = self.processes[process].replica.as_mut() else {
            return;
        };
        act(replica);
        self.drain(process);
    }

    pub(super) fn drain(&mut self, process: usize) {
        while let Some(output) = self.processes[process]
            .replica
            .as_mut()
            .and_then(Replica::poll_output)
        {
            self.carry_out(process, output);
            if self.violation.is_some() {
                return;
            }
        }
        if self.processes[process].ended.is_some() {
            self.change_epoch(process);
            return;
        }
        self.set_tick(process);
        if let Some(replica) = &self.processes[process].replica {
            let status = replica.status();
            self.observe(process, &Observation::Settled(&status));
        }
    }

    fn set_tick(&mut self, process: usize) {
        let host = &mut self.processes[process];
        let Some(deadline) = host.replica.as_ref().and_then(Replica::next_deadline) else {
            return;
        };
        let deadline = deadline.max(self.now.plus_us(1));
        if host.tick_at.is_none_or(|tick_at| deadline < tick_at) {
            host.tick_at = Some(deadline);
            let life = host.life;
            self.schedule(deadline, Event::Tick { process, life });
        }
    }

    fn carry_out(&mut self, process: usize, output: Output) {
        match output {
            Output::ProposalWanted { round, room } => self.want_proposal(process, round, room),
            Output::Persist { ticket, records } => self.persist(process, ticket, records),
            Output::Sign { preimage, .. } => self.sign(process, &preimage),
            Output::Broadcast(block) => self.broadcast(process, &block),
            Output::Send { to, message } => self.send_message(process, to, &message),
            Output::SendBlock { to, block } => {
                let (header, payload) = (block.signed_header(), block.payload().bytes());
                self.send_from(process, to, &Message::encode_fetched(header, payload));
            }
            Output::Serve { to, refs } => self.serve(process, self.address(process, to), refs),
            Output::ServeReplay { to, after } => {
                let epoch = self.processes[process].committee.epoch();
                self.serve_replay(process, self.address(process, to), (epoch, after));
            }
            Output::ServeCertificate {
                to,
                at_least,
                newest,
            } => {
                let epoch = self.processes[process].committee.epoch();
                let to = self.address(process, to);
                self.serve_certificate((process, to), (epoch, at_least), newest);
            }
            Output::Halted(halt) => self.note_halted(process, halt),
            Output::Commit(commit) => self.commit(process, &commit),
            Output::Outcome { round, outcome } => {
                self.observe(process, &Observation::Ended(round, outcome));
                self.settle(process, round, outcome);
            }
            change @ Output::Change { .. } => self.note_change(process, &change),
            Output::EpochEnded(end) => self.note_ended(process, end),
            Output::Evidence(proof) => self.observe(process, &Observation::Accused(&proof)),
            Output::Certified(certificate) => {
                self.observe(process, &Observation::Certified(&certificate));
            }
        }
    }

    /// No correct validator stops while faulty weight is at most `f`.
    fn note_halted(&mut self, process: usize, halt: Halt) {
        let host = &self.processes[process];
        if !host.is_sinner() {
            let validator = Some(host.validator);
            let promise = "certified commits continue every correct validator's sequence";
            self.break_promise(promise, validator, format!("{halt:?}"));
        }
    }

    /// The validator's wall clock.
    fn wall_clock_ms(&self, process: usize) -> u64 {
        let host = &self.processes[process];
        let skews = &self.plan.committee.clock_skew_ms;
        let skew = skews.get(host.validator.position()).copied().unwrap_or(0);
        let true_ms = START_WALL_MS + self.now.since_us(START) / 1_000;
        true_ms.saturating_add_signed(skew + host.clock_jump_ms)
    }

    /// Most shells answer at once; one whose payload comes from elsewhere takes its time.
    fn want_proposal(&mut self, process: usize, round: Round, room: PayloadRoom) {
        let answer_us = self.plan.clients.answer_us;
        if answer_us == 0 {
            self.propose(process, round, room);
            return;
        }
        let life = self.processes[process].life;
        let event = Event::Proposal {
            process,
            life,
            round,
            room,
        };
        self.schedule(self.now.plus_us(answer_us), event);
    }

    pub(super) fn propose(&mut self, process: usize, round: Round, room: PayloadRoom) {
        let timestamp_ms = self.wall_clock_ms(process);
        let now = self.now;
        let host = &mut self.processes[process];
        let count = if room == PayloadRoom::Open {
            host.queue.len().min(BLOCK_TRANSACTIONS)
        } else {
            0
        };
        let taken: Vec<Bytes> = host.queue.drain(..count).collect();
        // A change is asked for again until it is effective; what was asked for twice counts once.
        let changes = host.changes.iter().filter(|_| room == PayloadRoom::Open);
        let payload: Vec<&Bytes> = changes.chain(&taken).collect();
        let payload = Payload::from_transactions(&payload);
        if !taken.is_empty() {
            host.proposed.insert(round, taken);
        }
        let pending = host.pending();
        if let Some(replica) = host.replica.as_mut() {
            let content = ProposalContent {
                timestamp_ms,
                payload,
            };
            replica.handle_proposal(now, round, content);
            replica.handle_pending(now, pending);
        }
        self.cross(process, Boundary::BeforePersist);
    }

    fn persist(&mut self, process: usize, ticket: PersistTicket, records: Vec<Record>) {
        self.observe(process, &Observation::Persisting(&records));
        if std::mem::take(&mut self.processes[process].fails_next_write) {
            self.crash(process, 500);
            return;
        }
        let takes_us = self
            .random
            .between(self.plan.disk.least_us, self.plan.disk.most_us);
        let host = &mut self.processes[process];
        let done_at = self.now.plus_us(takes_us + host.slow_us);
        let done_at = host.disk.write(ticket, records, done_at);
        let life = host.life;
        self.schedule(done_at, Event::Written { process, life });
    }

    pub(super) fn written(&mut self, process: usize) {
        let now = self.now;
        let Some(ticket) = self.processes[process].disk.sync(now) else {
            return;
        };
        if self.cross(process, Boundary::AfterPersist) {
            return;
        }
        self.with(process, |replica| replica.handle_persisted(now, ticket));
    }

    fn sign(&mut self, process: usize, preimage: &[u8]) {
        if self.cross(process, Boundary::BeforeSign) {
            return;
        }
        let now = self.now;
        self.sin_header(process);
        let host = &mut self.processes[process];
        let Some(replica) = host.replica.as_mut() else {
            return;
        };
        let Some(proposal) = replica.unsigned() else {
            return;
        };
        let digest = proposal.header_digest();
        let signature = host.signer.sign(&proposal.preimage());
        debug_assert!(host.sin.is_some() || proposal.preimage().as_slice() == preimage);
        replica.handle_signature(now, digest, signature);
    }

    /// Lets a sinner change what it is about to sign.
    fn sin_header(&mut self, process: usize) {
        let Some(replica) = self.processes[process].replica.as_ref() else {
            return;
        };
        let Some(proposal) = replica.unsigned() else {
            return;
        };
        let (mut header, mut payload) = (proposal.header().clone(), proposal.payload().clone());
        let before = (header.clone(), payload.clone());
        let sinned = self.with_sin(process, |sin, hands| {
            sin.header(hands, &mut header, &mut payload);
        });
        if sinned.is_none() || (header.clone(), payload.clone()) == before {
            return;
        }
        if let Some(replica) = self.processes[process].replica.as_mut() {
            replica.replace_unsigned(header, payload);
        }
    }

    fn broadcast(&mut self, process: usize, block: &Arc<Block>) {
        if self.cross(process, Boundary::BeforeSend) {
            return;
        }
        self.know(block);
        self.observe(process, &Observation::Sending(block));
        self.processes[process].note_seen(block);
        let me = block.author();
        self.trace.note(
            self.now,
            "send",
            process,
            block.reference().digest.as_bytes(),
        );
        let (now, reference, parents) = (self.now, block.reference(), block.parents().len());
        let transactions = block.payload().count();
        self.trace.say(now, || {
            format!("validator {me} sends {reference:?} with {parents} parents, {transactions} transactions")
        });
        if self
            .with_sin(process, |sin, hands| sin.broadcast(hands, block))
            .is_some()
        {
            return;
        }
        let frame = Message::encode_block(block);
        let amid = self.random.below(self.plan.validators() as u64);
        let committee = Arc::clone(&self.processes[process].committee);
        for to in committee.indices().filter(|to| *to != me) {
            if u64::from(to.0) == amid && self.cross(process, Boundary::AmidSend) {
                return;
            }
            self.send(process, to, &frame);
        }
        self.cross(process, Boundary::AfterSend);
    }

    /// Sends a frame unless a sin has other ideas.
    pub(super) fn send_from(&mut self, process: usize, to: ValidatorIndex, frame: &Bytes) {
        let sinned = {
            let frame = frame.clone();
            self.with_sin(process, |sin, hands| sin.send(hands, to, frame))
        };
        if sinned.is_none() {
            self.send(process, to, frame);
        }
    }

    /// The same, to a validator.
    pub(super) fn send_seat(&mut self, process: usize, to: ValidatorIndex, frame: &Bytes) {
        match self.member(process, to) {
            Some(member) => self.send_from(process, member, frame),
            None => self.send_to(process, to, frame),
        }
    }

    /// Calls a hook of a sinner and sends what it wants sent; `None` for honest validators.
    pub(super) fn with_sin<T>(
        &mut self,
        process: usize,
        act: impl FnOnce(&mut dyn crate::adversary::Sin, &mut Hands<'_>) -> T,
    ) -> Option<T> {
        let replica = self.processes[process].replica.as_ref()?;
        let status = replica.status();
        let leaders = replica.leaders(status.round.minus(1)).to_vec();
        let mut sin = self.processes[process].sin.take()?;
        let mut sent = Vec::new();
        let host = &self.processes[process];
        let mut hands = Hands {
            now: self.now,
            me: host.me?,
            committee: &host.committee,
            status,
            leaders: &leaders,
            signer: &host.signer,
            seen: &host.seen,
            sent: &mut sent,
        };
        let answer = act(sin.as_mut(), &mut hands);
        self.processes[process].sin = Some(sin);
        for frame in sent {
            if frame.after_us == 0 {
                self.send(process, frame.to, &frame.frame);
            } else {
                let at = self.now.plus_us(frame.after_us);
                let (to, frame) = (frame.to, frame.frame);
                self.schedule(
                    at,
                    Event::Leave {
                        from: process,
                        to,
                        frame,
                    },
                );
            }
        }
        Some(answer)
    }

    pub(super) fn wake_sinner(&mut self, process: usize) {
        if !self.processes[process].is_down() {
            self.with_sin(process, |sin, hands| sin.wake(hands));
        }
        let at = self.now.plus_us(crate::adversary::WAKE_EVERY_US);
        self.schedule(at, Event::Wake { process });
    }

    fn commit(&mut self, process: usize, commit: &Arc<Commit>) {
        self.trace
            .note(self.now, "commit", process, commit.digest.as_bytes());
        let validator = self.processes[process].validator;
        let (now, record, path) = (self.now, &commit.record, commit.path);
        self.trace.say(now, || {
            format!(
                "validator {validator} commits {} led by {:?}: {} blocks, {} skipped, {path:?}",
                record.index,
                record.leader,
                record.blocks.len(),
                record.skipped.len()
            )
        });
        self.observe(process, &Observation::Committed(commit));
        self.processes[process].last_commit = commit.index();
        self.note_committed(process, commit);
        self.apply(process, commit);
    }

    fn apply(&mut self, process: usize, commit: &Commit) {
        if let Some(application) = self.processes[process].application.as_mut() {
            application.apply(commit);
            self.compare_state(process, commit.index());
        }
    }

    /// The application of a correct validator must be where the others' are, or were, after the same commit.
    pub(super) fn compare_state(&mut self, process: usize, after: CommitIndex) {
        let host = &self.processes[process];
        let Some(application) = host.application.as_ref().filter(|_| !host.is_sinner()) else {
            return;
        };
        let (state, validator) = (application.state(), host.validator);
        if let Err(how) = self.states.check(after, validator, &state) {
            let promise = "the application's state is a function of the commits";
            self.break_promise(promise, Some(validator), how);
        }
    }

    /// Remembers a valid block.
    pub(super) fn know(&mut self, block: &Arc<Block>) {
        let digest = block.reference().digest;
        if !self.blocks.contains(&digest) {
            self.blocks.insert(digest, Arc::clone(block));
        }
    }

    /// Comes to a point of making an own block; whether the process dies there.
    fn cross(&mut self, process: usize, boundary: Boundary) -> bool {
        match self.processes[process].crash_at {
            Some((at, down_ms)) if at == boundary => {
                self.crash(process, down_ms);
                true
            }
            _ => false,
        }
    }
}

/// What `handle_pending` is told.
impl super::Process {
    pub(super) fn pending(&self) -> Pending {
        if self.queue.is_empty() && self.changes.is_empty() {
            Pending::None
        } else {
            Pending::Some
        }
    }
}
