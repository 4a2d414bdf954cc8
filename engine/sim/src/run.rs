//! Runs plans, and says what came of them.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use probity_core::Time;
use probity_core::testing::marks::{self, MarkSet};

use crate::amplification::Amplification;
use crate::checker::Violation;
use crate::plan::{Plan, PlanError};
use crate::world::{START, World};

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The plan.
    pub plan: Plan,
    /// The promise that was broken, if one was.
    pub violation: Option<Violation>,
    /// Digest of everything that happened.
    pub trace_digest: String,
    /// Commits of the longest sequence.
    pub commits: u64,
    /// Frames sent.
    pub frames: u64,
    /// Virtual time, in microseconds.
    pub virtual_us: u64,
    /// Time it took here.
    pub took: Duration,
    /// How often each kind of fault struck.
    pub faults: BTreeMap<&'static str, u64>,
    /// How long each correct validator took to live again, in microseconds.
    pub recovery_us: Vec<u64>,
    /// How many of these took two timeouts and six delays at most.
    pub recovered_promptly: u64,
    /// How much more the sinners came to weigh than their stake is worth.
    pub amplification: Amplification,
    /// Which interesting paths of the core were taken.
    pub marks: MarkSet,
    /// The trace as text, if the world kept it.
    pub trace_text: Option<String>,
}

/// Runs a plan to its end. A panic in a replica is a broken promise like any other.
///
/// # Errors
/// When the plan names what does not exist.
pub fn run(plan: Plan) -> Result<Report, PlanError> {
    let started = Instant::now();
    let kept = plan.clone();
    // Processes start while the world is made, and a start may panic too.
    match catch_unwind(AssertUnwindSafe(|| World::of_plan(plan))) {
        Ok(world) => Ok(run_world(world?)),
        Err(panic) => Ok(Report {
            plan: kept,
            violation: Some(panicked(START, panic.as_ref())),
            trace_digest: String::new(),
            commits: 0,
            frames: 0,
            virtual_us: 0,
            took: started.elapsed(),
            faults: BTreeMap::new(),
            recovery_us: Vec::new(),
            recovered_promptly: 0,
            amplification: Amplification::default(),
            marks: marks::take(),
            trace_text: None,
        }),
    }
}

fn panicked(at: Time, panic: &(dyn std::any::Any + Send)) -> Violation {
    Violation {
        promise: "nothing makes a correct validator panic".to_owned(),
        at,
        validator: None,
        how: words_of(panic),
    }
}

/// Runs a world that may have been given checkers or an application.
#[must_use]
pub fn run_world(mut world: World) -> Report {
    let started = Instant::now();
    let ran = catch_unwind(AssertUnwindSafe(|| {
        world.run();
    }));
    let violation = match ran {
        Ok(()) => world.violation().cloned(),
        Err(panic) => Some(panicked(world.now(), panic.as_ref())),
    };
    Report {
        plan: world.plan().clone(),
        violation,
        trace_digest: world.trace_digest(),
        commits: world.commits(),
        frames: world.frames(),
        virtual_us: world.now().since_us(START),
        took: started.elapsed(),
        faults: world.faults_fired().clone(),
        recovery_us: world.liveness().took_us().to_vec(),
        recovered_promptly: world.liveness().took_promptly(),
        amplification: world.amplification(),
        marks: marks::take(),
        trace_text: world.trace_text().map(str::to_owned),
    }
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "a panic without words".to_owned())
}
