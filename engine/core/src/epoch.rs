//! # Epochs
//!
//! An epoch has one committee. What changes it is ordered like anything else, and takes effect when the epoch ends.
//!
//! ```text
//!   committed blocks ──▶ agenda: votes for changes ──▶ charter ──▶ weights (R30) ──▶ the next committee
//!   commit record    ──▶ does the epoch end?  ──▶ tail of empty blocks until a quorum has voted for the last commit
//! ```
//!
//! Everything here is a function of the committed prefix (R23): the last record of an epoch names the digest of the
//! next charter, so that the certificate of that record is all that a stranger needs to know the next committee.

mod agenda;
mod change;
mod end;
mod next;
mod notes;
mod roster;
mod rule;

pub use agenda::ChangeOutcome;
pub(crate) use agenda::{Agenda, Progress};
pub use change::{Change, Charter};
pub use end::{EpochEnd, Origin};
pub(crate) use next::NextEpoch;
pub(crate) use notes::Note;
pub use notes::{DecidedChange, EpochNotes};
pub(crate) use roster::apportion;
pub use roster::{Roster, RosterError, Seat};
pub use rule::{Authority, ChangeRequest, EpochRule, EpochTerms, FixedCommittee, VotedChanges};
