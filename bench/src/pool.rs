//! The transactions of a run, made before its clock starts.
//!
//! Signed ones cost some 20 microseconds each, so all are signed first, on every core. Opaque ones
//! are stamped when they are due: that is a copy.

use std::thread;
use std::time::{Duration, Instant, SystemTime};

use bytes::{Bytes, BytesMut};
use probity::{BODY_BYTES_MAX, Envelope};
use probity_core::crypto::{Context, Digest, Keypair, hash};
use probity_core::limits::TRANSACTION_BYTES_MAX;
use rayon::prelude::*;

use crate::marker::{MARKER_BYTES, Marker};

/// Transactions that share one allocation, and that a saturating client submits at once.
pub(crate) const CHUNK_TRANSACTIONS: usize = 256;
/// Bytes that the envelope adds to a body.
pub(crate) const ENVELOPE_BYTES: usize = TRANSACTION_BYTES_MAX - BODY_BYTES_MAX;
/// Bytes of the smallest signed transaction that carries a marker.
pub(crate) const SIGNED_BYTES_MIN: usize = ENVELOPE_BYTES + MARKER_BYTES;

/// How many clients sign, in turn.
const SENDERS: usize = 1024;
/// How long a signed transaction may wait for its commit at most, by the envelope's rules.
const LIFETIME: Duration = Duration::from_secs(60);
/// Chunks signed first, to find out how long the rest will take.
const TRIAL_CHUNKS: usize = 64;

/// The transactions of one run, by sequence number.
pub(crate) struct Pool {
    marker: Marker,
    /// Where the marker stands in each transaction.
    offset: usize,
    transaction_bytes: usize,
    transactions: usize,
    content: Content,
}

enum Content {
    /// Chunks of `CHUNK_TRANSACTIONS` transactions, one after the other.
    Signed(Vec<Bytes>),
    /// What each transaction is a copy of.
    Opaque(Bytes),
}

/// What signed transactions are made from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SigningPlan {
    /// Whom they are for: the chain id of the first epoch.
    pub(crate) network: Digest,
    /// How many.
    pub(crate) transactions: usize,
    /// Bytes of each, envelope included.
    pub(crate) transaction_bytes: usize,
    /// When they are submitted.
    pub(crate) pace: Pace,
}

/// When transactions are submitted, counted from the start of the load.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pace {
    /// Evenly over this time.
    Even(Duration),
    /// Each one at any moment within this time.
    Free(Duration),
}

impl Pace {
    /// The longest time for which [`Pace::Free`] leaves ten seconds for a late or early start.
    pub(crate) const FREE_MAX: Duration = Duration::from_secs(40);

    /// When a transaction expires that has this share of the others before it. Allows for the start
    /// as much delay as haste.
    fn expires_after(self, share: f64) -> Duration {
        match self {
            Self::Even(over) => over.mul_f64(share) + LIFETIME / 2,
            Self::Free(within) => (LIFETIME + within) / 2,
        }
    }

    /// How much earlier or later than planned the load may start. The validators' own start, which
    /// takes a second or two, and the way to a commit come on top.
    fn tolerance(self) -> Duration {
        match self {
            Self::Even(_) => LIFETIME / 4,
            Self::Free(within) => LIFETIME.saturating_sub(within) / 4,
        }
    }
}

impl Pool {
    /// Signs all transactions on every core, so that they are valid during a load that starts when
    /// this returns.
    pub(crate) fn signed(plan: &SigningPlan) -> Self {
        let marker = Marker::for_this_run();
        let signer = Signer::new(plan, marker);
        let count = plan.transactions.div_ceil(CHUNK_TRANSACTIONS);
        let trial = TRIAL_CHUNKS.min(count);
        let started = Instant::now();
        // What the trial signs is thrown away: its expiry is a guess.
        signer.chunks(trial, SystemTime::now());
        let mut expected = started
            .elapsed()
            .mul_f64(count as f64 / trial.max(1) as f64);
        let chunks = loop {
            let started = Instant::now();
            let chunks = signer.chunks(count, SystemTime::now() + expected);
            let took = started.elapsed();
            if took <= expected + plan.pace.tolerance() {
                let early = expected.saturating_sub(took + plan.pace.tolerance());
                thread::sleep(early);
                break chunks;
            }
            // They would expire too soon: the machine was slower than in the trial.
            expected = took;
        };
        let first = chunks
            .first()
            .map_or(&[][..], |chunk| &chunk[..plan.transaction_bytes]);
        Self {
            marker,
            offset: marker.find(first).unwrap_or(0),
            transaction_bytes: plan.transaction_bytes,
            transactions: plan.transactions,
            content: Content::Signed(chunks),
        }
    }

    /// Opaque transactions, stamped when they are asked for.
    pub(crate) fn opaque(transactions: usize, transaction_bytes: usize) -> Self {
        let mut template = vec![0; transaction_bytes];
        fill(&mut template);
        Self {
            marker: Marker::for_this_run(),
            offset: 0,
            transaction_bytes,
            transactions,
            content: Content::Opaque(template.into()),
        }
    }

    /// How many transactions there are.
    pub(crate) fn transactions(&self) -> usize {
        self.transactions
    }

    /// Memory that they take, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        match &self.content {
            Content::Signed(chunks) => chunks.iter().map(Bytes::len).sum(),
            Content::Opaque(template) => template.len(),
        }
    }

    /// The transaction with this number, which must be below [`transactions`](Self::transactions).
    pub(crate) fn transaction(&self, sequence: usize) -> Bytes {
        match &self.content {
            Content::Signed(chunks) => {
                let start = sequence % CHUNK_TRANSACTIONS * self.transaction_bytes;
                chunks[sequence / CHUNK_TRANSACTIONS].slice(start..start + self.transaction_bytes)
            }
            Content::Opaque(template) => {
                let mut bytes = BytesMut::from(&template[..]);
                bytes[..MARKER_BYTES].copy_from_slice(&self.marker.bytes(sequence as u64));
                bytes.freeze()
            }
        }
    }

    /// The number of a delivered transaction; `None` if it is not one of this run.
    pub(crate) fn sequence_of(&self, transaction: &[u8]) -> Option<usize> {
        let sequence = self.marker.read(transaction, self.offset)?;
        usize::try_from(sequence)
            .ok()
            .filter(|sequence| *sequence < self.transactions)
    }
}

/// Signs chunks.
struct Signer<'a> {
    plan: &'a SigningPlan,
    marker: Marker,
    senders: Vec<Keypair>,
}

impl<'a> Signer<'a> {
    fn new(plan: &'a SigningPlan, marker: Marker) -> Self {
        let run = marker.bytes(0);
        let seed = |n: usize| hash(Context::Params, &[&run, &n.to_le_bytes()]);
        let senders = (0..SENDERS)
            .map(|n| Keypair::from_seed(seed(n).as_bytes()))
            .collect();
        Self {
            plan,
            marker,
            senders,
        }
    }

    /// The transactions of the first `count` chunks.
    fn chunks(&self, count: usize, load_starts: SystemTime) -> Vec<Bytes> {
        (0..count)
            .into_par_iter()
            .map(|chunk| self.chunk(chunk, load_starts))
            .collect()
    }

    /// The transactions of one chunk, for a load that starts at `load_starts`.
    fn chunk(&self, chunk: usize, load_starts: SystemTime) -> Bytes {
        let first = chunk * CHUNK_TRANSACTIONS;
        let end = (first + CHUNK_TRANSACTIONS).min(self.plan.transactions);
        let mut bytes = BytesMut::with_capacity((end - first) * self.plan.transaction_bytes);
        let mut body = vec![0; self.plan.transaction_bytes - ENVELOPE_BYTES];
        fill(&mut body);
        for sequence in first..end {
            bytes.extend_from_slice(&self.sign(sequence, &mut body, load_starts));
        }
        bytes.freeze()
    }

    fn sign(&self, sequence: usize, body: &mut [u8], load_starts: SystemTime) -> Bytes {
        let marker = self.marker.bytes(sequence as u64);
        body[..MARKER_BYTES].copy_from_slice(&marker);
        let share = sequence as f64 / self.plan.transactions as f64;
        let expires = load_starts + self.plan.pace.expires_after(share);
        let since_1970 = expires
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let envelope = Envelope {
            network: self.plan.network,
            namespace: 0,
            idempotency_key: marker,
            expires_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
            body,
        };
        envelope.sign(&self.senders[sequence % self.senders.len()])
    }
}

/// Fills with bytes that do not compress.
fn fill(bytes: &mut [u8]) {
    blake3::Hasher::new().finalize_xof().fill(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_know_their_numbers() {
        let plan = SigningPlan {
            network: Digest::ZERO,
            transactions: CHUNK_TRANSACTIONS + 3,
            transaction_bytes: SIGNED_BYTES_MIN,
            pace: Pace::Free(Duration::ZERO),
        };
        for pool in [
            Pool::signed(&plan),
            Pool::opaque(plan.transactions, MARKER_BYTES),
        ] {
            for sequence in [0, 1, CHUNK_TRANSACTIONS - 1, CHUNK_TRANSACTIONS + 2] {
                let transaction = pool.transaction(sequence);
                assert_eq!(pool.sequence_of(&transaction), Some(sequence));
            }
            assert_eq!(pool.sequence_of(b"of somebody else"), None);
        }
    }

    #[test]
    fn signed_transactions_have_the_size_asked_for_and_valid_signatures() {
        let plan = SigningPlan {
            network: Digest::ZERO,
            transactions: 2,
            transaction_bytes: 512,
            pace: Pace::Free(Duration::ZERO),
        };
        let transaction = Pool::signed(&plan).transaction(1);
        assert_eq!(transaction.len(), 512);
        let parsed = probity::SignedTransaction::parse(&transaction).unwrap();
        assert_eq!(parsed.verify(), Ok(()));
    }
}
