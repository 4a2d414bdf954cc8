//! On a network that is prompt from the start, no coalition within `f` takes anything that counts from a validator that
//! is in time, nor gains by linking its own, where that costs it more than it costs others.
//!
//! A score (R27) counts for the fast path and falls with every link that is missing, so leading on is promised where the
//! bound in [`leads_on`] has room: who lacks the links of weight `g`, and has all others, keeps
//! `(W - g - w) / (F - w)` of its points. Who leads is waited for (R9), and so keeps its merit (R30). With nobody down
//! or slow that is all of it; else leaders' blocks that come late or half cost votes, but never so much that R30 sees it.
//! Next to validators that come and go nobody is promised slots: whoever they put a step behind stays there for some
//! rounds, and in short windows that is much. docs/reputation.md has the bound by profile, and what happens beyond it.

use std::sync::Arc;

use probity_core::{Commit, Eligibility, ONE, Scoring, Standing, ValidatorIndex};

use super::fast_path::even_delay;
use super::{Checker, Observation, Scene};
use crate::plan::{FaultKind, Plan};

#[derive(Default)]
pub(super) struct Standings {
    scores: Option<Scoring>,
    commits: u64,
    schedule: u64,
}

impl Checker for Standings {
    fn promise(&self) -> &'static str {
        "who is in time keeps merit and slots, and no coalition scores above the best of them"
    }

    fn look(&mut self, scene: &Scene<'_>, seen: &Observation<'_>) -> Result<(), String> {
        match seen {
            Observation::Committed(commit) if is_prompt(scene) => self.note(scene, commit),
            _ => Ok(()),
        }
    }
}

impl Standings {
    /// Whoever is first with a commit tells it; that the others have the same is `agreement`'s business.
    fn note(&mut self, scene: &Scene<'_>, commit: &Commit) -> Result<(), String> {
        if commit.index().0 != scene.origin.index.0 + self.commits + 1 {
            return Ok(());
        }
        self.commits += 1;
        let new = || Scoring::new(Arc::clone(scene.committee));
        let scores = self.scores.get_or_insert_with(new);
        let blocks = commit.blocks.iter().map(|committed| &committed.block);
        let blocks: Vec<_> = blocks.map(|b| (b.reference(), b.header())).collect();
        scores.commit(&commit.record, &blocks);
        let (schedule, _) = scores.newest_schedule();
        if schedule == self.schedule {
            return Ok(());
        }
        self.schedule = schedule;
        let said = format!("after commit {}, by schedule {schedule}: ", commit.index());
        judge(scene, &scores.standings()).map_err(|how| said + &how)
    }
}

fn judge(scene: &Scene<'_>, standings: &[Standing]) -> Result<(), String> {
    if !is_fast_without_others(scene) {
        return Ok(());
    }
    let timely = |s: &&Standing| is_timely(scene, s.validator);
    let least = least_merit(scene.plan);
    for standing in standings.iter().filter(timely) {
        if !leads_on(scene, standing.validator) {
            continue;
        }
        let Standing {
            validator,
            merit_share,
            score,
            median,
            ..
        } = standing;
        if merit_share.is_some_and(|share| share < least) {
            return Err(format!("{validator} has merit {merit_share:?}"));
        }
        let leads = standing.newest.eligibility == Eligibility::Eligible;
        if !leads && is_steady(scene.plan) {
            return Err(format!(
                "{validator} leads no slot, with a score of {score} and a median of {median}"
            ));
        }
    }
    let best = standings.iter().filter(timely).map(|s| s.score).max();
    let sins = |s: &&Standing| !scene.is_correct(s.validator);
    let sinner = standings.iter().filter(sins).max_by_key(|s| s.score);
    match (best, sinner) {
        (Some(best), Some(sinner))
            if sinner.score > best + one_round(scene) && boosting_costs_more(scene) =>
        {
            Err(format!(
                "{} scores {}, the best of those in time {best}",
                sinner.validator, sinner.score
            ))
        }
        _ => Ok(()),
    }
}

/// The merit that R30 takes for full, or all of it.
fn least_merit(plan: &Plan) -> u32 {
    if plan.faults.is_empty() {
        ONE
    } else {
        ONE / 10 * 8
    }
}

/// Whether whoever is slow or sins is so all the time.
fn is_steady(plan: &Plan) -> bool {
    let steady = |kind: &FaultKind| matches!(kind, FaultKind::Slow { .. });
    plan.faults.iter().all(|fault| steady(&fault.kind))
}

/// What a coalition's missing links of one round cost itself: its votes count a round later than the points that they
/// take, and so may lie outside a window.
fn one_round(scene: &Scene<'_>) -> u64 {
    let t = scene.committee.thresholds();
    u64::from(ONE) * (t.total - t.quorum) / (2 * t.total)
}

/// What some validators of an epoch weigh.
#[derive(Default)]
struct Weights {
    /// All that sin.
    coalition: u64,
    /// All that follow the rules, and are slow or down at times.
    absent: u64,
    /// The heaviest of those that are in time.
    heaviest: u64,
}

impl Weights {
    fn of(scene: &Scene<'_>) -> Self {
        let mut weights = Self::default();
        for validator in scene.committee.indices() {
            let weight = scene.committee.weight(validator);
            if is_timely(scene, validator) {
                weights.heaviest = weights.heaviest.max(weight);
            } else if scene.is_correct(validator) {
                weights.absent += weight;
            } else {
                weights.coalition += weight;
            }
        }
        weights
    }
}

/// Whether all that are in time make rounds by themselves: if not, those wait for the others, and nobody is promised
/// anything.
fn is_fast_without_others(scene: &Scene<'_>) -> bool {
    let Weights {
        coalition, absent, ..
    } = Weights::of(scene);
    let t = scene.committee.thresholds();
    coalition + absent <= t.byzantine + t.crashed
}

/// Whether a coalition of weight `b` loses more by links that it leaves out than correct validators of weight `w` at most
/// lose on average, beside correct ones of weight `k` that are slow or down, and so do not lead and link nobody in time:
/// `2 * (W - k) * b <= (W - k - b) * (min(F, W - k) - w)`.
fn boosting_costs_more(scene: &Scene<'_>) -> bool {
    let Weights {
        coalition,
        absent,
        heaviest,
    } = Weights::of(scene);
    let t = scene.committee.thresholds();
    let there = t.total - absent;
    let room = t.fast_commit.min(there).saturating_sub(heaviest);
    let correct = u128::from(there - coalition);
    2 * u128::from(there) * u128::from(coalition) <= correct * u128::from(room)
}

/// Whether even all other weight that does not link it in time leaves a validator above five eighths of full points:
/// `8 * (W - g - w) >= 5 * (F - w)`.
fn leads_on(scene: &Scene<'_>, validator: ValidatorIndex) -> bool {
    let others = scene.committee.indices().filter(|v| !is_timely(scene, *v));
    let against: u64 = others.map(|v| scene.committee.weight(v)).sum();
    let t = scene.committee.thresholds();
    let weight = scene.committee.weight(validator);
    let seen = u128::from(t.total - against - weight);
    8 * seen >= 5 * u128::from(t.fast_commit.saturating_sub(weight))
}

/// Whether whoever follows the rules is in time: the network is even, nobody sends selectively, and no fault hits more
/// than one validator. After the heal nothing is known.
fn is_prompt(scene: &Scene<'_>) -> bool {
    let plan = scene.plan;
    let faulty_us = plan.faulty_ms * 1_000;
    let patient = |sin: &str| sin == "griefer" || sin == "booster";
    let alone = |kind: &FaultKind| {
        matches!(
            kind,
            FaultKind::Crash { .. } | FaultKind::Pause { .. } | FaultKind::Slow { .. }
        )
    };
    even_delay(plan).is_some()
        && !plan.over_the_limit
        && plan.committee.leaders.is_none()
        && plan.sinners.iter().all(|sinner| patient(&sinner.sin))
        && plan.faults.iter().all(|fault| alone(&fault.kind))
        && scene.now < crate::START.plus_us(faulty_us)
}

/// Whether a validator follows the rules and no fault hits it.
fn is_timely(scene: &Scene<'_>, validator: ValidatorIndex) -> bool {
    let Some(seat) = scene.seat(validator) else {
        return false;
    };
    let hit = |kind: &FaultKind| kind.validators().contains(&seat.0);
    scene.is_correct(validator) && !scene.plan.faults.iter().any(|fault| hit(&fault.kind))
}

#[cfg(test)]
mod tests {
    use probity_core::ValidatorIndex;

    use super::Standings;
    use crate::checker::stage::Stage;
    use crate::plan::Draws;

    /// A full DAG, in which a validator is left out of the commits from round 3 on.
    fn look(left_out: Option<u16>) -> Result<Vec<()>, String> {
        let mut stage = Stage::full_dag(30);
        let even = Draws::of_scenario("fast-path").unwrap().plan(1).unwrap();
        stage.plan.network = even.network;
        stage.plan.disk = even.disk;
        stage.now = crate::START;
        let mut checker = Standings::default();
        let mut commits = stage.commits();
        for commit in &mut commits {
            commit.blocks.retain(|committed| {
                let of = committed.block.reference();
                of.round.0 < 3 || left_out.map(ValidatorIndex) != Some(of.author)
            });
        }
        let looks = commits.iter().map(|c| stage.commit(&mut checker, 0, c));
        looks.collect()
    }

    #[test]
    fn lost_merit_is_seen() {
        assert!(look(None).is_ok());
        assert!(look(Some(2)).unwrap_err().contains("has merit"));
    }
}
