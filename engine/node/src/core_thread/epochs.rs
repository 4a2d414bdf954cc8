//! From one epoch to the next (R32).

use std::sync::Arc;
use std::time::{Duration, Instant};

use probity_core::record::Record;
use probity_core::{
    EpochEnd, Link, Message, PersistTicket, Recovered, Replica, ReplicaConfig, Round, Time,
    ValidatorIndex,
};
use probity_transport::Lane;

use crate::links::Epoch;
use crate::metrics::level;
use crate::peer::{Peer, Word};

use super::{Core, Habits};

/// Pause between two questions of who is no member, to everybody.
const FOLLOW_EVERY: Duration = Duration::from_millis(250);
/// A validator that others have overtaken by more than an epoch installs what it lacks as long as commits come (R35). After
/// a standstill of this length nobody has them any more, and it leaves its epoch without them.
const SKIP_AFTER: Duration = Duration::from_secs(5);
/// The same once an epoch was left in this way and no commit has come since: the next ones are likely to be gone, too.
const SKIP_AGAIN_AFTER: Duration = Duration::from_millis(250);

impl Habits {
    /// What a replica of this epoch is told.
    pub(crate) fn config(&self, epoch: &Epoch, me: ValidatorIndex) -> ReplicaConfig {
        ReplicaConfig {
            committee: Arc::clone(epoch.committee()),
            me,
            min_round_delay_us: self.min_round_delay_us,
            idle_round_delay_us: self.idle_round_delay_us,
            rule: Arc::clone(&self.rule),
        }
    }
}

impl Core {
    /// Who is no member writes down which network its store belongs to; a replica does it by itself.
    pub(super) fn bind_store(&mut self) {
        if self.replica.is_none() {
            let record = Record::epoch(self.epoch.committee());
            self.persist_next(vec![record]);
        }
        self.hands.metrics.epoch.set(level_of(self.epoch.number()));
    }

    fn persist_next(&mut self, records: Vec<Record>) {
        let ticket = PersistTicket(self.last_ticket.0 + 1);
        self.persist(ticket, records);
    }

    /// The epoch is over, durably: its replica is replaced when all that it asked for is done.
    pub(super) fn note_ended(&mut self, end: Arc<EpochEnd>) {
        let last = end.record.index;
        if self.hands.log.last() < last {
            tracing::warn!(epoch = end.record.epoch, %last,
                "an epoch is left without all of its commits; the application needs a copy of another one's state");
        }
        self.ended = Some(end);
    }

    /// Takes the place in the next epoch that its committee gives.
    pub(super) fn enter(&mut self, end: &EpochEnd) {
        let next = end.next_committee(self.epoch.committee());
        let next = next.expect("an end that verifies makes a committee");
        let old = self.replica.take();
        self.epoch = self.hands.links.enter(&next);
        self.hands.chronicle.enter(end, &next);
        self.hands.log.enter_epoch(end.origin().index);
        (self.progressed_at, self.is_overtaken) = (Instant::now(), false);
        // Whoever skips an epoch knows already how the one after it has ended.
        self.behind_since = self.has_skipped.then(Instant::now);
        let number = next.epoch();
        self.hands.metrics.epoch.set(level_of(number));
        let now = self.clock.now();
        let Some(me) = self.epoch.me() else {
            self.leave(old.is_some());
            return;
        };
        tracing::info!(epoch = number, validator = %me, validators = next.size(), "an epoch begins");
        let config = self.habits.config(&self.epoch, me);
        let replica = match old {
            Some(old) => old.next_epoch(config, end, now),
            None => {
                self.ticket_base = self.last_ticket.0;
                Replica::new(config, Recovered::next_epoch(end), now)
            }
        };
        self.replica = Some(replica);
        self.hands.intake.open();
        self.drop_unfit_changes();
        self.look_at_pending(now);
        self.tell_lag(now);
        self.greet(now);
    }

    /// The links outlast the epoch; the new replica has not heard of them.
    fn greet(&mut self, now: Time) {
        let Some(replica) = &mut self.replica else {
            return;
        };
        replica.handle_pending(now, self.pending);
        // A link that comes up meanwhile is reported as well; twice does no harm.
        for (index, _) in self.epoch.peers().filter(|(_, peer)| peer.is_up()) {
            replica.handle_link(now, index, Link::Up);
        }
    }

    /// No member of the epoch that begins: what it serves it goes on serving, and it follows.
    fn leave(&mut self, was_member: bool) {
        if was_member {
            tracing::warn!(
                epoch = self.epoch.number(),
                "this validator is no member of the committee any more; its node follows the epochs from outside"
            );
        }
        self.hands.intake.close();
        self.changes.clear();
        self.proposed_changes.clear();
        self.ask_all();
    }

    /// How the running epoch ended, from a peer and verified.
    pub(super) fn take_end(&mut self, now: Time, from: &Peer, end: Arc<EpochEnd>) {
        if end.record.epoch != self.epoch.number() {
            return;
        }
        match (&mut self.replica, self.epoch.me()) {
            (Some(replica), Some(me)) => {
                // An end needs no trust in who sends it; a member can be asked for more.
                let member = self.epoch.index(from);
                replica.handle_epoch_end(now, member.unwrap_or(me), end);
                if replica.is_over() {
                    return;
                }
                self.behind_since.get_or_insert_with(Instant::now);
                if member.is_none() {
                    // A replica asks members alone whether the next epoch has ended, too; they may all be gone.
                    self.ask_later_end(from);
                }
            }
            (None, _) | (_, None) => self.follow(&end),
        }
    }

    /// How the epoch after the running one ended, from a peer; the replica verifies it.
    pub(super) fn take_later_end(&mut self, now: Time, from: &Peer, end: &Arc<EpochEnd>) {
        if !self.may_skip() {
            self.is_overtaken = true;
            return self.ask_end(from);
        }
        let replica = self.replica.as_mut();
        let skipped = replica.is_some_and(|replica| replica.handle_later_end(now, end));
        if skipped {
            self.has_skipped = true;
        } else {
            self.ask_end(from);
        }
    }

    /// Whether nobody seems to have this epoch's commits any more. A standstill says nothing about that while it is not
    /// known what to ask for, nor while the application lags and nothing is asked for (R35).
    fn may_skip(&self) -> bool {
        let after = if self.has_skipped {
            SKIP_AGAIN_AFTER
        } else {
            SKIP_AFTER
        };
        let since = self.behind_since.map(|since| since.max(self.progressed_at));
        !self.lagged && since.is_some_and(|since| since.elapsed() >= after)
    }

    /// Who is no member keeps track of epochs, to know when it is one.
    fn follow(&mut self, end: &EpochEnd) {
        let next = end.next_committee(self.epoch.committee());
        let next = next.expect("an end that verifies makes a committee");
        self.persist_next(end.records(&next).into());
        self.enter(end);
        self.carry_out();
    }

    /// Asks everybody how the epoch has ended, if it is time; or the one after it, to skip this one.
    pub(super) fn follow_on(&mut self) {
        if self.replica.is_none() && self.asked_at.elapsed() >= FOLLOW_EVERY {
            self.ask_all();
        }
        if self.is_overtaken && self.may_skip() {
            self.is_overtaken = false;
            let up = self.epoch.listed().filter(|peer| peer.is_up());
            up.for_each(|peer| self.ask_later_end(peer));
        }
    }

    /// Asks a peer how the epoch after the running one has ended.
    fn ask_later_end(&self, peer: &Peer) {
        let question = Message::Replay {
            epoch: self.epoch.number() + 1,
            after: Round::GENESIS,
        };
        let links = &self.hands.links;
        links.send(peer, Lane::Control, question.encode());
    }

    fn ask_all(&mut self) {
        self.asked_at = Instant::now();
        let up = self.epoch.listed().filter(|peer| peer.is_up());
        up.for_each(|peer| self.ask_end(peer));
    }

    /// Asks a peer how the running epoch has ended.
    pub(super) fn ask_end(&self, peer: &Peer) {
        let epoch = self.epoch.number();
        if !peer.may_tell(Word::Question, epoch, Instant::now()) {
            return;
        }
        let question = Message::Replay {
            epoch,
            after: Round::GENESIS,
        };
        let links = &self.hands.links;
        links.send(peer, Lane::Control, question.encode());
    }
}

fn level_of(epoch: u64) -> i64 {
    level(usize::try_from(epoch).unwrap_or(usize::MAX))
}
