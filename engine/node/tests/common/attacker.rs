//! A committee of four of which the last member is driven by hand, to say what no node would.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use probity::{
    ClientCheck, CommitIndex, Config, Keypair, LmdbStorage, Node, QuicTransport, State,
    TransactionKind,
};
use probity_core::block::{Header, Payload, Proposal, genesis_ref};
use probity_core::crypto::Digest;
use probity_core::{
    Block, BlockRef, Committee, Message, PROTOCOL_VERSION, Round, ValidatorIndex, verify_block,
};
use probity_transport::{
    Event, InboxLimits, InboxReceiver, Lane, Peer, PeerId, Transport as _, inbox,
};

use super::{PATIENCE, assert_same, bound, read, signed, wait_until};

/// A frame that nobody has counted for so long is sent again.
const LOST_AFTER: Duration = Duration::from_secs(5);

/// Three honest validators and their attacker, all linked.
pub(crate) struct Siege {
    pub(crate) nodes: Vec<Node>,
    pub(crate) attacker: Attacker,
    pub(crate) peers: Vec<Peer>,
    client: Keypair,
    submitted: u64,
    _home: tempfile::TempDir,
}

impl Siege {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// `tune` changes the configuration of every honest node.
    pub(crate) fn start_with(tune: impl Fn(&mut Config)) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut bound = bound(4, TransactionKind::SignedEnvelope);
        let (config, transport) = bound.pop().unwrap();
        let peers: Vec<Peer> = bound
            .iter()
            .map(|(_, transport)| Peer {
                id: transport.id(),
                address: transport.local_address(),
            })
            .collect();
        let start = |(mut config, transport): (Config, QuicTransport)| {
            tune(&mut config);
            let storage =
                LmdbStorage::open(home.path().join(config.me.unwrap().to_string())).unwrap();
            Node::builder(config)
                .storage(storage)
                .transport(transport)
                .start()
                .unwrap()
        };
        let nodes: Vec<Node> = bound.into_iter().map(start).collect();
        let attacker = Attacker::new(config, transport, &peers);
        wait_until("everybody is linked, the attacker too", || {
            nodes.iter().all(|node| node.status().peers_up == 3)
        });
        Self {
            nodes,
            attacker,
            peers,
            client: Keypair::from_seed(&[100; 32]),
            submitted: 0,
            _home: home,
        }
    }

    /// A transaction that was never used before.
    pub(crate) fn transaction(&mut self) -> Bytes {
        self.submitted += 1;
        let chain = *self.attacker.committee.chain();
        signed(chain, &self.client, self.submitted)
    }

    /// Every node orders a new transaction, nobody panicked and all have the same commits.
    pub(crate) fn assert_goes_on(&mut self) {
        self.attacker.listen();
        let known = self.nodes.iter().map(|node| node.status().last_commit);
        let before = known.min().unwrap();
        let transactions: Vec<Bytes> = (0..3).map(|_| self.transaction()).collect();
        let submit = |(node, transaction): (&Node, Bytes)| {
            let (node, (answer, answered)) = (node.clone(), mpsc::channel());
            std::thread::spawn(move || answer.send(node.submit_blocking(transaction)));
            let taken = answered.recv_timeout(PATIENCE);
            taken.expect("the node answers its client").unwrap()
        };
        let taken: Vec<_> = self.nodes.iter().zip(transactions).map(submit).collect();
        wait_until("new transactions are ordered", || {
            taken.iter().all(|taken| taken.outcome().is_some())
        });
        let outcomes = taken.iter().map(|taken| taken.outcome().unwrap().unwrap());
        let last: CommitIndex = outcomes.max().unwrap();
        wait_until("all of them are in every node's sequence", || {
            self.nodes
                .iter()
                .all(|node| node.status().last_commit >= last)
        });
        let delivered: Vec<_> = self
            .nodes
            .iter()
            .map(|node| read(node, before, 1))
            .collect();
        assert_same(&delivered[0], &delivered[1]);
        assert_same(&delivered[0], &delivered[2]);
        for node in &self.nodes {
            let status = node.status();
            assert_eq!((status.state, status.peers_up), (State::Running, 3));
        }
    }

    /// Sends `frame` to every node and waits until each has counted that it breaks `rule`; now and then it is sent again,
    /// since what is under way when a busy machine's link breaks is lost.
    pub(crate) fn assert_rejected(&self, (what, rule): (&str, &str), lane: Lane, frame: &Bytes) {
        let rejected = format!("probity_rejected_messages_total{{peer=\"3\",rule=\"{rule}\"}}");
        let before: Vec<u64> = self.counts(&rejected);
        self.broadcast(lane, frame);
        let mut sent_at = Instant::now();
        wait_until(&format!("{what} is counted as {rule}"), || {
            if sent_at.elapsed() > LOST_AFTER {
                self.broadcast(lane, frame);
                sent_at = Instant::now();
            }
            let now = self.counts(&rejected);
            now.iter().zip(&before).all(|(now, before)| now > before)
        });
    }

    pub(crate) fn broadcast(&self, lane: Lane, frame: &Bytes) {
        for peer in &self.peers {
            self.attacker.send(peer.id, lane, frame.clone());
        }
    }

    /// A metric of every node.
    pub(crate) fn counts(&self, metric: &str) -> Vec<u64> {
        self.nodes.iter().map(|node| count(node, metric)).collect()
    }
}

/// The value of a counter, given its name with labels; 0 when it was never counted.
pub(crate) fn count(node: &Node, metric: &str) -> u64 {
    let text = node.metrics_text();
    let value = |line: &str| line.strip_prefix(metric)?.strip_prefix(' ')?.parse().ok();
    text.lines().find_map(value).unwrap_or(0)
}

/// The last member of the committee: its keys and its link, without a node.
pub(crate) struct Attacker {
    pub(crate) me: ValidatorIndex,
    pub(crate) signing: Keypair,
    pub(crate) committee: Arc<Committee>,
    pub(crate) transport: Arc<QuicTransport>,
    /// Blocks of honest validators, as they sent them.
    pub(crate) blocks: BTreeMap<Round, BTreeMap<ValidatorIndex, Bytes>>,
    /// Everything else that was said to the attacker.
    pub(crate) messages: Vec<Message>,
    rows: BTreeMap<Round, BTreeMap<ValidatorIndex, BlockRef>>,
    check: Arc<dyn ClientCheck>,
    ears: InboxReceiver,
}

impl Attacker {
    fn new(config: Config, transport: QuicTransport, peers: &[Peer]) -> Self {
        let (inbox, ears) = inbox(InboxLimits::default());
        transport.set_peers(peers);
        transport.start(inbox);
        Self {
            me: config.me.unwrap(),
            check: config.check().unwrap(),
            signing: config.signing,
            committee: config.committee,
            transport: Arc::new(transport),
            blocks: BTreeMap::new(),
            messages: Vec::new(),
            rows: BTreeMap::new(),
            ears,
        }
    }

    pub(crate) fn send(&self, to: PeerId, lane: Lane, frame: Bytes) {
        self.transport.send(to, lane, frame);
    }

    /// Takes in what has arrived.
    pub(crate) fn listen(&mut self) {
        let mut events = Vec::new();
        self.ears
            .recv_batch(&mut events, 4096, Duration::from_millis(1));
        for event in events {
            let Event::Frame { frame, .. } = event else {
                continue;
            };
            let message = Message::decode(&frame).unwrap();
            if let Message::Block(bytes) = message {
                self.note(bytes);
            } else {
                self.messages.push(message);
            }
        }
    }

    fn note(&mut self, bytes: Bytes) {
        let block = verify_block(&bytes, &self.committee, &*self.check).unwrap();
        let reference = block.block().reference();
        let row = self.rows.entry(reference.round).or_default();
        row.insert(reference.author, reference);
        let row = self.blocks.entry(reference.round).or_default();
        row.insert(reference.author, bytes);
    }

    /// The newest round above `after` of which the attacker has every honest block.
    pub(crate) fn whole_round(&mut self, after: Round) -> Round {
        let mut found = None;
        wait_until("all honest blocks of a new round arrive", || {
            self.listen();
            let mut whole = self.rows.iter().rev().filter(|(_, row)| row.len() == 3);
            found = whole.next().map(|(round, _)| *round);
            found.is_some_and(|round| round > after)
        });
        found.unwrap()
    }

    /// Waits until the honest nodes have made a round that is not made yet.
    pub(crate) fn next_round(&mut self) {
        self.listen();
        let newest = self.rows.keys().next_back().copied();
        self.whole_round(newest.unwrap_or_default());
    }

    /// Honest blocks of more than so many bytes.
    pub(crate) fn larger_than(&self, bytes: usize) -> Vec<BlockRef> {
        let all = self.blocks.iter().flat_map(|(round, row)| {
            let large = row.iter().filter(|(_, block)| block.len() > bytes);
            large.map(|(author, _)| self.rows[round][author])
        });
        all.collect()
    }

    /// A header without fault on the newest round.
    pub(crate) fn fresh_header(&mut self) -> Header {
        let below = self.whole_round(Round::GENESIS);
        let parents = self.rows[&below].values().copied().collect();
        self.header(below.next(), parents)
    }

    /// The header of round 1: without fault, and enough where only verification counts.
    pub(crate) fn first_header(&self) -> Header {
        let honest = self.committee.indices().filter(|index| *index != self.me);
        let parents = honest.map(|author| self.genesis(author)).collect();
        self.header(Round(1), parents)
    }

    pub(crate) fn genesis(&self, author: ValidatorIndex) -> BlockRef {
        genesis_ref(&self.committee, author).unwrap()
    }

    fn header(&self, round: Round, honest: Vec<BlockRef>) -> Header {
        let mut parents = vec![self.genesis(self.me)];
        parents.extend(honest);
        Header {
            version: PROTOCOL_VERSION,
            chain: *self.committee.chain(),
            epoch: self.committee.epoch(),
            round,
            author: self.me,
            timestamp_ms: super::now_ms(),
            payload: Payload::empty().describe(),
            parents,
            evidence: Vec::new(),
            commit_votes: Vec::new(),
        }
    }

    /// Whatever the header says, under the attacker's signature.
    pub(crate) fn sign(&self, header: Header, payload: Payload) -> Block {
        let proposal = Proposal::new(header, payload);
        let signature = self.signing.sign(&proposal.preimage());
        proposal.seal(signature)
    }

    /// The frame of a block that differs from one without fault by `change`.
    pub(crate) fn altered(&self, change: impl FnOnce(&mut Header)) -> Bytes {
        let mut header = self.first_header();
        change(&mut header);
        Message::encode_block(&self.sign(header, Payload::empty()))
    }
}

/// The name of a block that nobody ever made.
pub(crate) fn invented(round: Round, author: ValidatorIndex, number: u32) -> BlockRef {
    let mut digest = [0xee; 32];
    digest[..4].copy_from_slice(&number.to_le_bytes());
    BlockRef {
        round,
        author,
        digest: Digest(digest),
    }
}
