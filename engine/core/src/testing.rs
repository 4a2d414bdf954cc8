//! Drawn and random DAGs, a driver for the commit rule, and the slow reference it must agree with.
//!
//! Shared by this crate's tests, the simulator, the fuzz targets and the benches; feature `testing`.
//!
//! | module | what it holds |
//! |---|---|
//! | `builder` | committees with known keys; blocks that are real but need not be signed |
//! | `dag_text` | a DAG drawn as text |
//! | `random` | a DAG drawn by a seed, with crashes, equivocation and late blocks |
//! | `committer` | the real window and commit rule, fed with blocks in any order |
//! | `reference` | the rules R14 to R22 asked the obvious way, by walking parents |
//! | `marks` | which interesting paths of the core a run has taken |

mod builder;
mod committer;
mod dag_text;
pub mod marks;
mod random;
mod reference;

pub use builder::{
    AcceptAll, Draft, Signing, VALID_CHECK, build, committee, full_dag, keypair, mutated, proposal,
    sign, stand_in_signature, stand_in_variant, with_stand_in_signatures,
};
pub use committer::{Checkpoint, Committed, Committer, DecidedSlot, Verdict};
pub use dag_text::{DagText, DagTextError};
pub use random::{Chance, RandomDag, Shape, delivery};
pub use reference::{Answer, AnswerCommit, reference_answer, reference_decisions};

use crate::committee::Committee;
use crate::id::{Round, ValidatorIndex};
use crate::order::leaders::Schedule;

/// `slots(round)` under the schedule of an epoch's start (R29).
#[must_use]
pub fn slots(committee: &Committee, round: Round) -> Vec<ValidatorIndex> {
    Schedule::initial(committee).slots(round)
}
