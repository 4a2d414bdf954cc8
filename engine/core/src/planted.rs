//! Mistakes planted into the core, one of which may be switched on: the test of the tests.
//!
//! A checker that has never caught anything has proved nothing. Each [`Bug`] is one line somewhere in the core, as a
//! tired author would write it; a test world has to go red for every one of them and stay green for none. The module
//! exists only under `--cfg probity_planted`, which is passed by `cargo --config` (see `.cargo/config.toml`), and
//! only together with debug assertions, so that no release can contain it.
//!
//! ```text
//!   planted::set(Some(Bug::WeakLow));      before the run; the whole process has the bug
//!   planted::set(None);                    after it
//! ```

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};

#[cfg(not(debug_assertions))]
compile_error!("planted bugs are never built without debug assertions: use `--profile planted`");

macro_rules! bugs {
    ($($name:ident, $rule:literal, $about:literal;)+) => {
        /// One planted mistake.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[non_exhaustive]
        pub enum Bug {
            $(#[doc = concat!("R", stringify!($rule), ": ", $about, ".")] $name,)+
        }

        impl Bug {
            /// Every bug, by rule.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The name by which it is switched on.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            /// The number of the rule it breaks.
            #[must_use]
            pub const fn rule(self) -> u32 {
                match self { $(Self::$name => $rule,)+ }
            }

            /// What is wrong while it is on.
            #[must_use]
            pub const fn about(self) -> &'static str {
                match self { $(Self::$name => $about,)+ }
            }
        }
    };
}

bugs! {
    QuorumLow, 1, "Q is one too low";
    CertificateLow, 1, "V is one too low";
    SkipCertificateLow, 1, "B_q is one too low";
    SlowLow, 1, "D is one too low";
    FastCommitLow, 1, "F is one too low";
    FastSkipLow, 1, "S is one too low";
    WeakLow, 1, "wk is one too low";
    WeakHigh, 1, "wk is one too high";

    SignatureUnchecked, 4, "a header's signature is not checked";
    ParentAuthorTwice, 4, "two parents of one author are taken";
    ParentWindowWide, 4, "a parent may be one round older than gc_depth allows";
    ParentWindowNarrow, 4, "a parent at the oldest allowed round is refused";
    ParentQuorumUnchecked, 4, "the weight of the parents is not checked";
    OwnParentUncounted, 4, "the author's own parent does not count for the quorum";
    EvidenceUnchecked, 4, "equivocation proofs are not checked";
    PayloadUnchecked, 4, "the payload's root is not checked";

    SuspendedForgotten, 5, "blocks that wait for a collected parent are not looked at again";
    GroundingDropped, 6, "every block counts as grounded";
    LinksUngrounded, 6, "ungrounded blocks are linked";
    FrontierUngrounded, 6, "ungrounded blocks count for the frontier";
    GroundingFloorDropped, 6, "nothing is grounded by lying far below the gc round";
    CollectedNotFetched, 6, "collected parents are not fetched to ground their children";
    ExtraRefused, 6, "a requested block on an occupied slot is refused, whoever needs it";

    RoundSkipped, 8, "the next own block jumps to the frontier";
    LeaderWaitDropped, 9, "nobody waits for the primary's block";
    VoteWaitDropped, 9, "nobody waits for votes or blames of the primary slot";
    TimeoutNever, 9, "the leader timeout never fires";
    TimeoutNotReset, 9, "a commit does not reset the leader timeout";
    LateNotLinked, 10, "only blocks of the round right below are linked, late ones never";

    SignBeforePersist, 11, "the signer is asked before the own header is durable";
    OwnHeaderLate, 11, "the own header is written one ticket too late";
    HistoryLate, 11, "the history of an own block is written one ticket too late";
    OwnPayloadLost, 11, "the own payload is not written with its header";

    VoidDropped, 12, "the second block of a slot keeps its payload";
    VoidByArrival, 12, "the block of a slot that arrived second is void, not the one ordered second";
    EvidenceNever, 12, "no own block carries a proof of equivocation";
    EvidenceTwice, 12, "every own block carries a proof again until its author is slashed";
    BrakeDropped, 13, "own payload is proposed without end while nothing commits";

    WeightPerBlock, 14, "weights are added up by block, not by author";
    WeakVotesPerBlock, 14, "an equivocator's votes in an anchor's history count once for each block";
    SecondVoteIgnored, 14, "only the first block of an equivocator votes";
    LateCandidateUnblamed, 14, "a late candidate is not blamed by the blocks that were here before it";
    ParentsOfAnyRound, 15, "parents of older rounds count like those of the round below";

    FastCommitDropped, 16, "no slot is committed by the votes of the next round alone";
    SkipOnOneBlamed, 16, "one blamed block is enough to skip the slot of an equivocator";
    AnchorNear, 17, "an anchor is looked for one round too early";
    AnchorOverUndecided, 17, "an undecided slot is passed over in the search for an anchor";
    IndirectByLocalView, 17, "slots are decided by the local view instead of the anchor's history";
    AnchorSkipForgotten, 17, "a skip certificate in the anchor's history is overlooked";
    GreatestDigest, 17, "of two blocks with weak votes the one with the greatest digest commits";

    OrderByDigest, 19, "blocks of a round are ordered by digests, which their authors choose";
    OrderByArrival, 19, "blocks of a round are ordered as they arrived";
    LeaderFirst, 19, "the leader comes first";
    StopAtLastCommitted, 19, "a commit stops at its authors' last committed rounds";
    SecondUncommitted, 19, "an equivocator's second block is not marked as committed";
    UpperMedian, 20, "the timestamp is the upper median";
    TimestampFalls, 20, "the timestamp may fall";
    TimestampOwn, 20, "the timestamp is that of the last own block";
    CommitBeforePersist, 21, "commits and outcomes are given out before they are durable";
    GcRoundHigh, 22, "the gc round is one too high";
    GcBySkips, 22, "skipped slots move the gc round";
    CollectedLost, 24, "the application is not told that an own block was collected";
    CommitVotesTwice, 25, "an author's commit votes count as often as they arrive";
    CommitCertificateLow, 25, "a commit certificate takes one too little";
    LeadersByWindow, 29, "the leaders of a round depend on how many rounds are held";

    WeightsCompound, 30, "weights are made of the weights before, not of the base stake";
    DemotedWithoutCap, 30, "whoever is bad is demoted, however much stake that is";
    DemotedAtOnce, 30, "rho falls by more than a tenth an epoch";
    EquivocatorKeepsWeight, 30, "who equivocated is not slashed";
    EpochEndsLate, 32, "one validator may end the epoch a commit later than the others";
    ParametersUnbound, 32, "the chain id of the next epoch does not bind its parameters";
    TailShort, 32, "the tail ends with a commit certificate, and less than Q";

    FetchOnePeer, 33, "only the first peer is ever asked for a missing block";
    CeilingForgotten, 34, "an author whose block was above the ceiling is not asked for what lies between";
    ReplayDropped, 34, "nobody is asked for a replay";

    CertificateUnchecked, 35, "a commit certificate is believed whoever signed it";
    RecordsUnchained, 35, "the digests of records in one answer are not compared";
    InstalledGcStays, 35, "installed commits do not move the gc round";
    InstalledInAnyRound, 35, "the schedule made by an installed commit is not put into force";
    JunctionUnchecked, 35, "where two answers with commit records meet is not looked at";

    RestartForgetsOwn, 36, "a stored own header that was not signed is forgotten";
    RestartRoundLow, 36, "the highest own round is one too low after a restart";
    RestartForgetsCommitted, 36, "after a restart nothing counts as committed";
    AmnesiaIgnored, 37, "an own block that this validator did not make changes nothing";

    IntakeTwice, 39, "a transaction that is submitted again is proposed again (in the simulator's own intake)";
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name is not that of a bug.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownBug;

impl FromStr for Bug {
    type Err = UnknownBug;

    fn from_str(name: &str) -> Result<Self, UnknownBug> {
        let named = Self::ALL.iter().find(|bug| bug.name() == name);
        named.copied().ok_or(UnknownBug)
    }
}

/// Place of the active bug in [`Bug::ALL`], or [`NONE`]. Process-wide: every replica of a test world has the bug, as
/// every validator runs the same program.
static ACTIVE: AtomicUsize = AtomicUsize::new(NONE);

const NONE: usize = usize::MAX;

/// Switches one bug on and every other one off.
pub fn set(bug: Option<Bug>) {
    ACTIVE.store(bug.map_or(NONE, |bug| bug as usize), Ordering::SeqCst);
}

/// The bug that is on.
#[must_use]
pub fn active() -> Option<Bug> {
    Bug::ALL.get(ACTIVE.load(Ordering::SeqCst)).copied()
}

pub(crate) fn is_active(bug: Bug) -> bool {
    // One bug is set before a run and none during it: no ordering is needed.
    ACTIVE.load(Ordering::Relaxed) == bug as usize
}
