//! What a Byzantine validator of a simulator does with the honest code (feature `testing`).

use crate::block::{Header, Payload, Proposal};
use crate::id::{Round, ValidatorIndex};

use super::{InFlight, Replica};

impl Replica {
    /// From now on own blocks from the network are taken like anybody's, and nothing stops the proposals.
    pub fn set_lawless(&mut self) {
        self.lawless = true;
    }

    /// Who leads a round not far below the frontier, in slot order; nobody if it is too old.
    #[must_use]
    pub fn leaders(&self, round: Round) -> &[ValidatorIndex] {
        self.order.leaders(round)
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
