//! When to propose, and what (R8 to R11, R13).

use std::sync::Arc;

use crate::block::{Block, BlockRef, Header, Payload, Proposal, Slot, genesis_ref};
use crate::committee::PROTOCOL_VERSION;
use crate::crypto::{Digest, Signature};
use crate::id::{Round, Time, ValidatorIndex};
use crate::input::Pending;
use crate::limits::OWN_PAYLOAD_BYTES_MAX;
use crate::order::votes::Candidate;
use crate::output::{Output, PayloadRoom, PersistTicket};
use crate::record::Record;
use crate::thresholds::Rule;
use crate::verify::{SignedVotes, VerifiedBlock, check_parents};

use super::Replica;

/// An own block between its header and its signature (R11).
#[derive(Clone, Debug)]
pub(super) enum InFlight {
    /// Its header, payload and history are being made durable.
    Persisting(PersistTicket, Box<Proposal>),
    /// The signer was asked.
    Signing(Box<Proposal>),
}

impl InFlight {
    pub(super) fn proposal(&self) -> &Proposal {
        match self {
            Self::Persisting(_, proposal) | Self::Signing(proposal) => proposal,
        }
    }
}

/// An own block whose end is not known yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnBlock {
    pub(super) payload_bytes: usize,
}

/// Whether the next own block may be proposed.
enum Turn {
    Now,
    At(Time),
    /// Only an event can change it.
    Later,
}

impl Replica {
    /// R8: exactly the round after the last one, or two above the gc round when the others have moved past us.
    fn next_round(&self) -> Round {
        if planted!(RoundSkipped) {
            return self.own_round.next().max(self.clock.frontier());
        }
        let gc_round = self.dag.gc_round();
        if gc_round > Round::GENESIS && self.own_round <= gc_round {
            return gc_round.plus(2);
        }
        self.own_round.next()
    }

    fn turn(&self, now: Time) -> Turn {
        let round = self.next_round();
        let frontier = self.clock.frontier();
        let stopped = self.amnesia || self.halted.is_some() || self.is_over();
        let busy = self.in_flight.is_some()
            || self.wanted.is_some()
            || stopped
            || self.catching_up.order_waits;
        if busy || round > frontier {
            return Turn::Later;
        }
        if round < frontier {
            return Turn::Now; // R8: behind the frontier blocks are immediate.
        }
        self.frontier_turn(now, round)
    }

    /// R9 at the frontier, where the quorum of the round below stands.
    fn frontier_turn(&self, now: Time, round: Round) -> Turn {
        let quorum_at = self.clock.reached_at();
        let mut earliest = quorum_at;
        if let Some(proposed_at) = self.clock.proposed_at() {
            let delay = if self.is_idle() {
                self.config.idle_round_delay_us
            } else {
                self.config.min_round_delay_us
            };
            earliest = earliest.max(proposed_at.plus_us(delay));
        }
        if now < earliest {
            sometimes!(WaitedIdle if self.is_idle());
            sometimes!(WaitedMinDelay if !self.is_idle());
            return Turn::At(earliest);
        }
        let timeout = quorum_at.plus_us(self.clock.leader_timeout_us());
        let hold = quorum_at.plus_us(self.clock.soft_hold_us());
        if now >= timeout {
            sometimes!(ProposedByTimeout);
            return Turn::Now;
        }
        if !self.leader_wait_holds(round) || !self.vote_wait_holds(round) {
            sometimes!(WaitedLeader if !self.leader_wait_holds(round));
            sometimes!(WaitedVotes if !self.vote_wait_holds(round));
            return Turn::At(if now < hold {
                hold.min(timeout)
            } else {
                timeout
            });
        }
        if self.soft_hold_holds(round) {
            sometimes!(ProposedPrompt);
            return Turn::Now;
        }
        if now >= hold {
            sometimes!(ProposedAfterHold);
            return Turn::Now;
        }
        sometimes!(WaitedHold);
        Turn::At(hold)
    }

    /// R9: nothing to do here or anywhere.
    pub(super) fn is_idle(&self) -> bool {
        if let Some((last, _)) = self.last.as_ref().filter(|_| self.is_ending()) {
            // R32: the tail does not idle, unless it is long: nothing is collected any more.
            return self.own_round > last.leader.round.plus(self.committee.gc_depth());
        }
        self.pending == Pending::None && self.payload_blocks == 0
    }

    /// R9, soft hold: every connected eligible leader of the round below has an accepted block.
    fn soft_hold_holds(&self, round: Round) -> bool {
        let below = round.minus(1);
        if below == Round::GENESIS {
            return true;
        }
        let authors = self.dag.authors(below);
        let mut leaders = self.order.leaders(below).iter();
        leaders.all(|leader| authors.authors().contains(*leader) || !self.is_connected(*leader))
    }

    fn is_connected(&self, author: ValidatorIndex) -> bool {
        author == self.config.me || self.connected.contains(author)
    }

    /// R9, leader wait: the primary of the round below has an accepted block or is not connected.
    fn leader_wait_holds(&self, round: Round) -> bool {
        let Some(primary) = self.order.primary(round.minus(1)) else {
            return true;
        };
        if planted!(LeaderWaitDropped) {
            return true;
        }
        self.dag.first_of(primary.round, primary.author).is_some()
            || !self.is_connected(primary.author)
            || self.is_waived(primary.author)
    }

    /// R9, vote wait: the primary slot two rounds below is decided, or has the votes or blames for a certificate.
    fn vote_wait_holds(&self, round: Round) -> bool {
        let thresholds = self.committee.thresholds();
        let primary = if round.0 > 2 {
            self.order.primary(round.minus(2))
        } else {
            None
        };
        let Some(primary) = primary else { return true };
        if thresholds.rule == Rule::Fast
            || planted!(VoteWaitDropped)
            || self.order.is_settled(primary)
            || self.is_waived(primary.author)
        {
            return true;
        }
        let candidates = self
            .order
            .votes()
            .slot(primary)
            .map_or(&[][..], |v| &v.candidates);
        let voted = |c: &Candidate| c.votes.weight() >= thresholds.certificate;
        let blamed = |c: &Candidate| c.blames.weight() >= thresholds.skip_certificate;
        let voters = self.dag.authors(primary.round.next()).weight();
        candidates.iter().any(voted)
            || (voters >= thresholds.skip_certificate && candidates.iter().all(blamed))
    }

    /// R9, waiver: a primary that keeps stalling is not waited for while commits go on.
    fn is_waived(&self, primary: ValidatorIndex) -> bool {
        let last = self
            .last
            .as_ref()
            .map_or(Round::GENESIS, |(last, _)| last.leader.round);
        let waived = last.plus(8) >= self.own_round && self.clock.is_habitually_late(primary);
        sometimes!(Waived if waived);
        waived
    }

    /// When the next proposal may become due by time alone.
    pub(super) fn proposal_deadline(&self) -> Option<Time> {
        self.wake_at
    }

    /// Asks the shell for a payload when the next own block is due.
    pub(super) fn want_proposal(&mut self, now: Time) {
        self.note_waits(now);
        self.wake_at = None;
        match self.turn(now) {
            Turn::Later => {}
            Turn::At(time) => self.wake_at = Some(time),
            Turn::Now => {
                let round = self.next_round();
                self.wanted = Some(round);
                let room = self.payload_room(round);
                sometimes!(SafeResume if round > self.own_round.next());
                self.outputs
                    .push_back(Output::ProposalWanted { round, room });
            }
        }
    }

    /// R9: remembers that a round idles, and that a primary keeps us.
    fn note_waits(&mut self, now: Time) {
        let round = self.next_round();
        if round != self.clock.frontier() || self.in_flight.is_some() {
            return;
        }
        if self.is_idle() {
            self.clock.note_idle();
        }
        let hold = self.clock.reached_at().plus_us(self.clock.soft_hold_us());
        if now >= hold && !self.leader_wait_holds(round) {
            self.clock.note_late_primary();
        }
    }

    /// R8, R13: no payload behind the frontier or under the brake. R32: nor in an epoch that is known to be over, where it
    /// would be too late.
    fn payload_room(&self, round: Round) -> PayloadRoom {
        let last = self
            .last
            .as_ref()
            .map_or(Round::GENESIS, |(last, _)| last.leader.round);
        let lag = (self.committee.gc_depth() / 2).max(8);
        let full = self.own_payload_bytes > OWN_PAYLOAD_BYTES_MAX;
        let lags = self.own_round.0.saturating_sub(last.0) > lag;
        let behind = round < self.clock.frontier();
        sometimes!(BrakeByBytes if full);
        sometimes!(BrakeByLag if lags && !behind);
        sometimes!(BehindFrontier if behind);
        let braked = (full || lags) && !planted!(BrakeDropped);
        let is_over = self.is_ending() || self.known_end.is_some();
        if braked || behind || is_over {
            PayloadRoom::Closed
        } else {
            PayloadRoom::Open
        }
    }

    /// The answer to [`Output::ProposalWanted`]: builds the header and asks to make it durable (R11).
    ///
    /// `timestamp_ms` is the wall clock. An answer that nobody waits for is ignored; its payload is not taken.
    pub fn handle_proposal(&mut self, now: Time, round: Round, content: ProposalContent) {
        if self.wanted.take() != Some(round) {
            return;
        }
        if round != self.next_round() || self.amnesia || self.is_over() {
            // The gc round moved in between, or R37 stops us: the payload comes back as if it had been collected.
            sometimes!(ProposalStale);
            let outcome = crate::output::Outcome::Collected;
            self.outputs.push_back(Output::Outcome { round, outcome });
            self.step(now);
            return;
        }
        let ProposalContent {
            timestamp_ms,
            payload,
        } = content;
        let header = Header {
            version: PROTOCOL_VERSION,
            chain: *self.committee.chain(),
            epoch: self.committee.epoch(),
            round,
            author: self.config.me,
            timestamp_ms,
            payload: payload.describe(),
            parents: self.choose_parents(round),
            evidence: self.take_evidence(round),
            commit_votes: self.finality.take_votes(),
        };
        // A block that our own verifier would refuse is a defect here; better no block than a bad one.
        let sound = check_parents(&header, &self.committee);
        assert!(sound.is_ok(), "own parents are valid: {sound:?}");
        if self.timed_out(now, round) {
            self.clock.note_timeout();
        }
        let primary = self.order.primary(round.minus(1)).map(|slot| slot.author);
        self.clock.handle_proposed(now, primary);
        let proposal = Proposal::new(header, payload);
        self.own_round = round;
        let ticket = self.persist_own(Record::own(&proposal));
        self.in_flight = Some(InFlight::Persisting(ticket, Box::new(proposal)));
        if planted!(SignBeforePersist) {
            self.sign_when_durable();
        }
    }

    /// R11: one write takes the own header and all of its history that is not durable yet.
    fn persist_own(&mut self, own: Vec<Record>) -> PersistTicket {
        if planted!(OwnHeaderLate) {
            let ticket = self.persist();
            self.records.extend(own);
            return ticket;
        }
        if planted!(HistoryLate) {
            let history = std::mem::replace(&mut self.records, own);
            let ticket = self.persist();
            self.records = history;
            return ticket;
        }
        self.records.extend(own);
        self.persist()
    }

    /// R9: whether it was the timeout that ended a wait. A round that came late for want of work says nothing.
    fn timed_out(&self, now: Time, round: Round) -> bool {
        let due = self
            .clock
            .reached_at()
            .plus_us(self.clock.leader_timeout_us());
        let waited = || !self.leader_wait_holds(round) || !self.vote_wait_holds(round);
        round == self.clock.frontier() && now >= due && waited()
    }

    /// R10: the own chain first, then each author's highest grounded block that is not linked yet.
    fn choose_parents(&mut self, round: Round) -> Vec<BlockRef> {
        let own = self.own_parent(round);
        sometimes!(OwnParentGenesis if round > Round(1) && own.round == Round::GENESIS);
        sometimes!(OwnParentOld if own.round > Round::GENESIS && own.round.next() < round);
        let mut parents = vec![own];
        let gc_round = self.dag.gc_round();
        let mut lowest = gc_round.next().max(round.minus(self.committee.gc_depth()));
        if planted!(LateNotLinked) {
            lowest = lowest.max(round.minus(1));
        }
        for author in self
            .committee
            .indices()
            .filter(|author| *author != self.config.me)
        {
            if round == Round(1) {
                parents.extend(genesis_ref(&self.committee, author));
                continue;
            }
            let rounds = (lowest.0..round.0).rev().map(Round);
            let highest = rounds
                .filter_map(|round| self.grounded_of(Slot { round, author }))
                .next();
            let Some(id) = highest else { continue };
            sometimes!(ParentNotFirst if self.is_second(id));
            let entry = self.dag.entry_mut(id);
            if !entry.linked {
                sometimes!(ParentOld if id.round.next() < round);
                entry.linked = true;
                parents.push(entry.block.reference());
            }
        }
        for parent in &parents[1..] {
            self.note_linked_evidence(parent);
        }
        parents
    }

    /// Whether a block not linked yet stands in for the first accepted one of its slot.
    #[cfg(any(test, feature = "testing"))]
    fn is_second(&self, id: crate::dag::BlockId) -> bool {
        let entry = self.dag.entry(id);
        !entry.linked && self.dag.first_of(id.round, entry.block.author()) != Some(id)
    }

    /// The block of a slot that may be linked: one linked before, else the first grounded one.
    fn grounded_of(&self, slot: Slot) -> Option<crate::dag::BlockId> {
        let first = self.dag.first_of(slot.round, slot.author)?;
        let of_slot = |id: &crate::dag::BlockId| {
            let entry = self.dag.entry(*id);
            entry.block.author() == slot.author && (entry.grounded || planted!(LinksUngrounded))
        };
        if self.dag.entry(first).linked {
            return Some(first);
        }
        let mut grounded = self.dag.round_ids(slot.round).filter(of_slot);
        let all: Vec<_> = grounded.by_ref().collect();
        all.iter()
            .find(|id| self.dag.entry(**id).linked)
            .or(all.first())
            .copied()
    }

    /// R8: the highest own grounded block above `gc_round - gc_depth`, else the own genesis.
    fn own_parent(&self, round: Round) -> BlockRef {
        let grounded = |own: &BlockRef| match self.dag.id_of(own) {
            Some(id) => self.dag.entry(id).grounded,
            None => self.grounding.is_collected_grounded(own),
        };
        let below = self.own_refs.iter().rev().filter(|own| own.round < round);
        let highest = below.copied().find(grounded);
        let genesis = genesis_ref(&self.committee, self.config.me);
        highest
            .or(genesis)
            .expect("a replica is a committee member")
    }

    /// R11: the signer is asked once header, payload and history are durable.
    pub(super) fn sign_when_durable(&mut self) {
        match self.in_flight.take() {
            Some(InFlight::Persisting(ticket, proposal))
                if ticket <= self.durable || planted!(SignBeforePersist) =>
            {
                self.ask_signer(*proposal);
            }
            other => self.in_flight = other,
        }
    }

    pub(super) fn ask_signer(&mut self, proposal: Proposal) {
        self.outputs.push_back(Output::Sign {
            round: proposal.header().round,
            header_digest: proposal.header_digest(),
            preimage: proposal.preimage(),
        });
        self.in_flight = Some(InFlight::Signing(Box::new(proposal)));
    }

    /// R11: signed, so it joins the own DAG and is sent.
    pub(super) fn seal(&mut self, now: Time, header_digest: Digest, signature: Signature) {
        let proposal = match self.in_flight.take() {
            Some(InFlight::Signing(proposal)) if proposal.header_digest() == header_digest => {
                proposal
            }
            other => {
                self.in_flight = other;
                return;
            }
        };
        let block = VerifiedBlock::trusted(proposal.seal(signature));
        self.note_own_vote(block.block());
        self.handle_votes(&SignedVotes::of(block.block()));
        self.outputs
            .push_back(Output::Broadcast(Arc::clone(block.block())));
        if block.block().round() <= self.dag.gc_round() {
            sometimes!(SealedCollected);
            let (round, outcome) = (block.block().round(), crate::output::Outcome::Collected);
            self.outputs.push_back(Output::Outcome { round, outcome });
            return;
        }
        if self.is_lawless() {
            // Its header may have been changed to name parents that are not here.
            self.suspend_or_ready(now, self.config.me, block);
            return;
        }
        self.accept(now, block.block());
    }

    /// R37: the own block under way is neither signed nor sent; its payload comes back.
    pub(super) fn drop_in_flight(&mut self) {
        if let Some(in_flight) = self.in_flight.take() {
            let round = in_flight.proposal().header().round;
            let outcome = crate::output::Outcome::Collected;
            self.outputs.push_back(Output::Outcome { round, outcome });
        }
    }

    /// Keeps track of an own accepted block.
    pub(super) fn note_own(&mut self, block: &Block) {
        let payload_bytes = block.payload().bytes().len();
        self.own_refs.push_back(block.reference());
        if self.is_lawless() {
            self.own_refs.make_contiguous().sort_by_key(|own| own.round);
        }
        self.own_open
            .insert(block.round(), OwnBlock { payload_bytes });
        self.own_payload_bytes += payload_bytes;
    }
}

/// What the shell puts into an own block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProposalContent {
    /// The wall clock in milliseconds (R20).
    pub timestamp_ms: u64,
    /// The transactions; empty when there was no room.
    pub payload: Payload,
}
