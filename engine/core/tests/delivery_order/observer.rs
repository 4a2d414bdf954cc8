//! A real replica that is fed with a drawn DAG, and that may lose everything but its store.

use std::collections::VecDeque;
use std::sync::Arc;

use probity_core::crypto::{Digest, Signature};
use probity_core::testing::Committed;
use probity_core::{
    BlockRef, Committee, Delivery, FixedCommittee, Link, Message, Output, Payload, ProposalContent,
    Recovered, Replica, ReplicaConfig, ReplicaStatus, Round, Time, ValidatorIndex, VerifiedBlock,
};

use crate::store::Store;

/// What the shell around a replica does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Habits {
    pub(crate) proposals: Proposals,
    pub(crate) links: Link,
    pub(crate) restarts: Restarts,
}

/// Whether the replica gets to propose; its blocks are accepted by itself and reach nobody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Proposals {
    Unanswered,
    Answered,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Restarts {
    Never,
    /// After every write that holds a commit; what was not written is lost.
    AfterEachCommit,
}

/// Whether a replica has accepted or suspended a block: until it restarts, nobody sends it again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Taken {
    Yes,
    No,
}

/// A replica with its store.
pub(crate) struct Observer<'a> {
    config: ReplicaConfig,
    habits: Habits,
    /// What it must output.
    expected: &'a [Committed],
    pub(crate) store: Store,
    replica: Replica,
    now: Time,
    /// Commits that left the replica, across restarts.
    pub(crate) output: u64,
    pub(crate) restarts: u64,
    /// Blocks it asked its peers for.
    pub(crate) asked: VecDeque<BlockRef>,
    /// The round of a proposal that is not answered.
    wanted: Option<Round>,
    /// Everything that left the replica, when somebody wants to compare it.
    pub(crate) trace: Vec<Output>,
}

impl<'a> Observer<'a> {
    pub(crate) fn new(
        (committee, me): (&Arc<Committee>, ValidatorIndex),
        habits: Habits,
        (expected, store): (&'a [Committed], Store),
    ) -> Self {
        let config = ReplicaConfig {
            committee: Arc::clone(committee),
            me,
            min_round_delay_us: 2_000,
            idle_round_delay_us: 5_000,
            rule: Arc::new(FixedCommittee),
        };
        let now = Time(1_000_000);
        let recovered = Recovered::load(&store, committee, me).expect("the store is sound");
        let output = recovered.last_commit().0;
        let mut observer = Self {
            replica: Replica::new(config.clone(), recovered, now),
            config,
            habits,
            expected,
            store,
            now,
            output,
            restarts: 0,
            asked: VecDeque::new(),
            wanted: None,
            trace: Vec::new(),
        };
        observer.connect();
        observer.drain();
        observer
    }

    /// A block arrives from its author; whether it need not come again.
    pub(crate) fn deliver(&mut self, block: &VerifiedBlock) -> Taken {
        self.now = self.now.plus_us(1_000);
        let delivery = Delivery {
            from: block.block().author(),
            block: block.clone(),
        };
        let before = self.status();
        self.replica.handle_block(self.now, delivery);
        self.drain();
        if self
            .replica
            .next_deadline()
            .is_some_and(|due| due <= self.now)
        {
            self.replica.handle_tick(self.now);
            self.drain();
        }
        let after = self.status();
        if self.habits.restarts == Restarts::AfterEachCommit
            && after.last_commit > before.last_commit
        {
            self.restart();
            return Taken::No;
        }
        let kept = |status: &ReplicaStatus| status.accepted_blocks + status.suspended_blocks as u64;
        if kept(&after) > kept(&before) || after.gc_round > before.gc_round {
            Taken::Yes
        } else {
            Taken::No
        }
    }

    pub(crate) fn status(&self) -> ReplicaStatus {
        self.replica.status()
    }

    /// Nothing but the store survives.
    fn restart(&mut self) {
        let Self { config, store, .. } = self;
        let recovered = Recovered::load(store, &config.committee, config.me);
        let recovered = recovered.expect("the store is sound");
        assert_eq!(
            recovered.last_commit().0,
            self.output,
            "all output is durable"
        );
        self.replica = Replica::new(config.clone(), recovered, self.now);
        self.asked.clear();
        self.wanted = None;
        self.restarts += 1;
        self.connect();
        self.drain();
    }

    fn connect(&mut self) {
        for peer in self.config.committee.indices() {
            self.replica.handle_link(self.now, peer, self.habits.links);
        }
    }

    fn propose(&mut self, round: Round) {
        let content = ProposalContent {
            timestamp_ms: self.now.0 / 1_000,
            payload: Payload::empty(),
        };
        self.replica.handle_proposal(self.now, round, content);
    }

    /// Has all accepted blocks written: an own header, here the last one, needs them durable (R11).
    pub(crate) fn flush(&mut self) {
        while let Some(round) = self.wanted.take() {
            self.propose(round);
            self.drain();
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.replica.poll_output() {
            self.trace.push(output.clone());
            self.carry_out(output);
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Persist { ticket, records } => {
                self.store.write(records);
                self.replica.handle_persisted(self.now, ticket);
            }
            Output::Commit(commit) => self.check(commit.index().0, commit.digest),
            Output::ProposalWanted { round, .. } => match self.habits.proposals {
                Proposals::Answered => self.propose(round),
                Proposals::Unanswered => self.wanted = Some(round),
            },
            Output::Sign { header_digest, .. } if self.habits.proposals == Proposals::Answered => {
                let signature = Signature([0; 64]);
                self.replica
                    .handle_signature(self.now, header_digest, signature);
            }
            Output::Send {
                message: Message::Fetch(refs) | Message::FetchHistory { refs, .. },
                ..
            } => self.asked.extend(refs),
            Output::Sign { .. }
            | Output::Send { .. }
            | Output::SendBlock { .. }
            | Output::Serve { .. }
            | Output::ServeReplay { .. }
            | Output::ServeCertificate { .. }
            | Output::Halted(_)
            | Output::Broadcast(_)
            | Output::Outcome { .. }
            | Output::Evidence(_)
            | Output::Change { .. }
            | Output::EpochEnded(_)
            | Output::Certified(_) => {}
        }
    }

    /// R23: whatever has arrived so far, the next commit is the one that everybody makes.
    fn check(&mut self, index: u64, digest: Digest) {
        self.output += 1;
        assert_eq!(index, self.output, "indices have no gap");
        let at = usize::try_from(index - 1).expect("an index fits");
        if let Some(expected) = self.expected.get(at) {
            assert_eq!(digest, expected.digest, "commit {index} differs");
        }
    }
}
