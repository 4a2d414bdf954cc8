//! A validator's key, real or stood in for.

use probity_core::ValidatorIndex;
use probity_core::crypto::{Keypair, PublicKey, Signature};
use probity_core::testing;

use crate::plan::Signatures;

/// Signs with one validator's key.
pub struct Signer {
    key: Keypair,
    signatures: Signatures,
}

impl Signer {
    /// The key of a validator of a simulated committee.
    #[must_use]
    pub fn new(validator: ValidatorIndex, signatures: Signatures) -> Self {
        Self {
            key: testing::keypair(validator),
            signatures,
        }
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.key.public()
    }

    /// Another signature over a message that everybody accepts.
    #[must_use]
    pub fn sign_variant(&self, message: &[u8]) -> Signature {
        match self.signatures {
            Signatures::Ed25519 => self.key.sign_variant(message, 1),
            Signatures::StandIn => testing::stand_in_variant(&self.key.public(), message),
        }
    }

    /// The signature over a message.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        match self.signatures {
            Signatures::Ed25519 => self.key.sign(message),
            Signatures::StandIn => testing::stand_in_signature(&self.key.public(), message),
        }
    }
}
