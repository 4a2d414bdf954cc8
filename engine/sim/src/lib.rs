//! Whole clusters in one thread: virtual time, faults, Byzantine validators, and checkers that look at every step.

#![forbid(unsafe_code)]

pub mod adversary;
pub mod application;
pub mod checker;
mod disk;
mod history;
pub mod network;
pub mod plan;
pub mod random;
pub mod regions;
pub mod run;
pub mod scenario;
mod signer;
mod trace;
pub mod twins;
mod world;

pub use disk::Disk;
pub use signer::Signer;
pub use trace::Trace;
pub use world::{Liveness, START, World};
