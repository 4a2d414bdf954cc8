//! Whole replicas in virtual time: real codec, real signatures, a store that forgets what was not durable.
//!
//! The world is small on purpose; the simulator crate has the full set of faults.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may panic"
)]

mod scenarios;
mod world;
