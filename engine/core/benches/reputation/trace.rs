//! What one validator's core hears while every round is full, written down once and played again and again.
//!
//! The first replica answers for real: the others' blocks link its own, and vote for the commits that it votes for. As
//! the same calls give the same outputs, another replica can then be given the same calls, and is the only thing that
//! is timed.

use std::sync::Arc;

use bytes::BytesMut;
use probity_core::crypto::Signature;
use probity_core::testing::{VALID_CHECK, keypair, stand_in_signature};
use probity_core::{
    Block, Commit, Committee, Delivery, FixedCommittee, Header, Link, Output, Payload, Proposal,
    ProposalContent, Recovered, Replica, ReplicaConfig, Time, ValidatorIndex, VerifiedBlock,
    verify_block,
};

/// Whose core it is.
const ME: ValidatorIndex = ValidatorIndex(0);
const ROUND_US: u64 = 10_000;

/// A replica in the middle of an epoch, and what it hears in the next rounds.
pub(crate) struct Trace {
    start: Played,
    first: u64,
    /// The blocks of others, round by round, in the order of their arrival.
    rounds: Vec<Vec<VerifiedBlock>>,
    /// Of the own blocks.
    signatures: Vec<Signature>,
}

/// A replica and everything that it asked for.
#[derive(Clone)]
pub(crate) struct Played {
    pub(crate) replica: Replica,
    pub(crate) outputs: Vec<Output>,
}

impl Trace {
    /// Runs so many rounds, and writes down as many as `played` after them; the committee's signatures are stand-ins, as
    /// verification is not part of the core. Also what was committed before.
    pub(crate) fn record(
        committee: &Arc<Committee>,
        before: u32,
        played: u32,
    ) -> (Self, Vec<Arc<Commit>>) {
        let first = u64::from(before) + 1;
        let mut trace = Self {
            start: fresh(committee),
            first,
            rounds: Vec::new(),
            signatures: Vec::new(),
        };
        let mut replica = trace.start.clone();
        for round in 1..first + u64::from(played) {
            if round == first {
                trace.start.replica = replica.replica.clone();
            }
            let (signature, blocks) = one_round(committee, &mut replica, round);
            if round >= first {
                trace.signatures.push(signature);
                trace.rounds.push(blocks);
            }
        }
        let all = replica.commits();
        let timed = trace.commits().len();
        let before = all[..all.len() - timed].to_vec();
        (trace, before)
    }

    /// The replica before the first of the rounds.
    pub(crate) fn start(&self) -> Played {
        self.start.clone()
    }

    /// How many blocks the core accepts.
    pub(crate) fn len(&self) -> usize {
        self.rounds.iter().map(Vec::len).sum::<usize>() + self.signatures.len()
    }

    /// Makes the same calls.
    pub(crate) fn play(&self, mut played: Played) -> Played {
        let mut signatures = self.signatures.iter();
        for (round, blocks) in (self.first..).zip(&self.rounds) {
            played.own_block(round, |_| signatures.next().copied());
            for block in blocks {
                played.take(round, block.clone());
            }
        }
        played
    }

    /// What is committed in these rounds.
    pub(crate) fn commits(&self) -> Vec<Arc<Commit>> {
        self.play(self.start()).commits()
    }
}

/// A replica linked with everybody, before the first round.
fn fresh(committee: &Arc<Committee>) -> Played {
    let config = ReplicaConfig {
        committee: Arc::clone(committee),
        me: ME,
        min_round_delay_us: ROUND_US / 10,
        idle_round_delay_us: ROUND_US / 10,
        rule: Arc::new(FixedCommittee),
    };
    let mut replica = Replica::new(config, Recovered::fresh(), Time(0));
    for peer in committee.indices() {
        replica.handle_link(Time(0), peer, Link::Up);
    }
    let outputs = Vec::new();
    Played { replica, outputs }
}

/// The replica's own block of a round, its signature, and then those of all others.
fn one_round(
    committee: &Committee,
    played: &mut Played,
    round: u64,
) -> (Signature, Vec<VerifiedBlock>) {
    let key = keypair(ME).public();
    let own = played.own_block(round, |preimage| Some(stand_in_signature(&key, preimage)));
    let own = own.expect("a full round below lets it propose");
    assert_eq!(own.parents().len(), committee.size(), "rounds are full");
    let others = committee.indices().filter(|author| *author != ME);
    let blocks: Vec<VerifiedBlock> = others.map(|a| alike(committee, &own, a)).collect();
    for block in &blocks {
        played.take(round, block.clone());
    }
    (*own.signature(), blocks)
}

impl Played {
    fn commits(self) -> Vec<Arc<Commit>> {
        let commit = |output| {
            if let Output::Commit(commit) = output {
                Some(commit)
            } else {
                None
            }
        };
        self.outputs.into_iter().filter_map(commit).collect()
    }

    /// Says that the round's time has come, and signs and returns the own block.
    fn own_block(
        &mut self,
        round: u64,
        mut sign: impl FnMut(&[u8]) -> Option<Signature>,
    ) -> Option<Arc<Block>> {
        let now = Time(round * ROUND_US);
        self.replica.handle_tick(now);
        let mut own = None;
        while let Some(output) = self.replica.poll_output() {
            match &output {
                Output::ProposalWanted { round, .. } => {
                    let content = ProposalContent {
                        timestamp_ms: now.0 / 1_000,
                        payload: Payload::empty(),
                    };
                    self.replica.handle_proposal(now, *round, content);
                }
                Output::Persist { ticket, .. } => self.replica.handle_persisted(now, *ticket),
                Output::Sign {
                    header_digest,
                    preimage,
                    ..
                } => {
                    let signature = sign(&preimage[..]).expect("as many as were recorded");
                    self.replica
                        .handle_signature(now, *header_digest, signature);
                }
                Output::Broadcast(block) => own = Some(Arc::clone(block)),
                Output::Send { .. }
                | Output::SendBlock { .. }
                | Output::Serve { .. }
                | Output::ServeReplay { .. }
                | Output::ServeCertificate { .. }
                | Output::Halted(_)
                | Output::Commit(_)
                | Output::Outcome { .. }
                | Output::Evidence(_)
                | Output::Change { .. }
                | Output::EpochEnded(_)
                | Output::Certified(_) => {}
            }
            self.outputs.push(output);
        }
        own
    }

    /// Hands over a block from its author, with what becomes durable meanwhile.
    fn take(&mut self, round: u64, block: VerifiedBlock) {
        let now = Time(round * ROUND_US + ROUND_US / 20);
        let from = block.block().author();
        self.replica.handle_block(now, Delivery { from, block });
        while let Some(output) = self.replica.poll_output() {
            if let Output::Persist { ticket, .. } = &output {
                self.replica.handle_persisted(now, *ticket);
            }
            self.outputs.push(output);
        }
    }
}

/// Another validator's block of the same round: on the same parents, with the same votes.
fn alike(committee: &Committee, own: &Block, author: ValidatorIndex) -> VerifiedBlock {
    let mut header = Header {
        author,
        ..own.header().clone()
    };
    header
        .parents
        .sort_unstable_by_key(|parent| (parent.author != author, parent.author));
    let proposal = Proposal::new(header, Payload::empty());
    let signature = stand_in_signature(&keypair(author).public(), &proposal.preimage());
    verified(committee, proposal.seal(signature).signed_header())
}

/// A block without payload, as it comes out of verification.
fn verified(committee: &Committee, signed_header: &[u8]) -> VerifiedBlock {
    let mut bytes = BytesMut::from(signed_header);
    bytes.extend_from_slice(Payload::empty().bytes());
    verify_block(&bytes.freeze(), committee, &VALID_CHECK).expect("it is a valid block")
}
