//! Clients: threads that hand transactions to one validator each.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use probity::{Node, SubmitError};

use crate::ledger::{Ledger, Row};
use crate::pool::{CHUNK_TRANSACTIONS, Pool};

/// The longest pause after `Busy`, whatever the node asks for.
const PAUSE_MAX: Duration = Duration::from_millis(50);
/// An open-loop client looks at the clock at least this often while transactions fall due, so that
/// they travel in batches.
const TICK: Duration = Duration::from_millis(1);
/// Transactions submitted at once.
const BATCH_TRANSACTIONS_MAX: usize = CHUNK_TRANSACTIONS;

/// What all clients of a run share.
pub(crate) struct Load {
    /// The transactions.
    pub(crate) pool: Arc<Pool>,
    /// Where they are written down.
    pub(crate) ledger: Arc<Ledger>,
    /// When the load starts, on the ledger's clock.
    pub(crate) starts: Duration,
    /// When it ends, on the same clock.
    pub(crate) ends: Duration,
    /// Clients in all.
    pub(crate) clients: usize,
    /// The next chunk of the pool; for saturation.
    pub(crate) next_chunk: AtomicUsize,
    /// Transactions that `submit` said yes to.
    pub(crate) accepted: AtomicU64,
    /// Clients that ended before the load: the pool was empty, or their validator refused.
    pub(crate) ended_early: AtomicUsize,
}

/// One client and the validator that it talks to.
pub(crate) struct Client<'a> {
    /// Its number among the clients.
    pub(crate) number: usize,
    /// The validator's number.
    pub(crate) validator: usize,
    /// The validator.
    pub(crate) node: &'a Node,
    /// What it shares with the others.
    pub(crate) load: &'a Load,
}

/// A transaction in a client's hands.
struct Held {
    sequence: usize,
    due: Option<Duration>,
    bytes: Bytes,
}

impl Client<'_> {
    /// Whether the load has ended.
    fn ended(&self) -> bool {
        self.load.ledger.elapsed() >= self.load.ends
    }

    /// Submits at `rate` transactions a second among all clients, or as fast as the validator takes.
    ///
    /// # Errors
    /// What the validator answered, if it was anything but yes or `Busy`.
    pub(crate) fn run(&self, rate: Option<u64>) -> Result<(), String> {
        let result = match rate {
            Some(rate) => self.pace(rate),
            None => self.saturate(),
        };
        if !self.ended() {
            self.load.ended_early.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    /// Submits as fast as the validator takes, until the load ends.
    fn saturate(&self) -> Result<(), String> {
        let Load {
            pool, next_chunk, ..
        } = self.load;
        while !self.ended() {
            let first = next_chunk.fetch_add(1, Ordering::Relaxed) * CHUNK_TRANSACTIONS;
            let end = (first + CHUNK_TRANSACTIONS).min(pool.transactions());
            if first >= end {
                return Ok(());
            }
            let bytes = |sequence| pool.transaction(sequence);
            let mut held: VecDeque<Held> = (first..end)
                .map(|sequence| Held {
                    sequence,
                    due: None,
                    bytes: bytes(sequence),
                })
                .collect();
            while !held.is_empty() && !self.ended() {
                let pause = self.submit(&mut held)?;
                self.sleep(pause);
            }
        }
        Ok(())
    }

    /// Submits each transaction when it is due: number `k` at `k / rate` seconds. A transaction that
    /// the validator is too busy for stays due.
    fn pace(&self, rate: u64) -> Result<(), String> {
        let Load {
            pool,
            ledger,
            starts,
            clients,
            ..
        } = self.load;
        let due =
            |sequence: usize| *starts + Duration::from_secs_f64(sequence as f64 / rate as f64);
        let mut sequence = self.number;
        let mut held = VecDeque::new();
        while !self.ended() {
            let now = ledger.elapsed();
            while sequence < pool.transactions() && due(sequence) <= now {
                let bytes = pool.transaction(sequence);
                held.push_back(Held {
                    sequence,
                    due: Some(due(sequence)),
                    bytes,
                });
                sequence += clients;
            }
            let pause = if held.is_empty() {
                None
            } else {
                self.submit(&mut held)?
            };
            let next_due = due(sequence).saturating_sub(ledger.elapsed());
            match pause {
                Some(pause) => self.sleep(Some(pause)),
                None if held.is_empty() => self.sleep(Some(next_due.max(TICK))),
                None => {}
            }
        }
        Ok(())
    }

    /// Submits one batch from the front of `held`; what the validator is too busy for stays there, and
    /// the pause it asks for is returned.
    fn submit(&self, held: &mut VecDeque<Held>) -> Result<Option<Duration>, String> {
        let Load {
            ledger, accepted, ..
        } = self.load;
        let now = ledger.elapsed();
        let batch = held.len().min(BATCH_TRANSACTIONS_MAX);
        let bytes: Vec<Bytes> = held
            .iter()
            .take(batch)
            .map(|held| held.bytes.clone())
            .collect();
        for held in held.iter().take(batch) {
            let due = held.due.unwrap_or(now);
            ledger.hand_over(
                held.sequence,
                Row {
                    taker: self.validator,
                    due,
                },
            );
        }
        let answers = self.node.submit_batch_blocking(bytes);
        let (mut pause, mut taken, mut refused) = (None, 0, Vec::new());
        for (held, answer) in held.drain(..batch).zip(answers) {
            match answer {
                Ok(_) => {
                    ledger.accept(held.sequence);
                    taken += 1;
                }
                Err(SubmitError::Busy { retry_after }) => {
                    pause = Some(retry_after);
                    refused.push(held);
                }
                Err(error) => {
                    let (validator, sequence) = (self.validator, held.sequence);
                    return Err(format!(
                        "validator {validator} refused transaction {sequence}: {error}"
                    ));
                }
            }
        }
        accepted.fetch_add(taken, Ordering::Relaxed);
        // Back to the front, in their order: what is due first goes first.
        refused
            .into_iter()
            .rev()
            .for_each(|refused| held.push_front(refused));
        Ok(pause)
    }

    /// Sleeps, but not beyond the end of the load.
    fn sleep(&self, pause: Option<Duration>) {
        let Some(pause) = pause else { return };
        let left = self.load.ends.saturating_sub(self.load.ledger.elapsed());
        thread::sleep(pause.min(PAUSE_MAX).min(left));
    }
}
