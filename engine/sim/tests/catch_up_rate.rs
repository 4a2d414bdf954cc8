//! How fast a validator returns that was away for ten minutes (R35), in virtual time.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use probity_core::ValidatorIndex;
use probity_sim::checker::{Checker, Observation, Scene};
use probity_sim::plan::{Draws, Fault, FaultKind, Plan, Sinner};
use probity_sim::{START, World};

const AWAY: u16 = 0;
/// `f` of four.
const LIARS: [u16; 1] = [1];
const FROM_S: u64 = 5;
const FOR_S: u64 = 600;

/// By validator and second: the highest commit.
type Heights = Rc<RefCell<BTreeMap<(u16, u64), u64>>>;

struct Watch(Heights);

impl Checker for Watch {
    fn promise(&self) -> &'static str {
        "it only looks"
    }

    fn look(&mut self, scene: &Scene<'_>, seen: &Observation<'_>) -> Result<(), String> {
        if let Observation::Committed(commit) = seen {
            let tenth = scene.now.since_us(START) / 100_000;
            let key = (scene.validator.0, tenth);
            self.0.borrow_mut().insert(key, commit.index().0);
        }
        Ok(())
    }
}

fn plan(liars: &[u16]) -> Plan {
    let mut draws = Draws::of_scenario("calm").unwrap();
    draws.weights = Some(vec![1; 4]);
    draws.profile = Some(probity_core::Profile::Dual30);
    draws.faulty_ms = (FROM_S + FOR_S + 60) * 1_000;
    let mut plan = draws.plan(1).unwrap();
    plan.reference = false;
    plan.committee.gc_depth = 64;
    plan.committee.scores = None;
    plan.committee.min_round_delay_us = 25_000;
    plan.clients.every_ms = 400;
    plan.sinners = liars
        .iter()
        .map(|validator| Sinner {
            validator: *validator,
            sin: "catch-up-liar".to_owned(),
        })
        .collect();
    plan.faults = vec![Fault {
        at_ms: FROM_S * 1_000,
        for_ms: FOR_S * 1_000,
        kind: FaultKind::Crash { validator: AWAY },
    }];
    plan
}

/// Commits a second: live, and of the one that returns.
fn rates(liars: &[u16]) -> (f64, f64) {
    let heights = Heights::default();
    let mut world = World::of_plan(plan(liars))
        .unwrap()
        .with_checker(Box::new(Watch(Rc::clone(&heights))));
    assert_eq!(world.run(), None);
    let heights = heights.borrow();
    let at = |validator: u16, tenth: u64| {
        let until = heights.range((validator, 0)..=(validator, tenth));
        until.last().map_or(0, |(_, height)| *height)
    };
    let other = ValidatorIndex(3).0;
    let (gone, back) = (FROM_S * 10 + 10, (FROM_S + FOR_S) * 10);
    let live = (at(other, back) - at(other, gone)) as f64 / (back - gone) as f64 * 10.0;
    let caught_up = |tenth: &u64| at(AWAY, *tenth) + 100 > at(other, *tenth);
    let until = (back + 1..back + 590).find(caught_up).unwrap();
    let installed = at(AWAY, until) - at(AWAY, back);
    let took = until - back;
    println!(
        "{} liars: live {live:.0} commits/s; {installed} commits in {:.1} s",
        liars.len(),
        took as f64 / 10.0
    );
    (live, installed as f64 / took as f64 * 10.0)
}

#[test]
fn ten_minutes_away_are_made_up_for_at_five_times_the_live_rate() {
    let (live, honest) = rates(&[]);
    assert!(honest >= 5.0 * live, "{honest:.0} < 5 * {live:.0}");
    let (_, lied_to) = rates(&LIARS);
    assert!(lied_to >= 0.8 * honest, "{lied_to:.0} < 0.8 * {honest:.0}");
}
