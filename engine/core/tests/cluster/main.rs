//! Whole replicas in virtual time: real codec, real signatures, a store that forgets what was not durable.
//!
//! The world is small on purpose; the simulator crate has the full set of faults.

mod scenarios;
mod world;
