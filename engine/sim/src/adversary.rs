//! Byzantine validators: honest code under a hand that breaks one rule each.
//!
//! A sinner runs the real replica with a [`Sin`] between it and the world. The sin may change the header before it is
//! signed, decide what goes to whom, add frames of its own making, and swallow what arrives. It signs with its own
//! key alone. A sin that does nothing is an honest validator.
//!
//! One more belongs here once the core has what it attacks: one that equivocates where the leader schedule changes
//! (R29), next to `equivocator`.

use std::sync::Arc;

use bytes::Bytes;
use probity_core::{Block, Header, Message, Payload, ValidatorIndex};

use crate::random::Random;

mod catch_up_liar;
mod clock_liar;
mod collected_poisoner;
mod double_voter;
mod equivocator;
mod evidence_spammer;
mod far_future;
mod fat_equivocator;
mod fetch_flooder;
mod fetch_liar;
mod garbler;
mod hands;
mod hoarder;
mod invalid_payload;
mod invented_parents;
mod late_proposer;
mod mutator;
mod parent_picker;
mod replayer;
mod selective_sender;
mod twin;
mod vote_liar;
mod withholder;

pub use hands::{Hands, Sent};
pub(crate) use twin::side as twin_side;

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
    Named {
        name: "double-voter",
        about: "votes for both blocks of a slot, or for and against one, in two blocks of its own",
        make: double_voter::make,
    },
    Named {
        name: "late-proposer",
        about: "sends just before and just after the others stop waiting",
        make: late_proposer::make,
    },
    Named {
        name: "parent-picker",
        about: "never links a victim, nor its votes, while the rest is a quorum",
        make: parent_picker::make,
    },
    Named {
        name: "far-future",
        about: "valid signatures in rounds that nobody will reach",
        make: far_future::make,
    },
    Named {
        name: "invented-parents",
        about: "blocks near the frontier that name parents nobody has",
        make: invented_parents::make,
    },
    Named {
        name: "collected-poisoner",
        about: "invented and long collected parents around the gc round, right after commits",
        make: collected_poisoner::make,
    },
    Named {
        name: "invalid-payload",
        about: "payloads that are not the ones described, or refused by the check, or too large",
        make: invalid_payload::make,
    },
    Named {
        name: "garbler",
        about: "frames that are cut, stretched, flipped or noise, and origins that are not its own",
        make: garbler::make,
    },
    Named {
        name: "vote-liar",
        about: "commit votes for what never happened, near and far, eight at a time",
        make: vote_liar::make,
    },
    Named {
        name: "replayer",
        about: "old blocks again and again, others' blocks as its own, blocks of another chain",
        make: replayer::make,
    },
    Named {
        name: "mutator",
        about: "its own blocks with one field changed a little, signed again",
        make: mutator::make,
    },
    Named {
        name: "twin",
        about: "one key in two processes that both follow the rules",
        make: twin::make,
    },
    Named {
        name: "fetch-flooder",
        about: "asks for everything, all the time, whether it exists or not",
        make: fetch_flooder::make,
    },
    Named {
        name: "fetch-liar",
        about: "holds nothing, or answers with other blocks than those asked for",
        make: fetch_liar::make,
    },
    Named {
        name: "catch-up-liar",
        about: "whoever catches up gets records with gaps, too few, too many, false ones, or nothing",
        make: catch_up_liar::make,
    },
    Named {
        name: "evidence-spammer",
        about: "accuses itself and others, truly and falsely, in every block",
        make: evidence_spammer::make,
    },
    Named {
        name: "clock-liar",
        about: "timestamps from the beginning to the end of time",
        make: clock_liar::make,
    },
    Named {
        name: "fat-equivocator",
        about: "blocks of the greatest size, another one for each part of the others",
        make: fat_equivocator::make,
    },
    Named {
        name: "hoarder",
        about: "blocks of the greatest size on parents that nobody has",
        make: hoarder::make,
    },
];

/// The sin of this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Named> {
    SINS.iter().find(|sin| sin.name == name)
}

/// Sins that cost much memory: committed only where a scenario says so.
const HEAVY: [&str; 2] = ["fat-equivocator", "hoarder"];

/// The names of all sins that may be drawn anywhere.
#[must_use]
pub fn names_at_large() -> Vec<&'static str> {
    let mut names = names();
    names.retain(|name| !HEAVY.contains(name));
    names
}

/// Every name.
#[must_use]
pub fn names() -> Vec<&'static str> {
    SINS.iter().map(|sin| sin.name).collect()
}
