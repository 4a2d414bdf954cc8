//! Each commit is what the rules make of its leader: R12, R19, R20 and R22 again, the obvious way, from the blocks of
//! the world. Done once a commit index; agreement covers everybody else.

use std::collections::BTreeSet;

use probity_core::crypto::{Context, Digest, hash};
use probity_core::{
    BlockRef, COMMIT_RECORD_VERSION, CommitIndex, CommitRecord, Round, Slot, ValidatorIndex,
};

use super::bound::Bound;
use super::{Checker, Observation, Scene};

#[derive(Default)]
pub(super) struct Sequence {
    bound: Bound,
    last: CommitIndex,
    timestamp_ms: u64,
    gc_round: Round,
    /// What is ordered, above the gc round.
    ordered: BTreeSet<BlockRef>,
}

impl Checker for Sequence {
    fn promise(&self) -> &'static str {
        "each commit orders its leader's uncommitted history by the rules"
    }

    fn look(&mut self, scene: &Scene<'_>, seen: &Observation<'_>) -> Result<(), String> {
        if self.last < scene.origin.index {
            (self.last, self.timestamp_ms) = (scene.origin.index, scene.origin.timestamp_ms);
        }
        for record in self.bound.news(scene, seen) {
            if record.index <= self.last {
                continue;
            }
            if record.index != self.last.next() {
                return Err(format!("commit {} comes out of nothing", record.index));
            }
            self.check(scene, &record)
                .map_err(|how| format!("commit {}: {how}", record.index))?;
            self.take(scene, &record);
        }
        Ok(())
    }
}

impl Sequence {
    fn check(&self, scene: &Scene<'_>, record: &CommitRecord) -> Result<(), String> {
        if (record.version, record.epoch) != (COMMIT_RECORD_VERSION, scene.committee.epoch()) {
            return Err("another version or epoch".to_owned());
        }
        if record.leader.round <= self.gc_round {
            return Err("its leader was collected".to_owned());
        }
        let expected = self.linearized(scene, record.leader)?;
        let found: Vec<BlockRef> = record.blocks.iter().map(|(block, _)| *block).collect();
        if found != expected {
            return Err(format!("orders {found:?}, the rules say {expected:?}"));
        }
        self.check_voids(record)?;
        self.check_causal(scene, &found)?;
        let timestamp_ms = self.timestamp_ms.max(median_ms(scene, record.leader)?);
        if record.timestamp_ms != timestamp_ms {
            return Err(format!(
                "stamped {}, the rules say {timestamp_ms}",
                record.timestamp_ms
            ));
        }
        Ok(())
    }

    /// R19: every uncommitted block that the leader reaches above the gc round.
    fn linearized(&self, scene: &Scene<'_>, leader: BlockRef) -> Result<Vec<BlockRef>, String> {
        let mut found = BTreeSet::from([leader]);
        let mut open = vec![leader];
        while let Some(next) = open.pop() {
            for parent in block(scene, next)?.parents() {
                let counts = parent.round > self.gc_round && !self.ordered.contains(parent);
                if counts && found.insert(*parent) {
                    open.push(*parent);
                }
            }
        }
        let key = |x: &BlockRef| {
            let parts: [&[u8]; 2] = [leader.digest.as_bytes(), x.digest.as_bytes()];
            (x.round, hash(Context::CommitOrder, &parts))
        };
        let mut blocks: Vec<BlockRef> = found.into_iter().collect();
        blocks.sort_by_key(key);
        Ok(blocks)
    }

    /// R12: the first block of a slot counts, the later ones are void.
    fn check_voids(&self, record: &CommitRecord) -> Result<(), String> {
        let mut filled: BTreeSet<Slot> = self.ordered.iter().map(BlockRef::slot).collect();
        for (block, void) in &record.blocks {
            let first = filled.insert(block.slot());
            if first == *void {
                return Err(format!("{block:?} has the wrong void flag"));
            }
        }
        Ok(())
    }

    /// Nothing comes before what it links; with it the walk above may stop at what is ordered.
    fn check_causal(&self, scene: &Scene<'_>, found: &[BlockRef]) -> Result<(), String> {
        let mut before: BTreeSet<BlockRef> = BTreeSet::new();
        for reference in found {
            for parent in block(scene, *reference)?.parents() {
                let ordered = self.ordered.contains(parent) || before.contains(parent);
                if parent.round > self.gc_round && !ordered {
                    return Err(format!("{reference:?} comes before {parent:?}"));
                }
            }
            if !before.insert(*reference) || self.ordered.contains(reference) {
                return Err(format!("{reference:?} comes twice"));
            }
        }
        Ok(())
    }

    fn take(&mut self, scene: &Scene<'_>, record: &CommitRecord) {
        self.last = record.index;
        self.timestamp_ms = record.timestamp_ms;
        // R22.
        self.gc_round = Round(
            record
                .leader
                .round
                .0
                .saturating_sub(scene.committee.gc_depth()),
        );
        self.ordered.extend(record.blocks.iter().map(|(b, _)| *b));
        let lowest = BlockRef {
            round: self.gc_round.next(),
            author: ValidatorIndex(0),
            digest: Digest::ZERO,
        };
        self.ordered = self.ordered.split_off(&lowest);
    }
}

/// R20: the weighted lower median of the timestamps of the leader's parents right below it.
fn median_ms(scene: &Scene<'_>, leader: BlockRef) -> Result<u64, String> {
    let mut stamps: Vec<(u64, u64)> = Vec::new();
    for parent in block(scene, leader)?.parents() {
        if parent.round.next() == leader.round {
            let stamp = match parent.round {
                Round::GENESIS => scene.origin.timestamp_ms,
                _ => block(scene, *parent)?.header().timestamp_ms,
            };
            stamps.push((stamp, scene.committee.weight(parent.author)));
        }
    }
    let weight_up_to = |most: u64| {
        let counted = stamps.iter().filter(|(stamp, _)| *stamp <= most);
        counted.map(|(_, weight)| weight).sum::<u64>()
    };
    let all = weight_up_to(u64::MAX);
    let enough = stamps.iter().map(|(stamp, _)| *stamp);
    let least = enough.filter(|stamp| 2 * weight_up_to(*stamp) >= all).min();
    Ok(least.unwrap_or(0))
}

fn block<'a>(scene: &Scene<'a>, reference: BlockRef) -> Result<&'a probity_core::Block, String> {
    let found = scene.blocks.get(&reference.digest);
    found
        .map(AsRef::as_ref)
        .ok_or_else(|| format!("nobody made {reference:?}"))
}

#[cfg(test)]
mod tests {
    use probity_core::{Commit, CommitRecord};

    use super::Sequence;
    use crate::checker::stage::Stage;

    const SEEDS: std::ops::Range<u64> = 0..200;

    /// Feeds true commits of a drawn DAG, then one of several blocks that `lie` has changed; `None` if there is none.
    fn how(seed: u64, lie: fn(&mut CommitRecord)) -> Option<Result<(), String>> {
        let stage = Stage::drawn(seed);
        let mut sequence = Sequence::default();
        let mut commits = stage.commits();
        let several = |commit: &Commit| commit.record.blocks.len() > 2;
        let at = commits.iter().rposition(several)?;
        lie(&mut commits[at].record);
        let mut looks = commits[..=at].iter();
        Some(looks.try_for_each(|commit| stage.commit(&mut sequence, 0, commit)))
    }

    #[test]
    fn true_commits_pass() {
        let mut voids = 0;
        for stage in SEEDS.map(Stage::drawn).chain([Stage::full_dag(30)]) {
            let mut sequence = Sequence::default();
            for commit in &stage.commits() {
                assert_eq!(stage.commit(&mut sequence, 0, commit), Ok(()));
                voids += commit.blocks.iter().filter(|block| block.void).count();
            }
        }
        assert!(voids > 10, "the scenes have void blocks");
    }

    #[test]
    fn every_lie_is_seen() {
        let seen = |lie: fn(&mut CommitRecord), words: &str| {
            let hows: Vec<_> = SEEDS.filter_map(|seed| how(seed, lie)).collect();
            assert!(hows.len() > 20, "the scenes have commits of several blocks");
            for how in hows {
                let how = how.unwrap_err();
                assert!(how.contains(words), "{how}");
            }
        };
        seen(|record| record.blocks.swap(0, 1), "the rules say");
        seen(|record| record.blocks.truncate(2), "the rules say");
        seen(
            |record| record.blocks.push(record.blocks[0]),
            "the rules say",
        );
        seen(|record| record.blocks[0].1 ^= true, "void flag");
        seen(|record| record.timestamp_ms += 1, "stamped");
        seen(|record| record.timestamp_ms -= 1, "stamped");
        seen(|record| record.version += 1, "version");
        seen(|record| record.index = record.index.next(), "nothing");
        seen(|record| record.leader.digest.0[0] ^= 1, "nobody made");
    }
}
