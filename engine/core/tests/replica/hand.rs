//! One replica driven by hand: every effect is carried out or put aside, and everything it said can be looked at.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use probity_core::crypto::Digest;
use probity_core::record::{RecordSource, RecordTable, read_block, read_certificate, read_commits};
use probity_core::testing::{VALID_CHECK, keypair};
use probity_core::{
    Block, BlockRef, Change, ChangeOutcome, Commit, CommitCertificate, Committee, Delivery,
    EpochEnd, EpochRule, EquivocationProof, FixedCommittee, Halt, Link, Message, Outcome, Output,
    Payload, PayloadRoom, PersistTicket, ProposalContent, Recovered, Replica, ReplicaConfig,
    ReplicaStatus, Round, Time, ValidatorIndex, VotedChanges, limits, verify_block,
};

/// Records as a store would hold them.
#[derive(Clone, Default)]
pub(crate) struct Store(BTreeMap<(u8, Vec<u8>), Bytes>);

impl RecordSource for Store {
    type Error = std::convert::Infallible;

    fn read(&self, table: RecordTable, key: &[u8]) -> Result<Option<Bytes>, Self::Error> {
        Ok(self.0.get(&(table as u8, key.to_vec())).cloned())
    }

    fn scan(
        &self,
        table: RecordTable,
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Self::Error> {
        for ((of, key), value) in self.0.range((table as u8, from.to_vec())..) {
            if *of != table as u8 || !visit(key, value) {
                break;
            }
        }
        Ok(())
    }
}

/// A store that answers some reads otherwise: with what `read` says, unless it says nothing.
pub(crate) struct Altered<'a, F> {
    pub(crate) store: &'a Store,
    pub(crate) read: F,
}

impl<F> RecordSource for Altered<'_, F>
where
    F: Fn(RecordTable, &[u8]) -> Option<Option<Bytes>>,
{
    type Error = std::convert::Infallible;

    fn read(&self, table: RecordTable, key: &[u8]) -> Result<Option<Bytes>, Self::Error> {
        match (self.read)(table, key) {
            Some(answer) => Ok(answer),
            None => self.store.read(table, key),
        }
    }

    fn scan(
        &self,
        table: RecordTable,
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Self::Error> {
        self.store.scan(table, from, visit)
    }
}

/// Which steps of an own block the hand takes by itself; the others wait for the test.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Takes {
    /// Nobody answers when a proposal is wanted.
    Nothing,
    /// Proposes; nothing becomes durable.
    Proposals,
    /// Proposes and persists; nothing is signed.
    Persists,
    /// Every step.
    All,
}

#[derive(Clone)]
pub(crate) struct Hand {
    pub(crate) replica: Replica,
    pub(crate) now: Time,
    pub(crate) takes: Takes,
    /// Payloads for the next own blocks that have room.
    pub(crate) payloads: VecDeque<Payload>,
    /// Messages that it sent and nobody took yet.
    pub(crate) sent: Vec<(ValidatorIndex, Message)>,
    /// Own blocks that it broadcast, across restarts.
    pub(crate) own: Vec<Arc<Block>>,
    pub(crate) commits: Vec<Arc<Commit>>,
    pub(crate) outcomes: Vec<(Round, Outcome)>,
    /// What became of changes.
    pub(crate) changes: Vec<(Change, ChangeOutcome)>,
    /// How epochs ended.
    pub(crate) ends: Vec<Arc<EpochEnd>>,
    /// Why it has stopped for good.
    pub(crate) halted: Option<Halt>,
    /// Proofs of equivocation that it reported.
    pub(crate) accused: Vec<EquivocationProof>,
    /// Proposals that it wanted.
    pub(crate) wanted: Vec<(Round, PayloadRoom)>,
    /// Signatures that it waits for: header digest and preimage.
    pub(crate) to_sign: Vec<(Digest, Vec<u8>)>,
    /// Rounds of the own blocks whose signature was asked for.
    pub(crate) signed: Vec<Round>,
    tickets: Vec<PersistTicket>,
    store: Store,
    config: ReplicaConfig,
}

/// Shortest time between two own blocks; idle rounds wait no longer, so that rounds follow each other evenly.
const ROUND_US: u64 = 1_000;

/// The rule that a committee's terms name.
fn rule_of(committee: &Committee) -> Arc<dyn EpochRule> {
    if committee.epochs().rule == VotedChanges.name() {
        Arc::new(VotedChanges)
    } else {
        Arc::new(FixedCommittee)
    }
}

impl Hand {
    pub(crate) fn new(committee: &Arc<Committee>, me: u16, takes: Takes) -> Self {
        Self::idling(committee, me, (takes, ROUND_US))
    }

    /// One whose rounds take longer while nothing is pending.
    pub(crate) fn idling(
        committee: &Arc<Committee>,
        me: u16,
        (takes, idle_round_delay_us): (Takes, u64),
    ) -> Self {
        let config = ReplicaConfig {
            committee: Arc::clone(committee),
            me: ValidatorIndex(me),
            min_round_delay_us: ROUND_US,
            idle_round_delay_us,
            rule: rule_of(committee),
        };
        let now = Time(1_000_000);
        let mut hand = Self {
            replica: Replica::new(config.clone(), Recovered::fresh(), now),
            now,
            takes,
            payloads: VecDeque::new(),
            sent: Vec::new(),
            own: Vec::new(),
            commits: Vec::new(),
            outcomes: Vec::new(),
            changes: Vec::new(),
            ends: Vec::new(),
            halted: None,
            accused: Vec::new(),
            wanted: Vec::new(),
            to_sign: Vec::new(),
            signed: Vec::new(),
            tickets: Vec::new(),
            store: Store::default(),
            config,
        };
        hand.carry_out();
        hand
    }

    /// Starts again from what the store holds.
    pub(crate) fn restart(&mut self) {
        let store = self.store.clone();
        self.restart_from(&store);
    }

    /// Starts again from what a store holds.
    pub(crate) fn restart_from<S: RecordSource>(&mut self, store: &S)
    where
        S::Error: std::fmt::Debug,
    {
        let (committee, me) = (&self.config.committee, self.config.me);
        let recovered = Recovered::load(store, committee, me).expect("the store is sound");
        self.replica = Replica::new(self.config.clone(), recovered, self.now);
        self.tickets.clear();
        self.to_sign.clear();
        self.carry_out();
    }

    /// Starts again in the newest epoch that its store knows, where it has the same place.
    pub(crate) fn restart_in_newest_epoch(&mut self) {
        let newest = Recovered::newest_committee(&self.store, &self.config.committee);
        self.join(newest.expect("the store is sound"));
        self.restart();
    }

    /// Goes on in the next epoch, in which it has the same place.
    pub(crate) fn enter_next_epoch(&mut self) {
        let end = Arc::clone(self.ends.last().expect("its epoch is over"));
        let next = end.next_committee(&self.config.committee);
        self.join(next.expect("an epoch leaves a committee"));
        self.replica = self.replica.next_epoch(self.config.clone(), &end, self.now);
        self.carry_out();
    }

    /// Forgets what no other epoch serves.
    fn join(&mut self, committee: Arc<Committee>) {
        assert_eq!(committee.size(), self.config.committee.size());
        self.config.committee = committee;
        self.sent.clear();
        self.own.clear();
    }

    pub(crate) fn committee(&self) -> &Arc<Committee> {
        &self.config.committee
    }

    /// What it has written.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn status(&self) -> ReplicaStatus {
        self.replica.status()
    }

    pub(crate) fn link(&mut self, peer: u16, link: Link) {
        self.replica
            .handle_link(self.now, ValidatorIndex(peer), link);
        self.carry_out();
    }

    /// Hands over a block from its author.
    pub(crate) fn take(&mut self, block: &Block) {
        self.hear(block.author(), &message(block));
    }

    /// Hands over a message.
    pub(crate) fn hear(&mut self, from: ValidatorIndex, message: &Message) {
        match message {
            Message::Block(bytes) | Message::Fetched(bytes) => {
                let block = verify_block(bytes, &self.config.committee, &VALID_CHECK);
                let block = block.expect("tests send valid blocks");
                self.replica
                    .handle_block(self.now, Delivery { from, block });
            }
            Message::Fetch(refs) => self.replica.handle_fetch(from, refs.clone()),
            Message::FetchHistory { above, refs } => {
                self.replica
                    .handle_fetch_history(from, *above, refs.clone());
            }
            Message::NotHeld(refs) => self.replica.handle_not_held(self.now, from, refs),
            Message::Replay { after, .. } => self.replica.handle_replay(from, *after),
            Message::FetchCertificate { at_least, .. } => {
                self.replica.handle_fetch_certificate(from, *at_least);
            }
            Message::Certificate(bytes) => {
                let certificate = (!bytes.is_empty()).then(|| {
                    let certificate = CommitCertificate::decode(bytes);
                    certificate.expect("tests send certificates that can be read")
                });
                let holds = |c: &CommitCertificate| c.verify(&self.config.committee);
                if certificate.as_ref().is_none_or(holds) {
                    let certificate = certificate.map(Arc::new);
                    self.replica
                        .handle_certificate(self.now, from, certificate.as_ref());
                }
            }
            Message::FetchCommits { first, count } => {
                let records = read_commits(&self.store, *first, *count);
                let records = records.expect("a map does not fail");
                let first = *first;
                self.sent.push((from, Message::Commits { first, records }));
            }
            Message::Commits { first, records } => {
                self.replica
                    .handle_commits(self.now, from, (*first, records));
            }
            Message::EpochEnd(end) => {
                let end = EpochEnd::decode(end).expect("tests send ends that can be read");
                assert!(end.verify(&self.config.committee), "and that hold");
                self.replica.handle_epoch_end(self.now, from, Arc::new(end));
            }
        }
        self.carry_out();
    }

    /// Hands over the end of the epoch after this one; whether the rest of this one is skipped.
    pub(crate) fn skip_to(&mut self, later: &Arc<EpochEnd>) -> bool {
        let skips = self.replica.handle_later_end(self.now, later);
        self.carry_out();
        skips
    }

    /// Lets time pass, stopping at every deadline on the way.
    pub(crate) fn wait_us(&mut self, us: u64) {
        let until = self.now.plus_us(us);
        while let Some(due) = self.replica.next_deadline().filter(|due| *due <= until) {
            self.tick(due.max(self.now.plus_us(1)));
        }
        self.tick(until);
    }

    /// Says that it is `now`.
    pub(crate) fn tick(&mut self, now: Time) {
        self.now = self.now.max(now);
        self.replica.handle_tick(self.now);
        self.carry_out();
    }

    /// Everything written so far is durable.
    pub(crate) fn confirm(&mut self) {
        for ticket in std::mem::take(&mut self.tickets) {
            self.replica.handle_persisted(self.now, ticket);
        }
        self.carry_out();
    }

    /// Answers the signatures that were asked for.
    pub(crate) fn sign(&mut self) {
        let key = keypair(self.config.me);
        for (header_digest, preimage) in std::mem::take(&mut self.to_sign) {
            let signature = key.sign(&preimage);
            self.replica
                .handle_signature(self.now, header_digest, signature);
        }
        self.carry_out();
    }

    /// The references asked for since the last look, with whom.
    pub(crate) fn fetches(&mut self) -> Vec<(ValidatorIndex, BlockRef)> {
        let mut asked = Vec::new();
        for (to, message) in std::mem::take(&mut self.sent) {
            if let Message::Fetch(refs) | Message::FetchHistory { refs, .. } = message {
                asked.extend(refs.into_iter().map(|reference| (to, reference)));
            }
        }
        asked
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.replica.poll_output() {
            match output {
                Output::ProposalWanted { round, room } => self.propose(round, room),
                Output::Persist { ticket, records } => {
                    for record in records {
                        let key = (record.table as u8, record.key.to_vec());
                        self.store.0.insert(key, record.value);
                    }
                    self.tickets.push(ticket);
                    if self.takes != Takes::Proposals {
                        self.confirm();
                    }
                }
                Output::Sign {
                    round,
                    header_digest,
                    preimage,
                } => {
                    self.signed.push(round);
                    self.to_sign.push((header_digest, preimage.to_vec()));
                    if self.takes == Takes::All {
                        self.sign();
                    }
                }
                Output::Broadcast(block) => self.broadcast(block),
                Output::Send { to, message } => self.sent.push((to, message)),
                Output::SendBlock { to, block } => {
                    self.sent.push((to, Message::Fetched(bytes(&block))));
                }
                Output::Serve { to, refs } => self.serve(to, refs),
                Output::ServeCertificate {
                    to,
                    at_least,
                    newest,
                } => {
                    let epoch = self.config.committee.epoch();
                    let kept = read_certificate(&self.store, epoch, at_least);
                    let kept = kept.expect("a map does not fail");
                    let newest = newest.map(|newest| newest.encode());
                    let certificate = kept.or(newest).unwrap_or_default();
                    self.sent.push((to, Message::Certificate(certificate)));
                }
                Output::Halted(halt) => self.halted = Some(halt),
                Output::ServeReplay { to, after } => self.serve_replay(to, after),
                Output::Commit(commit) => self.commits.push(commit),
                Output::Outcome { round, outcome } => self.outcomes.push((round, outcome)),
                Output::Change {
                    change, outcome, ..
                } => self.changes.push((change, outcome)),
                Output::EpochEnded(end) => self.ends.push(end),
                Output::Evidence(proof) => self.accused.push(proof),
                Output::Certified(_) => {}
            }
        }
    }

    fn propose(&mut self, round: Round, room: PayloadRoom) {
        self.wanted.push((round, room));
        if self.takes != Takes::Nothing {
            self.answer(round, room);
        }
    }

    /// Answers that a proposal is wanted.
    pub(crate) fn answer(&mut self, round: Round, room: PayloadRoom) {
        let payload = match room {
            PayloadRoom::Open => self.payloads.pop_front().unwrap_or_default(),
            PayloadRoom::Closed => Payload::empty(),
        };
        let timestamp_ms = self.now.0 / 1_000;
        let content = ProposalContent {
            timestamp_ms,
            payload,
        };
        self.replica.handle_proposal(self.now, round, content);
        self.carry_out();
    }

    fn broadcast(&mut self, block: Arc<Block>) {
        for peer in self.config.committee.indices() {
            if peer != self.config.me {
                self.sent.push((peer, message(&block)));
            }
        }
        self.own.push(block);
    }

    fn serve(&mut self, to: ValidatorIndex, refs: Vec<BlockRef>) {
        let mut missing = Vec::new();
        for reference in refs {
            match read_block(&self.store, self.config.committee.epoch(), &reference)
                .expect("the store is sound")
            {
                Some(block) => {
                    let message = Message::Fetched(bytes(block.block()));
                    self.sent.push((to, message));
                }
                None => missing.push(reference),
            }
        }
        if !missing.is_empty() {
            self.sent.push((to, Message::NotHeld(missing)));
        }
    }

    fn serve_replay(&mut self, to: ValidatorIndex, after: Round) {
        let own = self.own.iter().filter(|block| block.round() > after);
        for block in own.take(limits::REPLAY_BLOCKS_MAX) {
            self.sent.push((to, message(block)));
        }
    }
}

/// The message with which an author sends its block.
pub(crate) fn message(block: &Block) -> Message {
    Message::Block(bytes(block))
}

fn bytes(block: &Block) -> Bytes {
    let mut bytes = BytesMut::from(&block.signed_header()[..]);
    bytes.extend_from_slice(block.payload().bytes());
    bytes.freeze()
}
