//! The other validators: they make valid blocks of every kind, and one of them equivocates.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use probity_core::block::{CommitVote, EquivocationProof, genesis_ref};
use probity_core::crypto::Digest;
use probity_core::{
    BlockRef, Committee, Header, PROTOCOL_VERSION, Payload, Proposal, Round, Slot, ValidatorIndex,
    VerifiedBlock, verify_block,
};

use crate::committee::{MostAccepted, member_keypair};

/// Every block there is, also those that nobody has sent yet.
pub(super) struct Peers {
    committee: Arc<Committee>,
    pub(super) blocks: Vec<VerifiedBlock>,
    positions: BTreeMap<BlockRef, usize>,
    by_slot: BTreeMap<Slot, Vec<BlockRef>>,
    /// What the next blocks vote for (R25).
    pub(super) votes: Vec<CommitVote>,
    /// Slots of which two headers exist.
    proofs: Vec<EquivocationProof>,
}

/// How an author makes its next block. Each bit is a choice of the fuzzer.
#[derive(Clone, Copy)]
pub(super) struct Habit(pub(super) u16);

impl Habit {
    fn has(self, bit: u16) -> bool {
        self.0 >> bit & 1 == 1
    }

    /// Whether an author beyond the quorum is left out.
    fn leaves_out(self, author: ValidatorIndex) -> bool {
        self.has(author.0 % 5)
    }
}

/// Which round a new block is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The one after its author's last.
    Next,
    /// As high as a quorum allows, over a gap of the author's own.
    Highest,
    /// The author's last one, once more: equivocation.
    Again,
}

impl Peers {
    pub(super) fn new(committee: &Arc<Committee>) -> Self {
        let mut peers = Self {
            committee: Arc::clone(committee),
            blocks: Vec::new(),
            positions: BTreeMap::new(),
            by_slot: BTreeMap::new(),
            votes: Vec::new(),
            proofs: Vec::new(),
        };
        for author in committee.indices() {
            let genesis = genesis_ref(committee, author).expect("a member");
            peers.by_slot.insert(genesis.slot(), vec![genesis]);
        }
        peers
    }

    /// Makes a block and returns its position; `None` when no quorum stands below it.
    pub(super) fn build(
        &mut self,
        author: ValidatorIndex,
        place: Place,
        habit: Habit,
    ) -> Option<usize> {
        let last = self.last_round(author);
        let round = match place {
            Place::Next => last.next(),
            Place::Highest => self.highest_quorum().next().max(last.next()),
            Place::Again => last,
        };
        if round == Round::GENESIS || self.blocks.len() >= BLOCKS_MAX {
            return None;
        }
        let header = self.header(Slot { round, author }, habit)?;
        let payload = if habit.has(9) {
            Payload::from_transactions(&[habit.0.to_le_bytes()])
        } else {
            Payload::empty()
        };
        let verified = signed_and_verified(header, payload, &self.committee);
        Some(self.add(verified))
    }

    /// Takes a block of the replica itself, or one made elsewhere.
    pub(super) fn add(&mut self, verified: VerifiedBlock) -> usize {
        let block = Arc::clone(verified.block());
        let reference = block.reference();
        if let Some(known) = self.position(&reference) {
            return known;
        }
        let twins = self.by_slot.entry(reference.slot()).or_default();
        if let Some(first) = twins.first().copied() {
            let first = &self.blocks[self.position(&first).expect("every block is kept")];
            let signed = |block: &probity_core::Block| (block.header_digest(), *block.signature());
            let proof =
                EquivocationProof::new(reference.slot(), signed(first.block()), signed(&block));
            self.proofs.extend(proof);
        }
        self.by_slot
            .entry(reference.slot())
            .or_default()
            .push(reference);
        self.positions.insert(reference, self.blocks.len());
        self.blocks.push(verified);
        self.blocks.len() - 1
    }

    pub(super) fn position(&self, reference: &BlockRef) -> Option<usize> {
        self.positions.get(reference).copied()
    }

    fn last_round(&self, author: ValidatorIndex) -> Round {
        let of_author = self.by_slot.keys().filter(|slot| slot.author == author);
        of_author
            .map(|slot| slot.round)
            .max()
            .unwrap_or(Round::GENESIS)
    }

    /// The highest round with a quorum of authors.
    fn highest_quorum(&self) -> Round {
        let mut weights: BTreeMap<Round, u64> = BTreeMap::new();
        for slot in self.by_slot.keys() {
            *weights.entry(slot.round).or_default() += self.committee.weight(slot.author);
        }
        let quorum = self.committee.thresholds().quorum;
        let full = weights.iter().rev().find(|(_, weight)| **weight >= quorum);
        full.map_or(Round::GENESIS, |(round, _)| *round)
    }

    fn header(&self, slot: Slot, habit: Habit) -> Option<Header> {
        let Slot { round, author } = slot;
        let below = (0..round.0).rev().map(Round);
        let own = below
            .filter_map(|round| self.variant(Slot { round, author }, habit))
            .next()?;
        let mut parents = vec![own];
        let mut weight = 0;
        if own.round.next() == round {
            weight += self.committee.weight(author);
        }
        let quorum = self.committee.thresholds().quorum;
        let rotate = usize::from(habit.0 >> 5) % self.committee.size();
        let all: Vec<_> = self.committee.indices().collect();
        let others = all[rotate..].iter().chain(&all[..rotate]);
        for other in others.filter(|other| **other != author).copied() {
            let slot = Slot {
                round: round.minus(1),
                author: other,
            };
            let needed = weight < quorum || !habit.leaves_out(other);
            let Some(parent) = self.variant(slot, habit).filter(|_| needed) else {
                parents.extend(self.older(slot, habit));
                continue;
            };
            weight += self.committee.weight(other);
            parents.push(parent);
        }
        parents[1..].sort_by_key(|parent| parent.author);
        if weight < quorum {
            return None;
        }
        let evidence = if habit.has(11) {
            self.proofs.iter().rev().take(2).cloned().collect()
        } else {
            Vec::new()
        };
        Some(Header {
            version: PROTOCOL_VERSION,
            chain: *self.committee.chain(),
            epoch: self.committee.epoch(),
            round,
            author,
            timestamp_ms: u64::from(round.0) * 10 + u64::from(habit.0 >> 8),
            payload: Payload::empty().describe(),
            parents,
            evidence,
            commit_votes: if habit.has(12) {
                self.votes.clone()
            } else {
                Vec::new()
            },
        })
    }

    /// An older block of an author that is not linked in the round below, or one that nobody has ever made.
    fn older(&self, slot: Slot, habit: Habit) -> Option<BlockRef> {
        let oldest = (slot.round.0 + 1)
            .saturating_sub(self.committee.gc_depth())
            .max(1);
        let Slot { round, author } = slot;
        if habit.has(13) && habit.has(14) && round.0 >= oldest {
            let digest = Digest([habit.0.to_le_bytes()[0]; 32]);
            return Some(BlockRef {
                round: Round(oldest),
                author,
                digest,
            });
        }
        let below = (oldest..round.0).rev().map(Round).filter(|_| habit.has(10));
        below
            .filter_map(|round| self.variant(Slot { round, author }, habit))
            .next()
    }

    fn variant(&self, slot: Slot, habit: Habit) -> Option<BlockRef> {
        let variants = self.by_slot.get(&slot)?;
        variants
            .get(usize::from(habit.has(8)) % variants.len())
            .copied()
    }
}

/// The block, signed by its author and verified.
///
/// Keeps the last ones: inputs that differ late have most of their blocks in common, and signatures are what a run
/// costs. It cannot change a run, because both are functions of the header.
fn signed_and_verified(
    mut header: Header,
    payload: Payload,
    committee: &Committee,
) -> VerifiedBlock {
    header.payload = payload.describe();
    let author = header.author;
    let proposal = Proposal::new(header, payload);
    let digest = proposal.header_digest();
    KEPT.with_borrow_mut(|kept| {
        if let Some(known) = kept.get(&digest) {
            return known.clone();
        }
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        let signature = member_keypair(author).sign(&proposal.preimage());
        let block = proposal.seal(signature);
        let bytes = [&block.signed_header()[..], block.payload().bytes()].concat();
        let verified = verify_block(&bytes.into(), committee, &MostAccepted);
        let verified = verified.expect("peers make valid blocks");
        kept.insert(digest, verified.clone());
        verified
    })
}

thread_local! {
    static KEPT: RefCell<BTreeMap<Digest, VerifiedBlock>> = const { RefCell::new(BTreeMap::new()) };
}

const KEPT_MAX: usize = 20_000;
/// A block costs a signature and its verification.
const BLOCKS_MAX: usize = 250;
