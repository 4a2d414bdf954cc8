//! Directed tests of one rule each: replicas driven by hand, block by block.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod amnesia;
mod catch_up;
mod draw;
mod ending;
mod evidence;
mod extra_blocks;
mod fetching;
mod hand;
mod history;
mod isolation;
mod lab;
mod misnamed;
mod pace;
mod poison;
mod restart;
mod returning;
mod scores;
mod tail;
