//! From scores to the leaders of a schedule (R28, R29).

use crate::committee::{AuthorSet, Committee};
use crate::crypto::{Context, Digest, hash};
use crate::id::ValidatorIndex;
use crate::order::schedule::{BASE_SHARE, epoch_seed};

/// Part of a validator's key that the best score earns (R29).
const SCORE_SHARE: u128 = 16;

/// R28: who may lead, by ascending index, under these scores by index.
pub(crate) fn eligible(
    committee: &Committee,
    scores: &[u64],
    slashed: &AuthorSet,
) -> Vec<ValidatorIndex> {
    let mut left: Vec<ValidatorIndex> = committee.indices().collect();
    if scores.iter().all(|score| *score == 0) {
        return left;
    }
    let thresholds = committee.thresholds();
    let most = thresholds.byzantine + thresholds.crashed;
    let median = u128::from(median(committee, scores));
    let seed = epoch_seed(committee);
    let mut worst_first = left.clone();
    worst_first.sort_by_cached_key(|author| {
        let spared = !slashed.contains(*author);
        (spared, scores[author.position()], tie(&seed, *author))
    });
    let mut dropped = 0;
    for author in worst_first {
        let bad =
            slashed.contains(author) || 8 * u128::from(scores[author.position()]) < 5 * median;
        let weight = committee.weight(author);
        if !bad || dropped + weight > most {
            break;
        }
        dropped += weight;
        left.retain(|other| *other != author);
    }
    left
}

/// R29: the eligible validators with their keys for the draw.
pub(crate) fn pool(
    committee: &Committee,
    scores: &[u64],
    slashed: &AuthorSet,
) -> Vec<(ValidatorIndex, u128)> {
    if let Some(leaders) = committee.fixed_leaders() {
        return fixed_pool(committee, leaders);
    }
    let best = scores.iter().copied().max().unwrap_or(0);
    let key = |author: ValidatorIndex| {
        let score = u128::from(scores[author.position()]);
        let earned = (SCORE_SHARE * score)
            .checked_div(u128::from(best))
            .unwrap_or(0);
        (
            author,
            u128::from(committee.weight(author)) * (BASE_SHARE + earned),
        )
    };
    let eligible = eligible(committee, scores, slashed);
    eligible.into_iter().map(key).collect()
}

/// The pool of a committee whose leaders a simulation has fixed: keys are those of scores of zero.
pub(crate) fn fixed_pool(
    committee: &Committee,
    leaders: &AuthorSet,
) -> Vec<(ValidatorIndex, u128)> {
    let leads = committee
        .indices()
        .filter(|author| leaders.contains(*author));
    leads
        .map(|author| (author, u128::from(committee.weight(author)) * BASE_SHARE))
        .collect()
}

/// R28: the least score that validators of half of the weight do not exceed.
pub(crate) fn median(committee: &Committee, scores: &[u64]) -> u64 {
    let mut by_score: Vec<(u64, u64)> = committee
        .indices()
        .map(|author| (scores[author.position()], committee.weight(author)))
        .collect();
    by_score.sort_unstable();
    let total = u128::from(committee.thresholds().total);
    let mut weight = 0u128;
    for (score, of) in by_score {
        weight += u128::from(of);
        if 2 * weight >= total {
            return score;
        }
    }
    0
}

/// R28: breaks ties so that no index is favoured over the epochs.
fn tie(seed: &Digest, author: ValidatorIndex) -> Digest {
    let author = author.0.to_le_bytes();
    hash(Context::LeaderOrder, &[seed.as_bytes(), &author])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::committee;
    use crate::thresholds::{FaultBounds, Mode};

    fn of(weights: &[u64], byzantine: u64, crashed: u64) -> Committee {
        let bounds = FaultBounds {
            mode: Mode::Graded,
            byzantine,
            crashed,
        };
        committee(weights, bounds, 8)
    }

    fn left(committee: &Committee, scores: &[u64], slashed: &[u16]) -> Vec<u16> {
        let mut set = AuthorSet::default();
        slashed.iter().for_each(|author| {
            set.insert(ValidatorIndex(*author));
        });
        let left = eligible(committee, scores, &set);
        left.into_iter().map(|author| author.0).collect()
    }

    #[test]
    fn the_median_is_weighted_and_the_lower_one() {
        let equal = of(&[1; 4], 1, 0);
        assert_eq!(median(&equal, &[4, 1, 3, 2]), 2);
        let skewed = of(&[1, 1, 1, 5], 2, 0);
        assert_eq!(median(&skewed, &[1, 2, 3, 9]), 9);
        assert_eq!(median(&skewed, &[1, 2, 9, 3]), 3);
    }

    #[test]
    fn the_worst_are_dropped_below_five_eighths_of_the_median() {
        let committee = of(&[1; 7], 2, 0);
        // Median 80: 50 is not below 5/8 of it, 49 is.
        assert_eq!(
            left(&committee, &[80, 80, 80, 80, 80, 80, 50], &[]).len(),
            7
        );
        assert_eq!(
            left(&committee, &[80, 80, 80, 80, 80, 80, 49], &[]),
            [0, 1, 2, 3, 4, 5]
        );
        assert_eq!(
            left(&committee, &[0, 80, 80, 80, 80, 80, 49], &[]),
            [1, 2, 3, 4, 5]
        );
    }

    #[test]
    fn no_more_weight_is_dropped_than_may_be_faulty() {
        let committee = of(&[1; 7], 1, 1);
        // Three are bad, f + c = 2: the best of them stays.
        assert_eq!(
            left(&committee, &[3, 2, 1, 80, 80, 80, 80], &[]),
            [0, 3, 4, 5, 6]
        );
        let heavy = of(&[1, 3, 1, 1, 1, 1, 1], 1, 1);
        // The worst weighs 3 and stays; the next in order is not even looked at.
        assert_eq!(left(&heavy, &[1, 0, 80, 80, 80, 80, 80], &[]).len(), 7);
        // The order is by score: here the light one comes first, and then the heavy one does not fit.
        assert_eq!(
            left(&heavy, &[0, 1, 80, 80, 80, 80, 80], &[]),
            [1, 2, 3, 4, 5, 6]
        );
    }

    #[test]
    fn the_slashed_are_dropped_first_however_good_their_score() {
        let committee = of(&[1; 7], 2, 0);
        assert_eq!(
            left(&committee, &[1, 2, 80, 80, 80, 80, 99], &[6]),
            [1, 2, 3, 4, 5]
        );
        assert_eq!(
            left(&committee, &[1, 2, 80, 80, 80, 80, 99], &[6, 5, 4]).len(),
            5
        );
    }

    #[test]
    fn while_all_scores_are_zero_everybody_leads() {
        assert_eq!(left(&of(&[1; 4], 1, 0), &[0; 4], &[2]), [0, 1, 2, 3]);
    }

    #[test]
    fn ties_go_by_the_epochs_seed() {
        let committee = of(&[1; 7], 1, 0);
        let scores = [0, 0, 0, 80, 80, 80, 80];
        let seed = epoch_seed(&committee);
        let first = (0..3).map(ValidatorIndex).min_by_key(|a| tie(&seed, *a));
        let left = left(&committee, &scores, &[]);
        assert_eq!(left.len(), 6);
        assert!(!left.contains(&first.unwrap().0));
    }

    #[test]
    fn keys_are_weight_times_sixteen_to_thirty_two() {
        let committee = of(&[1, 2, 3, 4], 2, 0);
        let pool = pool(&committee, &[100, 99, 50, 100], &AuthorSet::default());
        let keys: Vec<u128> = pool.into_iter().map(|(_, key)| key).collect();
        // 16 * 99 / 100 = 15.84, 16 * 50 / 100 = 8.
        assert_eq!(keys, [32, 2 * 31, 3 * 24, 4 * 32]);
    }
}
