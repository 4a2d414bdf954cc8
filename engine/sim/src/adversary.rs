//! Byzantine validators: honest code under a hand that breaks one rule each.
//!
//! A sinner runs the real replica with a [`Sin`] between it and the world. The sin may change the header before it is
//! signed, decide what goes to whom, add frames of its own making, and swallow what arrives. It signs with its own
//! key alone. A sin that does nothing is an honest validator.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use probity_core::{
    Block, BlockRef, Committee, Header, Message, Payload, Proposal, Round, Time, ValidatorIndex,
};

use crate::random::Random;
use crate::signer::Signer;

mod equivocator;
mod selective_sender;
mod withholder;

/// One way to break the rules. Each hook's default is what an honest validator does.
pub trait Sin {
    /// Changes the own header and payload before they are signed; parents must stay a quorum or nobody accepts it.
    fn header(&mut self, _hands: &mut Hands<'_>, _header: &mut Header, _payload: &mut Payload) {}

    /// Sends a new own block.
    fn broadcast(&mut self, hands: &mut Hands<'_>, block: &Arc<Block>) {
        hands.send_all(&Message::encode_block(block));
    }

    /// Answers or asks somebody.
    fn send(&mut self, hands: &mut Hands<'_>, to: ValidatorIndex, frame: Bytes) {
        hands.send(to, frame);
    }

    /// Whether the honest code gets to see an arriving frame.
    fn hears(&mut self, _hands: &mut Hands<'_>, _from: ValidatorIndex, _frame: &Bytes) -> bool {
        true
    }

    /// Called every [`WAKE_EVERY_US`].
    fn wake(&mut self, _hands: &mut Hands<'_>) {}
}

/// How often a sin is woken, in microseconds.
pub const WAKE_EVERY_US: u64 = 100_000;

/// A sin's name, what it is, and how to make one.
pub struct Named {
    /// As in plans.
    pub name: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// Makes one; its chance is a stream of its own.
    pub make: fn(Random) -> Box<dyn Sin>,
}

/// Every sin.
pub const SINS: &[Named] = &[
    Named {
        name: "equivocator",
        about: "several blocks a round, split by receiver",
        make: equivocator::make,
    },
    Named {
        name: "selective-sender",
        about: "sends to f + 1, to Q - 1, or to all but one victim",
        make: selective_sender::make,
    },
    Named {
        name: "withholder",
        about: "sends its blocks late or never, and answers no question",
        make: withholder::make,
    },
];

/// The sin of this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Named> {
    SINS.iter().find(|sin| sin.name == name)
}

/// Every name.
#[must_use]
pub fn names() -> Vec<&'static str> {
    SINS.iter().map(|sin| sin.name).collect()
}

/// A frame on its way out of a sinner.
#[derive(Clone, Debug)]
pub struct Sent {
    /// To whom.
    pub to: ValidatorIndex,
    /// What.
    pub frame: Bytes,
    /// How long it waits before it leaves, in microseconds.
    pub after_us: u64,
}

/// What a sinner has to work with.
pub struct Hands<'a> {
    /// The time.
    pub now: Time,
    /// Who it is.
    pub me: ValidatorIndex,
    /// Who decides.
    pub committee: &'a Arc<Committee>,
    /// The round after its last own block.
    pub frontier: Round,
    /// Its own key.
    pub signer: &'a Signer,
    /// Blocks that reached it, its own ones too, of the newest rounds.
    pub seen: &'a BTreeMap<BlockRef, Arc<Block>>,
    pub(crate) sent: &'a mut Vec<Sent>,
}

impl Hands<'_> {
    /// Every other validator.
    #[must_use]
    pub fn others(&self) -> Vec<ValidatorIndex> {
        let me = self.me;
        self.committee
            .indices()
            .filter(|other| *other != me)
            .collect()
    }

    /// Sends a frame now.
    pub fn send(&mut self, to: ValidatorIndex, frame: Bytes) {
        self.send_after(0, to, frame);
    }

    /// Sends a frame later.
    pub fn send_after(&mut self, after_us: u64, to: ValidatorIndex, frame: Bytes) {
        self.sent.push(Sent {
            to,
            frame,
            after_us,
        });
    }

    /// Sends a frame to every other validator.
    pub fn send_all(&mut self, frame: &Bytes) {
        for to in self.others() {
            self.send(to, frame.clone());
        }
    }

    /// Signs whatever the sinner wants, with its own key.
    #[must_use]
    pub fn sign(&self, header: Header, payload: Payload) -> Arc<Block> {
        let proposal = Proposal::new(header, payload);
        let signature = self.signer.sign(&proposal.preimage());
        Arc::new(proposal.seal(signature))
    }

    /// Blocks of a round that reached the sinner.
    #[must_use]
    pub fn of_round(&self, round: Round) -> Vec<Arc<Block>> {
        let of_round = |reference: &&BlockRef| reference.round == round;
        self.seen
            .keys()
            .filter(of_round)
            .map(|reference| Arc::clone(&self.seen[reference]))
            .collect()
    }
}
