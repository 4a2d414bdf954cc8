//! One validator's protocol state: wires the rules together and contains none itself.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::block::{Block, BlockRef, EquivocationProof, Slot};
use crate::commit::CommitRecord;
use crate::committee::{AuthorSet, Committee};
use crate::crypto::{Digest, Signature};
use crate::dag::Dag;
use crate::epoch::{Agenda, Change, ChangeOutcome, EpochEnd, EpochRule, Origin};
use crate::evidence::Evidence;
use crate::extra::Extra;
use crate::fetch::Fetch;
use crate::finality::Finality;
use crate::grounding::Grounding;
use crate::id::{CommitIndex, Round, Time, ValidatorIndex};
use crate::input::{Delivery, Link, Pending};
use crate::limits::RECORDS_WAITING_MAX;
use crate::order::Order;
use crate::output::{Halt, Output, PersistTicket};
use crate::record::Record;
use crate::recover::Recovered;
use crate::reputation::{Reputation, Standing};
use crate::round_clock::RoundClock;
use crate::suspended::Suspended;
use crate::verify::{SignedVotes, VerifiedBlock};

mod accuse;
mod admit;
mod checks;
mod ending;
mod extra_blocks;
mod install;
#[cfg(any(test, feature = "testing"))]
mod lawless;
mod output_step;
mod propose;
mod restart;
mod serve;

use ending::Ending;
use install::CatchingUp;
pub use propose::ProposalContent;
use propose::{InFlight, OwnBlock};
use serve::Replay;

/// What a replica is told at its start.
#[derive(Clone, Debug)]
pub struct ReplicaConfig {
    /// The epoch's committee.
    pub committee: Arc<Committee>,
    /// Which member this is.
    pub me: ValidatorIndex,
    /// Shortest time between two own blocks, in microseconds (R9).
    pub min_round_delay_us: u64,
    /// Longest wait while nothing is pending, in microseconds (R9).
    pub idle_round_delay_us: u64,
    /// Reads changes of the committee out of the sequence; the one that the committee's terms name (R32).
    pub rule: Arc<dyn EpochRule>,
}

/// One validator's protocol state. Knows no clock, socket, disk or thread.
///
/// - `handle_*` tells it what happened;
/// - [`Replica::poll_output`] says what to do, in the order to do it;
/// - [`Replica::next_deadline`] says when to come back;
/// - everything else only looks.
///
/// The same calls give the same outputs, byte for byte.
#[derive(Clone, Debug)]
pub struct Replica {
    config: ReplicaConfig,
    committee: Arc<Committee>,
    dag: Dag,
    order: Order,
    reputation: Reputation,
    grounding: Grounding,
    suspended: Suspended,
    fetch: Fetch,
    finality: Finality,
    clock: RoundClock,

    /// Blocks whose parents are all here, to be accepted in this step.
    ready: VecDeque<VerifiedBlock>,
    evidence: Evidence,
    /// Blocks on slots that were already occupied, and who pays for them (R6).
    extra: Extra,
    connected: AuthorSet,
    replays: Vec<Replay>,
    stall_asked_at: Time,

    /// `P`: the highest own round ever handed to `Persist` (section 4).
    own_round: Round,
    in_flight: Option<InFlight>,
    /// A proposal was asked for and not answered yet.
    wanted: Option<Round>,
    /// Own accepted blocks, newest last, down to `gc_round - gc_depth` (R8).
    own_refs: VecDeque<BlockRef>,
    /// Own blocks whose end is not known yet (R24).
    own_open: BTreeMap<Round, OwnBlock>,
    own_payload_bytes: usize,
    pending: Pending,
    /// Accepted, uncommitted blocks with payload (R9).
    payload_blocks: usize,
    /// R35.
    catching_up: CatchingUp,
    /// More weight than `f` is faulty: nothing more is done.
    halted: Option<Halt>,
    /// A block signed with our key that we did not make: stop proposing (R37).
    amnesia: bool,

    /// When the next proposal may become due by time alone.
    wake_at: Option<Time>,

    /// Where the epoch's sequence begins.
    origin: Origin,
    last: Option<(CommitRecord, Digest)>,
    /// Requests for changes in the sequence so far (R32).
    agenda: Agenda,
    /// What became of changes with the commit being output.
    change_outcomes: Vec<(Change, ChangeOutcome)>,
    ending: Option<Ending>,
    /// The epoch's end by somebody else's account, while its last commit is not output here; or once this epoch is
    /// skipped, that of the next one.
    known_end: Option<Arc<EpochEnd>>,
    skipped: Vec<Slot>,
    /// The highest round of blocks that a commit or a collection grounded in this step.
    regrounded: Round,

    records: Vec<Record>,
    /// The records are wanted durable at the end of this step: held outputs or other validators wait for them.
    records_wanted: bool,
    last_ticket: PersistTicket,
    durable: PersistTicket,
    /// Outputs that wait until their ticket is durable.
    held: VecDeque<(PersistTicket, Output)>,
    outputs: VecDeque<Output>,
    accepted_blocks: u64,
    /// A Byzantine validator of a simulator.
    #[cfg(any(test, feature = "testing"))]
    lawless: bool,
}

impl Replica {
    /// A replica that goes on from what the store said.
    ///
    /// # Panics
    /// When `config.me` is no member of the committee.
    #[must_use]
    pub fn new(config: ReplicaConfig, recovered: Recovered, now: Time) -> Self {
        assert!(
            config.committee.member(config.me).is_some(),
            "a replica is a committee member"
        );
        assert_eq!(
            config.rule.name(),
            config.committee.epochs().rule,
            "the committee's terms name the rule"
        );
        restart::start(config, recovered, now)
    }

    /// The replica of the next epoch, once [`Output::EpochEnded`] has been polled. Tickets go on where they were, so
    /// writes under way are confirmed to the new replica.
    ///
    /// # Panics
    /// As [`Replica::new`].
    #[must_use]
    pub fn next_epoch(&self, config: ReplicaConfig, end: &EpochEnd, now: Time) -> Self {
        let mut next = restart::empty(config, &Recovered::next_epoch(end), now);
        next.last_ticket = self.last_ticket;
        next.durable = self.durable;
        next.pending = self.pending;
        let known = self.known_end.iter().cloned();
        next.known_end = known
            .into_iter()
            .find(|known| known.record.epoch == next.committee.epoch());
        next.step(now);
        next
    }

    /// A verified block arrived.
    pub fn handle_block(&mut self, now: Time, delivery: Delivery) {
        self.admit(now, delivery);
        self.settle(now);
        self.step(now);
    }

    /// Commit votes arrived in a block that was refused although its header's signature was valid (R25).
    pub fn handle_votes(&mut self, votes: &SignedVotes) {
        self.note_heard(votes.slot);
        sometimes!(VoteAhead if votes.votes.iter().any(|vote| vote.index > self.last_index()));
        if let Some(certificate) = self.finality.handle_votes(votes) {
            self.keep_certificate(&certificate);
            self.outputs.push_back(Output::Certified(certificate));
        }
        if self.is_ending() {
            self.end_epoch();
            self.persist_if_wanted();
        }
    }

    /// A link came up or went down.
    pub fn handle_link(&mut self, now: Time, peer: ValidatorIndex, link: Link) {
        if peer == self.config.me || self.committee.member(peer).is_none() {
            return;
        }
        match link {
            Link::Up => {
                self.connected.insert(peer);
                sometimes!(ReplayAsked);
                self.ask_replay(now, peer);
            }
            Link::Down => {
                self.connected.remove(peer);
            }
        }
        self.step(now);
    }

    /// Whether transactions wait for the next own block; told on every change.
    pub fn handle_pending(&mut self, now: Time, pending: Pending) {
        self.pending = pending;
        self.step(now);
    }

    /// The ticket's records, and those of all tickets before, are durable.
    pub fn handle_persisted(&mut self, now: Time, ticket: PersistTicket) {
        assert!(
            ticket <= self.last_ticket,
            "only tickets that were handed out come back"
        );
        self.durable = self.durable.max(ticket);
        while self
            .held
            .front()
            .is_some_and(|(needs, _)| *needs <= self.durable)
        {
            self.outputs
                .extend(self.held.pop_front().map(|(_, output)| output));
        }
        self.sign_when_durable();
        if self.catching_up.run.is_some() {
            self.settle(now);
        }
        self.step(now);
    }

    /// The signature of the own block whose header has this digest.
    pub fn handle_signature(&mut self, now: Time, header_digest: Digest, signature: Signature) {
        self.seal(now, header_digest, signature);
        self.settle(now);
        self.step(now);
    }

    /// Time passed; call when [`Replica::next_deadline`] is over.
    pub fn handle_tick(&mut self, now: Time) {
        self.step(now);
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Replica::handle_tick`] at the latest; `None` while only events matter.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        let fetch = if self.connected.is_empty() {
            None
        } else {
            self.fetch.next_deadline()
        };
        let [proposal, replay] = [self.proposal_deadline(), self.replay_deadline()];
        let [grant, catch_up] = [self.extra.next_grant(), self.catch_up_deadline()];
        let due = [proposal, fetch, replay, grant, catch_up];
        due.into_iter().flatten().min()
    }

    /// What a look at the replica shows.
    #[must_use]
    pub fn status(&self) -> ReplicaStatus {
        ReplicaStatus {
            round: self.own_round,
            frontier: self.clock.frontier(),
            gc_round: self.dag.gc_round(),
            last_commit: self.last_index(),
            last_leader: self
                .last
                .as_ref()
                .map_or(Round::GENESIS, |(last, _)| last.leader.round),
            certified: self
                .finality
                .certificate()
                .map_or(self.origin.index, |c| c.index),
            dag_blocks: self.dag.len(),
            suspended_blocks: self.suspended.len(),
            suspended_bytes: self.suspended.bytes(),
            extra_bytes: self.extra.bytes(),
            remembered_blocks: self.grounding.remembered(),
            open_votes: self.finality.open_votes(),
            waiting_records: self.records.len(),
            missing_blocks: self.fetch.len(),
            accepted_blocks: self.accepted_blocks,
            equivocations: self.evidence.len(),
            leader_timeout_us: self.clock.leader_timeout_us(),
            amnesia: self.amnesia,
            slashing_alarm: self.ending.as_ref().is_some_and(|ending| ending.alarm),
            catching_up: self.catching_up.run.is_some(),
            catch_up_records: self.catching_up.run.as_ref().map_or(0, |run| run.records()),
            catch_up_blocks: self
                .catching_up
                .run
                .as_ref()
                .map_or(0, |run| run.open_blocks()),
            installed_commits: self.catching_up.installed,
            halted: self.halted,
        }
    }

    /// R31: a validator's score with the rounds and slots that moved it; `None` if it is no member.
    #[must_use]
    pub fn reputation(&self, validator: ValidatorIndex) -> Option<Standing> {
        self.reputation.standing(validator)
    }

    /// The proofs of equivocation that are kept, by author and round (R12).
    pub fn evidence(&self) -> impl Iterator<Item = &EquivocationProof> {
        self.evidence.proofs()
    }

    /// R26: whether the sequence shows that a validator equivocated.
    #[must_use]
    pub fn is_slashed(&self, validator: ValidatorIndex) -> bool {
        self.reputation.is_slashed(validator)
    }

    fn last_index(&self) -> CommitIndex {
        self.last
            .as_ref()
            .map_or(self.origin.index, |(last, _)| last.index)
    }

    /// Accepts what is ready and outputs what is decided, until neither is left.
    fn settle(&mut self, now: Time) {
        loop {
            while let Some(block) = self.ready.pop_front() {
                self.accept(now, block.block());
            }
            let news = self.output_next(now) || self.install_next(now) || self.end_catch_up(now);
            if !news {
                break;
            }
        }
        self.retry_grounding(now);
        self.take_known_end();
        self.end_epoch();
        if self.records.len() > RECORDS_WAITING_MAX {
            self.persist();
        }
        self.persist_if_wanted();
    }

    fn persist_if_wanted(&mut self) {
        if self.records_wanted {
            self.persist();
        }
    }

    /// Proposes, fetches and asks for replays when it is time.
    fn step(&mut self, now: Time) {
        self.catch_up(now);
        self.want_proposal(now);
        self.send_requests(now);
        if cfg!(debug_assertions) {
            self.check();
        }
    }

    /// Hands all waiting records to the shell; everything emitted until now is durable with this ticket.
    fn persist(&mut self) -> PersistTicket {
        self.last_ticket = self.next_ticket();
        self.records_wanted = false;
        let records = std::mem::take(&mut self.records);
        self.outputs.push_back(Output::Persist {
            ticket: self.last_ticket,
            records,
        });
        self.last_ticket
    }

    fn next_ticket(&self) -> PersistTicket {
        PersistTicket(self.last_ticket.0 + 1)
    }

    /// Emits `output` once the records made so far are durable, and has them persisted at the end of this step:
    /// the commits of one step are one write.
    fn hold(&mut self, output: Output) {
        self.records_wanted = true;
        if planted!(CommitBeforePersist) {
            self.outputs.push_back(output);
            return;
        }
        self.held.push_back((self.next_ticket(), output));
    }

    fn accept(&mut self, now: Time, block: &Arc<Block>) {
        admit::accept(self, now, block);
    }

    #[cfg(any(test, feature = "testing"))]
    fn is_lawless(&self) -> bool {
        self.lawless
    }

    #[cfg(not(any(test, feature = "testing")))]
    #[allow(clippy::unused_self, reason = "the other build looks")]
    const fn is_lawless(&self) -> bool {
        false
    }
}

/// A look at a replica, for `status()` and tests.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReplicaStatus {
    /// `P`: the highest own round.
    pub round: Round,
    /// `T`: the round that a quorum allows.
    pub frontier: Round,
    /// The highest collected round.
    pub gc_round: Round,
    /// The last commit.
    pub last_commit: CommitIndex,
    /// The round of its leader.
    pub last_leader: Round,
    /// The highest commit with a certificate (R25).
    pub certified: CommitIndex,
    /// Accepted blocks above the gc round.
    pub dag_blocks: usize,
    /// Blocks that wait for parents.
    pub suspended_blocks: usize,
    /// Their bytes.
    pub suspended_bytes: usize,
    /// Bytes of blocks on slots that others occupied, as far as somebody's budget pays for them (R6).
    pub extra_bytes: usize,
    /// Collected blocks that are still known, to ground others (R6).
    pub remembered_blocks: usize,
    /// Commit votes that have not made a certificate yet (R25).
    pub open_votes: usize,
    /// Records that wait for the next `Persist`.
    pub waiting_records: usize,
    /// Blocks that are asked for.
    pub missing_blocks: usize,
    /// Blocks accepted since the start.
    pub accepted_blocks: u64,
    /// Slots known to hold two signed headers, at most eight of each author (R12).
    pub equivocations: usize,
    /// How long a missing leader is waited for (R9), in microseconds.
    pub leader_timeout_us: u64,
    /// Somebody else signs with our key, or our disk lost what we signed: no more proposals (R37).
    pub amnesia: bool,
    /// The epoch has ended, and more stake is shown to have equivocated than may be Byzantine: nobody was slashed, and
    /// operators must act (R30).
    pub slashing_alarm: bool,
    /// It fetches certified commits (R35).
    pub catching_up: bool,
    /// Commit records that it holds for that.
    pub catch_up_records: usize,
    /// Blocks that it asks for or holds for that.
    pub catch_up_blocks: usize,
    /// Commits installed since the start.
    pub installed_commits: u64,
    /// Why it has stopped for good.
    pub halted: Option<Halt>,
}
