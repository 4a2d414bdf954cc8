//! Makes a failing plan smaller, as long as it still fails in the same way.
//!
//! ```text
//!   plan ─▶ leave something out ─▶ does it still fail? ─ yes ─▶ go on with the smaller one
//!                  ▲                      └─ no ─▶ put it back, leave something else out
//!                  └── until a whole pass leaves out nothing, or the tries are used up
//! ```

use crate::plan::{Delay, Plan};

/// What came of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shrunk {
    /// The smallest plan that was found; it fails.
    pub plan: Plan,
    /// How many plans were run.
    pub tries: usize,
}

/// The smallest plan that is found with so many tries; `fails` runs one. The plan given is known to fail.
pub fn shrink(plan: Plan, tries_max: usize, fails: &mut dyn FnMut(&Plan) -> bool) -> Shrunk {
    let mut search = Search {
        best: plan,
        tries: 0,
        tries_max,
        fails,
    };
    while search.pass() && search.tries < search.tries_max {}
    Shrunk {
        plan: search.best,
        tries: search.tries,
    }
}

struct Search<'a> {
    best: Plan,
    tries: usize,
    tries_max: usize,
    fails: &'a mut dyn FnMut(&Plan) -> bool,
}

/// Faulty time is not made shorter than this.
const FAULTY_MS_MIN: u64 = 100;

impl Search<'_> {
    /// Tries everything once; whether anything could be left out.
    fn pass(&mut self) -> bool {
        let before = self.best.clone();
        // What takes most time to run goes first.
        self.shorten();
        self.drop_faults();
        self.drop_sinners();
        self.shorten_script();
        self.shorten_faults();
        self.calm_network();
        self.calm_clients();
        self.straighten();
        self.best != before
    }

    /// Keeps a change if the plan still fails with it.
    fn keeps(&mut self, change: impl FnOnce(&mut Plan)) -> bool {
        let mut smaller = self.best.clone();
        change(&mut smaller);
        if smaller == self.best || self.tries >= self.tries_max || smaller.check().is_err() {
            return false;
        }
        self.tries += 1;
        let fails = (self.fails)(&smaller);
        if fails {
            self.best = smaller;
        }
        fails
    }

    fn shorten(&mut self) {
        for (part, whole) in [(1, 8), (1, 2), (3, 4)] {
            while self.keeps(|plan| {
                let shorter_ms = (plan.faulty_ms * part / whole).max(FAULTY_MS_MIN);
                plan.faulty_ms = shorter_ms.min(plan.faulty_ms);
                plan.faults.retain(|fault| fault.at_ms < shorter_ms);
            }) {}
        }
    }

    /// Delta debugging: halves first, then smaller and smaller runs of faults, then single ones.
    fn drop_faults(&mut self) {
        let mut length = self.best.faults.len();
        while length > 0 {
            let mut at = 0;
            while at < self.best.faults.len() {
                let end = (at + length).min(self.best.faults.len());
                let dropped = self.keeps(|plan| {
                    plan.faults.drain(at..end);
                });
                if !dropped {
                    at = end;
                }
            }
            length /= 2;
        }
    }

    fn drop_sinners(&mut self) {
        let mut at = 0;
        while at < self.best.sinners.len() {
            let dropped = self.keeps(|plan| {
                plan.sinners.remove(at);
            });
            if !dropped {
                at += 1;
            }
        }
    }

    /// Without a script, or with a shorter one.
    fn shorten_script(&mut self) {
        self.keeps(|plan| plan.script.clear());
        while self.keeps(|plan| plan.script.truncate(plan.script.len() / 2)) {}
        while self.keeps(|plan| {
            plan.script.pop();
        }) {}
    }

    fn shorten_faults(&mut self) {
        for at in 0..self.best.faults.len() {
            while self.keeps(|plan| {
                let lasts_ms = &mut plan.faults[at].for_ms;
                *lasts_ms = (*lasts_ms / 2).max(1);
            }) {}
        }
    }

    fn calm_network(&mut self) {
        self.keeps(|plan| plan.network.corrupt_ppm = 0);
        self.keeps(|plan| plan.network.duplicate_ppm = 0);
        self.keeps(|plan| plan.network.reorder_ppm = 0);
        self.keeps(|plan| plan.network.loss_ppm = 0);
        self.keeps(|plan| plan.network.bytes_per_second = 0);
        self.keeps(|plan| {
            plan.network.delay = Delay::Range {
                least_us: 20_000,
                most_us: 30_000,
            };
        });
    }

    fn calm_clients(&mut self) {
        self.keeps(|plan| plan.clients.every_ms = 0);
        self.keeps(|plan| plan.clients.oversized_ppm = 0);
        self.keeps(|plan| plan.clients.duplicate_ppm = 0);
        self.keeps(|plan| plan.clients.burst = plan.clients.burst.min(1));
        self.keeps(|plan| plan.clients.bytes = plan.clients.bytes.min(16));
    }

    /// Odd clocks, slow disks, and the second opinion.
    fn straighten(&mut self) {
        self.keeps(|plan| plan.committee.clock_skew_ms.clear());
        self.keeps(|plan| {
            plan.disk.least_us = 100;
            plan.disk.most_us = 100;
        });
        self.keeps(|plan| plan.reference = false);
    }
}

#[cfg(test)]
mod tests {
    use super::shrink;
    use crate::plan::{Draws, Fault, FaultKind, Plan};

    fn troubled() -> Plan {
        let mut plan = Draws::of_scenario("swarm").unwrap().plan(11).unwrap();
        plan.faults = (0..20)
            .map(|at| Fault {
                at_ms: at * 1_000,
                for_ms: 4_000,
                kind: FaultKind::Crash {
                    validator: u16::try_from(at % 4).unwrap(),
                },
            })
            .collect();
        plan
    }

    #[test]
    fn two_faults_far_apart_are_what_is_left() {
        let culprit = |fault: &Fault, at_ms| fault.at_ms == at_ms && fault.for_ms >= 1_000;
        let mut fails = |plan: &Plan| {
            let mut of = [2_000, 17_000].into_iter();
            of.all(|at_ms| plan.faults.iter().any(|fault| culprit(fault, at_ms)))
        };
        let shrunk = shrink(troubled(), 500, &mut fails);
        let left: Vec<(u64, u64)> = shrunk
            .plan
            .faults
            .iter()
            .map(|f| (f.at_ms, f.for_ms))
            .collect();
        assert_eq!(left, [(2_000, 1_000), (17_000, 1_000)]);
        assert!(shrunk.plan.sinners.is_empty() && shrunk.plan.network.loss_ppm == 0);
        assert!((17_001..30_000).contains(&shrunk.plan.faulty_ms));
        assert!(shrunk.tries < 500);
    }

    #[test]
    fn no_more_is_tried_than_allowed() {
        let shrunk = shrink(troubled(), 3, &mut |_| true);
        assert_eq!(shrunk.tries, 3);
    }
}
