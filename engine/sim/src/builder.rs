//! A world in one sentence, for those who embed the engine and want to see their application in trouble.

use crate::application::{Application, MakeApplication};
use crate::checker::Checker;
use crate::plan::{DrawError, Draws, Plan, Signatures};
use crate::run::{Report, run_world};
use crate::world::World;
use probity_core::Profile;

/// Collects what a world is to be; what is not said is drawn from the seed.
pub struct WorldBuilder {
    seed: u64,
    scenario: String,
    validators: Option<usize>,
    profile: Option<Profile>,
    duration_ms: Option<u64>,
    signatures: Signatures,
    reference: bool,
    application: Option<MakeApplication>,
    checkers: Vec<Box<dyn Checker>>,
}

impl World {
    /// Begins the description of a world: what happens in it follows from the seed.
    #[must_use]
    #[allow(
        clippy::new_ret_no_self,
        reason = "a world is described before it begins"
    )]
    pub fn new(seed: u64) -> WorldBuilder {
        WorldBuilder {
            seed,
            scenario: "swarm".to_owned(),
            validators: None,
            profile: None,
            duration_ms: None,
            signatures: Signatures::StandIn,
            reference: false,
            application: None,
            checkers: Vec::new(),
        }
    }
}

impl WorldBuilder {
    /// How many validators there are.
    #[must_use]
    pub fn validators(mut self, count: usize) -> Self {
        self.validators = Some(count);
        self
    }

    /// Which faults the committee bears.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = Some(profile);
        self
    }

    /// What the run is about, by the name of a scenario; a swarm of troubles if nothing is said.
    #[must_use]
    pub fn scenario(mut self, name: &str) -> Self {
        name.clone_into(&mut self.scenario);
        self
    }

    /// How long faults go on, in virtual time; then everything heals and the run ends.
    #[must_use]
    pub fn duration_ms(mut self, duration_ms: u64) -> Self {
        self.duration_ms = Some(duration_ms);
        self
    }

    /// What signs blocks; a stand-in that costs a hash if nothing is said.
    #[must_use]
    pub fn signatures(mut self, signatures: Signatures) -> Self {
        self.signatures = signatures;
        self
    }

    /// Has the slow reference committer repeat every decision.
    #[must_use]
    pub fn with_reference(mut self) -> Self {
        self.reference = true;
        self
    }

    /// Runs an application on every validator, made anew at each start, and compares its state after each commit.
    #[must_use]
    pub fn application<A: Application + 'static>(mut self, make: impl Fn() -> A + 'static) -> Self {
        self.application = Some(Box::new(move || Box::new(make())));
        self
    }

    /// Adds a promise of your own.
    #[must_use]
    pub fn checker(mut self, checker: impl Checker + 'static) -> Self {
        self.checkers.push(Box::new(checker));
        self
    }

    /// The plan that follows from what was said, and the seed.
    ///
    /// # Errors
    /// When the scenario or the committee does not exist.
    pub fn plan(&self) -> Result<Plan, DrawError> {
        let mut draws = Draws::of_scenario(&self.scenario)?;
        draws.validators = self.validators;
        draws.profile = self.profile;
        draws.signatures = self.signatures;
        draws.faulty_ms = self.duration_ms.unwrap_or(draws.faulty_ms);
        let mut plan = draws.plan(self.seed)?;
        plan.reference = self.reference;
        Ok(plan)
    }

    /// The world before anything has happened.
    ///
    /// # Errors
    /// As [`WorldBuilder::plan`].
    pub fn build(self) -> Result<World, DrawError> {
        let mut world = World::of_plan(self.plan()?)?;
        if let Some(make) = self.application {
            world = world.with_application(make);
        }
        for checker in self.checkers {
            world = world.with_checker(checker);
        }
        Ok(world)
    }

    /// Runs it to its end. A broken promise is in the report: for an application whose states differ, the first
    /// commit after which they do and both validators.
    ///
    /// # Errors
    /// As [`WorldBuilder::plan`].
    pub fn run(self) -> Result<Report, DrawError> {
        Ok(run_world(self.build()?))
    }
}
