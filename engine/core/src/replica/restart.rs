//! The first state of a replica: empty, or what the store says (R36).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::block::Proposal;
use crate::committee::AuthorSet;
use crate::dag::Dag;
use crate::evidence::Evidence;
use crate::extra::Extra;
use crate::fetch::Fetch;
use crate::finality::Finality;
use crate::grounding::Grounding;
use crate::id::{Round, Time};
use crate::input::Pending;
use crate::order::Order;
use crate::output::{Output, PersistTicket};
use crate::record::Record;
use crate::recover::Recovered;
use crate::reputation::Reputation;
use crate::round_clock::RoundClock;
use crate::suspended::Suspended;
use crate::verify::SignedVotes;

use super::{CatchingUp, Replay, Replica, ReplicaConfig};

pub(super) fn start(config: ReplicaConfig, recovered: Recovered, now: Time) -> Replica {
    let mut replica = empty(config, &recovered, now);
    if recovered.is_fresh {
        sometimes!(RestartFresh);
        replica.records.extend(recovered.ends.iter().cloned());
        replica.records.push(Record::epoch(&replica.committee));
        replica.persist();
    }
    replica.load(now, recovered);
    replica.settle(now);
    replica.step(now);
    replica
}

pub(super) fn empty(config: ReplicaConfig, recovered: &Recovered, now: Time) -> Replica {
    let committee = Arc::clone(&config.committee);
    let leader = recovered.last.as_ref().map(|(last, _)| last.leader);
    let gc_round = leader.map_or(Round::GENESIS, |leader| committee.gc_round(leader.round));
    let validators = committee.size();
    let reputation = match &recovered.reputation {
        Some(reputation) => reputation.as_ref().clone(),
        None => Reputation::new(Arc::clone(&committee)),
    };
    let last_slot = leader.map(|leader| leader.slot());
    Replica {
        dag: Dag::new(Arc::clone(&committee), gc_round),
        order: Order::new(reputation.schedules(), gc_round, last_slot),
        reputation,
        grounding: Grounding::new(Arc::clone(&committee), gc_round),
        suspended: Suspended::new(validators),
        fetch: Fetch::new(config.me, validators),
        finality: Finality::new(Arc::clone(&committee)),
        clock: RoundClock::new(validators, now),
        ready: VecDeque::new(),
        evidence: Evidence::new(validators),
        extra: Extra::new(validators, committee.gc_depth()),
        connected: AuthorSet::default(),
        replays: vec![Replay::default(); validators],
        stall_asked_at: now,
        own_round: Round::GENESIS,
        in_flight: None,
        wanted: None,
        own_refs: VecDeque::new(),
        own_open: BTreeMap::new(),
        own_payload_bytes: 0,
        pending: Pending::None,
        payload_blocks: 0,
        catching_up: CatchingUp::new(validators, now),
        halted: None,
        amnesia: false,
        wake_at: None,
        origin: recovered.origin,
        last: recovered.last.clone(),
        agenda: recovered.agenda(&committee),
        change_outcomes: Vec::new(),
        ending: None,
        known_end: None,
        skipped: Vec::new(),
        regrounded: Round::GENESIS,
        records: Vec::new(),
        records_wanted: false,
        last_ticket: PersistTicket(0),
        durable: PersistTicket(0),
        held: VecDeque::new(),
        outputs: VecDeque::new(),
        accepted_blocks: 0,
        #[cfg(any(test, feature = "testing"))]
        lawless: false,
        committee,
        config,
    }
}

impl Replica {
    /// R36: puts the stored blocks back, with their marks, and has the last own header signed again.
    fn load(&mut self, now: Time, recovered: Recovered) {
        let Recovered {
            collected,
            live,
            committed,
            own,
            evidence,
            ending,
            ..
        } = recovered;
        self.load_evidence(evidence);
        // R8: older own blocks are no parents any more.
        let oldest = self.dag.gc_round().minus(self.committee.gc_depth());
        for (reference, parents) in collected {
            sometimes!(RestartCollected);
            let stored = (reference, committed.contains_key(&reference));
            let news = self
                .grounding
                .handle_stored(&mut self.dag, stored, &parents);
            self.handle_grounded(now, reference.author, news);
            if reference.author == self.config.me {
                if reference.round > oldest {
                    self.own_refs.push_back(reference);
                }
                self.own_round = self.own_round.max(reference.round);
            }
        }
        for block in live {
            // The store may end with blocks whose parents were not written; they are fetched again.
            let block = block.block();
            if !self.dag.missing_parents(block).is_empty() {
                sometimes!(RestartPartial);
                continue;
            }
            let id = self.insert_accepted(now, block);
            if committed.contains_key(&block.reference()) && !planted!(RestartForgetsCommitted) {
                sometimes!(RestartCommitted);
                self.dag.set_committed(id);
                if !block.payload().is_empty() {
                    self.payload_blocks -= 1;
                }
                let ours = block.author() == self.config.me;
                if let Some(own) = ours.then(|| self.own_open.remove(&block.round())).flatten() {
                    self.own_payload_bytes -= own.payload_bytes;
                }
                self.grounding
                    .handle_committed(&mut self.dag, block.reference());
            }
            if block.author() == self.config.me {
                self.own_round = self.own_round.max(block.round());
                self.note_own_evidence(block.header());
                if !planted!(RestartRoundLow) {
                    self.mark_linked(block.parents());
                }
            }
            self.order.handle_accepted(&self.dag, id);
            // Votes that were counted before; a certificate made of them has been told before, too.
            let _: Option<_> = self.finality.handle_votes(&SignedVotes::of(block));
        }
        for round in (self.dag.gc_round().0 + 1..=self.dag.highest_round().0).map(Round) {
            self.raise_frontier(now, round);
        }
        if let Some(next) = ending {
            self.resume_ending(next);
        }
        if let Some(own) = own.filter(|_| !planted!(RestartForgetsOwn)) {
            self.load_own(own);
        }
    }

    /// R36: the last own block is sent again, or its header signed again: the same digest, so the same signature.
    fn load_own(&mut self, own: Proposal) {
        self.own_round = self.own_round.max(own.header().round);
        let held = self
            .own_refs
            .iter()
            .rev()
            .find(|held| held.round == own.header().round);
        match held.and_then(|held| self.dag.block(held)) {
            Some(block) => {
                sometimes!(RestartSentAgain);
                self.outputs.push_back(Output::Broadcast(Arc::clone(block)));
                if planted!(RestartRoundLow) {
                    self.own_round = self.own_round.minus(1);
                }
            }
            None if own.header().round > self.dag.gc_round() => {
                sometimes!(RestartSignedAgain);
                self.note_own_evidence(own.header());
                self.mark_linked(&own.header().parents);
                self.ask_signer(own);
            }
            None => sometimes!(RestartOwnCollected),
        }
    }

    fn mark_linked(&mut self, parents: &[crate::block::BlockRef]) {
        for parent in parents {
            self.note_linked_evidence(parent);
            if let Some(id) = self.dag.id_of(parent) {
                self.dag.entry_mut(id).linked = true;
            }
        }
    }
}
