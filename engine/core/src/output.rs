//! What a replica asks of its shell, in the order to do it.

use std::fmt;
use std::sync::Arc;

use crate::block::{Block, BlockRef, EquivocationProof, PREIMAGE_BYTES};
use crate::commit::Commit;
use crate::crypto::Digest;
use crate::epoch::{Change, ChangeOutcome, EpochEnd};
use crate::finality::CommitCertificate;
use crate::id::{CommitIndex, Round, ValidatorIndex};
use crate::message::Message;
use crate::record::Record;

/// Numbers the [`Output::Persist`]s of one replica, from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct PersistTicket(pub u64);

/// One effect. The shell carries them out in the order in which they are polled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// An own block of this round may be proposed: answer at once with `handle_proposal`.
    ProposalWanted {
        /// Its round.
        round: Round,
        /// Whether it may carry transactions.
        room: PayloadRoom,
    },
    /// Make these records durable, all or nothing, after those of every earlier ticket; then call `handle_persisted`.
    Persist {
        /// To hand back.
        ticket: PersistTicket,
        /// What to write.
        records: Vec<Record>,
    },
    /// Sign this preimage and answer with `handle_signature`. Emitted only after the header, its payload and its
    /// history are durable (R11).
    Sign {
        /// The own block's round.
        round: Round,
        /// What the signature answers to.
        header_digest: Digest,
        /// The bytes to sign (R3).
        preimage: [u8; PREIMAGE_BYTES],
    },
    /// Send this own block to every other validator. Emitted only after it was signed.
    Broadcast(Arc<Block>),
    /// Send a message to one validator.
    Send {
        /// The receiver.
        to: ValidatorIndex,
        /// What to say.
        message: Message,
    },
    /// Send a held block that was asked for.
    SendBlock {
        /// The receiver.
        to: ValidatorIndex,
        /// The block, to be framed by `Message::encode_fetched`.
        block: Arc<Block>,
    },
    /// Look these blocks up in storage: send those found, say `NotHeld` for the others.
    Serve {
        /// The receiver.
        to: ValidatorIndex,
        /// The blocks asked for.
        refs: Vec<BlockRef>,
    },
    /// Send own blocks after this round from storage, oldest first, within the replay limits (R34).
    ServeReplay {
        /// The receiver.
        to: ValidatorIndex,
        /// The round it has.
        after: Round,
    },
    /// Look in storage for the certificate of the least commit at or above `at_least`, and send it; else the newest one;
    /// else say that there is none (R35).
    ServeCertificate {
        /// The receiver.
        to: ValidatorIndex,
        /// The commit asked for.
        at_least: CommitIndex,
        /// The newest certificate.
        newest: Option<Arc<CommitCertificate>>,
    },
    /// More weight than `f` is faulty, or this program is: the replica has stopped and does nothing more.
    Halted(Halt),
    /// The next commit; indices have no gap. It is durable.
    Commit(Arc<Commit>),
    /// What became of an own block (R24).
    Outcome {
        /// Its round.
        round: Round,
        /// How it ended.
        outcome: Outcome,
    },
    /// Two headers of one slot, both signed: its author is Byzantine, or one key runs twice (R12).
    Evidence(EquivocationProof),
    /// What became of a change of the committee, with this commit (R32).
    Change {
        /// The commit that decided it.
        index: CommitIndex,
        /// The change.
        change: Change,
        /// Whether it takes effect.
        outcome: ChangeOutcome,
    },
    /// The epoch is over: its last commit is provably final, durable, and all that this replica will output. The next
    /// replica is made by [`Replica::next_epoch`](crate::Replica::next_epoch) (R32).
    ///
    /// It is also what messages of this epoch are answered with from now on.
    EpochEnded(Arc<EpochEnd>),
    /// A commit is provably final (R25); each one is higher than those before.
    Certified(Arc<CommitCertificate>),
}

/// Why a replica has stopped for good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Halt {
    /// Certified commits do not continue the own sequence (R35).
    Forked {
        /// The first of them that differs, or one after it.
        index: CommitIndex,
    },
    /// A certified commit is not what the rules make of its leader (R35).
    Unfounded {
        /// The commit.
        index: CommitIndex,
    },
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forked { index } => write!(
                f,
                "certified commits up to {index} do not continue the own ones"
            ),
            Self::Unfounded { index } => write!(
                f,
                "certified commit {index} is not what the rules make of its leader"
            ),
        }
    }
}

/// Whether an own block may carry transactions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PayloadRoom {
    /// Up to the limits of R4.
    Open,
    /// None: behind the frontier (R8) or braked (R13).
    Closed,
}

/// How an own block ended (R24).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// Its payload is in the sequence, in the commit of this index.
    Sequenced {
        /// The commit.
        index: CommitIndex,
    },
    /// It is in the sequence, but its payload is void, because another block of the slot came first.
    SequencedVoid,
    /// Its round was collected before it was committed; the payload is to be submitted again.
    Collected,
    /// The epoch ended before it was ordered; the payload is to be submitted again.
    EpochEnded,
    /// The epoch was left without all of its commits: whether the block was ordered is not known here, and its payload
    /// must not be submitted again blindly.
    Unknown,
}
