//! Votes, blames and certificates, counted once, when their block is accepted (R14, R15).
//!
//! Idea: a slot is decided by counting later blocks. The obvious version walks those blocks for every question. Two
//! facts make counting cheap: a block never changes, so what it says about a slot is known when it arrives; and an
//! author's first block stands for it in all but equivocating rounds, so the votes inside one block's parents are
//! the intersection of two bit sets. The reference committer in `testing` asks the obvious way and must agree.

use std::collections::VecDeque;

use crate::block::Slot;
use crate::committee::{AuthorSet, Committee, Tally};
use crate::crypto::Digest;
use crate::dag::{BlockId, Dag};
use crate::id::{Round, ValidatorIndex};
use crate::thresholds::Rule;

/// What has been decided about a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Decision {
    /// This block of the slot is a leader block of the sequence.
    Commit(BlockId),
    /// No block of the slot is.
    Skip,
}

/// By which rule a slot was decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Path {
    /// By round r+1 alone (R16).
    Fast,
    /// By (skip) certificates of round r+2 (R16).
    Slow,
    /// Through an anchor (R17).
    Indirect,
}

/// A decision with the rule that made it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Decided {
    pub(crate) decision: Decision,
    pub(crate) path: Path,
}

/// One accepted block of a slot, and what later blocks say about it.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) id: BlockId,
    pub(crate) digest: Digest,
    pub(crate) votes: Tally,
    pub(crate) blames: Tally,
    pub(crate) certificates: Tally,
    /// Authors whose first block of round r+1 votes for this block.
    first_votes: AuthorSet,
}

/// What is known about one slot.
#[derive(Clone, Debug, Default)]
pub(crate) struct SlotVotes {
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) skip_certificates: Tally,
    pub(crate) decided: Option<Decided>,
}

/// The votes of every slot above the gc round.
#[derive(Clone, Debug)]
pub(crate) struct Votes {
    gc_round: Round,
    rows: VecDeque<Vec<SlotVotes>>,
}

/// The parents of one block in the round right below it.
struct ParentsBelow {
    weight: u64,
    /// Authors whose linked block is the first of its slot.
    first: AuthorSet,
    /// Linked blocks that are not the first of their slot.
    extra: Vec<BlockId>,
    /// By author, the position linked.
    linked: Vec<Option<u16>>,
}

impl Votes {
    pub(crate) fn new(gc_round: Round) -> Self {
        Self {
            gc_round,
            rows: VecDeque::new(),
        }
    }

    fn row_position(&self, round: Round) -> Option<usize> {
        Some(round.0.checked_sub(self.gc_round.0)?.checked_sub(1)? as usize)
    }

    /// The slots of a round, by author; empty while nothing of the round is known.
    pub(crate) fn row(&self, round: Round) -> &[SlotVotes] {
        let row = self.row_position(round).and_then(|at| self.rows.get(at));
        row.map_or(&[], Vec::as_slice)
    }

    pub(crate) fn slot(&self, slot: Slot) -> Option<&SlotVotes> {
        self.row(slot.round).get(slot.author.position())
    }

    /// Notes what was decided about a slot; whether anything is known about it.
    ///
    /// # Panics
    /// When it was decided before: between two drops a decision never changes (R18).
    pub(crate) fn decide(&mut self, slot: Slot, decided: Decided) -> bool {
        let row = self.row_position(slot.round);
        let row = row.and_then(|at| self.rows.get_mut(at));
        let Some(known) = row.and_then(|row| row.get_mut(slot.author.position())) else {
            return false;
        };
        let before = known.decided.replace(decided);
        assert!(
            before.is_none(),
            "R18: a slot is decided once between drops"
        );
        true
    }

    /// R18: forgets every decision from `first` on, but for the slots of `output` in that round.
    pub(crate) fn drop_decisions(&mut self, first: Round, output: &[ValidatorIndex]) {
        let at = self.row_position(first).unwrap_or(0);
        for (above, row) in self.rows.iter_mut().skip(at).enumerate() {
            for (author, slot) in (0..).map(ValidatorIndex).zip(row) {
                if above > 0 || !output.contains(&author) {
                    slot.decided = None;
                }
            }
        }
    }

    fn row_mut(&mut self, round: Round, validators: usize) -> Option<&mut Vec<SlotVotes>> {
        let at = self.row_position(round)?;
        while self.rows.len() <= at {
            self.rows.push_back(vec![SlotVotes::default(); validators]);
        }
        self.rows.get_mut(at)
    }

    /// Counts what the newly accepted block `id` says about the two rounds below, and makes it a candidate.
    pub(crate) fn observe(&mut self, dag: &Dag, id: BlockId) {
        let committee = dag.committee();
        let block = &dag.entry(id).block;
        let author = block.author();
        let validators = committee.size();
        // A candidate that arrives late is blamed by every author of the next round that is already here.
        let mut blames = dag.authors(id.round.next());
        sometimes!(CandidateAfterVoters if blames.weight() > 0);
        if planted!(LateCandidateUnblamed) {
            blames = Tally::default();
        }
        let candidate = Candidate {
            id,
            digest: block.reference().digest,
            votes: Tally::default(),
            blames,
            certificates: Tally::default(),
            first_votes: AuthorSet::default(),
        };
        if let Some(row) = self.row_mut(id.round, validators) {
            let slot = &mut row[author.position()];
            slot.candidates.push(candidate);
            sometimes!(SecondCandidate if slot.candidates.len() == 2);
        }
        if planted!(SecondVoteIgnored) && dag.first_of(id.round, author) != Some(id) {
            return;
        }
        let below = parents_below(dag, id);
        self.count_votes(dag, id, &below);
        if committee.thresholds().rule != Rule::Fast {
            self.count_certificates(dag, id, &below);
        }
    }

    /// R14: a vote for the linked block of each slot of the round below, a blame for every other one.
    fn count_votes(&mut self, dag: &Dag, id: BlockId, below: &ParentsBelow) {
        let committee = dag.committee();
        let voter = dag.entry(id).block.author();
        let is_first = dag.first_of(id.round, voter) == Some(id);
        sometimes!(SecondVoter if !is_first);
        let Some(row) = self.row_mut(id.round.minus(1), committee.size()) else {
            return;
        };
        for (slot, linked) in row.iter_mut().zip(&below.linked) {
            for candidate in &mut slot.candidates {
                if *linked != Some(candidate.id.position) {
                    candidate.blames.add(voter, committee);
                    sometimes!(VoterOnBothSides if candidate.votes.authors().contains(voter));
                    continue;
                }
                candidate.votes.add(voter, committee);
                sometimes!(VoterOnBothSides if candidate.blames.authors().contains(voter));
                if is_first {
                    candidate.first_votes.insert(voter);
                }
            }
        }
    }

    /// R15: whether `id` is a certificate or a skip certificate for the slots two rounds below.
    fn count_certificates(&mut self, dag: &Dag, id: BlockId, below: &ParentsBelow) {
        let committee = dag.committee();
        let thresholds = committee.thresholds();
        let author = dag.entry(id).block.author();
        let Some(row) = self.row_mut(id.round.minus(2), committee.size()) else {
            return;
        };
        for slot in row {
            // Candidates outside the block's history have no vote among its parents.
            let mut most_votes = 0;
            for candidate in &mut slot.candidates {
                let votes = below.votes_for(candidate, dag, committee);
                most_votes = most_votes.max(votes);
                if votes >= thresholds.certificate {
                    candidate.certificates.add(author, committee);
                    sometimes!(CertificateByExtra if below.needs_extra(candidate, committee));
                }
            }
            if below.weight - most_votes >= thresholds.skip_certificate {
                slot.skip_certificates.add(author, committee);
                sometimes!(SkipCertificateCounted);
            }
        }
    }

    pub(crate) fn collect(&mut self, gc_round: Round) {
        while self.gc_round < gc_round {
            self.gc_round = self.gc_round.next();
            self.rows.pop_front();
        }
    }
}

impl ParentsBelow {
    /// The weight of the parents that vote for `candidate`.
    fn votes_for(&self, candidate: &Candidate, dag: &Dag, committee: &Committee) -> u64 {
        let first = committee.weight_of(&candidate.first_votes.intersection(&self.first));
        let votes = |extra: &&BlockId| dag.links(**extra, candidate.id);
        let weight = |extra: &BlockId| committee.weight(dag.entry(*extra).block.author());
        first + self.extra.iter().filter(votes).map(weight).sum::<u64>()
    }
}

#[cfg(any(test, feature = "testing"))]
impl ParentsBelow {
    /// Whether the first blocks of their slots alone would not certify `candidate`.
    fn needs_extra(&self, candidate: &Candidate, committee: &Committee) -> bool {
        let first = committee.weight_of(&candidate.first_votes.intersection(&self.first));
        first < committee.thresholds().certificate
    }
}

fn parents_below(dag: &Dag, id: BlockId) -> ParentsBelow {
    let committee = dag.committee();
    let mut below = ParentsBelow {
        weight: 0,
        first: AuthorSet::default(),
        extra: Vec::new(),
        linked: vec![None; committee.size()],
    };
    for parent in dag
        .live_parents(id)
        .filter(|parent| parent.round.next() == id.round || planted!(ParentsOfAnyRound))
    {
        let author = dag.entry(parent).block.author();
        below.weight += committee.weight(author);
        below.linked[author.position()] = Some(parent.position);
        if dag.first_of(parent.round, author) == Some(parent) {
            below.first.insert(author);
        } else {
            below.extra.push(parent);
        }
    }
    below
}

/// R16: what the counts alone say about a slot.
pub(crate) fn decide_directly(votes: &Votes, dag: &Dag, slot: Slot) -> Option<Decided> {
    let thresholds = dag.committee().thresholds();
    let commit = |candidate: &Candidate, path| {
        Some(Decided {
            decision: Decision::Commit(candidate.id),
            path,
        })
    };
    let skip = |path| {
        Some(Decided {
            decision: Decision::Skip,
            path,
        })
    };
    let known = votes.slot(slot);
    let candidates = known.map_or(&[][..], |known| &known.candidates);
    for candidate in candidates {
        let fast = thresholds.rule != Rule::Classic && !planted!(FastCommitDropped);
        if fast && candidate.votes.weight() >= thresholds.fast_commit {
            sometimes!(in thresholds.rule, Dual => CommitFastDual, Fast => CommitFastFast);
            return commit(candidate, Path::Fast);
        }
        if thresholds.rule != Rule::Fast && candidate.certificates.weight() >= thresholds.slow {
            sometimes!(in thresholds.rule, Classic => CommitSlowClassic, Dual => CommitSlowDual);
            return commit(candidate, Path::Slow);
        }
    }
    let blamed = |candidate: &Candidate| candidate.blames.weight() >= thresholds.fast_skip;
    let next_round = dag.authors(slot.round.next());
    let all_blamed = candidates.iter().all(blamed)
        || (planted!(SkipOnOneBlamed) && candidates.iter().any(blamed));
    if next_round.weight() >= thresholds.fast_skip && all_blamed {
        sometimes!(SkipFastSilent if candidates.is_empty());
        sometimes!(SkipFastBlamed if !candidates.is_empty());
        sometimes!(in thresholds.rule, Classic => SkipFastClassic, Dual => SkipFastDual, Fast => SkipFastFast);
        return skip(Path::Fast);
    }
    let skip_certificates = known.map_or(0, |known| known.skip_certificates.weight());
    if thresholds.rule == Rule::Dual && skip_certificates >= thresholds.slow {
        sometimes!(SkipSlow);
        return skip(Path::Slow);
    }
    None
}

/// R15 for one block of round r+2: what it certifies about `slot`.
pub(crate) fn certifies(dag: &Dag, votes: &Votes, id: BlockId, slot: Slot) -> Certifies {
    let committee = dag.committee();
    let thresholds = committee.thresholds();
    let below = parents_below(dag, id);
    let mut most_votes = 0;
    for candidate in votes.slot(slot).map_or(&[][..], |known| &known.candidates) {
        let weight = below.votes_for(candidate, dag, committee);
        if weight >= thresholds.certificate {
            return Certifies::Commit(candidate.id);
        }
        most_votes = most_votes.max(weight);
    }
    if below.weight - most_votes >= thresholds.skip_certificate {
        return Certifies::Skip;
    }
    Certifies::Nothing
}

/// What one round r+2 block certifies about a slot of round r.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Certifies {
    Commit(BlockId),
    Skip,
    Nothing,
}

/// The weight of the authors in `voters`, blocks of round r+1, that vote for `candidate`; each author once.
pub(crate) fn votes_among(dag: &Dag, voters: &[BlockId], candidate: BlockId) -> u64 {
    if planted!(WeakVotesPerBlock) {
        let weight = |voter: &BlockId| dag.committee().weight(author_of(dag, *voter));
        let linking = voters.iter().filter(|voter| dag.links(**voter, candidate));
        return linking.map(weight).sum();
    }
    let mut tally = Tally::default();
    for voter in voters.iter().filter(|voter| dag.links(**voter, candidate)) {
        tally.add(author_of(dag, *voter), dag.committee());
    }
    tally.weight()
}

fn author_of(dag: &Dag, id: BlockId) -> ValidatorIndex {
    dag.entry(id).block.author()
}
