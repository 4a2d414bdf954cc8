//! Why a node runs no longer, and the threads that have to notice.
//!
//! Whoever finds a fault calls [`Health::stop`]; the first reason stays. Every thread looks at
//! [`Health::is_stopping`] between two steps, and the core looks before every signature.

use std::any::Any;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use event_listener::{Event, Listener as _};

/// The longest that a thread sleeps without looking whether the node stops.
pub(crate) const NAP: Duration = Duration::from_millis(50);

/// Why a node stopped.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum StopReason {
    /// [`Node::stop`](crate::Node::stop) was called, or the last handle was dropped.
    Requested,
    /// The storage failed; start again on the same storage when its fault is mended.
    Storage(String),
    /// Certified commits do not continue this validator's own: more weight than `f` is faulty, and operators must act.
    Forked(String),
    /// A thread of the node panicked: a defect of Probity or of the transaction check.
    Panic {
        /// The thread.
        thread: String,
        /// What it said.
        message: String,
    },
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requested => f.write_str("it was asked to stop"),
            Self::Storage(why) => write!(f, "the storage failed: {why}"),
            Self::Forked(why) => f.write_str(why),
            Self::Panic { thread, message } => write!(f, "thread {thread} panicked: {message}"),
        }
    }
}

/// Whether the node goes on, shared by all of its threads.
#[derive(Debug, Default)]
pub(crate) struct Health {
    why: OnceLock<StopReason>,
    finished: AtomicBool,
    changed: Event,
}

impl Health {
    /// Asks every thread to end. The first reason stays.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a reason is made where it is given"
    )]
    pub(crate) fn stop(&self, why: StopReason) {
        if let Err(StopReason::Storage(_) | StopReason::Panic { .. }) = self.why.set(why.clone()) {
            tracing::error!(%why, "another fault while stopping");
            return;
        }
        match &why {
            StopReason::Requested => tracing::info!("the node stops"),
            StopReason::Storage(_) | StopReason::Forked(_) | StopReason::Panic { .. } => {
                tracing::error!(%why, "the node stops");
            }
        }
        self.changed.notify(usize::MAX);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.why.get().is_some()
    }

    pub(crate) fn reason(&self) -> Option<StopReason> {
        self.why.get().cloned()
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    /// Every thread has ended.
    pub(crate) fn finish(&self) {
        self.finished.store(true, Ordering::Release);
        self.changed.notify(usize::MAX);
    }

    /// Waits until every thread has ended; `false` when that takes longer than `timeout`.
    pub(crate) fn wait_finished(&self, timeout: Duration) -> bool {
        let deadline = std::time::Instant::now() + timeout;
        loop {
            let listener = self.changed.listen();
            if self.finished.load(Ordering::Acquire) {
                return true;
            }
            if listener.wait_deadline(deadline).is_none() {
                return self.finished.load(Ordering::Acquire);
            }
        }
    }
}

/// Starts a thread whose panic stops the node instead of the process.
pub(crate) fn spawn(
    name: &'static str,
    health: &Arc<Health>,
    body: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let health = Arc::clone(health);
    Builder::new()
        .name(format!("probity-{name}"))
        .spawn(move || {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(body)) {
                health.stop(panicked(name, panic.as_ref()));
            }
        })
}

/// What a caught panic is reported as.
pub(crate) fn panicked(thread: &str, panic: &(dyn Any + Send)) -> StopReason {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    let message = text.unwrap_or_else(|| "no message".to_owned());
    StopReason::Panic {
        thread: thread.to_owned(),
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_stays() {
        let health = Health::default();
        assert!(!health.is_stopping());
        health.stop(StopReason::Storage("full".into()));
        health.stop(StopReason::Requested);
        assert_eq!(health.reason(), Some(StopReason::Storage("full".into())));
    }

    #[test]
    fn a_panic_names_its_thread_and_ends_no_other() {
        let health = Arc::new(Health::default());
        let thread = spawn("test", &health, || panic!("planted {}", 7)).unwrap();
        thread.join().unwrap();
        let expected = StopReason::Panic {
            thread: "test".into(),
            message: "planted 7".into(),
        };
        assert_eq!(health.reason(), Some(expected));
    }
}
