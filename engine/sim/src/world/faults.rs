//! What goes wrong, and how it ends.

use std::sync::Arc;

use probity_core::{Link, Message, Recovered, Replica, Time, ValidatorIndex};

use super::{Event, START, World};
use crate::adversary::Hands;
use crate::checker::Observation;
use crate::network::Network;
use crate::plan::{Fault, FaultKind};

/// How long the transport takes to report a link down or up.
const NOTICE_US: u64 = 1_000_000;

impl World {
    pub(super) fn begin_fault(&mut self, at: usize) {
        if self.liveness.has_begun() {
            return;
        }
        let fault = self.plan.faults[at].clone();
        *self.faults_fired.entry(fault.kind.name()).or_default() += 1;
        let now = self.now;
        self.trace.say(now, || {
            format!("fault: {:?} for {} ms", fault.kind, fault.for_ms)
        });
        if let FaultKind::Flap { .. } = &fault.kind {
            let apart = true;
            self.schedule(now, Event::FlapTurns { fault: at, apart });
            return;
        }
        self.trouble_processes(&fault);
        self.trouble_network(&fault.kind);
        self.schedule(now.plus_us(fault.for_ms * 1_000), Event::FaultEnds(at));
    }

    /// What a fault does to processes.
    fn trouble_processes(&mut self, fault: &Fault) {
        let for_ms = fault.for_ms;
        match &fault.kind {
            FaultKind::Crash { validator } => {
                for process in self.of_validator[usize::from(*validator)].clone() {
                    self.crash(process, for_ms);
                }
            }
            FaultKind::CrashAt {
                validator,
                boundary,
            } => self.each(*validator, |process| {
                process.crash_at = Some((*boundary, for_ms));
            }),
            FaultKind::PowerLoss => {
                for process in 0..self.processes.len() {
                    let down_ms = for_ms + self.random.below(500);
                    self.crash(process, down_ms);
                }
            }
            FaultKind::Pause { validator } => {
                self.pause(*validator, self.now.plus_us(for_ms * 1_000));
            }
            FaultKind::Slow {
                validator,
                extra_us,
            } => self.each(*validator, |process| process.slow_us = *extra_us),
            FaultKind::ClockJump { validator, by_ms } => {
                self.each(*validator, |process| process.clock_jump_ms += by_ms);
            }
            FaultKind::WriteError { validator } => {
                self.each(*validator, |process| process.fails_next_write = true);
            }
            FaultKind::StolenKey { validator } => {
                for process in self.of_validator[usize::from(*validator)].clone() {
                    self.show_foreign(process);
                }
            }
            FaultKind::OneWay { .. }
            | FaultKind::Split { .. }
            | FaultKind::SilentSplit { .. }
            | FaultKind::Ring
            | FaultKind::Flap { .. }
            | FaultKind::Storm { .. } => {}
        }
    }

    /// What a fault does to links.
    fn trouble_network(&mut self, kind: &FaultKind) {
        match kind {
            FaultKind::OneWay { from, to } => {
                self.network.cut(|a, b| (a, b) == (*from, *to));
            }
            FaultKind::Split { left } => {
                self.network.cut(Network::across(left));
                self.schedule(self.now.plus_us(NOTICE_US), Event::Links);
            }
            FaultKind::SilentSplit { left } => self.network.cut(Network::across(left)),
            FaultKind::Ring => {
                let count = u16::try_from(self.plan.validators()).expect("at most 256");
                self.network.cut(|a, b| !are_neighbours(a, b, count));
            }
            FaultKind::Storm { loss_ppm } => self.network.begin_storm(*loss_ppm),
            FaultKind::Crash { .. }
            | FaultKind::CrashAt { .. }
            | FaultKind::PowerLoss
            | FaultKind::Pause { .. }
            | FaultKind::Slow { .. }
            | FaultKind::ClockJump { .. }
            | FaultKind::WriteError { .. }
            | FaultKind::StolenKey { .. }
            | FaultKind::Flap { .. } => {}
        }
    }

    fn pause(&mut self, validator: u16, until: Time) {
        for process in self.of_validator[usize::from(validator)].clone() {
            let paused = &mut self.processes[process].paused_until;
            *paused = (*paused).max(until);
            self.schedule(until, Event::Resume { process });
        }
    }

    /// A block that the validator did not make, under its key and for the round that it has come to, reaches it by way
    /// of its neighbour; nobody else gets to see it.
    fn show_foreign(&mut self, process: usize) {
        let host = &self.processes[process];
        let Some(status) = host.replica.as_ref().map(Replica::status) else {
            return;
        };
        let (me, committee) = (host.validator, &self.committee);
        let mut sent = Vec::new();
        let hands = Hands {
            now: self.now,
            me,
            committee,
            status: status.clone(),
            leaders: &[],
            accomplices: &[],
            pact: 0,
            signer: &host.signer,
            seen: &host.seen,
            sent: &mut sent,
        };
        let parents = hands.real_parents(status.frontier);
        let block = hands.block(status.frontier, parents);
        let from = ValidatorIndex((me.0 + 1) % u16::try_from(committee.size()).unwrap_or(1));
        let frame = Message::encode_fetched(block.signed_header(), block.payload().bytes());
        let life = host.life;
        let event = Event::Frame {
            from,
            to: process,
            life,
            frame,
        };
        self.schedule(self.now, event);
    }

    fn each(&mut self, validator: u16, change: impl Fn(&mut super::Process)) {
        for process in self.of_validator[usize::from(validator)].clone() {
            change(&mut self.processes[process]);
        }
    }

    pub(super) fn end_fault(&mut self, at: usize) {
        if self.liveness.has_begun() {
            return; // Everything has healed already.
        }
        let kind = self.plan.faults[at].kind.clone();
        let count = u16::try_from(self.plan.validators()).expect("at most 256");
        match &kind {
            FaultKind::Crash { .. }
            | FaultKind::CrashAt { .. }
            | FaultKind::PowerLoss
            | FaultKind::Pause { .. }
            | FaultKind::ClockJump { .. }
            | FaultKind::WriteError { .. }
            | FaultKind::StolenKey { .. }
            | FaultKind::Flap { .. } => {}
            FaultKind::Slow { validator, .. } => self.each(*validator, |p| p.slow_us = 0),
            FaultKind::OneWay { from, to } => self.network.mend(|a, b| (a, b) == (*from, *to)),
            FaultKind::Split { left } | FaultKind::SilentSplit { left } => {
                self.network.mend(Network::across(left));
            }
            FaultKind::Ring => self.network.mend(|a, b| !are_neighbours(a, b, count)),
            FaultKind::Storm { loss_ppm } => self.network.end_storm(*loss_ppm),
        }
        self.schedule(self.now.plus_us(NOTICE_US / 10), Event::Links);
    }

    /// One half of a flapping split's turn is over.
    pub(super) fn turn_flap(&mut self, at: usize, apart: bool) {
        if self.liveness.has_begun() {
            return;
        }
        let fault = self.plan.faults[at].clone();
        let FaultKind::Flap { left, period_ms } = &fault.kind else {
            return;
        };
        let ends_at = START.plus_us((fault.at_ms + fault.for_ms) * 1_000);
        if !apart {
            self.network.mend(Network::across(left));
        }
        if self.now >= ends_at {
            return;
        }
        if apart {
            self.network.cut(Network::across(left));
        }
        let next = Event::FlapTurns {
            fault: at,
            apart: !apart,
        };
        self.schedule(self.now.plus_us(period_ms * 1_000), next);
    }

    /// The process dies; what was not synced is lost, in part.
    pub(super) fn crash(&mut self, process: usize, down_ms: u64) {
        if self.processes[process].is_down() {
            return;
        }
        let now = self.now;
        self.trace.note(now, "crash", process, &[]);
        self.trace.say(now, || format!("process {process} crashes"));
        self.observe(process, &Observation::Crashed);
        let host = &mut self.processes[process];
        host.replica = None;
        host.crash_at = None;
        host.tick_at = None;
        host.queue.clear();
        host.proposed.clear();
        host.links.fill(false);
        host.disk.crash(&mut self.random);
        host.life += 1;
        let life = host.life;
        let back_at = now.plus_us(down_ms * 1_000);
        self.schedule(back_at, Event::Restart { process, life });
        self.schedule(now.plus_us(NOTICE_US / 2), Event::Links);
    }

    /// The process starts from its disk.
    pub(super) fn start(&mut self, process: usize) {
        let now = self.now;
        if !self.find_epoch(process) {
            return;
        }
        let host = &self.processes[process];
        let Some(me) = host.me else {
            return; // It waits to become a member.
        };
        let recovered = match Recovered::load(&host.disk, &host.committee, me) {
            Ok(recovered) => recovered,
            Err(why) => {
                let validator = Some(host.validator);
                self.break_promise(
                    "a disk that only crashed is readable",
                    validator,
                    format!("{why:?}"),
                );
                return;
            }
        };
        let last = recovered.last_commit();
        self.trace.say(now, || {
            format!("process {process} starts after commit {last}")
        });
        self.observe(process, &Observation::Started { last });
        let config = self.replica_config(process, me);
        let host = &mut self.processes[process];
        let mut replica = Replica::new(config, recovered, now);
        if host.is_sinner() {
            replica.set_lawless();
        }
        host.replica = Some(replica);
        host.last_commit = last;
        self.rebuild_application(process);
        self.compare_state(process, last);
        self.drain(process);
        self.schedule(now.plus_us(1_000), Event::Links);
    }

    /// The transport reports what has changed, both ways.
    pub(super) fn refresh_links(&mut self) {
        let now = self.now;
        for process in 0..self.processes.len() {
            let committee = Arc::clone(&self.processes[process].committee);
            for peer in committee.indices() {
                let up = self.is_link_up(process, self.address(process, peer));
                let host = &mut self.processes[process];
                let changed = host.links[peer.position()] != up;
                if Some(peer) == host.me || host.is_down() || !changed {
                    continue;
                }
                if host.committee.epoch() != committee.epoch() {
                    break; // What it did last has ended its epoch.
                }
                host.links[peer.position()] = up;
                let link = if up { Link::Up } else { Link::Down };
                self.with(process, |replica| replica.handle_link(now, peer, link));
            }
        }
    }

    fn is_link_up(&self, process: usize, peer: ValidatorIndex) -> bool {
        let me = self.processes[process].validator;
        let runs = |other: &usize| !self.processes[*other].is_down();
        // Cuts of a silent kind look up; whether this one was silent, nobody remembers: frames tell.
        self.of_validator[peer.position()].iter().any(runs)
            && !(self.network.is_cut(me, peer) && self.network.is_cut(peer, me))
    }
}

fn are_neighbours(a: u16, b: u16, count: u16) -> bool {
    (a + 1) % count == b || (b + 1) % count == a
}
