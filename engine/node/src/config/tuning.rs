use std::num::NonZero;
use std::thread::available_parallelism;
use std::time::Duration;

use probity_core::limits::{
    IDLE_ROUND_DELAY_US, LEADER_TIMEOUT_MAX_US, MIN_ROUND_DELAY_US, PAYLOAD_BYTES_MAX,
};

use super::ConfigError;
use super::units::show_duration;

/// What a validator may choose for itself. None of it decides validity.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tuning {
    /// Shortest time between two own blocks. Default 2 ms: on a fast network it gathers payload and
    /// saves headers; on a slow one the network is slower anyway (R9).
    pub min_round_delay: Duration,
    /// Longest pause while nothing is pending anywhere. Default 200 ms: five empty blocks a second
    /// keep an idle network warm at hardly any cost (R9).
    pub idle_round_delay: Duration,
    /// Transactions that wait for a block, at most; then submitters are told to come back. Default
    /// 8,192: what waits longer than a second helps nobody.
    pub intake_transactions: usize,
    /// Bytes of waiting transactions, at most. Default 32 MiB: sixteen full blocks.
    pub intake_bytes: usize,
    /// Bytes of transactions in one own block, about: a block that is larger than its network and
    /// processors can take in one round makes every round wait. Default 256 KiB.
    pub block_bytes: usize,
    /// Threads that verify blocks and transactions. Default: every processor but the one that
    /// decides, and at least one.
    pub verify_threads: usize,
    /// Commits that the application may lag behind before the node stops proposing payload; it
    /// votes on. Default 4,096: four validators make so many in some seconds under load, in some minutes when idle.
    pub application_lag_commits: u64,
}

impl Default for Tuning {
    fn default() -> Self {
        let processors = available_parallelism().map_or(1, NonZero::get);
        Self {
            min_round_delay: Duration::from_micros(MIN_ROUND_DELAY_US),
            idle_round_delay: Duration::from_micros(IDLE_ROUND_DELAY_US),
            intake_transactions: 8_192,
            intake_bytes: 32 << 20,
            block_bytes: 256 << 10,
            verify_threads: processors.saturating_sub(1).clamp(1, THREADS_MAX),
            application_lag_commits: 4_096,
        }
    }
}

/// More threads than this verify nothing faster.
const THREADS_MAX: usize = 256;
/// A longer pause would outlast every leader timeout.
const IDLE_DELAY_MAX: Duration = Duration::from_micros(LEADER_TIMEOUT_MAX_US);
/// A submit queue is allocated whole: 2^24 slots are some hundred megabytes.
const INTAKE_TRANSACTIONS_MAX: usize = 1 << 24;
/// One transaction of the greatest size.
const BLOCK_BYTES_MIN: usize = 64 << 10;
const INTAKE_BYTES_MAX: usize = 4 << 30;

impl Tuning {
    /// Checks every value against its bounds.
    ///
    /// # Errors
    /// Names the first one that is out of them.
    pub fn check(&self) -> Result<(), ConfigError> {
        let fault = |field: &str, value: String, allowed| {
            Err(ConfigError::value(
                format!("tuning.{field}"),
                value,
                allowed,
            ))
        };
        if self.min_round_delay > self.idle_round_delay {
            let value = show_duration(self.min_round_delay);
            return fault("min_round_delay", value, "at most idle_round_delay");
        }
        if self.idle_round_delay.is_zero() || self.idle_round_delay > IDLE_DELAY_MAX {
            let value = show_duration(self.idle_round_delay);
            return fault("idle_round_delay", value, "1us to 2s");
        }
        if !(1..=INTAKE_TRANSACTIONS_MAX).contains(&self.intake_transactions) {
            let value = self.intake_transactions.to_string();
            return fault("intake_transactions", value, "1 to 16777216");
        }
        if !(PAYLOAD_BYTES_MAX..=INTAKE_BYTES_MAX).contains(&self.intake_bytes) {
            return fault(
                "intake_bytes",
                self.intake_bytes.to_string(),
                "2MiB to 4GiB",
            );
        }
        if !(BLOCK_BYTES_MIN..=PAYLOAD_BYTES_MAX).contains(&self.block_bytes) {
            return fault("block_bytes", self.block_bytes.to_string(), "64KiB to 2MiB");
        }
        if !(1..=THREADS_MAX).contains(&self.verify_threads) {
            return fault(
                "verify_threads",
                self.verify_threads.to_string(),
                "1 to 256",
            );
        }
        if self.application_lag_commits == 0 {
            return fault("application_lag_commits", "0".to_owned(), "1 or more");
        }
        Ok(())
    }
}

const _: () = assert!(PAYLOAD_BYTES_MAX == 2 << 20, "the message says 2MiB");
const _: () = assert!(LEADER_TIMEOUT_MAX_US == 2_000_000, "the message says 2s");
