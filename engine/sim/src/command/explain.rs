//! `explain`: a run's scores, and what moved them.

use std::cell::RefCell;
use std::ops::Range;
use std::path::PathBuf;
use std::rc::Rc;

use clap::Args;
use probity_core::{Commit, ReplayedCommit, Scoring, Standing};
use probity_explain::{History, details, plot, table};
use probity_sim::World;
use probity_sim::checker::{Checker, Observation, Scene};
use probity_sim::plan::Plan;
use probity_sim::run::run_world;

use super::options::{self, PlanOptions};
use super::replay::tell;
use super::{Failure, Verdict, silence_panics, write_file};

/// `explain`.
#[derive(Args, Debug)]
pub(crate) struct ExplainArguments {
    #[command(flatten)]
    plan: PlanOptions,
    /// List the rounds and slots that moved this one's score.
    #[arg(long, value_name = "V")]
    validator: Option<u16>,
    /// Of those rounds, only these; END left out.
    #[arg(long, value_name = "FIRST..END", value_parser = options::rounds, requires = "validator")]
    rounds: Option<Range<u32>>,
    /// Draw scores and weights over leader rounds there.
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

pub(crate) fn explain(arguments: &ExplainArguments) -> Result<Verdict, Failure> {
    let plan = arguments.plan.plan()?;
    let validators = plan.validators();
    if let Some(asked) = arguments
        .validator
        .filter(|v| usize::from(*v) >= validators)
    {
        let why = format!("there is no validator {asked}; the committee has {validators}");
        return Err(Failure::Usage(why));
    }
    silence_panics();
    let title = title(&plan);
    let (watcher, seen) = Watcher::new();
    let world = World::of_plan(plan).map_err(Failure::usage)?;
    let report = run_world(world.with_checker(Box::new(watcher)));
    let verdict = tell(&report);
    tell_slow(&report.plan);
    let mut seen = seen.borrow_mut();
    seen.end();
    print!("\n{}", table(&seen.history));
    let asked = arguments.validator.map(usize::from);
    let standing: Option<&Standing> = asked.and_then(|v| seen.history.standings().get(v));
    if let Some(standing) = standing {
        let rounds = arguments.rounds.as_ref();
        print!("\n{}", details(&seen.history, standing, rounds));
    }
    if let Some(path) = &arguments.plot {
        let svg = plot(&seen.history, &title).map_err(|why| Failure::Fault(why.to_string()))?;
        write_file(path, &svg)?;
    }
    Ok(verdict)
}

fn title(plan: &Plan) -> String {
    let Plan { scenario, seed, .. } = plan;
    format!("Reputation: scenario {scenario}, seed {seed}, until its faults end")
}

/// The faults that go on all the time, which explain much.
fn tell_slow(plan: &Plan) {
    for fault in plan.faults.iter().filter(|f| f.for_ms == plan.faulty_ms) {
        let whom = fault.kind.validators().into_iter();
        let whom: Vec<String> = whom.map(|validator| validator.to_string()).collect();
        println!(
            "  {:<12} {}, all the time",
            fault.kind.name(),
            whom.join(", ")
        );
    }
}

/// What a watcher has seen of the agreed sequence.
#[derive(Default)]
struct Seen {
    history: History,
    scores: Option<Scoring>,
    commits: u64,
}

impl Seen {
    /// Whoever is first with a commit tells it; that the others have the same is `agreement`'s business.
    fn note(&mut self, scene: &Scene<'_>, commit: &Commit) {
        if commit.index().0 != self.commits + 1 {
            return;
        }
        self.commits += 1;
        let new = || Scoring::new(std::sync::Arc::clone(scene.committee));
        let scores = self.scores.get_or_insert_with(new);
        let blocks = commit.blocks.iter().map(|committed| &committed.block);
        let blocks: Vec<_> = blocks.map(|b| (b.reference(), b.header())).collect();
        scores.commit(&commit.record, &blocks);
        self.history.note(ReplayedCommit {
            record: &commit.record,
            blocks: &blocks,
            scores,
        });
    }

    fn end(&mut self) {
        let standings = self.scores.as_ref().map(Scoring::standings);
        self.history.end(standings.unwrap_or_default());
    }
}

/// Listens until the faults end: what comes after is meant to be well.
struct Watcher(Rc<RefCell<Seen>>);

impl Watcher {
    /// A watcher and what it will have seen, in the same thread.
    fn new() -> (Self, Rc<RefCell<Seen>>) {
        let seen = Rc::default();
        (Self(Rc::clone(&seen)), seen)
    }
}

impl Checker for Watcher {
    fn promise(&self) -> &'static str {
        "scores can be explained"
    }

    fn look(&mut self, scene: &Scene<'_>, seen: &Observation<'_>) -> Result<(), String> {
        let faulty = scene.now < probity_sim::START.plus_us(scene.plan.faulty_ms * 1_000);
        if let (Observation::Committed(commit), true) = (seen, faulty) {
            self.0.borrow_mut().note(scene, commit);
        }
        Ok(())
    }
}
