//! Carries out what the replica asks for, in its order.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use crossbeam::channel::SendTimeoutError;
use probity_core::record::Record;
use probity_core::{
    Commit, Message, Outcome, Output, Path, Payload, PayloadRoom, PersistTicket, ProposalContent,
    Replica, Round, ValidatorIndex,
};
use probity_transport::Lane;

use crate::health::{NAP, StopReason};
use crate::metrics::Metrics;
use crate::persist::Job;
use crate::serve::Request;
use crate::submit::wall_clock_ms;

use super::Core;

impl Core {
    /// Does all that is asked for, and enters the next epoch if this one has ended.
    pub(super) fn carry_out(&mut self) {
        loop {
            while let Some(output) = self.replica.as_mut().and_then(Replica::poll_output) {
                // After a fault no signature leaves this validator.
                if matches!(output, Output::Sign { .. }) && self.hands.health.is_stopping() {
                    return;
                }
                self.carry_out_one(output);
            }
            self.put_back();
            let Some(end) = self.ended.take() else {
                return;
            };
            self.enter(&end);
        }
    }

    fn carry_out_one(&mut self, output: Output) {
        match output {
            Output::ProposalWanted { round, room } => self.propose(round, room),
            Output::Persist { ticket, records } => {
                self.persist(PersistTicket(self.ticket_base + ticket.0), records);
            }
            Output::Sign {
                header_digest,
                preimage,
                ..
            } => {
                let signature = self.hands.signing.sign(&preimage);
                if let Some(replica) = &mut self.replica {
                    replica.handle_signature(self.clock.now(), header_digest, signature);
                }
            }
            Output::Commit(commit) => self.commit(commit),
            Output::Outcome { round, outcome } => self.settle(round, outcome),
            Output::Evidence(proof) => {
                tracing::warn!(author = %proof.author, round = %proof.round,
                    "a validator signed two headers of one slot");
                self.hands.metrics.evidence.inc();
            }
            Output::Change {
                index,
                change,
                outcome,
            } => tracing::info!(%index, ?change, ?outcome, "a change of the committee is decided"),
            Output::EpochEnded(end) => self.note_ended(end),
            Output::Halted(halt) => {
                let why = StopReason::Forked(halt.to_string());
                self.hands.health.stop(why);
            }
            Output::Certified(certificate) => {
                tracing::trace!(index = %certificate.index, "certified");
                self.hands.metrics.certificates.inc();
            }
            to_peers @ (Output::Broadcast(_)
            | Output::Send { .. }
            | Output::SendBlock { .. }
            | Output::Serve { .. }
            | Output::ServeReplay { .. }
            | Output::ServeCertificate { .. }) => self.send(to_peers),
        }
    }

    fn send(&self, output: Output) {
        let links = &self.hands.links;
        match output {
            Output::Broadcast(block) => {
                let frame = Message::encode_block(&block);
                links.broadcast(&self.epoch, Lane::Blocks, &frame);
                self.hands.metrics.proposed.inc();
            }
            Output::Send { to, message } => self.send_message(to, &message),
            Output::SendBlock { to, block } => {
                let (header, payload) = (block.signed_header(), block.payload().bytes());
                let frame = Message::encode_fetched(header, payload);
                self.send_bulk(to, block.encoded_len(), frame);
            }
            Output::Serve { to, refs } => self.serve(to, Request::Blocks(refs)),
            Output::ServeReplay { to, after } => {
                self.serve(to, Request::Replay(self.epoch.number(), after));
            }
            Output::ServeCertificate {
                to,
                at_least,
                newest,
            } => {
                let epoch = self.epoch.number();
                let request = Request::Certificate {
                    epoch,
                    at_least,
                    newest,
                };
                self.serve(to, request);
            }
            Output::ProposalWanted { .. }
            | Output::Persist { .. }
            | Output::Sign { .. }
            | Output::Commit(_)
            | Output::Outcome { .. }
            | Output::Evidence(_)
            | Output::Change { .. }
            | Output::EpochEnded(_)
            | Output::Halted(_)
            | Output::Certified(_) => unreachable!("carried out by the caller"),
        }
    }

    fn send_message(&self, to: ValidatorIndex, message: &Message) {
        match message {
            // An own block sent again is bulk: on the control lane it would hold up requests.
            Message::Block(block) => self.send_bulk(to, block.len(), message.encode()),
            Message::Fetched(_)
            | Message::EpochEnd(_)
            | Message::Fetch(_)
            | Message::NotHeld(_)
            | Message::Replay { .. }
            | Message::FetchHistory { .. }
            | Message::FetchCertificate { .. }
            | Message::Certificate(_)
            | Message::FetchCommits { .. }
            | Message::Commits { .. } => {
                if let Some(peer) = self.epoch.member(to) {
                    self.hands.links.send(peer, Lane::Control, message.encode());
                }
            }
        }
    }

    fn send_bulk(&self, to: ValidatorIndex, charged_bytes: usize, frame: Bytes) {
        if let Some(peer) = self.epoch.member(to) {
            peer.allowance.charge(Instant::now(), charged_bytes);
            self.hands.links.send(peer, Lane::CatchUp, frame);
        }
    }

    fn serve(&self, to: ValidatorIndex, request: Request) {
        if let Some(peer) = self.epoch.member(to) {
            self.hands.serve.push(peer, request);
        }
    }

    fn propose(&mut self, round: Round, room: PayloadRoom) {
        let open = room == PayloadRoom::Open && self.may_propose_payload();
        let changes = if open {
            self.take_changes(round)
        } else {
            Vec::new()
        };
        let chunks = if open {
            self.hands.intake.take(&changes)
        } else {
            Vec::new()
        };
        let transactions = chunks.iter().flat_map(|chunk| chunk.transactions().iter());
        let transactions: Vec<&Bytes> = changes.iter().chain(transactions).collect();
        let payload = Payload::from_transactions(&transactions);
        drop(transactions);
        if !chunks.is_empty() {
            self.hands.intake.set_proposed(round, chunks);
        }
        let now = self.clock.now();
        let content = ProposalContent {
            timestamp_ms: wall_clock_ms(),
            payload,
        };
        if let Some(replica) = &mut self.replica {
            replica.handle_proposal(now, round, content);
        }
        self.look_at_pending(now);
    }

    /// Waits for the disk when it is far behind: then nothing else would help.
    pub(super) fn persist(&mut self, ticket: PersistTicket, records: Vec<Record>) {
        self.last_ticket = ticket;
        let mut job = Job { ticket, records };
        while let Err(error) = self.hands.persist.send_timeout(job, NAP) {
            match error {
                SendTimeoutError::Timeout(back) if !self.hands.health.is_stopping() => job = back,
                SendTimeoutError::Timeout(_) | SendTimeoutError::Disconnected(_) => return,
            }
        }
    }

    fn commit(&mut self, commit: Arc<Commit>) {
        (self.progressed_at, self.has_skipped) = (Instant::now(), false);
        let metrics = &self.hands.metrics;
        metrics.commits.inc();
        metrics.committed_blocks.inc_by(commit.blocks.len() as u64);
        let valid = commit.blocks.iter().filter(|block| !block.void);
        let count = valid
            .map(|block| u64::from(block.block.payload().count()))
            .sum();
        metrics.committed_transactions.inc_by(count);
        if let Some(path) = commit.path {
            let path = match path {
                Path::Fast => "fast",
                Path::Slow => "slow",
                Path::Indirect => "indirect",
            };
            Metrics::count(&metrics.decisions, "path", path, 1);
        }
        let skipped = commit.record.skipped.len() as u64;
        Metrics::count(&metrics.decisions, "path", "skipped", skipped);
        self.hands.log.push(commit);
    }

    /// R24: what is not in the sequence goes into the next own block, be it of this epoch or of the next.
    fn settle(&mut self, round: Round, outcome: Outcome) {
        let chunks = self.hands.intake.take_proposed(round);
        let changes = self.proposed_changes.remove(&round).unwrap_or_default();
        if chunks.is_empty() && changes.is_empty() {
            return;
        }
        if let Outcome::Sequenced { index } = outcome {
            chunks.iter().for_each(|chunk| chunk.resolve(index));
        } else if outcome == Outcome::Unknown {
            chunks.iter().for_each(|chunk| chunk.forget());
        } else {
            tracing::info!(%round, ?outcome, "an own block was not ordered; its payload is submitted again");
            self.hands.intake.hand_back(chunks);
            let changes = changes.into_iter().rev();
            changes.for_each(|change| self.changes.push_front(change));
        }
    }

    /// Those of earlier rounds go first again.
    fn put_back(&mut self) {
        if self.hands.intake.put_back() {
            self.look_at_pending(self.clock.now());
        }
    }
}
