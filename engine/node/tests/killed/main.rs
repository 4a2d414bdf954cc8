//! Validators in processes of their own, killed with SIGKILL again and again, epochs ending meanwhile: over QUIC and LMDB, what
//! a client was told is committed stays so and comes once, all have one sequence, and nobody ever saw two blocks of one slot.
//!
//! The processes are this program with [`HOME`] in its environment, so it has a `main` of its own.
//! `PROBITY_KILLS=500` kills so often, `PROBITY_KILL_SEED=7` draws the same victims and pauses again.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../common/mod.rs"]
mod common;
mod network;
mod validator;

use std::collections::BTreeSet;
use std::env;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use common::{digests, next, now_ms, transactions, wait_until};
use libtest_mimic::{Arguments, Trial};
use network::{Network, VALIDATORS};
use probity::{Commit, CommitIndex, Node, State};

/// What makes a child of this program, and which.
const HOME: &str = "PROBITY_KILLED_HOME";
const NUMBER: &str = "PROBITY_KILLED_NUMBER";
const START: &str = "PROBITY_KILLED_START";

/// Kills of one run, unless told otherwise.
const KILLS: u64 = 40;
/// Longest pauses between a kill and the next step.
const DOWN_MS: u64 = 400;
const UP_MS: u64 = 700;

fn main() -> ExitCode {
    if let Some(home) = env::var_os(HOME) {
        let number = |name| env::var(name).unwrap().parse::<u32>().unwrap();
        let validator = u8::try_from(number(NUMBER)).unwrap();
        return validator::run(&PathBuf::from(home), validator, number(START));
    }
    let trial = Trial::test("nothing_is_lost_doubled_or_signed_twice", || {
        killed_again_and_again();
        Ok(())
    });
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit_code()
}

/// A number from the environment.
fn setting(name: &str, otherwise: u64) -> u64 {
    env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
}

/// Numbers below a bound, the same for the same seed.
struct Draw(blake3::OutputReader);

impl Draw {
    fn new(seed: u64) -> Self {
        Self(
            blake3::Hasher::new()
                .update(&seed.to_le_bytes())
                .finalize_xof(),
        )
    }

    fn below(&mut self, bound: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes) % bound
    }

    fn pause(&mut self, most_ms: u64) {
        thread::sleep(Duration::from_millis(self.below(most_ms)));
    }
}

fn killed_again_and_again() {
    let seed = setting("PROBITY_KILL_SEED", now_ms());
    let kills = setting("PROBITY_KILLS", KILLS);
    println!("PROBITY_KILL_SEED={seed} PROBITY_KILLS={kills}");
    let mut draw = Draw::new(seed);
    let mut network = Network::new();
    (0..VALIDATORS).for_each(|number| network.start(number));
    let mut killed = 0;
    while killed < kills {
        draw.pause(UP_MS);
        // Mostly one, which the others do without; sometimes two, which stops them all; sometimes the whole network.
        let victims = match draw.below(8) {
            0 => VALIDATORS,
            1 | 2 => 2,
            _ => 1,
        };
        let first = draw.below(VALIDATORS.into());
        let victims =
            (0..victims).map(|k| u8::try_from(first).unwrap().wrapping_add(k) % VALIDATORS);
        let victims: Vec<u8> = victims.collect();
        for victim in &victims {
            network.kill(*victim);
            killed += 1;
        }
        draw.pause(DOWN_MS);
        for victim in &victims {
            network.start(*victim);
        }
        if draw.below(4) == 0 {
            // All of them are at work again before the next one is killed.
            let committed = network.count();
            wait_until("clients go on", || network.count() > committed + 20);
        }
    }
    let committed = network.count();
    wait_until("clients go on", || network.count() > committed + 100);
    (0..VALIDATORS).for_each(|number| network.kill(number));
    check(&network);
}

/// Starts all of them once more, in this process, to look at what they have.
fn check(network: &Network) {
    let start = |number| validator::start(network.home(), number);
    let nodes: Vec<Node> = (0..VALIDATORS).map(start).collect();
    let mut committed = network.committed();
    for (number, node) in nodes.iter().enumerate() {
        let last = Bytes::from(format!("the last one of {number}"));
        let taken = node.submit_blocking(last.clone()).unwrap();
        taken.committed_blocking().unwrap();
        committed.insert(last);
    }
    let last = nodes.iter().map(|node| node.status().last_commit).max();
    let read: Vec<_> = nodes
        .iter()
        .map(|node| read_to(node, last.unwrap()))
        .collect();
    for other in &read[1..] {
        assert_eq!(digests(&read[0]), digests(other), "one sequence");
        assert_eq!(transactions(&read[0]), transactions(other));
    }
    let found = transactions(&read[0]);
    let once: BTreeSet<Bytes> = found.iter().cloned().collect();
    assert_eq!(found.len(), once.len(), "nothing comes twice");
    let lost: Vec<_> = committed.difference(&once).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    for node in &nodes {
        assert_eq!(node.status().state, State::Running);
        assert!(node.evidence().unwrap().is_empty(), "nobody signed twice");
    }
    let epochs = nodes[0].epoch();
    assert!(epochs > 3, "{epochs} epochs");
    println!(
        "{} transactions known to be committed, {} found, {epochs} epochs, {} commits",
        committed.len(),
        found.len(),
        read[0].len(),
    );
}

/// The sequence up to a commit.
fn read_to(node: &Node, last: CommitIndex) -> Vec<Arc<Commit>> {
    let mut stream = node.commits_after(CommitIndex::GENESIS);
    let mut commits = vec![next(&mut stream)];
    while commits.last().unwrap().index() < last {
        commits.push(next(&mut stream));
    }
    commits
}
