//! The protocol of Probity as a deterministic state machine.

#![forbid(unsafe_code)]

pub mod block;
mod codec;
mod commit;
mod committee;
pub mod crypto;
mod dag;
mod fetch;
mod finality;
mod grounding;
mod id;
mod input;
pub mod limits;
mod message;
mod order;
mod output;
pub mod record;
mod recover;
mod replica;
mod round_clock;
mod suspended;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod thresholds;
mod verify;

pub use block::{Block, BlockRef, Header, Payload, Proposal, Slot};
pub use codec::DecodeError;
pub use commit::{COMMIT_RECORD_VERSION, Commit, CommitRecord, CommittedBlock, digest_of};
pub use committee::{
    AuthorSet, Committee, CommitteeConfig, CommitteeError, Member, PROTOCOL_VERSION, Tally,
};
pub use finality::CommitCertificate;
pub use id::{CommitIndex, IdMap, Round, Time, ValidatorIndex};
pub use message::Message;
pub use input::{Delivery, Link, Pending};
pub use order::Path;
pub use output::{Outcome, Output, PayloadRoom, PersistTicket};
pub use recover::{RecoverError, Recovered};
pub use replica::{ProposalContent, Replica, ReplicaConfig, ReplicaStatus};
pub use thresholds::{FaultBounds, Mode, Profile, Rule, ThresholdError, Thresholds, UnknownProfile};
pub use verify::{
    Reject, Rejected, SignedVotes, TransactionCheck, VerifiedBlock, verify_block, verify_evidence,
};
