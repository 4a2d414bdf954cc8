//! Epochs in the shell of a simulated validator: the next replica takes the old one's place, and whoever is behind is
//! told how its epoch ended (R32).

use std::sync::Arc;

use bytes::Bytes;
use probity_core::crypto::PublicKey;
use probity_core::record::{RecordSource, RecordTable, epoch_key};
use probity_core::{
    Committee, EpochEnd, EpochRule, FixedCommittee, Message, Output, Recovered, Replica,
    ReplicaConfig, Round, ValidatorIndex, VotedChanges,
};

use super::{Event, World};
use crate::amplification::Amplification;
use crate::checker::Observation;
use crate::seats::seat_of;

/// Pause between two answers about an epoch's end to the same validator, in microseconds.
const TELL_EVERY_US: u64 = 100_000;
/// Pause between two questions of who is no member.
pub(super) const FOLLOW_EVERY_US: u64 = 1_000_000;

impl World {
    /// Which validator a member is.
    pub(super) fn seat(&self, committee: &Committee, member: ValidatorIndex) -> ValidatorIndex {
        let member = committee.member(member);
        let seat = member.and_then(|member| seat_of(&self.keys, &member.key));
        seat.expect("every member is a validator of the plan")
    }

    /// The index of a validator in the epoch of a process.
    pub(super) fn member(&self, process: usize, seat: ValidatorIndex) -> Option<ValidatorIndex> {
        let key = self.keys.get(seat.position())?;
        self.processes[process].committee.index_of(key)
    }

    /// Over all epochs that somebody has reached.
    pub(crate) fn amplification(&self) -> Amplification {
        let sins = |key: &PublicKey| {
            let seat = self.keys.iter().position(|known| known == key);
            let sinners = &mut self.plan.sinners.iter();
            seat.is_some_and(|seat| sinners.any(|s| usize::from(s.validator) == seat))
        };
        let epochs = self.committees.values();
        let each = epochs.map(|committee| Amplification::of(committee, sins));
        each.fold(Amplification::default(), Amplification::merged)
    }

    pub(super) fn replica_config(&self, process: usize, me: ValidatorIndex) -> ReplicaConfig {
        let committee = Arc::clone(&self.processes[process].committee);
        let rule: Arc<dyn EpochRule> = if committee.epochs().rule == VotedChanges.name() {
            Arc::new(VotedChanges)
        } else {
            Arc::new(FixedCommittee)
        };
        ReplicaConfig {
            committee,
            me,
            min_round_delay_us: self.plan.committee.min_round_delay_us,
            idle_round_delay_us: self.plan.committee.idle_round_delay_us,
            rule,
        }
    }

    /// Notes that a replica has ended its epoch; it is replaced when all that it asked for is carried out.
    pub(super) fn note_ended(&mut self, process: usize, end: Arc<EpochEnd>) {
        self.observe(process, &Observation::EpochEnded(&end));
        self.processes[process].ended = Some(end);
    }

    /// Puts the next epoch's replica into the place of one that has ended.
    pub(super) fn change_epoch(&mut self, process: usize) {
        let Some(end) = self.processes[process].ended.take() else {
            return;
        };
        let host = &self.processes[process];
        let next = end.next_committee(&host.committee);
        let Ok(next) = next else {
            self.break_promise(
                "an epoch's end makes a committee",
                None,
                format!("{next:?}"),
            );
            return;
        };
        let (now, epoch) = (self.now, next.epoch());
        self.trace
            .note(now, "epoch", process, next.chain().as_bytes());
        self.trace
            .say(now, || format!("process {process} enters epoch {epoch}"));
        self.epochs = self.epochs.max(epoch);
        self.liveness.note_epoch(process);
        self.committees.insert(epoch, Arc::clone(&next));
        let me = next.index_of(&host.signer.public());
        let host = &mut self.processes[process];
        host.committee = next;
        host.me = me;
        host.origin = end.origin();
        host.links.fill(false);
        host.seen.clear();
        let old = host.replica.take();
        let Some((me, old)) = me.zip(old) else {
            self.trace.say(now, || format!("process {process} leaves"));
            self.liveness.note_left(process);
            self.schedule(now, Event::Links);
            return;
        };
        let config = self.replica_config(process, me);
        let mut replica = old.next_epoch(config, &end, now);
        let host = &mut self.processes[process];
        if host.is_sinner() {
            replica.set_lawless();
        }
        replica.handle_pending(now, host.pending());
        host.replica = Some(replica);
        let last = end.origin().index;
        let host = &mut self.processes[process];
        if host.last_commit != last {
            // It skipped commits: what its application holds is no state of the sequence any more.
            (host.last_commit, host.application) = (last, None);
        }
        self.observe(process, &Observation::Started { last });
        self.refresh_links();
        self.drain(process);
    }

    /// The end of an epoch, from the disk.
    fn stored_end(&self, process: usize, epoch: u64) -> Option<Bytes> {
        let disk = &self.processes[process].disk;
        let Ok(end) = disk.read(RecordTable::EpochEnd, &epoch_key(epoch));
        end
    }

    /// Tells a validator that its epoch has ended, unless it was told a moment ago.
    pub(super) fn tell_end(&mut self, process: usize, to: ValidatorIndex, epoch: u64) {
        if !self.may_tell(process, (to, epoch)) {
            return;
        }
        if let Some(end) = self.stored_end(process, epoch) {
            self.send_to(process, to, &Message::EpochEnd(end).encode());
        }
    }

    /// Asks a validator that is further how the epoch has ended here.
    pub(super) fn ask_end(&mut self, process: usize, to: ValidatorIndex) {
        let epoch = self.processes[process].committee.epoch();
        if self.may_tell(process, (to, epoch)) {
            let message = Message::Replay {
                epoch,
                after: Round::GENESIS,
            };
            self.send_to(process, to, &message.encode());
        }
    }

    fn may_tell(&mut self, process: usize, about: (ValidatorIndex, u64)) -> bool {
        let now = self.now;
        let told_at = &mut self.processes[process].told_at;
        let due = told_at
            .get(&about)
            .is_none_or(|at| at.plus_us(TELL_EVERY_US) <= now);
        if due {
            told_at.insert(about, now);
        }
        due
    }

    /// An end of an epoch arrived.
    pub(super) fn receive_end(&mut self, from: ValidatorIndex, to: usize, bytes: &Bytes) {
        let end = match EpochEnd::decode(bytes) {
            Ok(end) => Arc::new(end),
            Err(why) => return self.refused(from, to, &why.to_string()),
        };
        let committee = Arc::clone(&self.processes[to].committee);
        let found = end.record.epoch;
        if found > committee.epoch() {
            let now = self.now;
            let mut skipped = false;
            self.with(to, |replica| skipped = replica.handle_later_end(now, &end));
            if !skipped {
                self.ask_end(to, from);
            }
            return;
        }
        if found < committee.epoch() {
            return;
        }
        if !end.verify(&committee) {
            return self.refused(from, to, "an epoch's end that does not hold");
        }
        let now = self.now;
        if let Some(from) = self
            .member(to, from)
            .filter(|_| self.processes[to].me.is_some())
        {
            self.with(to, |replica| replica.handle_epoch_end(now, from, end));
        } else if self.processes[to].me.is_none() {
            self.follow(to, &end);
        }
    }

    /// Who is no member keeps track of epochs, to know when it is one.
    fn follow(&mut self, process: usize, end: &EpochEnd) {
        let host = &mut self.processes[process];
        let Ok(next) = end.next_committee(&host.committee) else {
            return;
        };
        self.epochs = self.epochs.max(next.epoch());
        host.me = next.index_of(&host.signer.public());
        host.committee = next;
        host.origin = end.origin();
        // The commits of these epochs never reach its application.
        host.application = None;
        host.followed.push(end.clone());
        if let Some(me) = self.processes[process].me {
            let config = self.replica_config(process, me);
            let now = self.now;
            let followed = std::mem::take(&mut self.processes[process].followed);
            let recovered = Recovered::join(&followed);
            self.processes[process].replica = Some(Replica::new(config, recovered, now));
            let last = end.origin().index;
            self.processes[process].last_commit = last;
            self.observe(process, &Observation::Started { last });
            self.drain(process);
            self.schedule(now, Event::Links);
        }
    }

    /// What an output addresses to a member goes to its validator.
    pub(super) fn address(&self, process: usize, member: ValidatorIndex) -> ValidatorIndex {
        self.seat(&self.processes[process].committee, member)
    }

    /// The epoch that a disk has come to; `false` when it cannot be read.
    pub(super) fn find_epoch(&mut self, process: usize) -> bool {
        let host = &mut self.processes[process];
        match Recovered::newest_committee(&host.disk, &self.committee) {
            Ok(committee) => {
                host.me = committee.index_of(&host.signer.public());
                host.committee = committee;
            }
            Err(why) => {
                let validator = Some(host.validator);
                let promise = "a disk that only crashed is readable";
                self.break_promise(promise, validator, format!("{why:?}"));
                return false;
            }
        }
        let before = self.processes[process].committee.epoch().checked_sub(1);
        let end = before.and_then(|epoch| self.stored_end(process, epoch));
        let end = end.and_then(|end| EpochEnd::decode(&end).ok());
        let host = &mut self.processes[process];
        host.origin = end.map(|end| end.origin()).unwrap_or_default();
        host.followed.clear();
        true
    }

    /// An operator asks for a change.
    pub(super) fn ask_change(&mut self, process: usize, at: usize) {
        let change = self.plan.epochs.changes[at].change().encode();
        let now = self.now;
        let host = &mut self.processes[process];
        host.changes.push(change);
        let pending = host.pending();
        self.with(process, |replica| replica.handle_pending(now, pending));
    }

    /// Who is no member asks everybody how epochs have ended.
    pub(super) fn ask_follow(&mut self, process: usize) {
        if self.processes[process].me.is_none() {
            for seat in (0..).map(ValidatorIndex).take(self.keys.len()) {
                if seat != self.processes[process].validator {
                    self.ask_end(process, seat);
                }
            }
        }
        self.schedule(self.now.plus_us(FOLLOW_EVERY_US), Event::Follow { process });
    }

    /// Says what became of a change.
    pub(super) fn note_change(&mut self, process: usize, output: &Output) {
        let Output::Change {
            change, outcome, ..
        } = output
        else {
            return;
        };
        let encoded = change.encode();
        let host = &mut self.processes[process];
        host.changes.retain(|asked| *asked != encoded);
        let now = self.now;
        self.trace
            .say(now, || format!("process {process}: {change:?} {outcome:?}"));
    }
}
