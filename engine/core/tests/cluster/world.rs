//! A cluster of replicas on one event heap.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use bytes::Bytes;
use probity_core::crypto::{Digest, Keypair};
use probity_core::record::{RecordSource, RecordTable, read_block};
use probity_core::{
    Block, BlockRef, Commit, Committee, Delivery, FixedCommittee, Link, Message, Output, Payload,
    PayloadRoom, Pending, PersistTicket, Profile, ProposalContent, Recovered, Replica,
    ReplicaConfig, Round, Time, TransactionCheck, ValidatorIndex, verify_block,
};

pub(crate) struct AcceptAll;

impl TransactionCheck for AcceptAll {
    fn name(&self) -> &str {
        "opaque/1"
    }

    fn first_invalid(&self, _: &[&[u8]]) -> Option<usize> {
        None
    }
}

/// Durable records.
#[derive(Clone, Default)]
pub(crate) struct Store {
    records: BTreeMap<(u8, Vec<u8>), Bytes>,
}

impl RecordSource for Store {
    type Error = std::convert::Infallible;

    fn read(&self, table: RecordTable, key: &[u8]) -> Result<Option<Bytes>, Self::Error> {
        Ok(self.records.get(&(table as u8, key.to_vec())).cloned())
    }

    fn scan(
        &self,
        table: RecordTable,
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Self::Error> {
        for ((t, key), value) in self.records.range((table as u8, from.to_vec())..) {
            if *t != table as u8 || !visit(key, value) {
                break;
            }
        }
        Ok(())
    }
}

enum Event {
    Frame {
        from: u16,
        to: u16,
        frame: Bytes,
    },
    Persisted {
        node: u16,
        life: u32,
        ticket: PersistTicket,
        records: Vec<probity_core::record::Record>,
    },
    Tick {
        node: u16,
        life: u32,
    },
}

pub(crate) struct Node {
    pub(crate) replica: Option<Replica>,
    pub(crate) store: Store,
    pub(crate) commits: Vec<Arc<Commit>>,
    pub(crate) payloads_left: usize,
    life: u32,
    ticks_at: Option<Time>,
    /// Writes become durable in order; those that wait share one sync.
    written_at: Time,
    sent: BTreeMap<Round, Digest>,
}

pub(crate) struct World {
    pub(crate) committee: Arc<Committee>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) now: Time,
    keys: Vec<Keypair>,
    events: BTreeMap<u64, Event>,
    heap: BinaryHeap<Reverse<(Time, u64)>>,
    sequence: u64,
    seed: u64,
    pub(crate) cut: Vec<(u16, u16)>,
    pub(crate) loss_percent: u64,
    pub(crate) delay_us: (u64, u64),
}

impl World {
    pub(crate) fn new(seed: u64, validators: u8, profile: Profile) -> Self {
        let keys: Vec<Keypair> = (1..=validators)
            .map(|s| Keypair::from_seed(&[s; 32]))
            .collect();
        let stakes: Vec<_> = keys.iter().map(|key| (key.public(), 1)).collect();
        let committee = Committee::from_stakes(&stakes, profile, "opaque/1").unwrap();
        let node = |_| Node {
            replica: None,
            store: Store::default(),
            commits: Vec::new(),
            payloads_left: 5,
            life: 0,
            ticks_at: None,
            written_at: Time(0),
            sent: BTreeMap::new(),
        };
        let mut world = Self {
            committee: Arc::new(committee),
            nodes: (0..validators).map(node).collect(),
            now: Time(1_000_000),
            keys,
            events: BTreeMap::new(),
            heap: BinaryHeap::new(),
            sequence: 0,
            seed,
            cut: Vec::new(),
            loss_percent: 0,
            delay_us: (500, 1_500),
        };
        for node in 0..u16::from(validators) {
            world.start(node);
        }
        world
    }

    pub(crate) fn random(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn start(&mut self, node: u16) {
        let me = ValidatorIndex(node);
        let recovered = Recovered::load(&self.nodes[usize::from(node)].store, &self.committee, me);
        let config = ReplicaConfig {
            committee: Arc::clone(&self.committee),
            me,
            min_round_delay_us: 2_000,
            idle_round_delay_us: 200_000,
            rule: Arc::new(FixedCommittee),
        };
        let recovered = recovered.expect("the store is sound");
        let state = &mut self.nodes[usize::from(node)];
        state.commits.truncate(recovered.last_commit().0 as usize);
        state.life += 1;
        state.ticks_at = None;
        state.replica = Some(Replica::new(config, recovered, self.now));
        for peer in 0..self.nodes.len() as u16 {
            if peer != node && self.nodes[usize::from(peer)].replica.is_some() {
                self.link(node, peer, Link::Up);
                self.link(peer, node, Link::Up);
            }
        }
        self.drain(node);
    }

    pub(crate) fn crash(&mut self, node: u16) {
        self.nodes[usize::from(node)].replica = None;
        for peer in 0..self.nodes.len() as u16 {
            if peer != node && self.nodes[usize::from(peer)].replica.is_some() {
                self.link(peer, node, Link::Down);
            }
        }
    }

    fn link(&mut self, node: u16, peer: u16, link: Link) {
        let now = self.now;
        self.with(node, |replica| {
            replica.handle_link(now, ValidatorIndex(peer), link)
        });
    }

    /// Says that `node` has so many more payloads to propose.
    pub(crate) fn submit(&mut self, node: u16, payloads: usize) {
        let now = self.now;
        self.nodes[usize::from(node)].payloads_left += payloads;
        self.with(node, |replica| replica.handle_pending(now, Pending::Some));
    }

    fn with(&mut self, node: u16, act: impl FnOnce(&mut Replica)) {
        if let Some(replica) = self.nodes[usize::from(node)].replica.as_mut() {
            act(replica);
            self.drain(node);
        }
    }

    fn schedule(&mut self, at: Time, event: Event) {
        self.sequence += 1;
        self.events.insert(self.sequence, event);
        self.heap.push(Reverse((at, self.sequence)));
    }

    fn send(&mut self, from: u16, to: u16, frame: Bytes) {
        if self.cut.contains(&(from, to)) || self.random() % 100 < self.loss_percent {
            return;
        }
        let (least, most) = self.delay_us;
        let delay = least + self.random() % (most - least + 1);
        self.schedule(self.now.plus_us(delay), Event::Frame { from, to, frame });
    }

    fn drain(&mut self, node: u16) {
        while let Some(output) = self.nodes[usize::from(node)]
            .replica
            .as_mut()
            .and_then(Replica::poll_output)
        {
            self.carry_out(node, output);
        }
        let at = usize::from(node);
        let Some(replica) = self.nodes[at].replica.as_ref() else {
            return;
        };
        let Some(deadline) = replica.next_deadline() else {
            return;
        };
        let deadline = deadline.max(self.now.plus_us(1));
        if self.nodes[at]
            .ticks_at
            .is_none_or(|ticks_at| deadline < ticks_at)
        {
            self.nodes[at].ticks_at = Some(deadline);
            let life = self.nodes[at].life;
            self.schedule(deadline, Event::Tick { node, life });
        }
    }

    #[allow(clippy::too_many_lines, reason = "one arm an output")]
    fn carry_out(&mut self, node: u16, output: Output) {
        let at = usize::from(node);
        let now = self.now;
        match output {
            Output::ProposalWanted { round, room } => self.propose(node, round, room),
            Output::Persist { ticket, records } => {
                let life = self.nodes[at].life;
                let delay = 200 + self.random() % 1_000;
                let event = Event::Persisted {
                    node,
                    life,
                    ticket,
                    records,
                };
                let written_at = self.nodes[at].written_at.max(now.plus_us(delay));
                self.nodes[at].written_at = written_at;
                self.schedule(written_at, event);
            }
            Output::Sign {
                header_digest,
                preimage,
                ..
            } => {
                let signature = self.keys[at].sign(&preimage);
                let replica = self.nodes[at].replica.as_mut().unwrap();
                replica.handle_signature(now, header_digest, signature);
            }
            Output::Broadcast(block) => self.broadcast(node, &block),
            Output::Send { to, message } => self.send(node, to.0, message.encode()),
            Output::SendBlock { to, block } => {
                let frame = Message::encode_fetched(block.signed_header(), block.payload().bytes());
                self.send(node, to.0, frame);
            }
            Output::Serve { to, refs } => self.serve(node, to.0, refs),
            Output::ServeReplay { to, after } => self.serve_replay(node, to.0, after),
            Output::Commit(commit) => {
                let expected = self.nodes[at].commits.len() as u64 + 1;
                assert_eq!(commit.index().0, expected, "indices have no gap");
                self.nodes[at].commits.push(commit);
            }
            Output::Halted(halt) => panic!("{halt:?}"),
            Output::ServeCertificate { .. }
            | Output::Outcome { .. }
            | Output::Evidence(_)
            | Output::Change { .. }
            | Output::EpochEnded(_) => {}
            Output::Certified(certificate) => assert!(certificate.verify(&self.committee)),
        }
    }

    fn propose(&mut self, node: u16, round: Round, room: PayloadRoom) {
        let host = &mut self.nodes[usize::from(node)];
        let payload = if room == PayloadRoom::Open && host.payloads_left > 0 {
            host.payloads_left -= 1;
            Payload::from_transactions(&[format!("tx {node} {round}").into_bytes()])
        } else {
            Payload::empty()
        };
        let pending = if host.payloads_left > 0 {
            Pending::Some
        } else {
            Pending::None
        };
        let content = ProposalContent {
            timestamp_ms: self.now.0 / 1000,
            payload,
        };
        let replica = host.replica.as_mut().unwrap();
        replica.handle_proposal(self.now, round, content);
        replica.handle_pending(self.now, pending);
    }

    fn broadcast(&mut self, node: u16, block: &Block) {
        // One digest per round ever sent, across restarts.
        let digest = block.reference().digest;
        let sent = &mut self.nodes[usize::from(node)].sent;
        let sent = *sent.entry(block.round()).or_insert(digest);
        let round = block.round();
        assert_eq!(sent, digest, "node {node} equivocated in {round:?}");
        let frame = Message::encode_block(block);
        for peer in 0..self.nodes.len() as u16 {
            if peer != node {
                self.send(node, peer, frame.clone());
            }
        }
    }

    fn serve(&mut self, node: u16, to: u16, refs: Vec<BlockRef>) {
        let mut missing = Vec::new();
        for reference in refs {
            let store = &self.nodes[usize::from(node)].store;
            match read_block(store, 0, &reference).unwrap() {
                Some(block) => {
                    let block = block.block();
                    let frame =
                        Message::encode_fetched(block.signed_header(), block.payload().bytes());
                    self.send(node, to, frame);
                }
                None => missing.push(reference),
            }
        }
        if !missing.is_empty() {
            self.send(node, to, Message::NotHeld(missing).encode());
        }
    }

    fn serve_replay(&mut self, node: u16, to: u16, after: Round) {
        let mut refs: Vec<BlockRef> = Vec::new();
        let from = probity_core::record::round_key(0, after.next());
        let store = &self.nodes[usize::from(node)].store;
        store
            .scan(RecordTable::Headers, &from, &mut |key, _| {
                let author = u16::from_be_bytes(key[12..14].try_into().unwrap());
                if author == node {
                    let round = Round(u32::from_be_bytes(key[8..12].try_into().unwrap()));
                    let digest = Digest(key[14..46].try_into().unwrap());
                    refs.push(BlockRef {
                        round,
                        author: ValidatorIndex(author),
                        digest,
                    });
                }
                refs.len() < probity_core::limits::REPLAY_BLOCKS_MAX
            })
            .unwrap();
        for reference in refs {
            let store = &self.nodes[usize::from(node)].store;
            if let Some(block) = read_block(store, 0, &reference).unwrap() {
                self.send(node, to, Message::encode_block(block.block()));
            }
        }
    }

    /// Runs one event; `false` when there is none until `until`.
    pub(crate) fn step(&mut self, until: Time) -> bool {
        let Some(Reverse((at, id))) = self.heap.peek().copied() else {
            return false;
        };
        if at > until {
            self.now = until;
            return false;
        }
        self.heap.pop();
        self.now = at;
        match self.events.remove(&id).expect("scheduled once") {
            Event::Frame { from, to, frame } => self.receive(from, to, &frame),
            Event::Persisted {
                node,
                life,
                ticket,
                records,
            } => {
                let state = &mut self.nodes[usize::from(node)];
                if state.life == life && state.replica.is_some() {
                    for record in records {
                        let key = (record.table as u8, record.key.to_vec());
                        state.store.records.insert(key, record.value);
                    }
                    self.with(node, |replica| replica.handle_persisted(at, ticket));
                }
            }
            Event::Tick { node, life } => {
                if self.nodes[usize::from(node)].life == life {
                    self.nodes[usize::from(node)].ticks_at = None;
                    self.with(node, |replica| replica.handle_tick(at));
                }
            }
        }
        true
    }

    fn receive(&mut self, from: u16, to: u16, frame: &Bytes) {
        let (now, sender) = (self.now, ValidatorIndex(from));
        let message = Message::decode(frame).expect("honest frames decode");
        let committee = Arc::clone(&self.committee);
        self.with(to, |replica| match message {
            Message::Block(bytes) | Message::Fetched(bytes) => {
                let block = verify_block(&bytes, &committee, &AcceptAll);
                let block = block.expect("no honest block is rejected");
                replica.handle_block(
                    now,
                    Delivery {
                        from: sender,
                        block,
                    },
                );
            }
            Message::Fetch(refs) => replica.handle_fetch(sender, refs),
            Message::FetchHistory { above, refs } => {
                replica.handle_fetch_history(sender, above, refs);
            }
            Message::NotHeld(refs) => replica.handle_not_held(now, sender, &refs),
            Message::Replay { after, .. } => replica.handle_replay(sender, after),
            Message::EpochEnd(_) => unreachable!("the committee is fixed"),
            Message::FetchCertificate { .. }
            | Message::Certificate(_)
            | Message::FetchCommits { .. }
            | Message::Commits { .. } => {} // Nobody here holds what was collected.
        });
    }

    pub(crate) fn run_for_ms(&mut self, ms: u64) {
        let until = self.now.plus_us(ms * 1000);
        while self.step(until) {}
        self.check_agreement();
    }

    pub(crate) fn check_agreement(&self) {
        let longest = self
            .nodes
            .iter()
            .max_by_key(|node| node.commits.len())
            .unwrap();
        for node in &self.nodes {
            for (a, b) in node.commits.iter().zip(&longest.commits) {
                assert_eq!(a.digest, b.digest, "commit {} differs", a.index());
            }
        }
    }

    pub(crate) fn commits(&self) -> Vec<usize> {
        self.nodes.iter().map(|node| node.commits.len()).collect()
    }
}
