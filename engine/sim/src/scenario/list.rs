//! The scenarios.

use super::Scenario;
use crate::plan::{ClientPlan, Delay, NetworkPlan, Plan};
use crate::random::Random;

/// Every scenario; the first one is the default.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "swarm",
        about: "a few troubles of any kind at a time",
        sins: &[],
        change: |_, _| {},
    },
    Scenario {
        name: "calm",
        about: "nothing goes wrong, nobody sins",
        sins: &[],
        change: calm,
    },
];

fn calm(plan: &mut Plan, _: &mut Random) {
    plan.sinners.clear();
    plan.faults.clear();
    plan.committee.clock_skew_ms.clear();
    plan.network = NetworkPlan {
        delay: Delay::Range {
            least_us: 20_000,
            most_us: 30_000,
        },
        loss_ppm: 0,
        duplicate_ppm: 0,
        reorder_ppm: 0,
        corrupt_ppm: 0,
        bytes_per_second: 0,
    };
    plan.clients = ClientPlan {
        every_ms: 200,
        burst: 1,
        bytes: 100,
        duplicate_ppm: 0,
        oversized_ppm: 0,
    };
}
