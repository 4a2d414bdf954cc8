//! Chain id and genesis of an epoch, put together anew from the tables of docs/wire-format.md (R3, R32).

use probity_core::crypto::{Context, Digest, hash};
use probity_core::testing::VALID_CHECK;
use probity_core::{
    Committee, EpochTerms, Mode, PROTOCOL_VERSION, ReputationParams, TransactionCheck, limits,
};

/// The committee's chain follows from the digest of the last commit of the epoch before, and its genesis from that.
pub(super) fn check_chain(committee: &Committee, previous: &Digest) -> Result<(), String> {
    let epoch = committee.epoch();
    let params = hash(Context::Params, &[&parameters(committee)]);
    let bound = [
        previous.as_bytes(),
        &epoch.to_le_bytes()[..],
        params.as_bytes(),
    ];
    let chain = hash(Context::Chain, &[&bound.concat()]);
    if *committee.chain() != chain {
        return Err(format!(
            "epoch {epoch} has the chain id {}, and {chain} is due",
            committee.chain()
        ));
    }
    for author in committee.indices() {
        let named = [
            &chain.as_bytes()[..],
            &epoch.to_le_bytes(),
            &author.0.to_le_bytes(),
        ];
        let genesis = hash(Context::Genesis, &[&named.concat()]);
        if committee.genesis(author) != Some(genesis) {
            return Err(format!("epoch {epoch} begins validator {author} elsewhere"));
        }
    }
    Ok(())
}

/// The row *parameters* of the table of digests.
fn parameters(committee: &Committee) -> Vec<u8> {
    let bounds = committee.bounds();
    let mut bytes = PROTOCOL_VERSION.to_le_bytes().to_vec();
    bytes.push(match bounds.mode {
        Mode::Graded => 0,
        Mode::Classic => 1,
    });
    let check = VALID_CHECK.name();
    let limits = [
        limits::TRANSACTION_BYTES_MAX,
        limits::PAYLOAD_BYTES_MAX,
        limits::PAYLOAD_TRANSACTIONS_MAX,
        limits::HEADER_BYTES_MAX,
        limits::COMMIT_VOTES_MAX,
        limits::EVIDENCE_MAX,
        committee.size(),
        check.len(),
    ];
    let numbers = [
        bounds.byzantine,
        bounds.crashed,
        u64::from(committee.gc_depth()),
    ];
    let numbers = numbers.into_iter().chain(limits.map(|limit| limit as u64));
    bytes.extend(numbers.flat_map(u64::to_le_bytes));
    bytes.extend(check.bytes());
    for member in committee
        .indices()
        .filter_map(|index| committee.member(index))
    {
        bytes.extend(member.key.as_bytes());
        bytes.extend(member.weight.to_le_bytes());
    }
    let windows = committee.reputation();
    if *windows != ReputationParams::default() {
        let windows = [
            windows.score_rounds,
            windows.slot_rounds,
            windows.schedule_rounds,
            windows.schedule_lead_rounds,
        ];
        bytes.extend(windows.into_iter().flat_map(u32::to_le_bytes));
    }
    let terms = committee.epochs();
    if *terms != EpochTerms::default() {
        bytes.extend([0; 4]);
        bytes.extend(terms.length_ms.unwrap_or(u64::MAX).to_le_bytes());
        bytes.extend(terms.rule.bytes());
    }
    bytes
}
