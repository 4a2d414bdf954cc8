//! `wan`: how long a commit takes across a wide area network when nobody sins; some may be down or slow.

mod observer;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};
use probity_core::{Profile, Time};
use probity_sim::plan::{
    ClientPlan, CommitteePlan, Delay, DiskPlan, EpochsPlan, Fault, FaultKind, NetworkPlan, Plan,
};
use probity_sim::{START, World, regions};

use super::options::{self, within};
use super::{Failure, Verdict, write_json};
use observer::Observer;
use report::Report;

/// `wan`.
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("network").required(true))]
pub(crate) struct WanArguments {
    /// Spread the validators over so many regions of the world, in turn.
    #[arg(long, value_name = "N", group = "network", value_parser = region_count)]
    regions: Option<u8>,
    /// The same delay between all, drawn for each frame, in ms.
    #[arg(long, value_name = "LEAST..MOST", group = "network", value_parser = milliseconds)]
    delay: Option<RangeUs>,
    /// How many validators, of equal weight.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = options::validators)]
    validators: usize,
    /// Which faults are tolerated: dual30, classic33, dual25, dual20c or fast20.
    #[arg(long, value_name = "P", default_value_t = Profile::Dual30, value_parser = options::profile)]
    profile: Profile,
    /// So many validators, evenly spread, are down from the start.
    #[arg(long, value_name = "K", default_value_t = 0)]
    crash: usize,
    /// So many validators, evenly spread, are slow from the start: a message of theirs takes five times the mean delay,
    /// each way. What they measure does not count.
    #[arg(long, value_name = "K", default_value_t = 0, conflicts_with = "crash")]
    slow: usize,
    /// A yardstick: schedules never name who is down or slow, from the start.
    #[arg(long)]
    oracle: bool,
    /// A yardstick: everybody leads at all times, and nobody sooner for a score.
    #[arg(long, conflicts_with = "oracle")]
    equal_scores: bool,
    /// A yardstick: only the first N leaders of a round have a slot, not all who are eligible.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    slots_per_round: Option<u16>,
    /// Only what began under the N-th schedule after the initial one or a later one counts.
    #[arg(long, value_name = "N", default_value_t = 0)]
    after_windows: u64,
    /// Transactions a second that reach each validator.
    #[arg(long, value_name = "TX/S", default_value_t = 20, value_parser = rate)]
    rate: u64,
    /// Bytes of a transaction.
    #[arg(long, value_name = "BYTES", default_value_t = 512, value_parser = transaction_bytes)]
    size: u64,
    /// Time of a durable write, in ms.
    #[arg(long, value_name = "LEAST..MOST", default_value = "0.5..2", value_parser = milliseconds)]
    disk: RangeUs,
    /// Least time between two own blocks, in ms.
    #[arg(long, value_name = "MS", default_value_t = 25, value_parser = pace_ms)]
    min_round_delay: u64,
    /// Virtual seconds in all.
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = options::seconds)]
    seconds: u64,
    /// Virtual seconds at the start that do not count.
    #[arg(long, value_name = "S", default_value_t = 10)]
    warm_up: u64,
    /// The seed of all chances.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = options::seed)]
    seed: u64,
    /// Sign with Ed25519 and not with a hash.
    #[arg(long)]
    real_signatures: bool,
    /// Write the result there as one JSON object.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// A range of times, in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct RangeUs {
    least_us: u64,
    most_us: u64,
}

/// What counts: what began in it and ended before the run did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Window {
    from: Time,
    /// The schedule that has to be in force besides.
    schedule: u64,
    /// What begins later has too little time left to end.
    begins_until: Time,
    until: Time,
}

/// How many times the mean delay a message from or to a slow validator takes.
const SLOW_TIMES: f64 = 5.0;

/// Time at the end of a run in which nothing new is measured.
const TAIL_US: u64 = 3_000_000;

pub(crate) fn wan(arguments: &WanArguments) -> Result<Verdict, Failure> {
    let window = arguments.window()?;
    let plan = arguments.plan()?;
    let (observer, measured) = Observer::new(window, arguments.slow_ones());
    let mut world = World::of_plan(plan.clone())
        .map_err(Failure::usage)?
        .with_checker(Box::new(observer));
    while world.now() < window.until && world.step() {}
    if let Some(broken) = world.violation() {
        return Err(Failure::Fault(format!(
            "{}: {}",
            broken.promise, broken.how
        )));
    }
    if measured.borrow().from.is_none() {
        let windows = arguments.after_windows;
        let why = format!("schedule {windows} did not come into force in time: more --seconds");
        return Err(Failure::Usage(why));
    }
    let report = Report::of(arguments, &plan, &measured.borrow());
    print!("{report}");
    if let Some(path) = &arguments.json {
        write_json(path, &report)?;
    }
    Ok(Verdict::Kept)
}

impl WanArguments {
    fn window(&self) -> Result<Window, Failure> {
        let (all_us, warm_up_us) = (
            self.seconds * 1_000_000,
            self.warm_up.saturating_mul(1_000_000),
        );
        if warm_up_us.saturating_add(TAIL_US) >= all_us {
            let tail_s = TAIL_US / 1_000_000;
            let why = format!("--seconds must exceed --warm-up by more than {tail_s}");
            return Err(Failure::Usage(why));
        }
        Ok(Window {
            from: START.plus_us(warm_up_us),
            schedule: self.after_windows,
            begins_until: START.plus_us(all_us - TAIL_US),
            until: START.plus_us(all_us),
        })
    }

    fn plan(&self) -> Result<Plan, Failure> {
        let network = NetworkPlan {
            delay: self.delay(),
            loss_ppm: 0,
            duplicate_ppm: 0,
            reorder_ppm: 0,
            corrupt_ppm: 0,
            bytes_per_second: 0,
        };
        let mut plan = Plan {
            seed: self.seed,
            scenario: "wan".to_owned(),
            // The measurement ends before anything would heal.
            faulty_ms: self.seconds * 1_000 + 1_000,
            over_the_limit: false,
            reference: false,
            script: Vec::new(),
            committee: self.committee(),
            network,
            disk: DiskPlan {
                least_us: self.disk.least_us,
                most_us: self.disk.most_us,
            },
            epochs: EpochsPlan::default(),
            clients: self.clients(),
            sinners: Vec::new(),
            faults: Vec::new(),
        };
        let most = plan.check().map_err(Failure::usage)?.crashes_tolerated();
        let troubled = self.crash.max(self.slow);
        if troubled > most {
            let (profile, validators) = (self.profile, self.validators);
            let why = format!(
                "{profile} with {validators} validators goes on without {most} of them at most, not {troubled}"
            );
            let option = if self.crash > 0 { "--crash" } else { "--slow" };
            return Err(Failure::Usage(format!("{option}: {why}")));
        }
        plan.faults = self.faults(plan.faulty_ms);
        Ok(plan)
    }

    fn committee(&self) -> CommitteePlan {
        let count = self.validators as u64;
        let larger = 1_000_000 % count;
        let weight = |at| 1_000_000 / count + u64::from(at < larger);
        CommitteePlan {
            weights: (0..count).map(weight).collect(),
            profile: self.profile.name().to_owned(),
            byzantine: None,
            scores: None,
            leaders: self.leaders(),
            slots_per_round: self.slots_per_round,
            gc_depth: 64,
            signatures: options::signatures(self.real_signatures),
            min_round_delay_us: self.min_round_delay * 1_000,
            idle_round_delay_us: 200_000,
            clock_skew_ms: Vec::new(),
        }
    }

    fn delay(&self) -> Delay {
        let RangeUs { least_us, most_us } = match (self.delay, self.regions) {
            (Some(range), _) => range,
            (None, regions) => {
                let turn = (0..regions.unwrap_or(1)).cycle();
                let of = turn.take(self.validators).collect();
                return Delay::Regions { of };
            }
        };
        Delay::Range { least_us, most_us }
    }

    /// Arrivals at a steady pace; of many a second, a few at a time.
    fn clients(&self) -> ClientPlan {
        let (every_ms, burst) = match self.rate {
            0 => (0, 0),
            rate @ 1..=1_000 => ((1_000 + rate / 2) / rate, 1),
            rate => (10, rate / 100),
        };
        ClientPlan {
            every_ms,
            burst,
            bytes: self.size,
            duplicate_ppm: 0,
            oversized_ppm: 0,
            answer_us: 0,
            only: None,
        }
    }

    fn faults(&self, for_ms: u64) -> Vec<Fault> {
        let extra = Duration::from_secs_f64((SLOW_TIMES - 1.0) * self.mean_delay_us() / 1e6);
        let extra_us = u64::try_from(extra.as_micros()).expect("a delay is short");
        let slow = |validator| FaultKind::Slow {
            validator,
            extra_us,
        };
        let crash = |validator| FaultKind::Crash { validator };
        let crashes = self.crashed().into_iter().map(crash);
        let kinds = crashes.chain(self.slow_ones().into_iter().map(slow));
        kinds
            .map(|kind| Fault {
                at_ms: 0,
                for_ms,
                kind,
            })
            .collect()
    }

    /// Who is down.
    fn crashed(&self) -> Vec<u16> {
        self.spread(self.crash)
    }

    /// Who is slow.
    fn slow_ones(&self) -> Vec<u16> {
        self.spread(self.slow)
    }

    /// So many validators at even distances.
    fn spread(&self, count: usize) -> Vec<u16> {
        let at = |nth: usize| u16::try_from(nth * self.validators / count);
        (0..count)
            .map(|nth| at(nth).expect("at most 256 validators"))
            .collect()
    }

    /// The leaders of a yardstick.
    fn leaders(&self) -> Option<Vec<u16>> {
        let count = u16::try_from(self.validators).expect("at most 256 validators");
        let never = if self.oracle {
            [self.crashed(), self.slow_ones()].concat()
        } else {
            Vec::new()
        };
        let fixed = self.oracle || self.equal_scores;
        fixed.then(|| (0..count).filter(|v| !never.contains(v)).collect())
    }

    /// Mean time one way between two validators that are up, in microseconds.
    fn mean_delay_us(&self) -> f64 {
        let of = match self.delay() {
            Delay::Range { least_us, most_us } => return (least_us + most_us) as f64 / 2.0,
            Delay::HeavyTail { base_us, .. } => return base_us as f64,
            Delay::Regions { of } => of,
        };
        let down = self.crashed();
        let up = of.iter().zip(0u16..).filter(|(_, at)| !down.contains(at));
        let up: Vec<(u8, u16)> = up.map(|(region, at)| (*region, at)).collect();
        let pairs = up.iter().flat_map(|a| up.iter().map(move |b| (a, b)));
        let pairs = pairs.filter(|(a, b)| a.1 != b.1);
        // Half a tenth on top is the mean of what the network adds by chance.
        let delays: Vec<f64> = pairs
            .map(|(a, b)| regions::one_way_us(a.0, b.0) as f64 * 1.05)
            .collect();
        delays.iter().sum::<f64>() / delays.len().max(1) as f64
    }
}

fn region_count(text: &str) -> Result<u8, String> {
    let most = u8::try_from(regions::COUNT).expect("few regions");
    within(text, &(1..=most))
}

fn rate(text: &str) -> Result<u64, String> {
    within(text, &(0..=RATE_MAX))
}

/// What fits the simulator's blocks when rounds are slow.
const RATE_MAX: u64 = 2_000;

fn transaction_bytes(text: &str) -> Result<u64, String> {
    within(text, &(16..=65_536))
}

fn pace_ms(text: &str) -> Result<u64, String> {
    within(text, &(0..=10_000))
}

/// `50..100` or `0.5..2`, in milliseconds.
fn milliseconds(text: &str) -> Result<RangeUs, String> {
    let ends = text.split_once("..");
    let ends = ends.and_then(|(least, most)| Some((time_us(least)?, time_us(most)?)));
    let (least_us, most_us) = ends.ok_or("expected LEAST..MOST in ms, for example 50..100")?;
    if most_us < least_us {
        return Err("the range ends before it starts".to_owned());
    }
    Ok(RangeUs { least_us, most_us })
}

fn time_us(ms: &str) -> Option<u64> {
    let seconds = ms.parse::<f64>().ok()? / 1e3;
    let time = Duration::try_from_secs_f64(seconds).ok()?;
    let time = (time <= TIME_MAX).then_some(time)?;
    u64::try_from(time.as_micros()).ok()
}

/// Longest delay or write that can be asked for.
const TIME_MAX: Duration = Duration::from_secs(60);
