//! A committed leader's history as one flat order, without repeats (R19), and its timestamp (R20).

use crate::block::BlockRef;
use crate::crypto::{Context, Digest, hash};
use crate::dag::{BlockId, Dag};
use crate::id::Round;

/// R19: the leader and every uncommitted ancestor above the gc round, by round, then by a hash that nobody can
/// choose before the leader is known; the leader comes last. Marks them committed and says which are void (R12).
pub(crate) fn linearize(dag: &mut Dag, leader: BlockId) -> Vec<(BlockId, BlockRef, bool)> {
    let leader_digest = dag.entry(leader).block.reference().digest;
    let mut blocks: Vec<(Round, Digest, BlockId)> = dag
        .uncommitted_history(leader)
        .into_iter()
        .map(|id| {
            let digest = dag.entry(id).block.reference().digest;
            let mut key = hash(
                Context::CommitOrder,
                &[leader_digest.as_bytes(), digest.as_bytes()],
            );
            if planted!(OrderByDigest) {
                key = digest;
            }
            if planted!(OrderByArrival) {
                key = Digest::ZERO;
            }
            (id.round, key, id)
        })
        .collect();
    blocks.sort_unstable();
    if planted!(LeaderFirst) {
        blocks.rotate_right(1);
    }
    sometimes!(LeaderAlone if blocks.len() == 1);
    sometimes!(OldOrdered if blocks[0].0.plus(4) <= leader.round);
    sometimes!(OldestOrdered if dag.gc_round() > Round::GENESIS && blocks[0].0 == dag.gc_round().next());
    blocks
        .into_iter()
        .map(|(_, _, id)| {
            let void = dag.set_committed(id);
            sometimes!(VoidOrdered if void);
            (id, dag.entry(id).block.reference(), void)
        })
        .collect()
}

/// R20: the weighted lower median of the timestamps of the leader's parents in the round below, not before
/// `previous_ms`.
pub(crate) fn timestamp_ms(dag: &Dag, leader: BlockId, previous_ms: u64) -> u64 {
    let committee = dag.committee();
    let block = &dag.entry(leader).block;
    let mut stamps: Vec<(u64, u64)> = block
        .parents()
        .iter()
        .filter(|parent| parent.round.next() == block.round())
        .map(|parent| {
            // Genesis carries the last timestamp of the epoch before: 0 in the first.
            let stamp = dag
                .block(parent)
                .map_or(0, |block| block.header().timestamp_ms);
            (stamp, committee.weight(parent.author))
        })
        .collect();
    stamps.sort_unstable();
    let median_ms = lower_median(&stamps);
    sometimes!(TimestampHeld if median_ms < previous_ms);
    if planted!(TimestampFalls) {
        return median_ms;
    }
    previous_ms.max(median_ms)
}

/// The least value whose cumulative weight times two reaches the whole weight; 0 of nothing.
fn lower_median(ascending: &[(u64, u64)]) -> u64 {
    let total: u128 = ascending
        .iter()
        .map(|(_, weight)| u128::from(*weight))
        .sum();
    let mut cumulative = 0u128;
    for (value, weight) in ascending {
        cumulative += u128::from(*weight);
        if cumulative * 2 >= total + u128::from(planted!(UpperMedian)) {
            return *value;
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::lower_median;

    #[test]
    fn the_lower_median_is_weighted() {
        assert_eq!(lower_median(&[]), 0);
        assert_eq!(lower_median(&[(7, 1)]), 7);
        assert_eq!(lower_median(&[(1, 1), (2, 1)]), 1);
        assert_eq!(lower_median(&[(1, 1), (2, 1), (3, 1)]), 2);
        assert_eq!(lower_median(&[(1, 1), (2, 1), (3, 5)]), 3);
        assert_eq!(lower_median(&[(1, u64::MAX), (9, u64::MAX)]), 1);
    }
}
