//! Transactions as clients make them: the signed envelope, and the checks that decide validity.
//!
//! ```text
//!   version 1 ‖ network 32 ‖ namespace 4 ‖ sender 32 ‖ idempotency key 16 ‖ expires_ms 8
//!             ‖ body length 4 ‖ body ‖ signature 64
//!   └──────────────── hashed to the id ─────────────────────┘
//! ```
//!
//! Integers are little-endian. The signature covers `Domain::Transaction ‖ id`, and the id covers
//! everything but the signature, so another signature of the same content is the same transaction.
//!
//! Two questions are asked of a transaction. *May it enter here and now?* is [`ClientCheck::admit`]:
//! it reads the clock and costs a hash. *Is it valid, for ever and everywhere?* is
//! [`TransactionCheck`]: it decides whether blocks are valid, so it knows no clock and no state.
//! Expiry is the first kind; the order of commits settles it for good (R39).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use probity_core::TransactionCheck;
use probity_core::crypto::{Context, Digest, hash};
use probity_core::limits::TRANSACTION_BYTES_MAX;
use thiserror::Error;

mod changes;
mod envelope;
mod key_cache;
mod signed;

pub(crate) use changes::WithChanges;
pub use envelope::{BODY_BYTES_MAX, ENVELOPE_VERSION, Envelope, SignedTransaction};
pub use signed::SignedEnvelope;

/// How far apart a transaction's expiry and its commit may lie, in milliseconds (R39). Within this
/// window duplicates are recognised.
pub const REPLAY_WINDOW_MS: u64 = 60_000;

/// What a node asks of its transaction check beyond the verdict on blocks.
///
/// Called from the threads that submit and from the intake's, several at once.
pub trait ClientCheck: TransactionCheck {
    /// The cheap checks of a transaction that a client hands in: everything but its signature. It is only asked about 1 to
    /// 65,536 bytes.
    /// `now_ms` is the wall clock in milliseconds since 1970.
    ///
    /// # Errors
    /// The first fault found. A transaction admitted here may still prove invalid.
    fn admit(&self, transaction: &[u8], now_ms: u64) -> Result<Admitted, TransactionFault>;

    /// Which transactions are valid, in their order.
    ///
    /// Agrees with [`TransactionCheck::first_invalid`]: that is the position of the first `false`.
    fn verdicts(&self, transactions: &[&[u8]]) -> Vec<bool>;
}

/// What is known about a transaction once it is admitted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Admitted {
    /// Its id, which commits name it by.
    pub id: Digest,
    /// Whether a second one of the same id is the same transaction.
    pub duplicate_check: Deduplicate,
}

/// How duplicates are recognised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deduplicate {
    /// A second transaction of this id is void (R39).
    ById,
    /// Each one counts, however often the same bytes come.
    Never,
}

/// Why a transaction is refused; always its sender's fault.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum TransactionFault {
    /// More bytes than a transaction may have.
    #[error("transaction has {bytes} bytes; allowed: {allowed}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The greatest size.
        allowed: usize,
    },
    /// No bytes at all.
    #[error("transaction is empty")]
    Empty,
    /// The bytes are no envelope.
    #[error("malformed envelope: {0}")]
    Malformed(&'static str),
    /// Made for another network.
    #[error("transaction is for another network")]
    Network,
    /// The sender's key is no key, or one that fits every signature.
    #[error("the sender's key is not acceptable")]
    BadKey,
    /// The sender did not sign this.
    #[error("the signature is not valid")]
    BadSignature,
    /// Too late already.
    #[error("transaction expired at {expires_ms} ms; now it is {now_ms} ms")]
    Expired {
        /// The last moment it could have been committed.
        expires_ms: u64,
        /// The clock.
        now_ms: u64,
    },
    /// Changes of the committee are asked for with [`Node::propose_change`](crate::Node::propose_change): in a
    /// transaction, they would be this validator's vote.
    #[error("the transaction is a change of the committee; only the validator itself asks for one")]
    Reserved,
    /// Expires so late that duplicates could not be recognised until then (R39).
    #[error("transaction expires more than {REPLAY_WINDOW_MS} ms from now")]
    ExpiresTooLate,
}

/// Which check decides whether transactions are valid, by the name that configurations use.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum TransactionKind {
    /// [`SignedEnvelope`]: signed by clients, de-duplicated. The default.
    #[default]
    SignedEnvelope,
    /// [`Opaque`]: any bytes.
    Opaque,
    /// One of the embedder's, which every validator's node is given with
    /// [`NodeBuilder::check`](crate::NodeBuilder::check).
    Own(CheckName),
}

/// Name and version of a check that does not come with the engine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckName(Arc<str>);

impl TransactionKind {
    /// The kinds that come with the engine, in the order of the documentation.
    pub const BUILT_IN: [Self; 2] = [Self::SignedEnvelope, Self::Opaque];

    /// Name and version of the check, part of the chain id (R32).
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::SignedEnvelope => SignedEnvelope::NAME,
            Self::Opaque => Opaque::NAME,
            Self::Own(name) => &name.0,
        }
    }

    /// The check, for the network whose first epoch has the chain id `network`; `None` if it does not come with the engine.
    #[must_use]
    pub fn check(&self, network: Digest) -> Option<Arc<dyn ClientCheck>> {
        match self {
            Self::SignedEnvelope => Some(Arc::new(SignedEnvelope::new(network))),
            Self::Opaque => Some(Arc::new(Opaque)),
            Self::Own(_) => None,
        }
    }
}

impl fmt::Display for TransactionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for TransactionKind {
    type Err = UnknownTransactionKind;

    /// A built-in kind, or an own one whose name is a word of letters, digits, `-`, `_` and `.`, a slash and a version
    /// number: 64 bytes at most.
    fn from_str(name: &str) -> Result<Self, UnknownTransactionKind> {
        if let Some(kind) = Self::BUILT_IN.into_iter().find(|kind| kind.name() == name) {
            return Ok(kind);
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        let (word, version) = name.split_once('/').ok_or(UnknownTransactionKind)?;
        let sound = !word.is_empty() && word.bytes().all(plain) && name.len() <= 64;
        let numbered = !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit());
        if !sound || !numbered {
            return Err(UnknownTransactionKind);
        }
        Ok(Self::Own(CheckName(name.into())))
    }
}

/// The name is not that of a check.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("no transaction check; allowed: {ALLOWED_CHECKS}")]
pub struct UnknownTransactionKind;

/// The names that [`TransactionKind`] is read from, for people.
pub(crate) const ALLOWED_CHECKS: &str =
    "signed-envelope/1, opaque/1, or name and version of a check of your own, such as mine/7";

/// Takes any bytes for a transaction: 1 to 65,536 of them. Nothing is signed, nothing expires and
/// nothing is a duplicate: the application looks after all that.
#[derive(Clone, Copy, Debug, Default)]
pub struct Opaque;

impl Opaque {
    /// Name and version.
    pub const NAME: &'static str = "opaque/1";
}

impl TransactionCheck for Opaque {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn first_invalid(&self, transactions: &[&[u8]]) -> Option<usize> {
        transactions
            .iter()
            .position(|transaction| check_size(transaction).is_err())
    }
}

impl ClientCheck for Opaque {
    fn admit(&self, transaction: &[u8], _now_ms: u64) -> Result<Admitted, TransactionFault> {
        check_size(transaction)?;
        let id = hash(Context::Transaction, &[transaction]);
        Ok(Admitted {
            id,
            duplicate_check: Deduplicate::Never,
        })
    }

    fn verdicts(&self, transactions: &[&[u8]]) -> Vec<bool> {
        transactions
            .iter()
            .map(|transaction| check_size(transaction).is_ok())
            .collect()
    }
}

/// The size that every kind of transaction must have (R4).
pub(crate) fn check_size(transaction: &[u8]) -> Result<(), TransactionFault> {
    match transaction.len() {
        0 => Err(TransactionFault::Empty),
        1..=TRANSACTION_BYTES_MAX => Ok(()),
        bytes => Err(TransactionFault::TooLarge {
            bytes,
            allowed: TRANSACTION_BYTES_MAX,
        }),
    }
}

#[cfg(test)]
mod tests;
