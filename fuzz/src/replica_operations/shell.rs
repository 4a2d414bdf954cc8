//! The shell of one replica: carries its outputs out when the fuzzer says so, and judges each of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use probity_core::block::PREIMAGE_BYTES;
use probity_core::crypto::Digest;
use probity_core::record::{Record, RecordSource, RecordTable, commit_key, epoch_key, read_block};
use probity_core::{
    Block, BlockRef, Commit, CommitIndex, Committee, FixedCommittee, Message, Outcome, Output,
    Payload, PayloadRoom, PersistTicket, ProposalContent, Recovered, Replica, ReplicaConfig, Round,
    Time, ValidatorIndex, VerifiedBlock, verify_block, verify_evidence,
};

use super::store::Store;
use crate::committee::{MostAccepted, member_keypair};
use crate::sign_anew::header_digest;

/// Which member the replica is.
pub(super) const ME: ValidatorIndex = ValidatorIndex(0);

/// A replica with a disk and a signer that take their time, and what was seen of it over all its lives.
pub(super) struct Shell {
    pub(super) committee: Arc<Committee>,
    pub(super) replica: Replica,
    pub(super) now: Time,
    store: Store,
    life: Life,
    /// The header digest that was signed for each own round, ever.
    signed: BTreeMap<Round, Digest>,
    /// What was sent.
    pub(super) sent: Vec<VerifiedBlock>,
    /// The digest of each commit, ever.
    pub(super) commits: BTreeMap<CommitIndex, Digest>,
    /// History that was found durable.
    durable: BTreeSet<BlockRef>,
    /// What the next own blocks carry.
    pub(super) transaction: Option<u8>,
    /// Whether `ProposalWanted` is answered at once, as its contract says, or when the fuzzer likes.
    pub(super) answers: Answers,
    pub(super) reached: Reached,
}

/// What a run has met, so that a corpus gone dull fails a test.
#[derive(Clone, Copy, Default, Debug)]
pub struct Reached {
    /// Commits that left the replica.
    pub commits: usize,
    /// Rounds that it collected.
    pub collected_rounds: u32,
    /// Certificates of commits.
    pub certificates: usize,
    /// Proofs of equivocation.
    pub proofs: usize,
    /// Crashes that it came back from with a commit on its disk.
    pub recoveries: usize,
    /// Requests for blocks that it lacked.
    pub requests: usize,
    /// Own blocks that were collected before they were ordered.
    pub collected_blocks: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Answers {
    AtOnce,
    Later,
}

/// What ends with a crash.
#[derive(Default)]
struct Life {
    unwritten: VecDeque<(PersistTicket, Vec<Record>)>,
    last_ticket: PersistTicket,
    to_sign: VecDeque<ToSign>,
    wanted: Option<Round>,
    /// Requests for blocks that wait for an answer.
    requests: Vec<(ValidatorIndex, Vec<BlockRef>)>,
    next_commit: CommitIndex,
    ended: BTreeSet<Round>,
    certified: CommitIndex,
}

struct ToSign {
    header_digest: Digest,
    preimage: [u8; PREIMAGE_BYTES],
}

impl Shell {
    pub(super) fn start(committee: Arc<Committee>) -> Self {
        let now = Time(1_000_000);
        let replica = Replica::new(config(&committee), Recovered::fresh(), now);
        let mut shell = Self {
            committee,
            replica,
            now,
            store: Store::default(),
            life: Life::default(),
            signed: BTreeMap::new(),
            sent: Vec::new(),
            commits: BTreeMap::new(),
            durable: BTreeSet::new(),
            transaction: None,
            answers: Answers::AtOnce,
            reached: Reached::default(),
        };
        shell.life.next_commit = CommitIndex(1);
        shell.drain();
        shell
    }

    /// Tells the replica something, and takes what it has to say.
    pub(super) fn tell(&mut self, act: impl FnOnce(&mut Replica, Time)) {
        act(&mut self.replica, self.now);
        self.drain();
    }

    /// The disk finishes some writes.
    pub(super) fn persist(&mut self, writes: usize) {
        let mut last = None;
        for _ in 0..writes {
            let Some((ticket, records)) = self.life.unwritten.pop_front() else {
                break;
            };
            self.store.write(records);
            last = Some(ticket);
        }
        if let Some(ticket) = last {
            self.tell(|replica, now| replica.handle_persisted(now, ticket));
        }
    }

    /// The signer answers its oldest request.
    pub(super) fn sign(&mut self) {
        if let Some(asked) = self.life.to_sign.pop_front() {
            let signature = member_keypair(ME).sign(&asked.preimage);
            self.tell(|replica, now| replica.handle_signature(now, asked.header_digest, signature));
        }
    }

    /// Answers the request for a proposal, or says something about `round` that nobody waits for.
    pub(super) fn propose(&mut self, round: Option<Round>) {
        let wanted = self.life.wanted.take();
        let Some(round) = round.or(wanted) else {
            return;
        };
        if wanted.is_some_and(|wanted| wanted != round) {
            // The request was answered wrongly, so it is gone; time brings the next one.
            self.life.wanted = None;
        }
        let payload = match self.transaction {
            Some(byte) => Payload::from_transactions(&[[byte]]),
            None => Payload::empty(),
        };
        let content = ProposalContent {
            timestamp_ms: self.now.0 / 1000,
            payload,
        };
        self.tell(|replica, now| replica.handle_proposal(now, round, content));
    }

    pub(super) fn take_request(&mut self) -> Option<(ValidatorIndex, Vec<BlockRef>)> {
        self.life.requests.pop()
    }

    /// Power is lost when the disk has finished some more writes, and comes back (R36).
    pub(super) fn restart(&mut self, finished: usize) {
        for (_, records) in self.life.unwritten.drain(..).take(finished) {
            self.store.write(records);
        }
        let recovered = Recovered::load(&self.store, &self.committee, ME);
        let recovered = recovered.expect("whatever the moment, the store is sound");
        let last = recovered.last_commit();
        let output = self.commits.keys().next_back().copied().unwrap_or_default();
        assert!(
            last >= output,
            "commit {output} left the replica before it was durable"
        );
        self.reached.recoveries += usize::from(last > CommitIndex::GENESIS);
        self.life = Life {
            next_commit: last.next(),
            ..Life::default()
        };
        self.replica = Replica::new(config(&self.committee), recovered, self.now);
        self.drain();
    }

    fn drain(&mut self) {
        for _ in 0..OUTPUTS_MAX {
            let Some(output) = self.replica.poll_output() else {
                self.replica.check();
                self.reached.collected_rounds = self.replica.status().gc_round.0;
                return;
            };
            self.carry_out(output);
        }
        panic!("one event, and no end of outputs");
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::ProposalWanted { round, room } => self.note_wanted(round, room),
            Output::Persist { ticket, records } => {
                assert_eq!(ticket.0, self.life.last_ticket.0 + 1, "tickets rise by one");
                self.life.last_ticket = ticket;
                self.life.unwritten.push_back((ticket, records));
            }
            Output::Sign {
                round,
                header_digest,
                preimage,
            } => {
                self.check_sign(round, &header_digest);
                self.life.to_sign.push_back(ToSign {
                    header_digest,
                    preimage,
                });
            }
            Output::Broadcast(block) => self.check_broadcast(&block),
            Output::Send { to, message } => self.check_send(to, message),
            Output::SendBlock { to, .. } => assert_ne!(to, ME),
            Output::Serve { refs, .. } => assert!(!refs.is_empty()),
            Output::ServeReplay { .. } | Output::ServeCertificate { .. } => {}
            Output::Halted(halt) => panic!("nobody lies about commits here: {halt:?}"),
            Output::Commit(commit) => self.check_commit(&commit),
            Output::Outcome { round, outcome } => {
                self.reached.collected_blocks += usize::from(outcome == Outcome::Collected);
                assert!(
                    self.life.ended.insert(round),
                    "own round {round} ended twice"
                );
            }
            Output::Change { .. } | Output::EpochEnded(_) => {
                unreachable!("the committee is fixed")
            }
            Output::Evidence(proof) => {
                self.reached.proofs += 1;
                assert!(verify_evidence(&proof, &self.committee));
            }
            Output::Certified(certificate) => {
                assert!(
                    certificate.verify(&self.committee),
                    "a certificate proves nothing"
                );
                assert!(certificate.index > self.life.certified, "certificates rise");
                self.life.certified = certificate.index;
                self.reached.certificates += 1;
            }
        }
    }

    fn note_wanted(&mut self, round: Round, room: PayloadRoom) {
        assert_eq!(self.life.wanted, None, "asked twice for a proposal");
        self.life.wanted = Some(round);
        if room == PayloadRoom::Closed {
            self.transaction = None;
        }
        if self.answers == Answers::AtOnce {
            // Not through `propose`: outputs are being drained already.
            self.life.wanted = None;
            let payload = match self.transaction {
                Some(byte) => Payload::from_transactions(&[[byte]]),
                None => Payload::empty(),
            };
            let content = ProposalContent {
                timestamp_ms: self.now.0 / 1000,
                payload,
            };
            self.replica.handle_proposal(self.now, round, content);
        }
    }

    /// R11: header, payload and history are durable. R8: one digest a round, and no gap.
    fn check_sign(&mut self, round: Round, header: &Digest) {
        let before = self.signed.keys().next_back().copied().unwrap_or_default();
        let known = *self.signed.entry(round).or_insert(*header);
        assert_eq!(known, *header, "two headers of own round {round}");
        let gc_round = self.replica.status().gc_round;
        assert!(
            round <= before.next() || round <= gc_round.plus(2),
            "R8: a gap before {round}"
        );
        let own = self
            .store
            .get(RecordTable::Own, &epoch_key(self.committee.epoch()));
        let own = own.and_then(|bytes| header_digest(bytes));
        assert_eq!(own, Some(*header), "R11: signed before it was durable");
    }

    fn check_broadcast(&mut self, block: &Arc<Block>) {
        let signed = self.signed.get(&block.round());
        assert_eq!(
            signed,
            Some(&block.header_digest()),
            "R11: sent before it was signed"
        );
        self.check_history(block);
        let bytes = [&block.signed_header()[..], block.payload().bytes()]
            .concat()
            .into();
        let verified = verify_block(&bytes, &self.committee, &MostAccepted);
        let verified = verified.expect("no honest block is rejected");
        let twin = self
            .sent
            .iter()
            .find(|sent| sent.block().round() == block.round());
        match twin {
            Some(twin) => assert_eq!(
                twin,
                &verified,
                "equivocation in own round {}",
                block.round()
            ),
            None => self.sent.push(verified),
        }
    }

    /// R11: everything above the gc round that a peer may ask for is on the disk.
    fn check_history(&mut self, block: &Block) {
        let gc_round = self.replica.status().gc_round;
        let mut open = block.parents().to_vec();
        while let Some(parent) = open.pop() {
            if parent.round <= gc_round || !self.durable.insert(parent) {
                continue;
            }
            let stored = read_block(&self.store, self.committee.epoch(), &parent);
            let stored = stored.expect("records are sound");
            let stored = stored.expect("R11: sent before its history was durable");
            open.extend(stored.block().parents());
        }
    }

    fn check_send(&mut self, to: ValidatorIndex, message: Message) {
        assert_ne!(to, ME);
        assert_eq!(Message::decode(&message.encode()), Ok(message.clone()));
        if let Message::Fetch(refs) | Message::FetchHistory { refs, .. } = message
            && self.life.requests.len() < REQUESTS_MAX
        {
            self.life.requests.push((to, refs));
            self.reached.requests += 1;
        }
    }

    /// R21: contiguous, chained, durable, and the same in every life.
    fn check_commit(&mut self, commit: &Commit) {
        let index = commit.index();
        assert_eq!(index, self.life.next_commit, "commit indices have no gap");
        self.life.next_commit = index.next();
        self.reached.commits += 1;
        let known = *self.commits.entry(index).or_insert(commit.digest);
        assert_eq!(
            known, commit.digest,
            "commit {index} is another one in this life"
        );
        let stored = self.store.get(RecordTable::Commits, &commit_key(index));
        assert_eq!(
            stored,
            Some(&commit.record.encode()),
            "output before it was durable"
        );
    }

    /// The records on the disk form one chain, and no block is in it twice.
    pub(super) fn check_chain(&self) {
        let mut previous = *self.committee.chain();
        let mut ordered = BTreeSet::new();
        for index in (1..).map(CommitIndex) {
            let Ok(stored) = self.store.read(RecordTable::Commits, &commit_key(index));
            let Some(stored) = stored else { break };
            let record = probity_core::CommitRecord::decode(&stored).expect("a sound record");
            assert_eq!(
                (record.index, record.previous),
                (index, previous),
                "a broken chain"
            );
            previous = record.digest();
            for (block, _) in record.blocks {
                assert!(ordered.insert(block), "{block:?} was ordered twice");
            }
        }
    }
}

fn config(committee: &Arc<Committee>) -> ReplicaConfig {
    ReplicaConfig {
        committee: Arc::clone(committee),
        me: ME,
        min_round_delay_us: 2_000,
        idle_round_delay_us: 50_000,
        rule: Arc::new(FixedCommittee),
    }
}

/// Far more than any event can cause in a committee this small.
const OUTPUTS_MAX: usize = 10_000;
const REQUESTS_MAX: usize = 64;
