//! The chain id of an epoch, and what follows from it before the first block.

use crate::committee::{CommitteeConfig, PROTOCOL_VERSION};
use crate::crypto::{Context, Digest, hash, hasher};
use crate::epoch::EpochTerms;
use crate::limits::{
    COMMIT_VOTES_MAX, EVIDENCE_MAX, HEADER_BYTES_MAX, PAYLOAD_BYTES_MAX, PAYLOAD_TRANSACTIONS_MAX,
    TRANSACTION_BYTES_MAX,
};
use crate::reputation::ReputationParams;
use crate::thresholds::Mode;

/// R32: the chain id binds the previous epoch's end and every parameter that decides validity.
pub(super) fn chain_id(config: &CommitteeConfig) -> Digest {
    let mut params = hasher(Context::Params);
    params.update(&PROTOCOL_VERSION.to_le_bytes());
    let mode = match config.bounds.mode {
        Mode::Graded => 0u8,
        Mode::Classic => 1,
    };
    params.update(&[mode]);
    for number in [
        config.bounds.byzantine,
        config.bounds.crashed,
        u64::from(config.gc_depth),
    ] {
        params.update(&number.to_le_bytes());
    }
    for limit in [
        TRANSACTION_BYTES_MAX,
        PAYLOAD_BYTES_MAX,
        PAYLOAD_TRANSACTIONS_MAX,
        HEADER_BYTES_MAX,
        COMMIT_VOTES_MAX,
        EVIDENCE_MAX,
        config.members.len(),
        config.check.len(),
    ] {
        params.update(&(limit as u64).to_le_bytes());
    }
    params.update(config.check.as_bytes());
    for member in &config.members {
        params.update(member.key.as_bytes());
        params.update(&member.weight.to_le_bytes());
    }
    // The version above stands for the windows of the protocol; others cannot be confused with them, because the
    // number of members, which is bound before, says where the members end.
    if config.reputation != ReputationParams::default() {
        for rounds in config.reputation.numbers() {
            params.update(&rounds.to_le_bytes());
        }
    }
    if config.epochs != EpochTerms::default() {
        // No window is zero, so this cannot be taken for one.
        params.update(&0u32.to_le_bytes());
        params.update(&config.epochs.length_ms.unwrap_or(u64::MAX).to_le_bytes());
        params.update(config.epochs.rule.as_bytes());
    }
    let params = params.finish();
    let epoch = config.epoch.to_le_bytes();
    let mut chain = hasher(Context::Chain);
    chain.update(config.previous.as_bytes()).update(&epoch);
    if config.epoch == 0 || !planted!(ParametersUnbound) {
        chain.update(params.as_bytes());
    }
    chain.finish()
}

/// R3: the digest of a validator's implicit round-0 block.
pub(super) fn genesis_digest(chain: &Digest, epoch: u64, author: usize) -> Digest {
    let author = u16::try_from(author).expect("a committee has at most 256 members");
    hash(
        Context::Genesis,
        &[
            chain.as_bytes(),
            &epoch.to_le_bytes(),
            &author.to_le_bytes(),
        ],
    )
}
