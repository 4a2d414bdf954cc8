//! BLAKE3 in derive-key mode, one key a use.
//!
//! Derive-key mode hashes a context string to a key and the input under that key, so equal inputs
//! of two contexts have unrelated digests. Hashing the string again each time would double the cost
//! of a short input: the keys are computed once, on first use.

use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};
use std::fmt;
use std::sync::LazyLock;

use super::Digest;

/// What a digest is for. Each use has a context of its own; the texts are frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// A header without its commit votes (R3).
    HeaderBody,
    /// The commit votes of a header (R3).
    CommitVotes,
    /// A header: digest of its body, digest of its commit votes (R3).
    Header,
    /// A block: header digest, signature (R3).
    Block,
    /// A validator's implicit block of round 0: chain, epoch, author (R3).
    Genesis,
    /// The canonical bytes of a payload (R3).
    Payload,
    /// A commit record (R21).
    Commit,
    /// The place of a block within one commit: the leader's digest, the block's digest (R19).
    CommitOrder,
    /// The name of an epoch's chain, which every signature covers (R32).
    Chain,
    /// The parameters of an epoch.
    Params,
    /// The seed of an epoch's draws: chain, epoch (R29).
    EpochSeed,
    /// Ties between validators when leaders are chosen: epoch seed, validator (R28).
    LeaderOrder,
    /// The stream that draws the leader of a round: epoch seed, round (R29).
    LeaderDraw,
    /// Ties between keys when weights are set: epoch seed, key (R30).
    WeightOrder,
    /// The scores of all validators after a commit (R21).
    ReputationTable,
    /// What an epoch leaves to the next one (R32).
    Charter,
    /// A transaction's id: its signed content, without the signature (R39).
    Transaction,
    /// The random factors of a signature batch. Never leaves the process.
    Batch,
}

impl Context {
    /// Every context, in declaration order.
    pub const ALL: [Self; 18] = [
        Self::HeaderBody,
        Self::CommitVotes,
        Self::Header,
        Self::Block,
        Self::Genesis,
        Self::Payload,
        Self::Commit,
        Self::CommitOrder,
        Self::Chain,
        Self::Params,
        Self::EpochSeed,
        Self::LeaderOrder,
        Self::LeaderDraw,
        Self::WeightOrder,
        Self::ReputationTable,
        Self::Charter,
        Self::Transaction,
        Self::Batch,
    ];

    /// The text that BLAKE3 derives this context's key from.
    pub const fn text(self) -> &'static str {
        match self {
            Self::HeaderBody => "probity v1 header body",
            Self::CommitVotes => "probity v1 commit votes",
            Self::Header => "probity v1 header",
            Self::Block => "probity v1 block",
            Self::Genesis => "probity v1 genesis",
            Self::Payload => "probity v1 payload",
            Self::Commit => "probity v1 commit",
            Self::CommitOrder => "probity v1 commit order",
            Self::Chain => "probity v1 chain",
            Self::Params => "probity v1 params",
            Self::EpochSeed => "probity v1 epoch seed",
            Self::LeaderOrder => "probity v1 leader order",
            Self::LeaderDraw => "probity v1 leader draw",
            Self::WeightOrder => "probity v1 weight order",
            Self::ReputationTable => "probity v1 reputation table",
            Self::Charter => "probity v1 charter",
            Self::Transaction => "probity v1 transaction",
            Self::Batch => "probity v1 batch",
        }
    }

    fn key(self) -> &'static ContextKey {
        KEYS.get(self as usize)
            .expect("ALL has every context in declaration order")
    }
}

static KEYS: LazyLock<[ContextKey; Context::ALL.len()]> =
    LazyLock::new(|| Context::ALL.map(|context| hash_derive_key_context(context.text())));

const _: () = {
    // `Batch` is kept last, so that a context added above it and left out of `ALL` does not
    // compile.
    assert!(Context::ALL.len() == Context::Batch as usize + 1);
    let mut i = 0;
    while i < Context::ALL.len() {
        assert!(Context::ALL[i] as usize == i, "ALL is in declaration order");
        i += 1;
    }
};

/// The digest of `parts`, one after the other, in `context`.
///
/// The parts are concatenated without separators: `["ab", "c"]` and `["a", "bc"]` have the same
/// digest. Each context therefore has one fixed list of parts, all of fixed width but at most one,
/// or writes lengths into them. Then no two lists of values share a preimage.
pub fn hash(context: Context, parts: &[&[u8]]) -> Digest {
    let mut hasher = hasher(context);
    for part in parts {
        hasher.update(part);
    }
    hasher.finish()
}

/// Starts a digest in `context` whose input arrives piecewise.
pub fn hasher(context: Context) -> Hasher {
    Hasher {
        inner: blake3::Hasher::new_from_context_key(context.key()),
    }
}

/// A digest in the making; see [`hasher`].
///
/// Where the input is cut into pieces does not matter for the digest, but it does for speed: hand
/// over large inputs whole, so that BLAKE3 can hash many chunks at a time.
#[derive(Clone)]
pub struct Hasher {
    inner: blake3::Hasher,
}

impl Hasher {
    /// Appends `bytes` to the input.
    pub fn update(&mut self, bytes: &[u8]) -> &mut Self {
        self.inner.update(bytes);
        self
    }

    /// The digest of the input so far.
    pub fn finish(&self) -> Digest {
        Digest(*self.inner.finalize().as_bytes())
    }

    /// Fills `out` with pseudo-random bytes determined by the input so far. They begin with the
    /// bytes of [`finish`](Self::finish): do not use both of one input as if they were independent.
    pub fn finish_xof(&self, out: &mut [u8]) {
        self.inner.finalize_xof().fill(out);
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").finish_non_exhaustive()
    }
}
