//! One running copy of a validator.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use probity_core::{
    Block, BlockRef, CommitIndex, Committee, EpochEnd, Origin, Replica, Round, Time, ValidatorIndex,
};

use crate::adversary::Sin;
use crate::application::Application;
use crate::disk::Disk;
use crate::plan::Boundary;
use crate::signer::Signer;
use crate::world::Event;

/// A process with everything it owns; the disk outlives its crashes.
pub(crate) struct Process {
    /// Its place among all that ever take part; in the first epoch its index.
    pub(crate) validator: ValidatorIndex,
    /// The epoch that it is in.
    pub(crate) committee: Arc<Committee>,
    /// Where that epoch begins.
    pub(crate) origin: Origin,
    /// Its index there; `None` if it is no member.
    pub(crate) me: Option<ValidatorIndex>,
    /// The epoch that its replica has ended, until the next one takes its place.
    pub(crate) ended: Option<Arc<EpochEnd>>,
    /// By validator and epoch: when it was last told of the epoch's end, or asked for it.
    pub(crate) told_at: BTreeMap<(ValidatorIndex, u64), Time>,
    /// Transactions that ask for changes, until the committee has changed.
    pub(crate) changes: Vec<Bytes>,
    /// The ends of epochs that it followed from outside.
    pub(crate) followed: Vec<EpochEnd>,
    pub(crate) replica: Option<Replica>,
    pub(crate) sin: Option<Box<dyn Sin>>,
    sinner: bool,
    /// Somebody else is going to sign with its key, on top of what it has seen.
    pub(crate) key_is_stolen: bool,
    pub(crate) signer: Signer,
    pub(crate) disk: Disk,
    pub(crate) life: u32,
    pub(crate) tick_at: Option<Time>,
    pub(crate) paused_until: Time,
    /// What waits until the pause is over.
    pub(crate) held: Vec<Event>,
    pub(crate) slow_us: u64,
    pub(crate) clock_jump_ms: i64,
    pub(crate) fails_next_write: bool,
    pub(crate) crash_at: Option<(Boundary, u64)>,
    /// By validator: whether they talk at all. A twin's copies have different acquaintances.
    pub(crate) hears: Vec<bool>,
    /// By validator: whether its link is reported up.
    pub(crate) links: Vec<bool>,
    /// Transactions that wait for an own block, and the ids of those taken in.
    pub(crate) queue: VecDeque<Bytes>,
    pub(crate) known: BTreeSet<u64>,
    /// Transactions in own blocks whose end is not known.
    pub(crate) proposed: BTreeMap<Round, Vec<Bytes>>,
    pub(crate) application: Option<Box<dyn Application>>,
    pub(crate) last_commit: CommitIndex,
    /// What a sinner, or who steals a key, has seen.
    pub(crate) seen: BTreeMap<BlockRef, Arc<Block>>,
}

/// Blocks a sinner remembers.
const SEEN_MAX: usize = 1_024;
/// Rounds above the frontier of which a sinner remembers blocks.
const SEEN_ABOVE_ROUNDS: u32 = 128;

impl Process {
    pub(crate) fn new(
        validator: ValidatorIndex,
        committee: Arc<Committee>,
        sin: Option<Box<dyn Sin>>,
        signer: Signer,
    ) -> Self {
        Self {
            validator,
            me: committee.index_of(&signer.public()),
            committee,
            origin: Origin::default(),
            ended: None,
            told_at: BTreeMap::new(),
            changes: Vec::new(),
            followed: Vec::new(),
            replica: None,
            sinner: sin.is_some(),
            key_is_stolen: false,
            sin,
            signer,
            disk: Disk::default(),
            life: 0,
            tick_at: None,
            paused_until: Time(0),
            held: Vec::new(),
            slow_us: 0,
            clock_jump_ms: 0,
            fails_next_write: false,
            crash_at: None,
            hears: vec![true; probity_core::limits::VALIDATORS_MAX],
            links: vec![false; probity_core::limits::VALIDATORS_MAX],
            queue: VecDeque::new(),
            known: BTreeSet::new(),
            proposed: BTreeMap::new(),
            application: None,
            last_commit: CommitIndex::GENESIS,
            seen: BTreeMap::new(),
        }
    }

    pub(crate) fn is_sinner(&self) -> bool {
        self.sinner
    }

    /// Whether it does not even follow from outside.
    pub(crate) fn is_crashed(&self) -> bool {
        self.replica.is_none() && self.me.is_some()
    }

    pub(crate) fn is_down(&self) -> bool {
        self.replica.is_none()
    }

    /// Whether what was meant for this life still finds it.
    pub(crate) fn is_alive(&self, life: u32) -> bool {
        !self.is_crashed() && self.life == life
    }

    pub(crate) fn note_seen(&mut self, block: &Arc<Block>) {
        // Blocks of rounds that nobody will reach must not push out the ones of use.
        let ceiling = |replica: &Replica| replica.status().frontier.plus(SEEN_ABOVE_ROUNDS);
        let near = |ceiling| block.round() <= ceiling;
        if (self.sinner || self.key_is_stolen)
            && self.replica.as_ref().map(ceiling).is_some_and(near)
        {
            self.seen.insert(block.reference(), Arc::clone(block));
            if self.seen.len() > SEEN_MAX {
                self.seen.pop_first();
            }
        }
    }
}
