//! What can happen to one replica, in any order: blocks, links, the disk, the signer, time, crashes.
//!
//! The other validators are played by the fuzzer, with real keys; one of them may equivocate and invent parents, which
//! is within the fault bound of every committee here.

use std::sync::{Arc, LazyLock};

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use probity_core::block::CommitVote;
use probity_core::crypto::Digest;
use probity_core::testing::Committer;
use probity_core::{
    BlockRef, CommitIndex, Committee, Delivery, Link, Pending, ReputationParams, Round,
    ValidatorIndex, verify_block,
};

use crate::committee::{MostAccepted, small_committee};
use peers::{Habit, Peers, Place};
use shell::{Answers, ME, Shell};

pub use shell::Reached;

mod peers;
mod shell;
mod store;

/// Draws up to 500 operations from `data` and looks at everything that the replica answers.
///
/// - Nothing panics, and `Replica::check` holds after each operation.
/// - `Persist` comes before `Sign` before `Broadcast`, across crashes; one digest a round is ever signed (R8, R11).
/// - Commits are contiguous, durable before they leave, and the same in every life (R21, R36).
/// - They are the commits of a plain [`Committer`] that was given every block there is.
/// - A tick at a deadline moves the deadline: a shell that follows it never spins.
///
/// # Panics
/// When one of these promises is broken.
pub fn replica_operations(data: &[u8]) {
    run_replica(data);
}

/// The same, and how far it led.
///
/// # Panics
/// As [`replica_operations`].
pub fn run_replica(data: &[u8]) -> Reached {
    let Some((which, operations)) = data.split_first() else {
        return Reached::default();
    };
    let committee = &COMMITTEES[usize::from(*which) % COMMITTEES.len()];
    let mut world = World {
        shell: Shell::start(Arc::clone(committee)),
        peers: Peers::new(committee),
        others: committee.indices().skip(1).collect(),
        forged: false,
        equivocated: false,
        sent_known: 0,
    };
    let mut input = Unstructured::new(operations);
    for _ in 0..OPERATIONS_MAX {
        if input.is_empty() || world.step(&mut input).is_err() {
            break;
        }
        world.after_step();
    }
    world.finish();
    world.shell.reached
}

struct World {
    shell: Shell,
    peers: Peers,
    /// Everybody but the replica. The last one is the Byzantine one.
    others: Vec<ValidatorIndex>,
    /// Somebody else has signed with the replica's key.
    forged: bool,
    /// The Byzantine one has made two blocks of a slot.
    equivocated: bool,
    /// Own blocks that the peers know of.
    sent_known: usize,
}

impl World {
    fn step(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        let operation = input.arbitrary::<u8>()? % 32;
        match operation {
            0..=8 => self.step_of_peers(operation, input),
            9..=16 => self.step_of_network(operation, input),
            17..=25 => self.step_of_machine(operation, input),
            // What a quiet day brings, so that short inputs get far.
            _ => {
                for author in self.others.clone() {
                    self.build(author, Place::Next, Habit(1 << 9));
                }
                self.catch_up(3_000);
                Ok(())
            }
        }
    }

    fn step_of_peers(&mut self, operation: u8, input: &mut Unstructured<'_>) -> Result<()> {
        let habit = Habit(input.arbitrary()?);
        let author = self.other(input)?;
        let byzantine = self.others.last().copied();
        match operation {
            0..=2 => self.build(author, Place::Next, honest(habit)),
            3 => self.build(author, Place::Highest, honest(habit)),
            4 => {
                for author in self.others.clone() {
                    self.build(author, Place::Next, honest(habit));
                }
            }
            5 => {
                // Made, and not sent: what links it makes the replica ask.
                if let Some(author) = author {
                    self.peers.build(author, Place::Next, honest(habit));
                }
            }
            6 => self.build(byzantine, Place::Next, habit),
            7 => self.build(byzantine, Place::Highest, habit),
            _ => {
                self.equivocated = true;
                self.build(byzantine, Place::Again, habit);
            }
        }
        Ok(())
    }

    fn step_of_network(&mut self, operation: u8, input: &mut Unstructured<'_>) -> Result<()> {
        let Some(from) = self.other(input)? else {
            return Ok(());
        };
        let which = usize::from(input.arbitrary::<u8>()?);
        match operation {
            9 => self.deliver(from, which),
            10 => self.answer_request(which),
            11 => self.deliver_damaged(from, which, input)?,
            12 => {
                let link = if which.is_multiple_of(3) {
                    Link::Down
                } else {
                    Link::Up
                };
                self.shell
                    .tell(|replica, now| replica.handle_link(now, from, link));
            }
            13 => {
                let refs = self.some_refs(which);
                let above = Round(u32::try_from(which / 8).expect("a byte"));
                self.shell.tell(|replica, _| match which % 4 {
                    0 => replica.handle_fetch_history(from, above, refs),
                    _ => replica.handle_fetch(from, refs),
                });
            }
            14 => {
                let refs = self.some_refs(which);
                self.shell
                    .tell(|replica, now| replica.handle_not_held(now, from, &refs));
            }
            15 => {
                let after = Round(input.int_in_range(0..=40)?);
                self.shell
                    .tell(|replica, _| replica.handle_replay(from, after));
            }
            _ => self.come_back(from, which, input)?,
        }
        Ok(())
    }

    fn step_of_machine(&mut self, operation: u8, input: &mut Unstructured<'_>) -> Result<()> {
        let which = input.arbitrary::<u8>()?;
        match operation {
            17 => self.shell.persist(usize::from(which)),
            18 => self.shell.sign(),
            19 => self.tick(self.shell.now.plus_us(1 << (which % 22))),
            20 => {
                let due = self.shell.replica.next_deadline();
                self.tick(due.unwrap_or(self.shell.now).max(self.shell.now.plus_us(1)));
            }
            21 => {
                self.shell.transaction = (which.is_multiple_of(2)).then_some(which);
                let pending = if which.is_multiple_of(2) {
                    Pending::Some
                } else {
                    Pending::None
                };
                self.shell
                    .tell(|replica, now| replica.handle_pending(now, pending));
            }
            22 => self.shell.restart(usize::from(which % 8)),
            23 => {
                let later = which.is_multiple_of(2);
                self.shell.answers = if later {
                    Answers::Later
                } else {
                    Answers::AtOnce
                };
            }
            24 => self
                .shell
                .propose((which.is_multiple_of(4)).then_some(Round(u32::from(which / 4)))),
            _ => self.catch_up(u64::from(which) * 100),
        }
        Ok(())
    }

    fn other(&self, input: &mut Unstructured<'_>) -> Result<Option<ValidatorIndex>> {
        let which = usize::from(input.arbitrary::<u8>()?);
        Ok(self.others.get(which % self.others.len().max(1)).copied())
    }

    fn build(&mut self, author: impl Into<Option<ValidatorIndex>>, place: Place, habit: Habit) {
        let Some(author) = author.into() else { return };
        if let Some(at) = self.peers.build(author, place, habit) {
            self.deliver(author, at);
        }
    }

    fn deliver(&mut self, from: ValidatorIndex, which: usize) {
        let count = self.peers.blocks.len();
        if count > 0 {
            let block = self.peers.blocks[which % count].clone();
            self.shell
                .tell(|replica, now| replica.handle_block(now, Delivery { from, block }));
        }
    }

    /// A peer sends what it was asked for, or says that it does not hold it.
    fn answer_request(&mut self, which: usize) {
        let Some((peer, refs)) = self.shell.take_request() else {
            return;
        };
        for reference in refs {
            match self.peers.position(&reference) {
                Some(at) if !which.is_multiple_of(4) => self.deliver(peer, at),
                _ => self.shell.tell(|replica, now| {
                    replica.handle_not_held(now, peer, &[reference]);
                }),
            }
        }
    }

    /// Bytes that are no valid block: the verifier keeps them out, and their votes may count all the same (R25).
    fn deliver_damaged(
        &mut self,
        from: ValidatorIndex,
        which: usize,
        input: &mut Unstructured<'_>,
    ) -> Result<()> {
        let count = self.peers.blocks.len();
        if count == 0 {
            return Ok(());
        }
        let block = Arc::clone(self.peers.blocks[which % count].block());
        let mut bytes = [&block.signed_header()[..], block.payload().bytes()].concat();
        let at = usize::from(input.arbitrary::<u16>()?) % (bytes.len() + 1);
        match bytes.get_mut(at) {
            Some(byte) => *byte ^= 1,
            None => bytes.push(0),
        }
        let refused = verify_block(&Bytes::from(bytes), &self.shell.committee, &MostAccepted);
        let refused = refused.expect_err("damage is noticed");
        if let Some(votes) = refused.votes {
            self.shell.tell(|replica, _| replica.handle_votes(&votes));
        }
        // The vote that the next blocks carry: the truth, or a lie about it.
        let (index, digest) = match self.shell.commits.iter().nth_back(which % 4) {
            Some((index, digest)) => (*index, *digest),
            None => (CommitIndex(1), Digest::ZERO),
        };
        let lie = from == *self.others.last().expect("it has sent this");
        let digest = if lie { Digest([7; 32]) } else { digest };
        self.peers.votes = vec![CommitVote { index, digest }];
        Ok(())
    }

    /// An own block comes back over the network: one that was sent, or one that somebody else signed.
    fn come_back(
        &mut self,
        from: ValidatorIndex,
        which: usize,
        input: &mut Unstructured<'_>,
    ) -> Result<()> {
        let habit = honest(Habit(input.arbitrary()?));
        if which < 8 {
            if let Some(at) = self.peers.build(ME, Place::Next, habit) {
                self.forged = true;
                self.deliver(from, at);
            }
        } else if let Some(block) = self.shell.sent.get(which % self.shell.sent.len().max(1)) {
            let block = block.clone();
            self.shell
                .tell(|replica, now| replica.handle_block(now, Delivery { from, block }));
        }
        Ok(())
    }

    fn some_refs(&self, which: usize) -> Vec<BlockRef> {
        let known = self.peers.blocks.iter().skip(which).take(3);
        let unknown = BlockRef {
            round: Round(3),
            author: ME,
            digest: Digest([which.to_le_bytes()[0]; 32]),
        };
        known
            .map(|known| known.block().reference())
            .chain([unknown])
            .collect()
    }

    fn tick(&mut self, now: probity_core::Time) {
        self.shell.now = now;
        self.shell.tell(|replica, now| replica.handle_tick(now));
        let next = self.shell.replica.next_deadline();
        assert!(
            next.is_none_or(|next| next > now),
            "the deadline {next:?} stands still at {now:?}"
        );
    }

    /// The disk and the signer finish all they have, and time passes.
    fn catch_up(&mut self, us: u64) {
        self.shell.persist(usize::MAX);
        self.shell.sign();
        self.tick(self.shell.now.plus_us(us + 1));
        self.shell.persist(usize::MAX);
        self.shell.sign();
    }

    fn after_step(&mut self) {
        for block in &self.shell.sent[self.sent_known..] {
            self.peers.add(block.clone());
        }
        self.sent_known = self.shell.sent.len();
        let amnesia = self.shell.replica.status().amnesia;
        assert!(
            !amnesia || self.forged,
            "the replica takes its own block for a forgery"
        );
    }

    /// Agreement with a validator that got every block in order.
    fn finish(&mut self) {
        self.shell.check_chain();
        if self.forged && self.equivocated {
            return; // two equivocators are more than the committee tolerates
        }
        let mut committer = Committer::new(Arc::clone(&self.shell.committee));
        for block in &self.peers.blocks {
            committer.insert(Arc::clone(block.block()));
        }
        for committed in committer.commits() {
            if let Some(digest) = self.shell.commits.get(&committed.record.index) {
                assert_eq!(
                    *digest, committed.digest,
                    "commit {} differs",
                    committed.record.index
                );
            }
        }
    }
}

/// Correct authors link no block that nobody has made.
fn honest(habit: Habit) -> Habit {
    Habit(habit.0 & !(1 << 13))
}

/// Short windows: a few rounds make a schedule.
const SHORT: ReputationParams = ReputationParams {
    score_rounds: 8,
    slot_rounds: 16,
    schedule_rounds: 4,
    schedule_lead_rounds: 2,
};

/// Committees in which the last member alone, or the first, may be Byzantine; all with a short memory.
static COMMITTEES: LazyLock<Vec<Arc<Committee>>> = LazyLock::new(|| {
    let small = |weights: &[u64], byzantine, gc_depth| {
        Arc::new(small_committee(weights, byzantine, gc_depth, SHORT))
    };
    vec![
        small(&[1, 1, 1, 1], 1, 4),
        small(&[1, 1, 1, 1], 1, 8),
        small(&[1, 1, 1, 1, 1, 1], 1, 5),
        small(&[2, 1, 2, 2], 2, 4),
        small(&[1, 3, 1, 1, 1], 2, 6),
        small(&[5, 1, 1, 1], 1, 4),
        small(&[1], 0, 4),
    ]
});

const OPERATIONS_MAX: usize = 500;
