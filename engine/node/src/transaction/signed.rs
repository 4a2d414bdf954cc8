//! The check of the signed envelope: many signatures at a time, on several threads.

use std::fmt;

use probity_core::TransactionCheck;
use probity_core::crypto::{Claim, Digest, PublicKey, Signature, verify_each};
use rayon::prelude::*;

use super::key_cache::KeyCache;
use super::{
    Admitted, ClientCheck, Deduplicate, REPLAY_WINDOW_MS, SignedTransaction, TransactionFault,
};

/// Signatures verified as one batch. Beyond this a signature gets hardly cheaper, and a bad one
/// makes more good ones be checked again.
const BATCH_TRANSACTIONS_MAX: usize = 256;
/// Smaller batches are not worth another thread.
const BATCH_TRANSACTIONS_MIN: usize = 64;

/// Takes the transactions that [`Envelope`](super::Envelope) makes for one network.
///
/// Large lists are spread over the rayon pool that the caller runs in.
pub struct SignedEnvelope {
    network: Digest,
    keys: KeyCache,
}

impl SignedEnvelope {
    /// Name and version.
    pub const NAME: &'static str = "signed-envelope/1";

    /// The check for the network whose first epoch has the chain id `network`.
    #[must_use]
    pub fn new(network: Digest) -> Self {
        Self {
            network,
            keys: KeyCache::default(),
        }
    }

    fn parse<'a>(&self, bytes: &'a [u8]) -> Result<SignedTransaction<'a>, TransactionFault> {
        let transaction = SignedTransaction::parse(bytes)?;
        if *transaction.network() != self.network {
            return Err(TransactionFault::Network);
        }
        Ok(transaction)
    }

    /// The verdicts on one batch.
    fn judge(&self, batch: &[&[u8]]) -> Vec<bool> {
        let mut verdicts = vec![false; batch.len()];
        let parsed: Vec<(usize, SignedTransaction<'_>)> = batch
            .iter()
            .enumerate()
            .filter_map(|(at, bytes)| Some((at, self.parse(bytes).ok()?)))
            .collect();
        let known = self
            .keys
            .lookup(parsed.iter().map(|(_, transaction)| transaction.sender()));
        let signed: Vec<Signed> = parsed
            .iter()
            .zip(known)
            .filter_map(|((at, transaction), known)| Signed::of(*at, transaction, known))
            .collect();
        let claims: Vec<Claim<'_>> = signed.iter().map(Signed::claim).collect();
        let mut fresh = Vec::new();
        for (signed, valid) in signed.iter().zip(verify_each(&claims)) {
            verdicts[signed.at] = valid;
            if valid && signed.fresh {
                fresh.push(signed.key);
            }
        }
        self.keys.remember(&fresh);
        verdicts
    }
}

impl TransactionCheck for SignedEnvelope {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn first_invalid(&self, transactions: &[&[u8]]) -> Option<usize> {
        self.verdicts(transactions)
            .into_iter()
            .position(|valid| !valid)
    }
}

impl ClientCheck for SignedEnvelope {
    fn admit(&self, transaction: &[u8], now_ms: u64) -> Result<Admitted, TransactionFault> {
        let transaction = self.parse(transaction)?;
        let expires_ms = transaction.expires_ms();
        if expires_ms < now_ms {
            return Err(TransactionFault::Expired { expires_ms, now_ms });
        }
        if expires_ms - now_ms > REPLAY_WINDOW_MS {
            return Err(TransactionFault::ExpiresTooLate);
        }
        Ok(Admitted {
            id: transaction.id(),
            duplicate_check: Deduplicate::ById,
        })
    }

    fn verdicts(&self, transactions: &[&[u8]]) -> Vec<bool> {
        let share = transactions.len().div_ceil(rayon::current_num_threads());
        let batch = share.clamp(BATCH_TRANSACTIONS_MIN, BATCH_TRANSACTIONS_MAX);
        if transactions.len() <= batch {
            return self.judge(transactions);
        }
        transactions
            .par_chunks(batch)
            .flat_map_iter(|batch| self.judge(batch))
            .collect()
    }
}

impl fmt::Debug for SignedEnvelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedEnvelope")
            .field("network", &self.network)
            .finish_non_exhaustive()
    }
}

/// A parsed transaction with a usable key, ready to be verified.
struct Signed {
    /// Its position in the batch.
    at: usize,
    key: PublicKey,
    /// The key was not in the cache.
    fresh: bool,
    message: [u8; 64],
    signature: Signature,
}

impl Signed {
    fn of(at: usize, of: &SignedTransaction<'_>, known: Option<PublicKey>) -> Option<Self> {
        let key = known.or_else(|| PublicKey::client(of.sender()).ok())?;
        let (message, signature) = (of.signed_message(), *of.signature());
        Some(Self {
            at,
            key,
            fresh: known.is_none(),
            message,
            signature,
        })
    }

    fn claim(&self) -> Claim<'_> {
        Claim {
            key: &self.key,
            message: &self.message,
            signature: &self.signature,
        }
    }
}
