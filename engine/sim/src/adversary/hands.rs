//! What a sinner has to work with: its key, what it has seen, and ways to send.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use probity_core::block::genesis_ref;
use probity_core::crypto::Digest;
use probity_core::{
    Block, BlockRef, Committee, Header, Message, PROTOCOL_VERSION, Payload, Proposal,
    ReplicaStatus, Round, Tally, Time, ValidatorIndex,
};

use crate::random::Random;
use crate::signer::Signer;

/// A frame on its way out of a sinner.
#[derive(Clone, Debug)]
pub struct Sent {
    /// To whom.
    pub to: ValidatorIndex,
    /// What.
    pub frame: Bytes,
    /// How long it waits before it leaves, in microseconds.
    pub after_us: u64,
}

/// What a sinner has to work with.
pub struct Hands<'a> {
    /// The time.
    pub now: Time,
    /// Who it is.
    pub me: ValidatorIndex,
    /// Who decides.
    pub committee: &'a Arc<Committee>,
    /// How far its own replica has come.
    pub status: ReplicaStatus,
    /// Who leads the round below its newest own block, in slot order.
    pub leaders: &'a [ValidatorIndex],
    /// The other sinners of the run.
    pub accomplices: &'a [ValidatorIndex],
    /// A number that all sinners of a run know, to make the same choices by.
    pub pact: u64,
    /// Its own key.
    pub signer: &'a Signer,
    /// Blocks that reached it, its own ones too, of the newest rounds.
    pub seen: &'a BTreeMap<BlockRef, Arc<Block>>,
    pub(crate) sent: &'a mut Vec<Sent>,
}

impl Hands<'_> {
    /// Every other validator.
    #[must_use]
    pub fn others(&self) -> Vec<ValidatorIndex> {
        let me = self.me;
        self.committee
            .indices()
            .filter(|other| *other != me)
            .collect()
    }

    /// Every other validator, in a random order.
    #[must_use]
    pub fn shuffled(&self, random: &mut Random) -> Vec<ValidatorIndex> {
        let mut others = self.others();
        random.shuffle(&mut others);
        others
    }

    /// Everybody who is no sinner; the same list for all sinners.
    #[must_use]
    pub fn honest(&self) -> Vec<ValidatorIndex> {
        let mut others = self.others();
        others.retain(|other| !self.accomplices.contains(other));
        others
    }

    /// Leaves these out of an own header one by one, as long as the other parents are a quorum.
    pub fn leave_out(&self, header: &mut Header, left_out: &[ValidatorIndex]) {
        for author in left_out {
            let mut fewer = header.parents.clone();
            fewer.retain(|parent| parent.author != *author);
            if self.is_quorum(header.round, &fewer) {
                header.parents = fewer;
            }
        }
    }

    /// Sends a frame now.
    pub fn send(&mut self, to: ValidatorIndex, frame: Bytes) {
        self.send_after(0, to, frame);
    }

    /// Sends a frame later.
    pub fn send_after(&mut self, after_us: u64, to: ValidatorIndex, frame: Bytes) {
        self.sent.push(Sent {
            to,
            frame,
            after_us,
        });
    }

    /// Sends a frame to every other validator.
    pub fn send_all(&mut self, frame: &Bytes) {
        for to in self.others() {
            self.send(to, frame.clone());
        }
    }

    /// Pushes a block to every other validator.
    pub fn push_all(&mut self, block: &Block) {
        self.send_all(&Message::encode_block(block));
    }

    /// Signs whatever the sinner wants, with its own key.
    #[must_use]
    pub fn sign(&self, header: Header, payload: Payload) -> Arc<Block> {
        let proposal = Proposal::new(header, payload);
        let signature = self.signer.sign(&proposal.preimage());
        Arc::new(proposal.seal(signature))
    }

    /// The same header and payload under another valid signature: another block, and no proof of anything (R12).
    #[must_use]
    pub fn sign_again(&self, block: &Block) -> Arc<Block> {
        let proposal = Proposal::new(block.header().clone(), block.payload().clone());
        let signature = self.signer.sign_variant(&proposal.preimage());
        Arc::new(proposal.seal(signature))
    }

    /// An own header without payload; the parents are put into the order that R4 wants.
    #[must_use]
    pub fn header(&self, round: Round, parents: Vec<BlockRef>) -> Header {
        Header {
            version: PROTOCOL_VERSION,
            chain: *self.committee.chain(),
            epoch: self.committee.epoch(),
            round,
            author: self.me,
            timestamp_ms: 1_700_000_000_000 + self.now.0 / 1_000,
            payload: Payload::empty().describe(),
            parents: self.arranged(parents),
            evidence: Vec::new(),
            commit_votes: Vec::new(),
        }
    }

    /// An own empty block.
    #[must_use]
    pub fn block(&self, round: Round, parents: Vec<BlockRef>) -> Arc<Block> {
        self.sign(self.header(round, parents), Payload::empty())
    }

    /// Own parent first, the others by author, one an author; the own genesis if there is no own one.
    #[must_use]
    pub fn arranged(&self, mut parents: Vec<BlockRef>) -> Vec<BlockRef> {
        let me = self.me;
        if parents.iter().all(|parent| parent.author != me) {
            parents.extend(genesis_ref(self.committee, me));
        }
        parents.sort_unstable_by_key(|parent| (parent.author != me, parent.author));
        parents.dedup_by_key(|parent| parent.author);
        parents
    }

    /// Blocks of a round that reached the sinner.
    #[must_use]
    pub fn of_round(&self, round: Round) -> Vec<Arc<Block>> {
        let from = BlockRef {
            round,
            author: ValidatorIndex(0),
            digest: Digest::ZERO,
        };
        let blocks = self.seen.range(from..);
        blocks
            .take_while(|(reference, _)| reference.round == round)
            .map(|(_, block)| Arc::clone(block))
            .collect()
    }

    /// Own blocks that it still remembers, oldest first.
    #[must_use]
    pub fn own_blocks(&self) -> Vec<Arc<Block>> {
        let own = |block: &&Arc<Block>| block.author() == self.me;
        self.seen.values().filter(own).cloned().collect()
    }

    /// Real parents for a block of `round`: one known block of each author in the round below.
    #[must_use]
    pub fn real_parents(&self, round: Round) -> Vec<BlockRef> {
        if round <= Round(1) {
            let genesis = |author| genesis_ref(self.committee, author);
            return self.committee.indices().filter_map(genesis).collect();
        }
        let below = self.of_round(round.minus(1));
        self.arranged(below.iter().map(|block| block.reference()).collect())
    }

    /// Whether parents in the round below weigh enough for anybody to take the block (R4.4).
    #[must_use]
    pub fn is_quorum(&self, round: Round, parents: &[BlockRef]) -> bool {
        let mut tally = Tally::default();
        for parent in parents.iter().filter(|p| p.round.next() == round) {
            tally.add(parent.author, self.committee);
        }
        tally.weight() >= self.committee.thresholds().quorum
    }

    /// A block of every author in `round` that nobody has.
    #[must_use]
    pub fn invented_row(&self, random: &mut Random, round: Round) -> Vec<BlockRef> {
        let invent = |author| invented(random, round, author);
        self.committee.indices().map(invent).collect()
    }
}

/// The name of a block that nobody has.
pub(super) fn invented(random: &mut Random, round: Round, author: ValidatorIndex) -> BlockRef {
    BlockRef {
        round,
        author,
        digest: noise(random),
    }
}

/// A digest of nothing.
pub(super) fn noise(random: &mut Random) -> Digest {
    let mut bytes = [0; 32];
    for chunk in bytes.chunks_exact_mut(8) {
        chunk.copy_from_slice(&random.next().to_le_bytes());
    }
    Digest(bytes)
}
