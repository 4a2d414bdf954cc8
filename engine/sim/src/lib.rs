//! Whole clusters in one thread: virtual time, faults, Byzantine validators, and checkers that look at every step.
//!
//! Bring your application, and see whether it is the same on every validator while everything goes wrong:
//!
//! ```
//! use probity_core::Commit;
//! use probity_sim::{Application, World};
//!
//! /// Counts transactions.
//! #[derive(Default)]
//! struct Counter(u64);
//!
//! impl Application for Counter {
//!     fn apply(&mut self, commit: &Commit) {
//!         self.0 += commit.transactions().count() as u64;
//!     }
//!
//!     fn state(&self) -> Vec<u8> {
//!         self.0.to_le_bytes().to_vec()
//!     }
//! }
//!
//! let report = World::new(7)
//!     .validators(4)
//!     .scenario("calm")
//!     .duration_ms(2_000)
//!     .application(Counter::default)
//!     .run()
//!     .unwrap();
//! assert!(report.commits > 0);
//! assert_eq!(report.violation, None);
//! ```
//!
//! `examples/own_application.rs` has a key-value store, once sound and once with a mistake that the run finds.
//!
//! # What is real and what is not
//!
//! | | |
//! |---|---|
//! | real | replicas, codec, verification, recovery from records, everything of `probity-core` |
//! | a model | the network (delays, loss, duplicates, reordering, flipped bits, cuts, an uplink's speed) |
//! | a model | disks (slow writes, failed writes, writes lost or half done in a crash) |
//! | a model | wall clocks (skew, jumps), processes (crash, pause, slowness), clients |
//! | stood in for | signatures cost a hash, unless a plan says Ed25519; sinners sign with their own keys alone |
//! | a model | what a node's intake remembers of transactions, and submits again |
//! | not simulated | threads, sockets, QUIC, LMDB, the rest of the intake, limits on peers: tests of those crates |
//!
//! A transaction is a number in eight bytes, little-endian, and padding. An application makes of it what it likes.
//!
//! # How to read it
//!
//! | module | what it holds |
//! |---|---|
//! | [`plan`] | everything a run does, as data; drawn from a seed, written down, replayed |
//! | [`scenario`] | named families of plans |
//! | [`adversary`] | Byzantine validators, one sin a file |
//! | [`World`] | one event heap, one clock; carries out what replicas ask for |
//! | [`network`], [`regions`], [`Disk`] | the models |
//! | [`checker`] | what must never happen, one promise a file |
//! | [`application`] | the embedder's code |
//! | [`run`](mod@run), [`WorldBuilder`] | a run, and what came of it |
//! | [`random`], [`Trace`] | chance from one seed; what happened, as a digest |
//!
//! # How to see a seed again
//!
//! A plan and the code decide a run, event by event, in debug and in release, whatever runs beside it. So a report's
//! seed, scenario and commit of this repository are all that is needed: `World::new(seed).scenario(name)` with the
//! same settings, and [`World::with_text`] to read what happened. A [`plan::Plan`] is TOML: one that broke a promise is
//! kept in `regressions/`, and `tests/regressions.rs` runs them all.

#![forbid(unsafe_code)]

pub mod adversary;
pub mod amplification;
pub mod application;
mod builder;
pub mod checker;
mod disk;
mod history;
pub mod network;
pub mod plan;
pub mod random;
pub mod regions;
pub mod run;
pub mod scenario;
mod seats;
pub mod shrink;
mod signer;
mod trace;
pub mod twins;
mod world;

pub use application::Application;
pub use builder::WorldBuilder;
pub use disk::Disk;
pub use run::Report;
pub use signer::Signer;
pub use trace::Trace;
pub use world::{Liveness, START, World, submitted_at};
