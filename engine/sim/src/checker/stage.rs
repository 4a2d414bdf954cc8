//! A scene made by hand, for the tests that show that each checker can fail.

use std::sync::Arc;

use probity_core::block::{CommitVote, genesis_ref};
use probity_core::crypto::{Digest, PublicKey};
use probity_core::record::{Record, RecordTable, commit_key, epoch_key, header_key, payload_key};
use probity_core::testing::{self, Committer, Draft, RandomDag, Signing};
use probity_core::{
    Block, Commit, CommitCertificate, CommitIndex, CommitRecord, CommittedBlock, Committee, Header,
    IdMap, Origin, Path, Payload, PersistTicket, Profile, Proposal, ReplicaStatus, Round,
    SignedVotes, Time, ValidatorIndex,
};

use super::{Checker, Observation, Scene};
use crate::disk::Disk;
use crate::plan::{Draws, Plan, ScoresPlan, Signatures};
use crate::signer::Signer;

/// Four equal validators, a gc depth of 8 rounds, and a DAG in which everybody links everybody.
pub(super) struct Stage {
    pub(super) plan: Plan,
    pub(super) committee: Arc<Committee>,
    pub(super) dag: Vec<Arc<Block>>,
    keys: Vec<PublicKey>,
    blocks: IdMap<Digest, Arc<Block>>,
    disk: Disk,
    pub(super) now: Time,
}

impl Stage {
    pub(super) fn full_dag(rounds: u32) -> Self {
        let mut plan = Self::plan();
        plan.committee.weights = vec![1; 4];
        plan.committee.gc_depth = 8;
        plan.committee.scores = Some(ScoresPlan {
            score_rounds: 16,
            slot_rounds: 16,
            schedule_rounds: 8,
            schedule_lead_rounds: 3,
        });
        let committee = Arc::new(plan.check().unwrap());
        let dag = testing::full_dag(&committee, rounds, Signing::Zero);
        Self::of(plan, committee, dag)
    }

    /// Another committee and a DAG with skipped slots, equivocation and late blocks.
    pub(super) fn drawn(seed: u64) -> Self {
        let drawn = RandomDag::draw(seed);
        Self::of(Self::plan(), drawn.shape.committee, drawn.blocks)
    }

    fn plan() -> Plan {
        let mut draws = Draws::of_scenario("calm").unwrap();
        draws.validators = Some(4);
        draws.profile = Some(Profile::Dual30);
        draws.plan(1).unwrap()
    }

    fn of(plan: Plan, committee: Arc<Committee>, dag: Vec<Arc<Block>>) -> Self {
        let mut blocks = IdMap::default();
        for block in &dag {
            blocks.insert(block.reference().digest, Arc::clone(block));
        }
        let key = |index| committee.member(index).map(|member| member.key);
        let keys = committee.indices().filter_map(key).collect();
        Self {
            keys,
            plan,
            committee,
            dag,
            blocks,
            disk: Disk::default(),
            now: Time(0),
        }
    }

    /// Shows an observation of a validator, whose process has the same number, to a checker.
    pub(super) fn look(
        &self,
        checker: &mut dyn Checker,
        process: u16,
        seen: &Observation<'_>,
    ) -> Result<(), String> {
        let scene = Scene {
            now: self.now,
            process: usize::from(process),
            validator: ValidatorIndex(process),
            committee: &self.committee,
            origin: Origin::default(),
            keys: &self.keys,
            disk: &self.disk,
            blocks: &self.blocks,
            plan: &self.plan,
            links: &[true; 16],
        };
        checker.look(&scene, seen)
    }

    pub(super) fn commit(
        &self,
        checker: &mut dyn Checker,
        process: u16,
        commit: &Commit,
    ) -> Result<(), String> {
        self.look(checker, process, &Observation::Committed(commit))
    }

    /// What the real rule makes of the DAG.
    pub(super) fn commits(&self) -> Vec<Commit> {
        let mut committer = Committer::new(Arc::clone(&self.committee));
        for block in &self.dag {
            committer.insert(Arc::clone(block));
        }
        let block = |(reference, void): &(probity_core::BlockRef, bool)| CommittedBlock {
            block: Arc::clone(self.blocks.get(&reference.digest).unwrap()),
            void: *void,
        };
        let commits = committer.commits().iter().map(|committed| Commit {
            record: committed.record.clone(),
            digest: committed.digest,
            blocks: committed.record.blocks.iter().map(block).collect(),
            path: Some(Path::Fast),
        });
        commits.collect()
    }

    /// Validator 0's block of a round.
    pub(super) fn own(&self, round: u32) -> &Arc<Block> {
        let own = |block: &&Arc<Block>| {
            block.round() == Round(round) && block.author() == ValidatorIndex(0)
        };
        self.dag.iter().find(own).unwrap()
    }

    /// A signed block of round 1; the clock makes it differ from others.
    pub(super) fn signed(&self, author: u16, timestamp_ms: u64) -> Block {
        let proposal = self.proposal(ValidatorIndex(author), timestamp_ms, Payload::empty());
        self.sign(ValidatorIndex(author), proposal)
    }

    /// The same scene with more blocks; of a slot, the first of them stands in the DAG.
    pub(super) fn with_blocks(mut self, blocks: &[Arc<Block>]) -> Self {
        for block in blocks {
            let slot = block.reference().slot();
            self.blocks
                .insert(block.reference().digest, Arc::clone(block));
            let same = |held: &&mut Arc<Block>| held.reference().slot() == slot;
            if let Some(held) = self.dag.iter_mut().find(same) {
                *held = Arc::clone(block);
            }
        }
        self
    }

    /// The scene in which every own block has so large a payload.
    pub(super) fn with_own_payload(&self, bytes: usize) -> Self {
        let payload = Payload::from_transactions(&[vec![0; bytes]]);
        let own = self
            .dag
            .iter()
            .filter(|block| block.author() == ValidatorIndex(0));
        let swap = |block: &Arc<Block>| {
            let mut header = block.header().clone();
            header.payload = payload.describe();
            Arc::new(self.sign_header(header, payload.clone()))
        };
        let swapped: Vec<Arc<Block>> = own.map(swap).collect();
        let dag = self.dag.clone();
        Self::of(self.plan.clone(), Arc::clone(&self.committee), dag).with_blocks(&swapped)
    }

    /// A block without its author's parent.
    pub(super) fn without_parent(&self, block: &Block, author: ValidatorIndex) -> Arc<Block> {
        let mut header = block.header().clone();
        header.parents.retain(|parent| parent.author != author);
        Arc::new(self.sign_header(header, Payload::empty()))
    }

    /// A header under its author's signature.
    pub(super) fn sign_header(&self, header: Header, payload: Payload) -> Block {
        self.sign(header.author, Proposal::new(header, payload))
    }

    pub(super) fn block_with_payload(&self) -> Arc<Block> {
        let payload = Payload::from_transactions(&[b"transaction"]);
        let proposal = self.proposal(ValidatorIndex(0), 1, payload);
        Arc::new(self.sign(ValidatorIndex(0), proposal))
    }

    fn proposal(&self, author: ValidatorIndex, timestamp_ms: u64, payload: Payload) -> Proposal {
        let genesis = |author| genesis_ref(&self.committee, author).unwrap();
        let draft = Draft {
            round: Round(1),
            author,
            parents: self.committee.indices().map(genesis).collect(),
            timestamp_ms,
        };
        testing::proposal(&self.committee, draft, payload)
    }

    fn sign(&self, author: ValidatorIndex, proposal: Proposal) -> Block {
        let signer = Signer::new(author, Signatures::StandIn);
        let signature = signer.sign(&proposal.preimage());
        proposal.seal(signature)
    }

    /// A certificate by so many of the four.
    pub(super) fn certificate(&self, commit: &Commit, votes: u16) -> CommitCertificate {
        let (index, digest) = (commit.index(), commit.digest);
        let vote = |author| {
            let proposal = self.proposal(author, 1, Payload::empty());
            let mut header = proposal.header().clone();
            header.commit_votes = vec![CommitVote { index, digest }];
            let block = self.sign(author, Proposal::new(header, Payload::empty()));
            SignedVotes::of(&block)
        };
        CommitCertificate {
            index,
            digest,
            votes: (0..votes).map(ValidatorIndex).map(vote).collect(),
        }
    }

    pub(super) fn store(&mut self, record: Record) {
        self.disk.write(PersistTicket(1), vec![record], Time(0));
        self.disk.sync(Time(0));
    }

    pub(super) fn store_commit(&mut self, record: &CommitRecord) {
        for record in commit_records(record) {
            self.store(record);
        }
    }

    /// A validator that has just begun.
    pub(super) fn status() -> ReplicaStatus {
        ReplicaStatus {
            round: Round(1),
            frontier: Round(1),
            gc_round: Round(0),
            last_commit: CommitIndex(0),
            last_leader: Round(0),
            certified: CommitIndex(0),
            dag_blocks: 0,
            suspended_blocks: 0,
            suspended_bytes: 0,
            extra_bytes: 0,
            remembered_blocks: 0,
            open_votes: 0,
            waiting_records: 0,
            missing_blocks: 0,
            accepted_blocks: 0,
            equivocations: 0,
            leader_timeout_us: 0,
            amnesia: false,
            slashing_alarm: false,
            catching_up: false,
            catch_up_records: 0,
            catch_up_blocks: 0,
            installed_commits: 0,
            halted: None,
        }
    }
}

/// The record of an accepted block.
pub(super) fn header_record(block: &Block) -> Record {
    Record {
        table: RecordTable::Headers,
        key: header_key(0, &block.reference()),
        value: block.signed_header().clone(),
    }
}

/// The record of an own header.
pub(super) fn own_record(header: &Header) -> Record {
    let proposal = Proposal::new(header.clone(), Payload::empty());
    Record {
        table: RecordTable::Own,
        key: epoch_key(0),
        value: proposal.header_bytes().clone(),
    }
}

/// The record of a payload.
pub(super) fn payload_record(block: &Block) -> Record {
    let header = block.header();
    Record {
        table: RecordTable::Payloads,
        key: payload_key(0, header.slot(), &header.payload.root),
        value: block.payload().bytes().clone(),
    }
}

/// The records of a commit.
pub(super) fn commit_records(record: &CommitRecord) -> Vec<Record> {
    let tip = record.index.0.to_le_bytes().to_vec().into();
    let write = |table, key, value| Record { table, key, value };
    vec![
        write(
            RecordTable::Commits,
            commit_key(record.index),
            record.encode(),
        ),
        write(RecordTable::Tip, epoch_key(0), tip),
    ]
}
