//! What a Byzantine validator of a simulator does with the honest code (feature `testing`).

use crate::block::{Header, Payload, Proposal};

use super::{InFlight, Replica};

impl Replica {
    /// From now on own blocks from the network are taken like anybody's, and nothing stops the proposals.
    pub fn set_lawless(&mut self) {
        self.lawless = true;
    }

    /// The own block that waits for its signature.
    #[must_use]
    pub fn unsigned(&self) -> Option<&Proposal> {
        match &self.in_flight {
            Some(InFlight::Signing(proposal)) => Some(proposal),
            Some(InFlight::Persisting(..)) | None => None,
        }
    }

    /// Puts another header and payload into its place; the signature then wanted is that of the answer.
    ///
    /// # Panics
    /// When no own block waits for its signature.
    pub fn replace_unsigned(&mut self, header: Header, payload: Payload) -> &Proposal {
        assert!(
            self.unsigned().is_some(),
            "an own block waits for its signature"
        );
        let proposal = Proposal::new(header, payload);
        self.in_flight = Some(InFlight::Signing(Box::new(proposal)));
        self.unsigned().expect("just put there")
    }
}
