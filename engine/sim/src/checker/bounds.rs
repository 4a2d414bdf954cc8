//! What a validator holds stays under what the rules allow, whatever its peers send (R6, R12, R25).
//!
//! Looked at now and then: a replica without a bound grows for long.

use std::collections::BTreeMap;

use probity_core::ReplicaStatus;
use probity_core::limits::{
    BLOCK_BYTES_MAX, CATCH_UP_BLOCKS_MAX, CATCH_UP_COMMITS_MAX, EVIDENCE_AUTHOR_MAX,
    EXTRA_GRANT_US, MISSING_REFS_MAX, OPEN_VOTES_PER_AUTHOR_MAX, RECORDS_WAITING_MAX,
    SUSPENDED_BYTES_MAX, extra_bytes_max,
};

use super::{Checker, Observation, Scene};

#[derive(Default)]
pub(super) struct Bounds {
    /// By process: states not looked at since the last one that was.
    passed: BTreeMap<usize, u32>,
}

/// One state in so many is looked at.
const EVERY: u32 = 16;
/// R35: those of one window, and proved ones of the window before.
const RECORDS_MOST: u64 = 2 * CATCH_UP_COMMITS_MAX;
/// No block is smaller: fixed fields, one parent and the signature.
const BLOCK_BYTES_MIN: usize = 200;

impl Checker for Bounds {
    fn promise(&self) -> &'static str {
        "what a validator holds stays within the rules' bounds"
    }

    fn look(&mut self, scene: &Scene<'_>, seen: &Observation<'_>) -> Result<(), String> {
        let Observation::Settled(status) = seen else {
            return Ok(());
        };
        let passed = self.passed.entry(scene.process).or_default();
        *passed = (*passed + 1) % EVERY;
        if *passed != 1 {
            return Ok(());
        }
        let most = most(scene, status);
        for (what, held, most) in [
            ("blocks in the window", status.dag_blocks, most.window),
            ("suspended blocks", status.suspended_blocks, most.ahead),
            (
                "suspended bytes",
                status.suspended_bytes,
                SUSPENDED_BYTES_MAX,
            ),
            ("missing blocks", status.missing_blocks, most.missing),
            ("bytes of extra blocks", status.extra_bytes, most.extra),
            ("fetched records", status.catch_up_records, most.records),
            (
                "blocks to install",
                status.catch_up_blocks,
                CATCH_UP_BLOCKS_MAX + most.window,
            ),
            (
                "remembered blocks",
                status.remembered_blocks,
                most.remembered,
            ),
            ("equivocations", status.equivocations, most.equivocations),
            ("open votes", status.open_votes, most.votes),
            (
                "waiting records",
                status.waiting_records,
                RECORDS_WAITING_MAX,
            ),
        ] {
            if held > most {
                return Err(format!(
                    "{held} {what}, at most {most} are allowed: {status:?}"
                ));
            }
        }
        Ok(())
    }
}

/// Upper bounds that follow from the rules.
struct Most {
    window: usize,
    ahead: usize,
    missing: usize,
    extra: usize,
    remembered: usize,
    equivocations: usize,
    votes: usize,
    records: usize,
}

fn most(scene: &Scene<'_>, status: &ReplicaStatus) -> Most {
    let validators = scene.committee.size();
    let sinners = scene.committee.indices();
    let sinners = sinners.filter(|v| !scene.is_correct(*v)).count();
    let gc_depth = scene.committee.gc_depth() as usize;
    let gc_round = status.gc_round.0 as usize;
    let open = (status.frontier.0 as usize).saturating_sub(gc_round);
    // R6: a correct author fills a slot once; a Byzantine one again, out of the byte budgets of the others above the gc
    // round, and one more block each now and then.
    let payers = if sinners == 0 { 0 } else { validators };
    let extra = payers * extra_bytes_max(scene.committee.gc_depth());
    let grants = scene.now.0 / EXTRA_GRANT_US;
    let granted = payers * usize::try_from(grants).unwrap_or(usize::MAX) * BLOCK_BYTES_MAX;
    let extra_blocks = |rounds: usize| {
        let windows = rounds / gc_depth + 1;
        (windows * extra + granted) / BLOCK_BYTES_MIN
    };
    // R6: the round ceiling.
    let reach = open + gc_depth + 1;
    let ahead = validators * reach + extra_blocks(reach);
    let kept = 3 * gc_depth + 1;
    Most {
        window: ahead,
        ahead,
        extra,
        missing: MISSING_REFS_MAX.min(validators * (ahead + 2 * gc_depth * validators)),
        remembered: validators * kept + extra_blocks(kept) + 2 * gc_depth * validators * validators,
        equivocations: sinners * EVIDENCE_AUTHOR_MAX,
        votes: validators * OPEN_VOTES_PER_AUTHOR_MAX,
        records: usize::try_from(RECORDS_MOST).unwrap_or(usize::MAX),
    }
}

#[cfg(test)]
mod tests {
    use probity_core::ReplicaStatus;

    use super::Bounds;
    use crate::checker::Observation;
    use crate::checker::stage::Stage;

    #[test]
    fn whatever_grows_without_bound_is_seen() {
        let stage = Stage::full_dag(1);
        let look = |grow: fn(&mut ReplicaStatus)| {
            let mut status = Stage::status();
            grow(&mut status);
            let seen = Observation::Settled(&status);
            stage.look(&mut Bounds::default(), 0, &seen)
        };
        assert_eq!(look(|_| {}), Ok(()));
        let grown: [fn(&mut ReplicaStatus); 11] = [
            |status| status.dag_blocks = 100,
            |status| status.suspended_blocks = 100,
            |status| status.suspended_bytes = 1 << 27,
            |status| status.extra_bytes = 1,
            |status| status.missing_blocks = 10_000,
            |status| status.remembered_blocks = 1_000,
            |status| status.equivocations = 1,
            |status| status.catch_up_records = 10_000,
            |status| status.catch_up_blocks = 10_000_000,
            |status| status.open_votes = 2_000,
            |status| status.waiting_records = 300,
        ];
        for grow in grown {
            assert!(look(grow).unwrap_err().contains("are allowed"));
        }
    }
}
