//! Drawn and random DAGs, a driver for the commit rule, and the slow reference it must agree with.
//!
//! Shared by this crate's tests, the simulator, the fuzz targets and the benches; feature `testing`.
//!
//! | module | what it holds |
//! |---|---|
//! | `builder` | committees with known keys; blocks that are real but need not be signed |
//! | `dag_text` | a DAG drawn as text |
//! | `random` | a DAG drawn by a seed, with crashes, equivocation and late blocks |
//! | `ends` | how epochs end, certified, without a run |
//! | `committer` | the real window and commit rule, fed with blocks in any order |
//! | `scoring` | the real scores, fed with commits |
//! | `reference` | the rules R14 to R22 asked the obvious way, by walking parents |
//! | `marks` | which interesting paths of the core a run has taken |
//! | `reference_scores` | the rules R26 to R29, every round scored anew from all blocks committed by then |
//! | `reference_weights` | the rule R30, from those scores |

mod builder;
mod committer;
mod dag_text;
mod ends;
pub mod marks;
mod random;
mod reference;
mod reference_scores;
mod reference_weights;

pub use builder::{
    AcceptAll, Draft, Signing, VALID_CHECK, build, committee, committee_with, full_dag, keypair,
    mutated, proposal, sign, stand_in_signature, stand_in_variant, with_fixed_leaders,
    with_slots_per_round, with_stand_in_signatures,
};
pub use committer::{Checkpoint, Committed, Committer, DecidedSlot, Verdict};
pub use dag_text::{DagText, DagTextError};
pub use ends::{certified_end, equivocation};
pub use random::{Chance, RandomDag, Shape, delivery};
pub use reference::{Answer, AnswerCommit, plain_commits, reference_answer, reference_decisions};
pub use reference_scores::{
    PlainBlock, PlainCommit, ReferenceReputation, ReferenceSchedule, ReferenceScores,
    ReferenceSums, initial_schedule, reference_scores, schedule_of,
};
pub use reference_weights::reference_seats;

use crate::committee::{AuthorSet, Committee};
use crate::epoch::Seat;
use crate::id::{Round, ValidatorIndex};
use crate::order::schedule::Schedule;
use crate::reputation::{Scoring, reweigh};

/// `slots(round)` under a schedule made from these scores, by index (R28, R29).
#[must_use]
pub fn slots_with_scores(
    committee: &Committee,
    scores: &[u64],
    round: Round,
) -> Vec<ValidatorIndex> {
    let pool = crate::reputation::pool(committee, scores, &AuthorSet::default());
    Schedule::new(1, round, committee, pool).slots(round)
}

/// The seats of the next epoch if this one ended here without changes (R30).
#[must_use]
pub fn next_seats(scores: &Scoring) -> Vec<Seat> {
    let committee = scores.committee();
    let next = reweigh(committee, scores.reputation.table(), committee.roster());
    next.roster.seats().to_vec()
}

/// `slots(round)` under the schedule of an epoch's start (R29).
#[must_use]
pub fn slots(committee: &Committee, round: Round) -> Vec<ValidatorIndex> {
    Schedule::initial(committee).slots(round)
}
