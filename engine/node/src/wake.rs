//! Wakes the core without ever waiting for it.
//!
//! A channel's own waiting spins and yields before it sleeps, which at one header per wake-up costs the core more than
//! the header does. Here whoever has news sets one word, and only a sleeping core costs a system call.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::Duration;

const AWAKE: u8 = 0;
const ASLEEP: u8 = 1;
const RUNG: u8 = 2;

/// Rings at the core; rings that come before it looks are one.
#[derive(Clone, Default)]
pub(crate) struct Bell(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: AtomicU8,
    sleeper: OnceLock<Thread>,
}

impl Bell {
    /// What the ringer did before is seen by the sleeper after.
    pub(crate) fn ring(&self) {
        if self.0.state.swap(RUNG, Ordering::AcqRel) == ASLEEP
            && let Some(sleeper) = self.0.sleeper.get()
        {
            sleeper.unpark();
        }
    }

    /// Sleeps until somebody rings, or has rung since the last call; only one thread may ever call it.
    pub(crate) fn wait(&self, at_most: Duration) {
        self.0.sleeper.get_or_init(std::thread::current);
        let state = &self.0.state;
        let sleeps = state.compare_exchange(AWAKE, ASLEEP, Ordering::AcqRel, Ordering::Acquire);
        if sleeps.is_ok() {
            std::thread::park_timeout(at_most);
        }
        state.swap(AWAKE, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Bell;

    #[test]
    fn no_ring_is_lost() {
        let (bell, ringer) = (Bell::default(), Bell::default());
        let back = ringer.clone();
        let echo = bell.clone();
        let other = std::thread::spawn(move || {
            for _ in 0..20_000 {
                back.wait(Duration::from_secs(60));
                echo.ring();
            }
        });
        for _ in 0..20_000 {
            ringer.ring();
            bell.wait(Duration::from_secs(60));
        }
        other.join().expect("the other side answers");
    }

    #[test]
    fn without_a_ring_the_wait_ends() {
        let started = Instant::now();
        Bell::default().wait(Duration::from_millis(5));
        assert!(started.elapsed() >= Duration::from_millis(5));
    }
}
