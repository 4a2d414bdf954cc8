//! Looks at what every validator sends and commits, and takes times.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use hdrhistogram::Histogram;
use probity_core::crypto::Digest;
use probity_core::{Commit, CommitIndex, IdMap, Path, Round, Slot, Time};
use probity_sim::checker::{Checker, Observation, Scene};
use probity_sim::submitted_at;

use super::Window;

/// What was measured, in microseconds.
pub(super) struct Measured {
    /// Blocks of the first leader of their round, committed as leaders; also counted in `leaders`.
    pub(super) first_leaders: Histogram<u64>,
    /// Blocks committed as leaders.
    pub(super) leaders: Histogram<u64>,
    /// Blocks committed with another leader.
    pub(super) others: Histogram<u64>,
    /// From submission.
    pub(super) transactions: Histogram<u64>,
    /// Blocks sent in time to be measured, and of those the ones committed.
    pub(super) blocks: (u64, u64),
    /// Slots output, by how they were decided, over all validators.
    pub(super) decisions: Decisions,
    /// The first and the last leader round output while it counted, anywhere.
    pub(super) leader_rounds: Option<(Round, Round)>,
    /// The longest sequence.
    pub(super) last_commit: CommitIndex,
    /// Transactions committed while it counted, each once.
    pub(super) transactions_committed: u64,
    /// From when on it counted; `None` before.
    pub(super) from: Option<Time>,
}

/// Slots by the rule that decided them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Decisions {
    pub(super) fast: u64,
    pub(super) slow: u64,
    pub(super) indirect: u64,
    pub(super) skipped: u64,
}

impl Default for Measured {
    fn default() -> Self {
        let histogram =
            || Histogram::new_with_bounds(1, HOUR_US, 3).expect("the bounds are possible");
        Self {
            first_leaders: histogram(),
            leaders: histogram(),
            others: histogram(),
            transactions: histogram(),
            blocks: (0, 0),
            decisions: Decisions::default(),
            leader_rounds: None,
            last_commit: CommitIndex::GENESIS,
            transactions_committed: 0,
            from: None,
        }
    }
}

/// The longest time that a histogram tells apart.
const HOUR_US: u64 = 3_600_000_000;

/// Takes the times; the figures are shared with whoever started the world, in the same thread.
pub(super) struct Observer {
    window: Window,
    /// Validators that do not count.
    apart: Vec<u16>,
    sent: IdMap<Digest, Time>,
    /// By process: the round of its last leader.
    last_leader: BTreeMap<usize, Round>,
    measured: Rc<RefCell<Measured>>,
}

impl Observer {
    /// An observer, and where its figures will be.
    pub(super) fn new(window: Window, apart: Vec<u16>) -> (Self, Rc<RefCell<Measured>>) {
        let measured = Rc::<RefCell<Measured>>::default();
        if window.schedule == 0 {
            measured.borrow_mut().from = Some(window.from);
        }
        let observer = Self {
            window,
            apart,
            sent: IdMap::default(),
            last_leader: BTreeMap::new(),
            measured: Rc::clone(&measured),
        };
        (observer, measured)
    }

    /// Whether a block that is sent now counts.
    fn counts(&self, scene: &Scene<'_>) -> bool {
        let from = self.measured.borrow().from;
        let now = from.is_some_and(|from| (from..self.window.begins_until).contains(&scene.now));
        now && !self.apart.contains(&scene.validator.0)
    }

    /// It counts from when the window has begun and its schedule is in force somewhere.
    fn note_schedule(&self, now: Time, schedule: u64) {
        if now >= self.window.from && schedule >= self.window.schedule {
            self.measured.borrow_mut().from.get_or_insert(now);
        }
    }

    fn committed(&mut self, scene: &Scene<'_>, commit: &Commit) {
        self.note_schedule(scene.now, commit.record.schedule);
        let leader = commit.record.leader;
        let before = self.last_leader.insert(scene.process, leader.round);
        let skipped = |slot: &Slot| slot.round == leader.round;
        let begins_round =
            before != Some(leader.round) && !commit.record.skipped.iter().any(skipped);
        if self.apart.contains(&scene.validator.0) {
            return;
        }
        let mut measured = self.measured.borrow_mut();
        let Some(from) = measured.from.filter(|from| scene.now >= *from) else {
            return;
        };
        let counts = |began: &Time| (from..self.window.begins_until).contains(began);
        measured.note_decision(commit);
        measured.note_progress(commit);
        let own = commit
            .blocks
            .iter()
            .filter(|b| b.block.author() == scene.validator);
        for committed in own {
            let block = &committed.block;
            if let Some(sent_at) = self.sent.get(&block.reference().digest)
                && counts(sent_at)
            {
                let took_us = scene.now.since_us(*sent_at);
                let kind = match (leader == block.reference(), begins_round) {
                    (false, _) => Kind::Other,
                    (true, false) => Kind::Leader,
                    (true, true) => Kind::FirstLeader,
                };
                measured.note_block(kind, took_us);
            }
            for transaction in block.payload().iter() {
                let submitted = submitted_at(transaction).filter(counts);
                if let Some(at) = submitted {
                    measured
                        .transactions
                        .saturating_record(scene.now.since_us(at));
                }
            }
        }
    }
}

impl Measured {
    fn note_decision(&mut self, commit: &Commit) {
        let of = &mut self.decisions;
        match commit.path {
            None => {} // Read back from a disk; nobody crashes while it counts.
            Some(Path::Fast) => of.fast += 1,
            Some(Path::Slow) => of.slow += 1,
            Some(Path::Indirect) => of.indirect += 1,
        }
        of.skipped += commit.record.skipped.len() as u64;
    }

    /// Counts a commit that nobody has output before.
    fn note_progress(&mut self, commit: &Commit) {
        if commit.index() <= self.last_commit {
            return;
        }
        self.last_commit = commit.index();
        self.transactions_committed += commit.transactions().count() as u64;
        let round = commit.record.leader.round;
        let first = self.leader_rounds.map_or(round, |(first, _)| first);
        self.leader_rounds = Some((first, round));
    }

    fn note_block(&mut self, kind: Kind, took_us: u64) {
        self.blocks.1 += 1;
        match kind {
            Kind::FirstLeader => {
                self.first_leaders.saturating_record(took_us);
                self.leaders.saturating_record(took_us);
            }
            Kind::Leader => self.leaders.saturating_record(took_us),
            Kind::Other => self.others.saturating_record(took_us),
        }
    }
}

/// What a block is in the commit that holds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    FirstLeader,
    Leader,
    Other,
}

impl Checker for Observer {
    fn promise(&self) -> &'static str {
        "looking breaks nothing"
    }

    fn look(&mut self, scene: &Scene<'_>, seen: &Observation<'_>) -> Result<(), String> {
        // Everything else that may be seen takes no time.
        if let Observation::Sending(block) = seen {
            let first = self
                .sent
                .insert(block.reference().digest, scene.now)
                .is_none();
            if first && self.counts(scene) {
                self.measured.borrow_mut().blocks.0 += 1;
            }
        } else if let Observation::Committed(commit) = seen {
            self.committed(scene, commit);
        }
        Ok(())
    }
}
