//! `explain`: a run's scores, and what moved them.

use std::cell::RefCell;
use std::ops::Range;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use clap::Args;
use probity_core::testing::keypair;
use probity_core::{Commit, ReplayedCommit, Scoring, ValidatorIndex};
use probity_explain::{History, Timeline, details, plot, summary, table};
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
    /// Which epoch; by default the last one before the faults end.
    #[arg(long, value_name = "N")]
    epoch: Option<u64>,
    /// List the rounds and slots that moved this one's score, by its place in the epoch's committee.
    #[arg(long, value_name = "V")]
    validator: Option<u16>,
    /// Of those rounds, only these; END left out.
    #[arg(long, value_name = "FIRST..END", value_parser = options::rounds, requires = "validator")]
    rounds: Option<Range<u32>>,
    /// Draw scores and weights over the time of all epochs there.
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

pub(crate) fn explain(arguments: &ExplainArguments) -> Result<Verdict, Failure> {
    let plan = arguments.plan.plan()?;
    let validators = plan.validators();
    // Nobody joins who is not in the plan, so no committee is larger.
    check_validator(arguments.validator, validators, "the committee")?;
    silence_panics();
    let title = title(&plan);
    let (watcher, seen) = Watcher::new(validators, arguments.epoch);
    let world = World::of_plan(plan).map_err(Failure::usage)?;
    let report = run_world(world.with_checker(Box::new(watcher)));
    let verdict = tell(&report);
    tell_slow(&report.plan);
    let mut seen = seen.borrow_mut();
    seen.end();
    let timeline = &seen.timeline;
    let Some(history) = asked(timeline, arguments.epoch)? else {
        println!("\nno commit, no score");
        return Ok(verdict);
    };
    let of = format!("the committee of epoch {}", history.epoch());
    check_validator(arguments.validator, history.validators(), &of)?;
    print!("\n{}", table(timeline, history));
    let place = arguments.validator.map(usize::from);
    if let Some(standing) = place.and_then(|v| history.standings().get(v)) {
        let rounds = arguments.rounds.as_ref();
        print!("\n{}", details(history, standing, rounds));
    }
    if timeline.epochs().len() > 1 {
        print!("\n{}", summary(timeline));
    }
    if let Some(path) = &arguments.plot {
        let svg = plot(timeline, &title).map_err(|why| Failure::Fault(why.to_string()))?;
        write_file(path, &svg)?;
    }
    Ok(verdict)
}

fn check_validator(asked: Option<u16>, validators: usize, of: &str) -> Result<(), Failure> {
    match asked.filter(|asked| usize::from(*asked) >= validators) {
        Some(asked) => Err(Failure::Usage(format!(
            "there is no validator {asked}; {of} has {validators}"
        ))),
        None => Ok(()),
    }
}

/// The epoch to explain; none when there was no commit at all.
fn asked(timeline: &Timeline, epoch: Option<u64>) -> Result<Option<&History>, Failure> {
    let newest = timeline.epochs().last();
    let Some(epoch) = epoch else {
        return Ok(newest);
    };
    let newest = newest.map_or(0, History::epoch);
    let missing = || {
        Failure::Usage(format!(
            "epoch {epoch} had no commit before the faults ended; the newest epoch then was {newest}"
        ))
    };
    timeline.of_epoch(epoch).map(Some).ok_or_else(missing)
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
struct Seen {
    timeline: Timeline,
    /// The epoch to be explained.
    asked: Option<u64>,
    /// Those of the newest epoch.
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
        let epoch = scene.committee.epoch();
        let is_known = |scores: &Scoring| scores.committee().epoch() == epoch;
        if !self.scores.as_ref().is_some_and(is_known) {
            self.close(self.asked);
            self.scores = Some(Scoring::new(Arc::clone(scene.committee)));
        }
        let scores = self.scores.as_mut().expect("they were just made");
        let blocks = commit.blocks.iter().map(|committed| &committed.block);
        let blocks: Vec<_> = blocks.map(|b| (b.reference(), b.header())).collect();
        scores.commit(&commit.record, &blocks);
        self.timeline.epoch(scene.committee).note(ReplayedCommit {
            record: &commit.record,
            blocks: &blocks,
            scores,
        });
    }

    /// The newest epoch has no more commits. Of the one that is asked for, everything is kept.
    fn close(&mut self, asked: Option<u64>) {
        let Some(scores) = &self.scores else { return };
        let history = self.timeline.epoch(scores.committee());
        if asked == Some(history.epoch()) {
            history.explain(scores);
        } else {
            history.close(scores);
        }
    }

    fn end(&mut self) {
        let newest = self.timeline.epochs().last().map(History::epoch);
        self.close(self.asked.or(newest));
    }
}

/// Listens until the faults end: what comes after is meant to be well.
struct Watcher(Rc<RefCell<Seen>>);

impl Watcher {
    /// A watcher and what it will have seen, in the same thread.
    fn new(validators: usize, asked: Option<u64>) -> (Self, Rc<RefCell<Seen>>) {
        let numbers = (0..validators).filter_map(|number| u16::try_from(number).ok());
        let name = |number: u16| (keypair(ValidatorIndex(number)).public(), number.to_string());
        let seen = Rc::new(RefCell::new(Seen {
            timeline: Timeline::new(numbers.map(name)),
            asked,
            scores: None,
            commits: 0,
        }));
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
