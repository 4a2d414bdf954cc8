//! Which interesting paths of the core a run has taken.
//!
//! A test world that never met an equivocator's second block says nothing about it, however green it is. Each
//! [`Mark`] names one path; the core notes it with `sometimes!`, and a sweep of seeds asks which were never reached:
//!
//! ```
//! use probity_core::testing::marks::{self, Mark, MarkSet};
//! let mut met = MarkSet::default();
//! // … run one seed on this thread …
//! met = met.union(marks::take());
//! assert!(met.missing().any(|mark| mark == Mark::CommitWeakDual));
//! ```
//!
//! The marks of a thread are its own, so seeds may run in parallel, each on one thread.

use std::cell::Cell;
use std::fmt;

use crate::verify::Reject;

macro_rules! marks {
    ($($name:ident, $about:literal;)+) => {
        /// One interesting path of the core.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[non_exhaustive]
        pub enum Mark {
            $(#[doc = concat!($about, ".")] $name,)+
        }

        impl Mark {
            /// Every mark, by place.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            /// What happened when it was noted.
            #[must_use]
            pub const fn about(self) -> &'static str {
                match self { $(Self::$name => $about,)+ }
            }
        }
    };
}

marks! {
    // The commit rule.
    CommitFastDual, "R16: a quorum of votes committed a slot in two delays, dual mode";
    CommitFastFast, "R16: a quorum of votes committed a slot in two delays, fast mode";
    CommitSlowClassic, "R16: certificates committed a slot in three delays, classic mode";
    CommitSlowDual, "R16: certificates committed a slot in three delays, dual mode";
    SkipFastClassic, "R16: blames skipped a slot in two delays, classic mode";
    SkipFastDual, "R16: blames skipped a slot in two delays, dual mode";
    SkipFastFast, "R16: blames skipped a slot in two delays, fast mode";
    SkipFastSilent, "R16: a slot was skipped of which no block was here";
    SkipFastBlamed, "R16: a slot was skipped although a block of it was here";
    SkipSlow, "R16: skip certificates skipped a slot";
    CommitAnchorClassic, "R17: a certificate in the anchor's history committed a slot, classic mode";
    CommitAnchorDual, "R17: a certificate in the anchor's history committed a slot, dual mode";
    SkipAnchor, "R17: a skip certificate in the anchor's history skipped a slot";
    CommitWeakDual, "R17: weak votes in the anchor's history committed a slot, dual mode";
    CommitWeakFast, "R17: weak votes in the anchor's history committed a slot, fast mode";
    CommitWeakTie, "R17: two blocks of a slot had weak votes";
    SkipDefaultClassic, "R17: nothing in the anchor's history spoke for a slot, classic mode";
    SkipDefaultDual, "R17: nothing in the anchor's history spoke for a slot, dual mode";
    SkipDefaultFast, "R17: nothing in the anchor's history spoke for a slot, fast mode";
    AnchorUndecided, "R17: a slot stayed open because its anchor was undecided";
    AnchorPassedSkips, "R17: an anchor lay above a round of skipped slots only";

    // Votes.
    SecondCandidate, "R14: a slot had a second block";
    SecondVoter, "R14: an author's second block of a round was counted";
    VoterOnBothSides, "R14: an equivocator was in the votes and in the blames of one block";
    CandidateAfterVoters, "R14: a block was accepted after others of the next round, which blame it";
    CertificateByExtra, "R15: a certificate needed a parent that was not the first of its slot";
    SkipCertificateCounted, "R15: a skip certificate was counted";

    // Output.
    VoidOrdered, "R12: a block was ordered whose payload is void";
    OldOrdered, "R19: a commit ordered a block at least four rounds below its leader";
    OldestOrdered, "R19: a commit ordered a block of the lowest round above the gc round";
    LeaderAlone, "R19: a commit ordered its leader and nothing else";
    TimestampHeld, "R20: the median was below the commit before, whose timestamp stood";
    GcRoundRose, "R22: rounds were collected";
    CollectedUncommitted, "R22: a block was collected that was never committed";
    OutcomeSequenced, "R24: an own block was ordered";
    OutcomeVoid, "R24: an own block was ordered with a void payload";
    OutcomeEpochEnded, "R24: an own block was left when the epoch ended";
    EpochEnding, "R32: the last commit of an epoch was output";
    EpochOver, "R32: votes of weight Q for it ended the tail";
    EpochEndTaken, "R32: an epoch's end came from somebody else";
    EpochSkipped, "R32: an epoch was left without all of its commits";
    EpochAlarm, "R30: more stake equivocated than may";
    ChangeEffective, "R32: a change of the committee became effective";
    RestartEnding, "R36: a replica started again within the tail of an epoch";
    OutcomeCollected, "R24: an own block was collected, its payload to be submitted again";
    CatchUpBegun, "R35: a validator was far behind, and a certified commit ahead was known";
    CatchUpInstalled, "R35: a certified commit was installed";
    CatchUpDone, "R35: the highest certified commit was installed";
    CatchUpToEnd, "R35: catching up led to the end of an epoch";
    CatchUpAsksTip, "R35: peers were asked how far they are";
    CatchUpStalled, "R35: nothing came for long, and ordering went on by the rules";
    CatchUpLiar, "R35: an answer with commit records did not fit";
    CatchUpJunction, "R35: an answer with commit records did not fit the one above it";
    CatchUpShort, "R35: an answer with commit records was shorter than asked";
    CatchUpLate, "R35: commit records did not come in time";
    CatchUpFull, "R35: blocks that were asked for filled the room for them";
    CatchUpAllRefused, "R35: every peer had lied or failed, and all were asked again";
    CatchUpAllTried, "R35: every peer had been asked for a block";
    CatchUpOutOfReach, "R35: a peer had no certificate within reach";
    VotePointDropped, "R25: more vote points than a header carries";
    CertificateMade, "R25: commit votes made a certificate";
    VoteAhead, "R25: a vote for a commit that is not output here";
    VoteAuthorCap, "R25: an author's open votes are at their cap";

    // Acceptance.
    KnownAgain, "R5: a block came that is held already";
    AboveCeiling, "R6: an unsolicited block above the round ceiling was dropped";
    OccupiedDropped, "R6: an unsolicited block on an occupied slot was dropped";
    ExtraTaken, "R6: a requested block on an occupied slot was taken";
    ExtraUnpaid, "R6: a requested block on an occupied slot was needed by its own author only";
    ExtraOverBudget, "R6: nobody whose block stands on an extra block had room to pay for it";
    ExtraRetried, "R6: an extra block that was refused was asked for again, because somebody can pay now";
    ExtraGranted, "R6: spent budgets for extra blocks grew, because one was refused";
    Suspended, "R5: a block was suspended";
    Evicted, "R6: a suspended block was evicted";
    FreedByParent, "R5: a suspended block was freed by its parent";
    FreedByGc, "R5: a suspended block was freed by the gc round";
    CollectedDropped, "R5: a block at or below the gc round was dropped";
    CollectedHeld, "R6: a block at or below the gc round was held to ground others";
    EvidenceMade, "R12: two headers of one slot made a proof";
    EvidenceReceived, "R12: a proof was received in another's block";
    SignatureVariant, "R12: two blocks of one slot differed in the signature only";
    OwnForgotten, "R37: an own block came that was collected long ago";
    AmnesiaSuspected, "R37: an own block came that this validator did not make";

    // Grounding.
    UngroundedAccepted, "R6: a block was accepted that is not grounded";
    GroundedByParent, "R6: a block was grounded by its parents, later";
    GroundedByFetch, "R6: a block was grounded by collected parents that were fetched";
    GroundedByCommit, "R6: a block was grounded by a commit";
    GroundedByFloor, "R6: a block was grounded because its parents lie far below the gc round";
    GroundingBudgetSpent, "R6: nobody had room to pay for a collected parent";
    FrontierByGrounding, "R6: the frontier rose by what a commit or a collection grounded";

    // Fetch and replay.
    FetchSecondPeer, "R33: a second peer was asked for a block at once";
    FetchAllTried, "R33: everybody was asked for a block, and it begins again";
    FetchNotHeld, "R33: a peer did not hold a block, the next one is asked at once";
    FetchExpected, "R33: a parent counted as asked of the peer that sends its child's history";
    HistoryServed, "R33: a history was sent with the block asked for";
    FetchPaused, "R33: nobody holds a block, the pause stands";
    FetchPeerFull, "R33: a peer was not asked because too much is asked of it";
    FetchFull, "R33: no more blocks can be asked for";
    FetchCollected, "R33: a wanted block was collected";
    ReplayAsked, "R34: a replay was asked for on a new link";
    ReplayBehind, "R34: a replay was asked for because its author is far ahead";
    ReplayStep, "R34: the next part of a replay was asked for";
    ReplayRetried, "R34: a replay was asked for again";
    ReplayStalled, "R34: a replay was asked for because the frontier stood still";
    ReplayFromStore, "R34: a replay was answered from storage";
    ReplayFromWindow, "R34: a replay was answered from the window";

    // Proposing.
    ProposedPrompt, "R9: all leaders were here, so nothing was waited for";
    ProposedAfterHold, "R9: the soft hold passed";
    ProposedByTimeout, "R9: the leader timeout fired";
    WaitedMinDelay, "R9: a round waited for the least time between own blocks";
    WaitedIdle, "R9: a round waited because nothing was pending";
    WaitedHold, "R9: a round waited for leaders other than the primary";
    WaitedLeader, "R9: a round waited for the primary's block";
    WaitedVotes, "R9: a round waited for votes or blames of the primary slot";
    Waived, "R9: a primary was not waited for because it stalls by habit";
    BehindFrontier, "R8: an own block behind the frontier";
    SafeResume, "R8: the next own round is two above the gc round";
    OwnParentOld, "R8: an own block whose own parent is not of the round before";
    OwnParentGenesis, "R8: a late own block on the own genesis";
    ParentOld, "R10: a parent of an older round was linked";
    ParentNotFirst, "R10: the linked block of an equivocator was not the first accepted";
    EvidenceCarried, "R12: an own block carries a proof";
    EvidenceWaits, "R12: more proofs waited than a block carries";
    EvidenceLinked, "R12: a linked block carries a proof";
    EvidenceAgain, "R12: a proof waits again, because the block that carried it was collected";
    BrakeByBytes, "R13: no payload, because too much is uncommitted";
    BrakeByLag, "R13: no payload, because the last commit is far behind";
    ProposalStale, "R8: the gc round moved while a payload was chosen";
    SealedCollected, "R8: an own block was signed after its round was collected";

    // Restart.
    RestartFresh, "R36: a start without a past";
    RestartCollected, "R36: collected blocks were remembered";
    RestartCommitted, "R36: a block above the gc round was committed before";
    RestartPartial, "R36: a stored block lacked a parent";
    RestartEvidence, "R12: stored proofs were found again";
    RestartSignedAgain, "R36: the own header is signed again";
    RestartSentAgain, "R36: the own block is sent again";
    RestartOwnCollected, "R36: the own header was collected before it was signed";

    // Verdicts.
    RejectMalformed, "R2: no block is encoded";
    RejectVersion, "R4: another version";
    RejectChain, "R4: another chain";
    RejectEpoch, "R4: another epoch";
    RejectRound, "R4: round 0";
    RejectAuthor, "R4: the author or a parent's author is no member";
    RejectParentOrder, "R4: parents out of order";
    RejectParentRound, "R4: a parent's round is out of range";
    RejectGenesis, "R4: a round-0 parent is not genesis";
    RejectParentQuorum, "R4: parents of too little weight";
    RejectEvidence, "R4: a proof that proves nothing";
    RejectPayload, "R4: another payload than described";
    RejectTransaction, "R4: an invalid transaction";
    RejectSignature, "R4: an invalid signature";
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Reject {
    /// The mark of this verdict.
    pub(crate) fn mark(&self) -> Mark {
        match self {
            Self::Malformed(_) => Mark::RejectMalformed,
            Self::Version(_) => Mark::RejectVersion,
            Self::Chain => Mark::RejectChain,
            Self::Epoch(_) => Mark::RejectEpoch,
            Self::Round => Mark::RejectRound,
            Self::Author(_) => Mark::RejectAuthor,
            Self::ParentOrder => Mark::RejectParentOrder,
            Self::ParentRound(_) => Mark::RejectParentRound,
            Self::Genesis => Mark::RejectGenesis,
            Self::ParentQuorum { .. } => Mark::RejectParentQuorum,
            Self::Evidence => Mark::RejectEvidence,
            Self::Payload => Mark::RejectPayload,
            Self::Transaction(_) => Mark::RejectTransaction,
            Self::Signature => Mark::RejectSignature,
        }
    }
}

/// Marks, each at most once.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct MarkSet([u64; WORDS]);

const WORDS: usize = 4;
const _: () = assert!(Mark::ALL.len() <= 64 * WORDS);

impl MarkSet {
    /// Whether `mark` was noted.
    #[must_use]
    pub const fn contains(self, mark: Mark) -> bool {
        let (word, bit) = place(mark);
        self.0[word] & bit != 0
    }

    /// What is in one of both.
    #[must_use]
    pub fn union(mut self, other: Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(a, b)| *a |= b);
        self
    }

    /// How many there are.
    #[must_use]
    pub fn len(self) -> usize {
        self.iter().count()
    }

    /// Whether nothing was noted.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        let Self([a, b, c, d]) = self;
        a | b | c | d == 0
    }

    /// The marks that were noted, in the order of [`Mark::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Mark> {
        let all = Mark::ALL.iter().copied();
        all.filter(move |mark| self.contains(*mark))
    }

    /// The marks that were not.
    pub fn missing(self) -> impl Iterator<Item = Mark> {
        let all = Mark::ALL.iter().copied();
        all.filter(move |mark| !self.contains(*mark))
    }
}

impl fmt::Debug for MarkSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

thread_local! {
    static NOTED: [Cell<u64>; WORDS] = const { [const { Cell::new(0) }; WORDS] };
}

/// Word and bit.
const fn place(mark: Mark) -> (usize, u64) {
    (mark as usize / 64, 1 << (mark as usize % 64))
}

/// Notes a mark on this thread.
pub(crate) fn hit(mark: Mark) {
    let (word, bit) = place(mark);
    NOTED.with(|noted| noted[word].set(noted[word].get() | bit));
}

/// The marks noted on this thread since the last call.
#[must_use]
pub fn take() -> MarkSet {
    MarkSet(NOTED.with(|noted| noted.each_ref().map(Cell::take)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn marks_are_noted_once_and_taken_once() {
        assert!(take().is_empty());
        hit(Mark::CommitFastDual);
        hit(Mark::RejectSignature);
        hit(Mark::RejectSignature);
        let noted = take();
        let both = [Mark::CommitFastDual, Mark::RejectSignature];
        assert_eq!(noted.iter().collect::<Vec<_>>(), both);
        assert_eq!(noted.missing().count(), Mark::ALL.len() - 2);
        assert!(take().is_empty());
    }

    #[test]
    fn every_mark_has_a_name_and_a_sentence_of_its_own() {
        let names: BTreeSet<_> = Mark::ALL.iter().map(|mark| mark.name()).collect();
        let sentences: BTreeSet<_> = Mark::ALL.iter().map(|mark| mark.about()).collect();
        assert_eq!(names.len(), Mark::ALL.len());
        assert_eq!(sentences.len(), Mark::ALL.len());
    }
}
