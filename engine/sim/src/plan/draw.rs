//! Plans drawn by a seed, swarm fashion: each kind of trouble is on or off in a run, with a strength of its own.
//!
//! A run with everything on at once finds less than many runs with a few things on each: troubles hide one another.

use probity_core::{Committee, Profile, ValidatorIndex};

use super::{
    Boundary, ClientPlan, CommitteePlan, Delay, DiskPlan, EpochsPlan, Fault, FaultKind,
    NetworkPlan, Plan, PlanError, ScoresPlan, Signatures, Sinner,
};
use crate::adversary;
use crate::random::Random;
use crate::regions;
use crate::scenario::{self, Scenario};

/// What every plan of a run of seeds has in common.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Draws {
    /// How many validators, or 4 to 7 drawn.
    pub validators: Option<usize>,
    /// Which weights, in place of a number of validators.
    pub weights: Option<Vec<u64>>,
    /// Which profile, or one drawn.
    pub profile: Option<Profile>,
    /// Byzantine weight tolerated, in place of the profile's.
    pub byzantine: Option<u64>,
    /// Which scenario.
    pub scenario: &'static Scenario,
    /// What signs.
    pub signatures: Signatures,
    /// How long faults go on.
    pub faulty_ms: u64,
    /// Commit time after which epochs end, in place of what the scenario says.
    pub epoch_ms: Option<u64>,
    /// The reference committer repeats the decisions of each seed that this divides; 0 for none.
    pub reference_every: u64,
}

/// Why no plan could be drawn.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DrawError {
    /// The scenario does not exist.
    #[error("scenario {name:?} is unknown; there are: {known}")]
    Scenario {
        /// Asked for.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// The committee does not exist.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

/// How long faults go on unless somebody says otherwise.
pub const FAULTY_MS: u64 = 60_000;
/// One seed in so many has its decisions repeated, unless somebody says otherwise.
pub const REFERENCE_EVERY: u64 = 20;

impl Draws {
    /// Everything drawn, 60 s of faults, stand-in signatures.
    ///
    /// # Errors
    /// When the scenario does not exist.
    pub fn of_scenario(name: &str) -> Result<Self, DrawError> {
        let scenario = scenario::named(name).ok_or_else(|| DrawError::Scenario {
            name: name.to_owned(),
            known: scenario::names().join(", "),
        })?;
        Ok(Self {
            validators: None,
            weights: None,
            profile: None,
            byzantine: None,
            scenario,
            signatures: Signatures::StandIn,
            faulty_ms: FAULTY_MS,
            epoch_ms: None,
            reference_every: REFERENCE_EVERY,
        })
    }

    /// The plan of a seed.
    ///
    /// # Errors
    /// When the committee asked for does not exist.
    pub fn plan(&self, seed: u64) -> Result<Plan, DrawError> {
        let mut random = Random::new(seed);
        let committee = self.draw_committee(&mut random);
        let mut plan = Plan {
            seed,
            scenario: self.scenario.name.to_owned(),
            faulty_ms: self.faulty_ms,
            over_the_limit: false,
            reference: self.reference_every > 0 && seed.is_multiple_of(self.reference_every),
            script: Vec::new(),
            network: draw_network(&mut random, committee.weights.len()),
            disk: draw_disk(&mut random),
            epochs: EpochsPlan::default(),
            clients: draw_clients(&mut random),
            sinners: Vec::new(),
            faults: Vec::new(),
            committee,
        };
        let built = plan.check()?;
        plan.sinners = draw_sinners(&mut random, &built, self.scenario.sins);
        plan.faults = draw_faults(&mut random, &plan);
        (self.scenario.change)(&mut plan, &mut random);
        if self.epoch_ms.is_some() {
            plan.epochs.length_ms = self.epoch_ms;
        }
        plan.check()?;
        Ok(plan)
    }

    fn draw_committee(&self, random: &mut Random) -> CommitteePlan {
        let drawn = usize::try_from(random.between(4, 7)).expect("a small number");
        let given = self.weights.as_ref().map(Vec::len);
        let validators = given.or(self.validators).unwrap_or(drawn);
        let profile = match random.below(8) {
            0..=3 => Profile::Dual30,
            4 => Profile::Classic33,
            5 => Profile::Dual25,
            6 => Profile::Dual20c,
            _ => Profile::Fast20,
        };
        let profile = self.profile.unwrap_or(profile);
        let weights = draw_weights(random, validators);
        let weights = self.weights.clone().unwrap_or(weights);
        let skew = random.chance(300_000);
        let mut clock = |_| {
            let off = i64::try_from(random.below(7_200_000)).expect("two hours") - 3_600_000;
            if skew { off } else { 0 }
        };
        let clock_skew_ms = (0..validators).map(&mut clock).collect();
        CommitteePlan {
            weights,
            profile: profile.name().to_owned(),
            byzantine: self.byzantine,
            gc_depth: *random.pick(&[8, 12, 16, 32, 64]),
            scores: draw_scores(&mut random.fork(3)),
            leaders: None,
            slots_per_round: None,
            signatures: self.signatures,
            min_round_delay_us: 1_000 * *random.pick(&[25, 50, 80, 120]),
            idle_round_delay_us: 1_000 * *random.pick(&[200, 500]),
            clock_skew_ms,
        }
    }
}

/// Windows of the protocol, or short ones.
fn draw_scores(random: &mut Random) -> Option<ScoresPlan> {
    let schedule_rounds = *random.pick(&[128, 4, 16, 32]);
    (schedule_rounds != 128).then(|| ScoresPlan {
        score_rounds: schedule_rounds * *random.pick(&[1, 4]),
        slot_rounds: schedule_rounds * *random.pick(&[1, 8]),
        schedule_rounds,
        schedule_lead_rounds: *random.pick(&[1, 3, 11]),
    })
}

/// Mostly a normalised committee of equals; else unequal small weights, where thresholds are tight.
fn draw_weights(random: &mut Random, validators: usize) -> Vec<u64> {
    if random.chance(500_000) {
        let count = validators as u64;
        let larger = 1_000_000 % count;
        return (0..count)
            .map(|at| 1_000_000 / count + u64::from(at < larger))
            .collect();
    }
    if random.chance(500_000) {
        return vec![1; validators];
    }
    (0..validators).map(|_| random.between(1, 4)).collect()
}

fn draw_network(random: &mut Random, validators: usize) -> NetworkPlan {
    let delay = match random.below(4) {
        0 => Delay::Range {
            least_us: 200,
            most_us: *random.pick(&[1_000, 5_000]),
        },
        1 => Delay::Range {
            least_us: 50_000,
            most_us: *random.pick(&[100_000, 150_000]),
        },
        2 => Delay::Regions {
            of: (0..validators)
                .map(|_| u8::try_from(random.below(regions::COUNT)).expect("few regions"))
                .collect(),
        },
        _ => Delay::HeavyTail {
            base_us: *random.pick(&[10_000, 40_000]),
            doubling_ppm: 200_000,
        },
    };
    let sometimes = |random: &mut Random, most: u64| {
        if random.chance(300_000) {
            random.between(1_000, most)
        } else {
            0
        }
    };
    NetworkPlan {
        delay,
        loss_ppm: sometimes(random, 100_000),
        duplicate_ppm: sometimes(random, 300_000),
        reorder_ppm: sometimes(random, 300_000),
        corrupt_ppm: sometimes(random, 20_000),
        bytes_per_second: if random.chance(150_000) {
            random.between(100_000, 1_000_000)
        } else {
            0
        },
    }
}

fn draw_disk(random: &mut Random) -> DiskPlan {
    let least_us = *random.pick(&[100, 1_000, 5_000]);
    DiskPlan {
        least_us,
        most_us: least_us * *random.pick(&[2, 10]),
    }
}

fn draw_clients(random: &mut Random) -> ClientPlan {
    let burst = *random.pick(&[1, 1, 5, 30]);
    ClientPlan {
        every_ms: *random.pick(&[0, 100, 400, 1_500]) * burst.min(4),
        burst,
        bytes: *random.pick(&[16, 100, 512, 4_096]),
        duplicate_ppm: if random.chance(300_000) { 200_000 } else { 0 },
        oversized_ppm: if random.chance(100_000) { 20_000 } else { 0 },
        answer_us: 0,
        only: None,
    }
}

/// Sinners of total weight at most `f`, heaviest sinners not preferred; sometimes none.
fn draw_sinners(random: &mut Random, committee: &Committee, sins: &[&'static str]) -> Vec<Sinner> {
    let names: Vec<&'static str> = if sins.is_empty() {
        adversary::names_at_large()
    } else {
        sins.to_vec()
    };
    if sins.is_empty() && random.chance(250_000) {
        return Vec::new();
    }
    let mut order: Vec<ValidatorIndex> = committee.indices().collect();
    random.shuffle(&mut order);
    let mut left = committee.thresholds().byzantine;
    let mut sinners = Vec::new();
    for validator in order {
        let weight = committee.weight(validator);
        if weight <= left {
            left -= weight;
            let sin = (*random.pick(&names)).to_owned();
            sinners.push(Sinner {
                validator: validator.0,
                sin,
            });
        }
    }
    sinners
}

/// Troubles of a few kinds, spread over the faulty time.
fn draw_faults(random: &mut Random, plan: &Plan) -> Vec<Fault> {
    let mut faults = Vec::new();
    let kinds = 13;
    for kind in 0..kinds {
        if !random.chance(200_000) {
            continue;
        }
        for _ in 0..random.between(1, 4) {
            let at_ms = random.below(plan.faulty_ms.max(1));
            let longest_ms = *random.pick(&[500, 3_000, 15_000]);
            let for_ms = random.between(50, longest_ms);
            let kind = draw_kind(random, kind, plan.validators());
            faults.push(Fault {
                at_ms,
                for_ms,
                kind,
            });
        }
    }
    faults.sort_by_key(|fault| fault.at_ms);
    faults
}

fn draw_kind(random: &mut Random, kind: u64, validators: usize) -> FaultKind {
    let count = u16::try_from(validators).expect("a committee has at most 256 members");
    let validator = u16::try_from(random.below(u64::from(count))).expect("below 256");
    let other = (validator + 1) % count;
    let left: Vec<u16> = (0..count).filter(|_| random.chance(500_000)).collect();
    match kind {
        0 => FaultKind::Crash { validator },
        1 => FaultKind::CrashAt {
            validator,
            boundary: *random.pick(&Boundary::ALL),
        },
        2 => FaultKind::PowerLoss,
        3 => FaultKind::Pause { validator },
        4 => FaultKind::Slow {
            validator,
            extra_us: random.between(10_000, 400_000),
        },
        5 => FaultKind::ClockJump {
            validator,
            by_ms: i64::try_from(random.below(7_200_000)).expect("two hours") - 3_600_000,
        },
        6 => FaultKind::WriteError { validator },
        7 => FaultKind::OneWay {
            from: validator,
            to: other,
        },
        8 => FaultKind::Split { left },
        9 => FaultKind::SilentSplit { left },
        10 => FaultKind::Ring,
        11 => FaultKind::Flap {
            left,
            period_ms: random.between(100, 2_000),
        },
        _ => FaultKind::Storm {
            loss_ppm: random.between(50_000, 500_000),
        },
    }
}
