//! The protocol of Probity as a deterministic state machine: no clock, socket, disk or thread.
//!
//! ```text
//!  bytes ─▶ verify_block ─▶ VerifiedBlock ─▶ Replica ─▶ Output: Persist · Sign · Broadcast · Commit …
//!            (any thread)                    (one thread)          (the shell carries them out, in order)
//! ```
//!
//! A [`Replica`] has four kinds of method. `handle_*` tells it what happened; [`Replica::poll_output`] says what to
//! do, in the order to do it; [`Replica::next_deadline`] says when to come back; the rest only look. Time is an
//! argument. The same calls give the same outputs, byte for byte, and nothing a peer sends makes it panic: a peer's
//! fault is a [`Reject`].
//!
//! One validator that orders alone, driven by hand:
//!
//! ```
//! use std::sync::Arc;
//! use probity_core::crypto::Keypair;
//! use probity_core::*;
//!
//! let key = Keypair::from_seed(&[1; 32]);
//! let committee = Committee::from_stakes(&[(key.public(), 1)], Profile::Dual30, "opaque/1").unwrap();
//! let config = ReplicaConfig {
//!     committee: Arc::new(committee),
//!     me: ValidatorIndex(0),
//!     min_round_delay_us: 0,
//!     idle_round_delay_us: 0,
//!     rule: Arc::new(FixedCommittee),
//! };
//! let mut replica = Replica::new(config, Recovered::fresh(), Time(0));
//! let mut now = Time(0);
//! let commit = loop {
//!     now = now.plus_us(1);
//!     match replica.poll_output() {
//!         None => replica.handle_tick(now),
//!         Some(Output::ProposalWanted { round, .. }) => {
//!             let payload = Payload::from_transactions(&[b"hello"]);
//!             replica.handle_proposal(now, round, ProposalContent { timestamp_ms: 7, payload });
//!         }
//!         // A shell writes the records to disk first. This one has none.
//!         Some(Output::Persist { ticket, .. }) => replica.handle_persisted(now, ticket),
//!         Some(Output::Sign { header_digest, preimage, .. }) => {
//!             replica.handle_signature(now, header_digest, key.sign(&preimage));
//!         }
//!         Some(Output::Commit(commit)) => break commit,
//!         Some(_) => {}
//!     }
//! };
//! assert_eq!(commit.index(), CommitIndex(1));
//! assert_eq!(commit.transactions().next().unwrap(), "hello");
//! ```
//!
//! # Reading order
//!
//! `limits` (every bound) · `thresholds`, `committee` (who decides, with how much) · `block`, `codec`, [`crypto`] ·
//! `verify` (the only door) · `dag` · `suspended`, `fetch`, `grounding` (what waits, what is missing, what may be
//! linked), `extra` (further blocks of a slot) · `catchup` (how who is far behind returns) · `round_clock` · `order` with
//! `votes`, `schedule`, `leaders`, `linearize` · `evidence`, `evidence_file` · `reputation` · `commit`, `finality` · `epoch`
//! (changes, ends, the next committee) · [`record`], `recover` · `replica` (wires them) · `input`, `output`, `message`.
//!
//! Rules are cited by number, as in `// R16`; `docs/protocol.md` has them.
//!
//! # Papers, and where this departs from them
//!
//! - Mysticeti (arXiv 2310.14821): the uncertified DAG and the `classic` rule. Here every validator leads every round.
//! - Hydrangea (eprint 2025/1112): the graded thresholds for `n = 3f + 2c + k + 1`. Here in DAG form, and with skip
//!   certificates, which no paper has.
//! - ZIP-215: the equation that decides about signatures, so that single and batch verdicts are the same.

#![forbid(unsafe_code)]

#[macro_use]
mod instrument;

pub mod block;
mod catchup;
mod codec;
mod commit;
mod committee;
pub mod crypto;
mod dag;
mod epoch;
mod evidence;
mod evidence_file;
mod extra;
mod fetch;
mod finality;
mod grounding;
mod id;
mod input;
pub mod limits;
mod message;
mod order;
mod output;
#[cfg(probity_planted)]
pub mod planted;
pub mod record;
mod recover;
mod replica;
mod reputation;
mod round_clock;
mod suspended;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod thresholds;
mod verify;

pub use block::{Block, BlockRef, EquivocationProof, Header, Payload, Proposal, Slot};
pub use codec::DecodeError;
pub use commit::{COMMIT_RECORD_VERSION, Commit, CommitRecord, CommittedBlock, digest_of};
pub use committee::{
    AuthorSet, Committee, CommitteeConfig, CommitteeError, Member, PROTOCOL_VERSION, Tally,
};
pub use epoch::{
    Authority, Change, ChangeOutcome, ChangeRequest, Charter, DecidedChange, EpochEnd, EpochNotes,
    EpochRule, EpochTerms, FixedCommittee, Origin, Roster, RosterError, Seat, VotedChanges,
};
pub use evidence_file::{
    Accusation, EpochEvidence, EvidenceFault, EvidenceFile, EvidenceFileError,
};
pub use finality::CommitCertificate;
pub use id::{CommitIndex, IdMap, Round, Time, ValidatorIndex};
pub use input::{Delivery, Intake, Link, Pending};
pub use message::Message;
pub use order::Path;
pub use output::{Halt, Outcome, Output, PayloadRoom, PersistTicket};
pub use recover::{
    RecoverError, Recovered, StoredEpoch, replay_scores, stored_epochs, stored_scores,
};
pub use replica::{ProposalContent, Replica, ReplicaConfig, ReplicaStatus};
pub use reputation::{
    Eligibility, Leading, Mark, ONE, ReplayedCommit, ReputationParams, RoundStanding, Scoring,
    SlotOutcome, SlotStanding, Standing,
};
pub use thresholds::{
    FaultBounds, Mode, Profile, Rule, ThresholdError, Thresholds, UnknownProfile,
};
pub use verify::{
    Reject, Rejected, SignedVotes, TransactionCheck, VerifiedBlock, name_block, verify_block,
    verify_evidence,
};
