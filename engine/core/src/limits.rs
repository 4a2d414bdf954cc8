//! Every bound of the core, with its unit, and the relations between them, checked at compile time.
//!
//! Two kinds live here. *Validity limits* decide whether a block is valid, so they are the same on every validator
//! and part of the chain id (R32). *Local limits* only protect one validator's memory and may differ.

// ---- Validity limits (R4) ----

/// Bytes of one transaction.
pub const TRANSACTION_BYTES_MAX: usize = 64 * 1024;
/// Bytes of one block's payload, its table of lengths included.
pub const PAYLOAD_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Transactions of one block's payload.
pub const PAYLOAD_TRANSACTIONS_MAX: usize = 65_536;
/// Bytes of one signed header.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;
/// Commit votes carried by one header (R25).
pub const COMMIT_VOTES_MAX: usize = 8;
/// Equivocation proofs carried by one header (R12).
pub const EVIDENCE_MAX: usize = 4;
/// Validators of one committee.
pub const VALIDATORS_MAX: usize = 256;
/// Base stake of everybody together (R30); products with weights and `rho` fit `u128`.
pub const STAKE_TOTAL_MAX: u64 = 1 << 56;
/// Bytes that say how to reach a validator.
pub const CONTACT_BYTES_MAX: usize = 256;
/// Requests for changes that count in one block (R32).
pub const CHANGES_PER_BLOCK_MAX: usize = 16;
/// Changes that one validator may have asked for and that are not effective yet (R32).
pub const CHANGES_OPEN_PER_AUTHOR_MAX: usize = 64;
/// Total weight to which `Committee::from_stakes` normalises.
pub const NORMAL_WEIGHT: u64 = 1_000_000;
/// Greatest total weight a committee may have; products with it fit `u128` with room to spare.
pub const TOTAL_WEIGHT_MAX: u64 = 1 << 48;
/// Rounds below the last committed leader that can still be ordered (R22), by default.
pub const GC_DEPTH_ROUNDS: u32 = 64;
/// Greatest `gc_depth` a committee may choose; it bounds the window of the DAG.
pub const GC_DEPTH_ROUNDS_MAX: u32 = 1024;
/// Scored rounds that a validator's score is the sum of (R27).
pub const SCORE_ROUNDS: u32 = 512;
/// Scored rounds whose leader slots count against a validator (R27).
pub const SLOT_ROUNDS: u32 = 4096;
/// Leader rounds between two schedules (R29).
pub const SCHEDULE_ROUNDS: u32 = 128;
/// Rounds from the leader of the commit that makes a schedule to the schedule's first round (R29).
pub const SCHEDULE_LEAD_ROUNDS: u32 = 11;
/// Greatest of these four that a committee may choose; it bounds the memory of scores.
pub const REPUTATION_ROUNDS_MAX: u32 = 65_536;

// ---- Local limits ----

/// Bytes of one network frame.
pub const FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of own payload that is proposed and not yet committed; above it blocks are empty (R13).
pub const OWN_PAYLOAD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of suspended blocks that one peer may have sent (R6).
pub const SUSPENDED_PEER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of suspended blocks in all (R6).
pub const SUSPENDED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of the greatest block.
pub const BLOCK_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + HEADER_BYTES_MAX;
/// Bytes of blocks on slots that another block already occupies, for each author whose blocks stand on them (R6): one
/// block of the greatest size for every round that can be open. A window above the gc round, the rounds that R13 allows
/// before blocks are empty, and as many again.
#[must_use]
pub const fn extra_bytes_max(gc_depth: u32) -> usize {
    (2 * gc_depth as usize + 8) * BLOCK_BYTES_MAX
}
/// Extra blocks in the way of one another: how many of one block's suspended history are looked at (R6).
pub const EXTRA_WALK_MAX: usize = 4096;
/// References in one block request (R33).
pub const REQUEST_REFS_MAX: usize = 64;
/// Peers asked at once for one missing block (R33).
pub const FETCH_PEERS_MAX: usize = 2;
/// Blocks of a history sent in answer to one request, besides those that it names (R33).
pub const HISTORY_BLOCKS_MAX: usize = 256;
/// References asked of one peer and not answered yet (R33).
pub const FETCH_IN_FLIGHT_PEER_MAX: usize = 256;
/// Missing references tracked at once; more wait for the next answer.
pub const MISSING_REFS_MAX: usize = 65_536;
/// Own blocks sent in answer to one replay request (R34).
pub const REPLAY_BLOCKS_MAX: usize = 64;
/// Payload and header bytes sent in answer to one replay request (R34).
pub const REPLAY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Commit votes kept for each author while their certificate is not complete (R25).
pub const OPEN_VOTES_PER_AUTHOR_MAX: usize = 256;
/// Accepted blocks' records that may wait for the next `Persist` before one is made for them alone.
pub const RECORDS_WAITING_MAX: usize = 256;
/// How far ahead a certified commit is, for each validator of the committee, when catching up begins (R35).
pub const FAR_BEHIND_COMMITS: u64 = 16;
/// Commit records in one answer (R35).
pub const COMMITS_MAX: usize = 64;
/// Bytes of commit records in one answer, unless its only record is larger (R35).
pub const COMMITS_BYTES_MAX: usize = 1024 * 1024;
/// Commits between two certificates that are kept for those who catch up (R35).
pub const CERTIFICATE_SPACING: u64 = 256;
/// Commits that a validator which catches up asks for under one certificate (R35).
pub const CATCH_UP_COMMITS: u64 = 1024;
/// Commits under one certificate that are taken at most, so records held at once (R35).
pub const CATCH_UP_COMMITS_MAX: u64 = 4096;
/// Blocks asked for or held by who catches up, besides those of the next commit (R35).
pub const CATCH_UP_BLOCKS_MAX: usize = 4096;
/// Their bytes, those asked for taken at the mean size (R35).
pub const CATCH_UP_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Blocks that one peer is asked for at once by who catches up (R35).
pub const CATCH_UP_PEER_BLOCKS_MAX: usize = 512;
/// Writes under way above which installing waits (R35).
pub const CATCH_UP_WRITES_MAX: u64 = 8;
/// Equivocation proofs kept about one validator in one epoch (R12); one of them is enough to slash it.
pub const EVIDENCE_AUTHOR_MAX: usize = 8;
/// Equivocation proofs of one epoch in an evidence file: as many as one validator keeps.
pub const EVIDENCE_FILE_MAX: usize = VALIDATORS_MAX * EVIDENCE_AUTHOR_MAX;
/// Bytes of an evidence file; nearly all of them are ends of epochs, one a past epoch, of some kilobytes each.
pub const EVIDENCE_FILE_BYTES_MAX: usize = 256 * 1024 * 1024;

// ---- Time, in microseconds of the core's clock ----

/// Shortest time between two own blocks, by default (R9).
pub const MIN_ROUND_DELAY_US: u64 = 2_000;
/// Longest wait while nothing is pending anywhere (R9).
pub const IDLE_ROUND_DELAY_US: u64 = 200_000;
/// Bounds of the leader timeout before doubling (R9).
pub const LEADER_TIMEOUT_MIN_US: u64 = 20_000;
/// See [`LEADER_TIMEOUT_MIN_US`].
pub const LEADER_TIMEOUT_BASE_MAX_US: u64 = 250_000;
/// Bound of the leader timeout after doubling (R9).
pub const LEADER_TIMEOUT_MAX_US: u64 = 2_000_000;
/// First pause before a missing block is asked for again, until answers have shown how long they take (R33).
pub const FETCH_RETRY_US: u64 = 50_000;
/// Bounds of that first pause once they have.
pub const FETCH_RETRY_MIN_US: u64 = 10_000;
/// See [`FETCH_RETRY_MIN_US`].
pub const FETCH_RETRY_BASE_MAX_US: u64 = 500_000;
/// Longest pause before a missing block is asked for again (R33).
pub const FETCH_RETRY_MAX_US: u64 = 2_000_000;
/// Pause after which an author whose budget for extra blocks is spent is granted one more, if any is needed (R6).
pub const EXTRA_GRANT_US: u64 = 1_000_000;
/// Pause before a replay is asked for again (R34).
pub const REPLAY_RETRY_US: u64 = 200_000;
/// Bounds of the time after which who catches up asks somebody else (R35).
pub const CATCH_UP_PATIENCE_MIN_US: u64 = 100_000;
/// See [`CATCH_UP_PATIENCE_MIN_US`].
pub const CATCH_UP_PATIENCE_MAX_US: u64 = 2_000_000;
/// Longest time for which a peer that does not answer who catches up is not asked (R35).
pub const CATCH_UP_BACK_OFF_MAX_US: u64 = 30_000_000;
/// Time without a new commit after which who catches up also tries to order by itself again (R35).
pub const CATCH_UP_STALL_US: u64 = 2_000_000;
/// Pause before somebody else is asked for a certificate (R35).
pub const CERTIFICATE_RETRY_US: u64 = 500_000;
/// Standstill of the frontier after which peers are asked for their newest blocks (R34): four leader timeouts within
/// these bounds, and the longer one while nothing is to be ordered.
pub const STALL_MIN_US: u64 = 250_000;
/// See [`STALL_MIN_US`].
pub const STALL_US: u64 = 1_000_000;

const _: () =
    assert!(SCORE_ROUNDS <= REPUTATION_ROUNDS_MAX && SLOT_ROUNDS <= REPUTATION_ROUNDS_MAX);
const _: () = assert!(SCHEDULE_LEAD_ROUNDS < SCHEDULE_ROUNDS && SCHEDULE_ROUNDS < SCORE_ROUNDS);
const _: () = assert!(CATCH_UP_PATIENCE_MIN_US < CATCH_UP_PATIENCE_MAX_US);
const _: () = assert!(CATCH_UP_COMMITS + 2 * CERTIFICATE_SPACING <= CATCH_UP_COMMITS_MAX);
const _: () = assert!(COMMITS_BYTES_MAX < FRAME_BYTES_MAX && COMMITS_MAX <= u8::MAX as usize);
const _: () = assert!(STALL_US > 2 * IDLE_ROUND_DELAY_US);
const _: () = assert!(STALL_MIN_US < STALL_US);
const _: () = assert!(BLOCK_BYTES_MAX < FRAME_BYTES_MAX);
const _: () = assert!(TRANSACTION_BYTES_MAX + 4 <= PAYLOAD_BYTES_MAX);
const _: () = assert!(SUSPENDED_PEER_BYTES_MAX <= SUSPENDED_BYTES_MAX);
// A full committee's header fits: fixed part, parents, votes, evidence, signature.
const _: () = assert!(
    256 + VALIDATORS_MAX * 38 + COMMIT_VOTES_MAX * 40 + EVIDENCE_MAX * 198 + 64 <= HEADER_BYTES_MAX
);
// A sinner whose proofs are all kept does not fill a block for longer than a few rounds.
const _: () = assert!(EVIDENCE_AUTHOR_MAX <= 2 * EVIDENCE_MAX);
const _: () = assert!(FETCH_RETRY_MIN_US <= FETCH_RETRY_US);
const _: () = assert!(FETCH_RETRY_US <= FETCH_RETRY_BASE_MAX_US);
const _: () = assert!(FETCH_RETRY_BASE_MAX_US <= FETCH_RETRY_MAX_US);
const _: () = assert!(LEADER_TIMEOUT_MIN_US <= LEADER_TIMEOUT_BASE_MAX_US);
const _: () = assert!(LEADER_TIMEOUT_BASE_MAX_US <= LEADER_TIMEOUT_MAX_US);
const _: () = assert!(REPLAY_BYTES_MAX >= BLOCK_BYTES_MAX);
