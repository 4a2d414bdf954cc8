//! How long to wait before dialling a peer again.
//!
//! The wait doubles with every failure up to a ceiling, and a random part of it is taken off, so
//! that a committee that lost one member does not dial it in step when it returns. The ceiling is
//! low: a validator that comes back should be heard within seconds, and a failed attempt costs a
//! handful of packets.

use std::time::Duration;

/// The wait after the first failure, before jitter.
const FIRST_DELAY: Duration = Duration::from_millis(100);

/// The longest wait.
const DELAY_MAX: Duration = Duration::from_secs(2);

/// A link that lived this long was sound: the next failure counts as the first.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// The wait after `failures` in a row: between half and all of the doubled delay, chosen by
/// `noise`, of which every bit must be random.
pub(crate) fn delay(failures: u32, noise: u64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let full = FIRST_DELAY.saturating_mul(1 << doublings).min(DELAY_MAX);
    let half = full / 2;
    let half_nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
    half + Duration::from_nanos(noise % half_nanos.saturating_add(1))
}

/// Failures in a row, once a link that lived for `lifetime` has ended.
pub(crate) fn failures_after(failures: u32, lifetime: Duration) -> u32 {
    if lifetime >= STABLE_AFTER {
        1
    } else {
        failures.saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_delay_doubles_up_to_the_ceiling() {
        let full = |failures| delay(failures, 0) * 2;
        assert_eq!(full(1), FIRST_DELAY);
        assert_eq!(full(2), 2 * FIRST_DELAY);
        assert_eq!(full(3), 4 * FIRST_DELAY);
        assert_eq!(full(30), DELAY_MAX);
        assert_eq!(full(u32::MAX), DELAY_MAX);
    }

    #[test]
    fn a_stable_link_starts_the_count_again() {
        assert_eq!(failures_after(7, STABLE_AFTER), 1);
        assert_eq!(failures_after(7, Duration::ZERO), 8);
    }

    proptest! {
        #[test]
        fn jitter_takes_off_at_most_half(failures: u32, noise: u64) {
            let chosen = delay(failures, noise);
            prop_assert!(chosen >= delay(failures, 0));
            prop_assert!(chosen <= delay(failures, 0) * 2);
            prop_assert!(chosen <= DELAY_MAX);
        }
    }
}
