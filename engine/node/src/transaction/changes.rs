//! Changes of the committee among an application's transactions (R32).

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use probity_core::{Change, TransactionCheck};

use super::{Admitted, ClientCheck, TransactionFault};

/// Another check, and beside what it accepts the changes that validators vote for. No client may hand one in: it would
/// be the validator's vote.
pub(crate) struct WithChanges(pub(crate) Arc<dyn ClientCheck>);

impl WithChanges {
    /// The check's verdict on a change; none on anything else.
    fn of_change(transaction: &[u8]) -> Option<bool> {
        let decodes = || Change::decode(&Bytes::copy_from_slice(transaction)).is_ok();
        Change::is_change(transaction).then(decodes)
    }
}

impl TransactionCheck for WithChanges {
    fn name(&self) -> &str {
        // The epoch rule is in the chain id by a name of its own.
        self.0.name()
    }

    fn first_invalid(&self, transactions: &[&[u8]]) -> Option<usize> {
        if !transactions.iter().any(|each| Change::is_change(each)) {
            return self.0.first_invalid(transactions);
        }
        self.verdicts(transactions)
            .into_iter()
            .position(|valid| !valid)
    }
}

impl ClientCheck for WithChanges {
    fn admit(&self, transaction: &[u8], now_ms: u64) -> Result<Admitted, TransactionFault> {
        if Change::is_change(transaction) {
            return Err(TransactionFault::Reserved);
        }
        self.0.admit(transaction, now_ms)
    }

    fn verdicts(&self, transactions: &[&[u8]]) -> Vec<bool> {
        let changes: Vec<Option<bool>> = transactions
            .iter()
            .map(|each| Self::of_change(each))
            .collect();
        let others = transactions.iter().zip(&changes);
        let others: Vec<&[u8]> = others
            .filter(|(_, change)| change.is_none())
            .map(|(each, _)| *each)
            .collect();
        let mut of_others = self.0.verdicts(&others).into_iter();
        let verdict = |change: Option<bool>| change.or_else(|| of_others.next()) == Some(true);
        changes.into_iter().map(verdict).collect()
    }
}

impl fmt::Debug for WithChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WithChanges").field(&self.0.name()).finish()
    }
}

#[cfg(test)]
mod tests {
    use probity_core::crypto::{Digest, Keypair};

    use super::*;
    use crate::transaction::{Envelope, SignedEnvelope};

    #[test]
    fn changes_are_valid_beside_envelopes_and_nobody_hands_one_in() {
        let check = WithChanges(Arc::new(SignedEnvelope::new(Digest::ZERO)));
        let envelope = Envelope {
            network: Digest::ZERO,
            namespace: 0,
            idempotency_key: [1; 16],
            expires_ms: 1_000,
            body: b"pay bob 5",
        };
        let signed = envelope.sign(&Keypair::from_seed(&[1; 32]));
        let change = Change::EndEpoch.encode();
        let mut broken = change.to_vec();
        broken.push(0);
        let all: [&[u8]; 4] = [&change, &signed, &broken, b"?"];
        assert_eq!(check.verdicts(&all), [true, true, false, false]);
        assert_eq!(check.first_invalid(&all), Some(2));
        assert_eq!(check.first_invalid(&all[..2]), None);
        assert_eq!(check.first_invalid(&all[1..2]), None);
        assert_eq!(
            check.admit(&change, 0).err(),
            Some(TransactionFault::Reserved)
        );
        assert!(check.admit(&signed, 0).is_ok());
    }
}
