//! Probity, an embeddable consensus engine: it takes transactions, agrees with the other validators
//! on one order of them, and hands every application the same sequence. It executes nothing.
//!
//! # Hello
//!
//! One validator in this process; four need four configurations, [`Config::bind_quic`] and
//! [`Config::open_lmdb`] each.
//!
//! ```
#![doc = include_str!("../examples/hello.rs")]
//! ```
//!
//! # What happens to a transaction
//!
//! ```text
//!   submit ─▶ intake ─▶ own block ─▶ durable ─▶ signed ─▶ sent        blocks of peers
//!             ids,                                 │                     │ verified
//!             signatures                           └──────▶ core ◀───────┘
//!                                                            │ ordered, durable
//!   Submitted::committed ◀───────────────────────────────────┴──▶ commits_after
//! ```
//!
//! 1. [`Node::submit`] answers when the transaction was checked and queued: no promise yet.
//! 2. [`Submitted::committed`] is the promise: the transaction is in the sequence, and its commit is
//!    durable on this validator.
//! 3. [`Node::commits_after`] delivers every commit once, in order. Store the index of the last one
//!    you applied together with your own state, and pass it back after a restart.
//!
//! # Epochs
//!
//! The committee's file says when an epoch ends and who may change the committee; if it does not, there is one
//! epoch without end. The sequence goes on from one to the next, and so do receipts of [`Node::submit`].
//!
//! ```text
//!   epoch 0: committee.toml ── last commit ─▶ epoch 1: new weights, new members ── last commit ─▶ …
//!                                  └─▶ StreamEvent::Epoch, behind it in the stream
//! ```
//!
//! - [`EpochTerms`]: a length by commit timestamps, and the name of an [`EpochRule`]. [`FixedCommittee`] and
//!   [`VotedChanges`] come with the engine; [`NodeBuilder::epoch_rule`] takes one of your own.
//! - [`Node::propose_change`] votes for a [`Change`]; one that would break the committee is refused and says
//!   why. [`CommitStream::next_event`] delivers an [`EpochEvent`] with what became of it.
//! - A node whose validator is no member is [`State::Following`]. [`Config::joining`] starts one before it is.
//!
//! # When something fails
//!
//! - A full node answers [`SubmitError::Busy`] with a hint when to come back.
//! - A storage error or a panic stops the node before it signs anything more. [`Node::status`] says
//!   why, streams end, waiting submitters learn it, and your process lives on.
//! - A slow reader of commits slows nobody; beyond a lag its node proposes no more transactions.
//!
//! Waiting works on any executor, and `_blocking` twins need none. The library logs with `tracing`
//! and installs no subscriber.
//!
//! Until transactions are de-duplicated by the order itself (R39), one that was submitted to two
//! validators may be ordered twice.

#![forbid(unsafe_code)]

mod allowance;
mod chronicle;
mod commits;
mod config;
mod contact;
mod core_queue;
mod core_thread;
mod desk;
mod error;
mod event;
mod evidence;
mod health;
mod init;
mod intake;
mod keys;
mod links;
mod metrics;
mod node;
mod peer;
mod persist;
mod recent;
mod records;
mod retention;
mod serve;
mod start;
mod stored;
mod submit;
mod transaction;
mod verified;
mod verify_pool;
mod wake;

pub use commits::CommitStream;
pub use config::{CommitteeFile, Config, ConfigError, Tuning, ValidatorInfo};
pub use contact::Contact;
pub use error::{ChangeError, CommitsEnd, Error, ReputationError, SubmitError};
pub use event::{EpochEvent, Seated, StreamEvent};
pub use evidence::stored_evidence;
pub use health::StopReason;
pub use init::*;
pub use keys::*;
pub use node::{Node, NodeBuilder, State, Status};
pub use probity_core::crypto::{Digest, Keypair, PublicKey};
pub use probity_core::{Accusation, EquivocationProof, EvidenceFile};
pub use probity_core::{
    Authority, Change, ChangeOutcome, ChangeRequest, Committee, DecidedChange, EpochEnd, EpochRule,
    EpochTerms, FaultBounds, FixedCommittee, Roster, RosterError, Seat, VotedChanges,
};
pub use probity_core::{Commit, CommitIndex, CommitRecord, Profile, ValidatorIndex};
pub use probity_core::{Standing, StoredEpoch, TransactionCheck};
pub use probity_storage::{LmdbOptions, LmdbStorage, MemoryStorage, StorageError};
pub use probity_transport::{MemoryNetwork, PeerId, QuicOptions, QuicTransport, TransportError};
pub use stored::{replay_scores, stored_epochs};
pub use submit::Submitted;
pub use transaction::*;
