//! How much one peer may make this node send.
//!
//! A request of a few bytes is answered with megabytes. Without a bound, a peer that only asks would
//! keep the core copying blocks for it, and the thread that reads stored ones from everybody else.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// What an answered byte costs: a peer gets about one gigabit a second.
const NANOS_PER_BYTE: u64 = 8;
/// What a request costs before it is answered, in bytes.
const REQUEST_BYTES: usize = 4096;
/// How far ahead of its rate a peer may be: about 30 MB, more than a link's queue holds.
const AHEAD_MAX: Duration = Duration::from_millis(250);

/// What a peer has used up, as the moment until which it is paid for.
pub(crate) struct Allowance(Mutex<Instant>);

impl Allowance {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Instant::now()))
    }

    /// Takes a request of the peer; `false` when it has to ask again later.
    pub(crate) fn take_request(&self, now: Instant) -> bool {
        let open = self.is_open(now);
        if open {
            self.charge(now, REQUEST_BYTES);
        }
        open
    }

    /// Whether the peer may have more.
    pub(crate) fn is_open(&self, now: Instant) -> bool {
        self.0.lock().saturating_duration_since(now) <= AHEAD_MAX
    }

    /// These bytes are sent to the peer.
    pub(crate) fn charge(&self, now: Instant, bytes: usize) {
        let mut paid = self.0.lock();
        *paid = (*paid).max(now) + Duration::from_nanos(bytes as u64 * NANOS_PER_BYTE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_had_much_waits_while_others_do_not() {
        let [greedy, modest] = [Allowance::new(), Allowance::new()];
        let now = Instant::now();
        assert!(greedy.take_request(now));
        greedy.charge(now, 125_000_000);
        assert!(!greedy.take_request(now));
        assert!(modest.take_request(now));
        let later = now + Duration::from_secs(1);
        assert!(greedy.take_request(later));
    }

    #[test]
    fn requests_alone_use_it_up_and_rest_saves_no_more_than_the_bound() {
        let allowance = Allowance::new();
        let ask_all = |now| {
            let asked = (0..100_000).take_while(|_| allowance.take_request(now));
            asked.count()
        };
        let now = Instant::now() + Duration::from_secs(3600);
        let burst = ask_all(now);
        assert!((7_000..9_000).contains(&burst), "{burst}");
        assert_eq!(ask_all(now), 0);
        assert_eq!(ask_all(now + Duration::from_secs(3600)), burst);
    }
}
