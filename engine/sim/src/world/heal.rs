//! After the faults: everything heals, and every correct validator must come back to life in time.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use probity_core::limits::{STALL_MIN_US, STALL_US};
use probity_core::{Commit, Replica, Time, ValidatorIndex};

use super::{Event, World, number_of};
use crate::application::Application;

/// The phase after the faults.
#[derive(Debug, Default)]
pub struct Liveness {
    /// When everything healed.
    healed_at: Option<Time>,
    /// Transactions from this number on are new.
    first_fresh: u64,
    /// How long a validator that was not far behind may take, in microseconds.
    bound_us: u64,
    /// Two timeouts and six delays: what it takes when nothing was lost, nobody sins and no epoch ends.
    prompt_us: u64,
    /// Correct processes that have not committed a new transaction yet, with how much longer they may take.
    waiting: BTreeMap<usize, u64>,
    /// Equivocators of whom a correct process held proof when everything healed and whom it has not seen slashed.
    unpunished: BTreeMap<usize, BTreeSet<ValidatorIndex>>,
    /// How long each took, in microseconds.
    took_us: Vec<u64>,
    over: bool,
}

/// What a validator more than `gc_depth` behind gets on top, in microseconds.
const BACKLOG_US: u64 = 10_000_000;
/// How often in a row a decision may be passed on to a sinner's slot: less than once in 59,049 cases.
const PASSED_ON: u64 = 10;
/// Virtual time after the heal at which the links are all reported up again.
const NOTICE_US: u64 = 1_000;

impl Liveness {
    /// Whether everything has healed.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.healed_at.is_some()
    }

    /// Whether every correct validator is live again.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// How long each correct validator took to commit a new transaction, in microseconds.
    #[must_use]
    pub fn took_us(&self) -> &[u64] {
        &self.took_us
    }

    /// How many of them took two timeouts and six delays at most.
    #[must_use]
    pub fn took_promptly(&self) -> u64 {
        let prompt = self.took_us.iter().filter(|took| **took <= self.prompt_us);
        prompt.count() as u64
    }

    /// What they were allowed.
    #[must_use]
    pub fn bound_us(&self) -> u64 {
        self.bound_us
    }

    /// The process is no validator any more.
    pub(super) fn note_left(&mut self, process: usize) {
        self.waiting.remove(&process);
        self.over = self.has_begun() && self.waiting.is_empty();
    }

    /// The process is in another epoch: a proof that came too late for the one before slashes nobody any more (R12).
    pub(super) fn note_epoch(&mut self, process: usize) {
        if self.unpunished.remove(&process).is_some() {
            self.look_whether_over();
        }
    }

    /// Whether one of these transactions is new.
    pub(super) fn awaits_one_of(&self, transactions: &[Bytes]) -> bool {
        let is_new = |number: u64| self.has_begun() && number >= self.first_fresh;
        transactions
            .iter()
            .any(|t| number_of(t).is_some_and(is_new))
    }

    pub(super) fn note_committed(&mut self, now: Time, process: usize, fresh: Option<u64>) {
        let Some(healed_at) = self.healed_at else {
            return;
        };
        if fresh.is_none_or(|number| number < self.first_fresh) {
            return;
        }
        if self.waiting.remove(&process).is_some() {
            self.took_us.push(now.since_us(healed_at));
        }
        self.look_whether_over();
    }

    /// Takes note of whom a process sees slashed.
    pub(super) fn note_slashed(&mut self, process: usize, replica: &Replica) {
        if let Some(unpunished) = self.unpunished.get_mut(&process) {
            unpunished.retain(|sinner| !replica.is_slashed(*sinner));
            if unpunished.is_empty() {
                self.unpunished.remove(&process);
            }
            self.look_whether_over();
        }
    }

    fn look_whether_over(&mut self) {
        self.over = self.waiting.is_empty() && self.unpunished.is_empty();
    }
}

impl World {
    /// Ends every fault at once, and submits a new transaction to every correct validator.
    pub(super) fn heal(&mut self) {
        let now = self.now;
        self.trace.say(now, || "everything heals".to_owned());
        self.network.heal();
        for process in 0..self.processes.len() {
            let host = &mut self.processes[process];
            host.paused_until = now;
            self.resume(process);
            let host = &mut self.processes[process];
            host.slow_us = 0;
            host.crash_at = None;
            host.fails_next_write = false;
            if host.is_down() {
                self.start(process);
            }
        }
        self.schedule(now.plus_us(NOTICE_US), Event::Links);
        self.liveness.healed_at = Some(now);
        self.liveness.first_fresh = self.submitted + 1;
        let (delay_us, timeout_us) = self.pace_us();
        self.liveness.prompt_us = 2 * timeout_us + 6 * delay_us;
        self.liveness.bound_us = self.bound_us(delay_us, timeout_us);
        let furthest = self.furthest_leader();
        let needs_backlog = !self.has_quorum_without(furthest);
        for process in 0..self.processes.len() {
            let host = &self.processes[process];
            let Some(replica) = host.replica.as_ref() else {
                continue;
            };
            if host.is_sinner() {
                continue;
            }
            let waits = needs_backlog || self.is_far_behind(process, furthest);
            let extra_us = if waits { BACKLOG_US } else { 0 };
            self.liveness.waiting.insert(process, extra_us);
            let sinners = replica.evidence().map(|proof| proof.author);
            self.liveness.unpunished.insert(process, sinners.collect());
            self.liveness.note_slashed(process, replica);
            self.submit_fresh(process);
        }
        self.liveness.look_whether_over();
    }

    /// Whether a process returns to another epoch than the newest, or to more rounds than are kept.
    fn is_far_behind(&self, process: usize, furthest: u32) -> bool {
        let host = &self.processes[process];
        let last = host.replica.as_ref().map(|r| r.status().last_leader.0);
        let behind = furthest.saturating_sub(last.unwrap_or(0));
        self.epochs > host.committee.epoch() || behind > self.committee.gc_depth()
    }

    /// Whether the newest epoch can go on without sinners and without who is far behind: if it cannot, all wait for those.
    fn has_quorum_without(&self, furthest: u32) -> bool {
        let Some((_, newest)) = self.committees.last_key_value() else {
            return true;
        };
        let there = (0..self.processes.len()).filter(|process| {
            !self.processes[*process].is_sinner() && !self.is_far_behind(*process, furthest)
        });
        let seats = there.map(|process| self.processes[process].validator);
        let members = seats.filter_map(|seat| newest.index_of(self.keys.get(seat.position())?));
        let weight: u64 = members.map(|member| newest.weight(member)).sum();
        weight >= newest.thresholds().quorum
    }

    /// `2 * leader_timeout + 6 * delay`, with the timeout as it stands at the slowest, and a delay that covers the disk
    /// and the shortest round. Frames that were lost before are missed only after a standstill (R34, `STALL_US`), and
    /// asking and answering for the missing and for their parents takes 4 delays.
    ///
    /// Sinners go on sinning, and whose key was stolen stays silent. A slot that they leave undecided is decided by an anchor three rounds later, whose leader
    /// may be one of them and leave it undecided too, with the chance of their share of the weight, below a third.
    fn bound_us(&self, delay_us: u64, timeout_us: u64) -> u64 {
        let mut validators = self.committee.indices();
        let faulty = |v| !self.plan.is_correct(v) || self.plan.is_stolen(v);
        let sinned_us = if validators.any(faulty) {
            PASSED_ON * (3 * delay_us + timeout_us)
        } else {
            0
        };
        let standstill_us = (4 * timeout_us).clamp(STALL_MIN_US, STALL_US);
        // An epoch may be ending: its tail, and the first commit of the next one, after what was in flight was lost.
        let epoch_us = if self.plan.epochs.is_empty() {
            0
        } else {
            2 * timeout_us + standstill_us + 20 * delay_us
        };
        2 * timeout_us + standstill_us + 10 * delay_us + sinned_us + epoch_us + NOTICE_US
    }

    /// A delay that covers the disk and the shortest round, and the leader timeout where it is longest, in microseconds.
    fn pace_us(&self) -> (u64, u64) {
        let timeout = |replica: &Replica| replica.status().leader_timeout_us;
        let correct = self.processes.iter().filter(|process| !process.is_sinner());
        let replicas = correct.filter_map(|host| host.replica.as_ref());
        let slowest = replicas.map(timeout).max();
        let delay_us = self.network.settled_delay_us() + self.plan.disk.most_us;
        let delay_us = delay_us.max(self.plan.committee.min_round_delay_us);
        (delay_us, slowest.unwrap_or(0))
    }

    fn furthest_leader(&self) -> u32 {
        let correct = self.processes.iter().filter(|process| !process.is_sinner());
        let leader = |replica: &Replica| replica.status().last_leader.0;
        correct
            .filter_map(|host| host.replica.as_ref())
            .map(leader)
            .max()
            .unwrap_or(0)
    }

    pub(super) fn check_liveness(&mut self) {
        let Some(healed_at) = self.liveness.healed_at else {
            return;
        };
        let passed_us = self.now.since_us(healed_at);
        let bound_us = self.liveness.bound_us;
        self.check_punishment(passed_us);
        let late = |(_, extra_us): &(&usize, &u64)| passed_us > bound_us + **extra_us;
        let Some((process, _)) = self.liveness.waiting.iter().find(late) else {
            return;
        };
        let host = &self.processes[*process];
        let status = host.replica.as_ref().map(Replica::status);
        let validator = host.validator;
        let how = format!(
            "no new transaction committed {} ms after everything healed (allowed: {} ms); {status:?}",
            passed_us / 1_000,
            bound_us / 1_000
        );
        self.break_promise(
            "after healing every correct validator commits in time",
            Some(validator),
            how,
        );
    }

    /// R12, R26: a proof that a correct validator holds reaches the sequence. The block that carries it may have to be
    /// collected first, and be carried again, so this may take as long as catching up.
    fn check_punishment(&mut self, passed_us: u64) {
        if passed_us <= self.liveness.bound_us + BACKLOG_US {
            return;
        }
        let Some((process, sinners)) = self.liveness.unpunished.iter().next() else {
            return;
        };
        let host = &self.processes[*process];
        let status = host.replica.as_ref().map(Replica::status);
        let how = format!("it holds proof against {sinners:?}, nobody is slashed; {status:?}");
        let validator = host.validator;
        self.break_promise(
            "an equivocation that a correct validator can prove is slashed in the sequence",
            Some(validator),
            how,
        );
    }

    /// A restarted validator's application starts from nothing and is given the history again.
    pub(super) fn rebuild_application(&mut self, process: usize) {
        let Some(make) = &self.make_application else {
            return;
        };
        let mut application: Box<dyn Application> = make();
        let history = self.history_of(process);
        let whole = history.len() as u64 == self.processes[process].last_commit.0;
        history.iter().for_each(|commit| application.apply(commit));
        // Whoever skipped an epoch holds no state of the sequence.
        self.processes[process].application = whole.then_some(application);
    }

    /// The durable commits of a process, read back from its disk.
    fn history_of(&self, process: usize) -> Vec<Commit> {
        crate::history::commits(&self.processes[process].disk)
    }
}
