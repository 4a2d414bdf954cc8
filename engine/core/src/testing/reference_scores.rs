//! R26 to R29 word by word: every round scored from all blocks committed by then, every sum added up anew.
//!
//! It takes the commits of an epoch and answers with the digest of the table after each, and with the schedules they
//! make. With the real rule it shares plain data, the draw (R29) and nothing else.

use std::collections::BTreeSet;

use crate::block::{BlockRef, Slot};
use crate::committee::Committee;
use crate::crypto::{Context, Digest, hash};
use crate::id::{Round, ValidatorIndex};
use crate::order::schedule::{Schedule, epoch_seed};

/// One commit with what its headers say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlainCommit {
    /// The leader.
    pub leader: BlockRef,
    /// Slots skipped since the commit before.
    pub skipped: Vec<Slot>,
    /// The blocks.
    pub blocks: Vec<PlainBlock>,
}

/// One committed block with what its header says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlainBlock {
    /// Its reference.
    pub reference: BlockRef,
    /// Its parents.
    pub parents: Vec<BlockRef>,
    /// Whom its proofs accuse.
    pub accused: Vec<ValidatorIndex>,
}

/// What the reference says about a sequence of commits.
#[derive(Clone, Debug)]
pub struct ReferenceScores {
    /// The digest of the table after each commit.
    pub digests: Vec<Digest>,
    /// Every validator's score after the last commit (R27).
    pub scores: Vec<u64>,
    /// Every validator's sums after the last commit.
    pub sums: Vec<ReferenceSums>,
    /// The median of the scores (R28).
    pub median: u64,
    /// How many rounds are scored.
    pub scored_rounds: u32,
    /// The schedules made, by ascending start, the initial one first.
    pub schedules: Vec<ReferenceSchedule>,
    /// The leader round from which on a commit makes the next schedule.
    pub next_schedule: Round,
    /// Whom the last commit left slashed.
    pub slashed: BTreeSet<ValidatorIndex>,
}

/// What a validator's score and merit are made from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReferenceSums {
    /// Points of the last rounds (R27).
    pub points: u128,
    /// Slots led in the last rounds.
    pub slots: u128,
    /// Slots of them that were skipped.
    pub skipped: u128,
    /// Sum of `prop + vote` over the epoch's scored rounds (R30).
    pub merit: u128,
}

/// A schedule, as the reference makes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReferenceSchedule {
    /// The first round it is in force for.
    pub start: Round,
    /// Eligible validators with their keys.
    pub pool: Vec<(ValidatorIndex, u128)>,
}

impl ReferenceSchedule {
    /// The leaders of a round in slot order.
    #[must_use]
    pub fn slots(&self, committee: &Committee, round: Round) -> Vec<ValidatorIndex> {
        Schedule::new(0, self.start, committee, self.pool.clone()).slots(round)
    }
}

/// R29: the place of the schedule with the greatest start at or below a round.
#[must_use]
pub fn schedule_of(schedules: &[ReferenceSchedule], round: Round) -> usize {
    let place = schedules.iter().rposition(|s| s.start <= round);
    place.expect("the initial schedule starts at round 0")
}

/// The schedule of an epoch's start.
#[must_use]
pub fn initial_schedule(committee: &Committee) -> ReferenceSchedule {
    ReferenceSchedule {
        start: Round(0),
        pool: committee
            .indices()
            .filter(|a| committee.fixed_leaders().is_none_or(|l| l.contains(*a)))
            .map(|a| (a, 16 * u128::from(committee.weight(a))))
            .collect(),
    }
}

const ONE: u128 = 1 << 20;

/// One validator in one round.
#[derive(Clone, Copy, Default, Debug)]
struct Shares {
    vote: u128,
    prop: u128,
    fast: u128,
}

/// The rules R26 to R29 fed commit by commit; everything but the shares of scored rounds and who is slashed is added up
/// anew when it is asked for.
#[derive(Clone, Debug)]
pub struct ReferenceReputation {
    committee: Committee,
    prefix: Vec<PlainCommit>,
    /// Slots of which a block was committed.
    filled: BTreeSet<Slot>,
    slashed: BTreeSet<ValidatorIndex>,
    /// By scored round, from round 1 on.
    scored: Vec<Vec<Shares>>,
    schedules: Vec<ReferenceSchedule>,
    next_schedule: Round,
}

/// Answers for the commits of an epoch, from its first one on.
#[must_use]
pub fn reference_scores(committee: &Committee, commits: &[PlainCommit]) -> ReferenceScores {
    let mut reputation = ReferenceReputation::new(committee);
    let mut digests = Vec::new();
    for commit in commits {
        reputation.push(commit.clone());
        digests.push(reputation.digest());
    }
    ReferenceScores {
        digests,
        scores: committee.indices().map(|a| reputation.score(a)).collect(),
        sums: committee
            .indices()
            .map(|a| reputation.all_sums(a))
            .collect(),
        median: reputation.median(),
        scored_rounds: reputation.scored_rounds(),
        slashed: reputation.slashed(),
        next_schedule: reputation.next_schedule,
        schedules: reputation.schedules,
    }
}

/// R26 for one round, using exactly the blocks of the prefix.
fn shares(committee: &Committee, prefix: &[PlainCommit], round: Round) -> Vec<Shares> {
    let t = committee.thresholds();
    let blocks = || prefix.iter().flat_map(|commit| &commit.blocks);
    let in_round: Vec<&PlainBlock> = blocks().filter(|b| b.reference.round == round).collect();
    let above = Round(round.0 + 1);
    let next: Vec<&PlainBlock> = blocks().filter(|b| b.reference.round == above).collect();
    let leaders: Vec<BlockRef> = prefix
        .iter()
        .map(|commit| commit.leader)
        .filter(|leader| leader.round.0 + 1 == round.0)
        .collect();
    let one = |a: ValidatorIndex| {
        let mine: Vec<_> = in_round
            .iter()
            .filter(|b| b.reference.author == a)
            .collect();
        let [mine] = mine[..] else {
            return Shares::default();
        };
        let linking: BTreeSet<ValidatorIndex> = next
            .iter()
            .filter(|b| b.parents.contains(&mine.reference))
            .map(|b| b.reference.author)
            .collect();
        let seen: u128 = linking.iter().map(|b| weight(committee, *b)).sum();
        let others = linking.iter().filter(|b| **b != a);
        let seen_by_others: u128 = others.map(|b| weight(committee, *b)).sum();
        let linked = leaders.iter().filter(|l| mine.parents.contains(l));
        let linked: u128 = linked.map(|l| weight(committee, l.author)).sum();
        let all: u128 = leaders.iter().map(|l| weight(committee, l.author)).sum();
        let cap = u128::from(t.quorum) - u128::from(t.byzantine);
        let fast = u128::from(t.fast_commit);
        Shares {
            vote: (linked * ONE).checked_div(all).unwrap_or(ONE),
            prop: cap.min(seen) * ONE / cap,
            fast: if fast <= weight(committee, a) {
                ONE
            } else {
                let others = fast - weight(committee, a);
                others.min(seen_by_others) * ONE / others
            },
        }
    };
    committee.indices().map(one).collect()
}

fn weight(committee: &Committee, author: ValidatorIndex) -> u128 {
    u128::from(committee.weight(author))
}

impl ReferenceReputation {
    /// Before an epoch's first commit.
    #[must_use]
    pub fn new(committee: &Committee) -> Self {
        Self {
            committee: committee.clone(),
            prefix: Vec::new(),
            filled: BTreeSet::new(),
            slashed: BTreeSet::new(),
            scored: Vec::new(),
            schedules: vec![initial_schedule(committee)],
            next_schedule: Round(committee.reputation().schedule_rounds),
        }
    }

    /// Takes the next commit: scores what it settles, then makes a schedule if it is time (R26, R29).
    pub fn push(&mut self, commit: PlainCommit) {
        let leader = commit.leader.round.0;
        for block in &commit.blocks {
            let slot = block.reference.slot();
            if !self.filled.insert(slot) {
                self.slashed.insert(slot.author);
            }
            self.slashed.extend(&block.accused);
        }
        self.prefix.push(commit);
        while self.scored_rounds() + 1 + 3 <= leader {
            let round = Round(self.scored_rounds() + 1);
            self.scored
                .push(shares(&self.committee, &self.prefix, round));
        }
        if leader >= self.next_schedule.0 {
            let params = *self.committee.reputation();
            self.schedules.push(ReferenceSchedule {
                start: Round(leader + params.schedule_lead_rounds),
                pool: self.pool(),
            });
            let mut multiples = (1..).map(|k| k * params.schedule_rounds);
            let next = multiples.find(|multiple| *multiple > leader);
            self.next_schedule = Round(next.expect("some multiple is greater"));
        }
    }

    pub(super) fn scored_rounds(&self) -> u32 {
        u32::try_from(self.scored.len()).expect("few rounds")
    }

    /// The commits so far.
    #[must_use]
    pub fn commits(&self) -> &[PlainCommit] {
        &self.prefix
    }

    /// The schedules made, by ascending start, the initial one first.
    #[must_use]
    pub fn schedules(&self) -> &[ReferenceSchedule] {
        &self.schedules
    }

    /// Whom the commits show to have equivocated.
    #[must_use]
    pub fn slashed(&self) -> BTreeSet<ValidatorIndex> {
        self.slashed.clone()
    }

    /// R27: points of the last rounds; slots led and skipped in the last rounds.
    fn sums(&self, a: ValidatorIndex) -> (u128, u128, u128) {
        let params = self.committee.reputation();
        let rounds = self.scored.len();
        let points = self
            .scored
            .iter()
            .skip(rounds.saturating_sub(params.score_rounds as usize))
            .map(|round| round[a.position()])
            .map(|s| s.fast * (ONE + s.vote) / (2 * ONE))
            .sum();
        let within = |slot: &Slot| {
            let round = slot.round.0 as usize;
            slot.author == a && round <= rounds && round + params.slot_rounds as usize > rounds
        };
        let committed = self.prefix.iter().map(|commit| commit.leader.slot());
        let committed = committed.filter(within).count() as u128;
        let skipped = self.prefix.iter().flat_map(|commit| &commit.skipped);
        let skipped = skipped.filter(|slot| within(slot)).count() as u128;
        (points, committed + skipped, skipped)
    }

    /// R30: rounds in which members of six tenths of the weight were seen in time.
    pub(super) fn healthy_rounds(&self) -> u32 {
        let total = u128::from(self.committee.thresholds().total);
        let seen = |round: &Vec<Shares>| -> u128 {
            let weighed = self.committee.indices().zip(round);
            weighed
                .map(|(a, s)| weight(&self.committee, a) * s.prop)
                .sum()
        };
        let healthy = |round: &&Vec<Shares>| 10 * seen(round) >= 6 * total * ONE;
        let healthy = self.scored.iter().filter(healthy).count();
        u32::try_from(healthy).expect("few rounds")
    }

    /// R30: the sum of `prop + vote` over the scored rounds.
    pub(super) fn merit(&self, a: ValidatorIndex) -> u128 {
        let of = |round: &Vec<Shares>| round[a.position()].prop + round[a.position()].vote;
        self.scored.iter().map(of).sum()
    }

    fn all_sums(&self, a: ValidatorIndex) -> ReferenceSums {
        let (points, slots, skipped) = self.sums(a);
        ReferenceSums {
            points,
            slots,
            skipped,
            merit: self.merit(a),
        }
    }

    /// R27.
    #[must_use]
    pub fn score(&self, a: ValidatorIndex) -> u64 {
        let (points, slots, skipped) = self.sums(a);
        let score = if 8 * skipped > slots {
            points / 4
        } else {
            points
        };
        u64::try_from(score).expect("scores are small")
    }

    /// R28: the lower weighted median.
    fn median(&self) -> u64 {
        let scores = || self.committee.indices().map(|a| self.score(a));
        let up_to = |s: u64| -> u128 {
            let below = self.committee.indices().filter(|a| self.score(*a) <= s);
            below.map(|a| weight(&self.committee, a)).sum()
        };
        let half = |s: &u64| 2 * up_to(*s) >= u128::from(self.committee.thresholds().total);
        scores().filter(half).min().expect("the greatest is one")
    }

    fn pool(&self) -> Vec<(ValidatorIndex, u128)> {
        if self.committee.fixed_leaders().is_some() {
            return initial_schedule(&self.committee).pool;
        }
        let scores: Vec<u64> = self.committee.indices().map(|a| self.score(a)).collect();
        let most = scores.iter().copied().max().unwrap_or(0);
        let slashed = self.slashed();
        let seed = epoch_seed(&self.committee);
        let mut order: Vec<ValidatorIndex> = self.committee.indices().collect();
        order.sort_by_key(|a| {
            let tie = hash(Context::LeaderOrder, &[seed.as_bytes(), &a.0.to_le_bytes()]);
            (u8::from(!slashed.contains(a)), scores[a.position()], tie)
        });
        let t = self.committee.thresholds();
        let mut dropped = BTreeSet::new();
        let mut dropped_weight = 0;
        for a in order {
            dropped_weight += self.committee.weight(a);
            let bad = slashed.contains(&a) || 8 * scores[a.position()] < 5 * self.median();
            if most == 0 || !bad || dropped_weight > t.byzantine + t.crashed {
                break;
            }
            dropped.insert(a);
        }
        self.committee
            .indices()
            .filter(|a| !dropped.contains(a))
            .map(|a| {
                let earned = match most {
                    0 => 0,
                    most => 16 * u128::from(scores[a.position()]) / u128::from(most),
                };
                (a, weight(&self.committee, a) * (16 + earned))
            })
            .collect()
    }

    /// The digest of the table after the last commit, from the bytes of docs/storage-format.md.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut bytes = Vec::new();
        bytes.extend(self.scored_rounds().to_le_bytes());
        bytes.extend(self.healthy_rounds().to_le_bytes());
        let slashed = self.slashed();
        for a in self.committee.indices() {
            let (points, slots, skipped) = self.sums(a);
            let merit = self.merit(a);
            let long = |sum: u128| u64::try_from(sum).expect("sums are small").to_le_bytes();
            let short = |sum: u128| u32::try_from(sum).expect("few slots").to_le_bytes();
            bytes.push(u8::from(slashed.contains(&a)));
            bytes.extend(long(points));
            bytes.extend(short(slots));
            bytes.extend(short(skipped));
            bytes.extend(long(merit));
        }
        hash(Context::ReputationTable, &[&bytes])
    }
}
