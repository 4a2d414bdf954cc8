//! Runs simulated clusters by seed.

use probity_sim::plan::Draws;
use probity_sim::run::run;

fn main() {
    let mut args = std::env::args().skip(1);
    let scenario = args.next().unwrap_or_else(|| "swarm".to_owned());
    let from: u64 = args.next().and_then(|a| a.parse().ok()).unwrap_or(0);
    let to: u64 = args.next().and_then(|a| a.parse().ok()).unwrap_or(10);
    let draws = Draws::of_scenario(&scenario).expect("scenario");
    for seed in from..to {
        let plan = draws.plan(seed).expect("plan");
        let report = run(plan).expect("plan runs");
        println!(
            "{seed} commits {} frames {} took {:?} recovery {:?} {:?}",
            report.commits,
            report.frames,
            report.took,
            report.recovery_us.iter().max(),
            report.violation
        );
    }
}
