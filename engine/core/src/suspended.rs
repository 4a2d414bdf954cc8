//! Valid blocks that wait for their parents, within bounds (R5, R6).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::block::{BlockRef, Slot};
use crate::crypto::Digest;
use crate::id::{Round, ValidatorIndex};
use crate::limits::{EXTRA_WALK_MAX, SUSPENDED_BYTES_MAX, SUSPENDED_PEER_BYTES_MAX};
use crate::verify::VerifiedBlock;

#[derive(Clone, Debug)]
struct Waiting {
    block: VerifiedBlock,
    from: ValidatorIndex,
    missing: usize,
}

/// The suspended blocks, by reference.
#[derive(Clone, Debug)]
pub(crate) struct Suspended {
    blocks: BTreeMap<BlockRef, Waiting>,
    /// Missing parents with the blocks that wait for them.
    children: BTreeMap<BlockRef, Vec<BlockRef>>,
    bytes: usize,
    bytes_by_peer: Vec<usize>,
}

impl Suspended {
    pub(crate) fn new(validators: usize) -> Self {
        let bytes_by_peer = vec![0; validators];
        Self {
            blocks: BTreeMap::new(),
            children: BTreeMap::new(),
            bytes: 0,
            bytes_by_peer,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn contains(&self, reference: &BlockRef) -> bool {
        self.blocks.contains_key(reference)
    }

    /// A suspended block of this slot.
    pub(crate) fn of_slot(&self, slot: Slot) -> Option<&VerifiedBlock> {
        let least = BlockRef {
            round: slot.round,
            author: slot.author,
            digest: Digest::ZERO,
        };
        let most = BlockRef {
            digest: Digest([u8::MAX; 32]),
            ..least
        };
        self.blocks
            .range(least..=most)
            .next()
            .map(|(_, waiting)| &waiting.block)
    }

    /// Suspends a block until `missing` are accepted; returns the blocks evicted to make room, the highest rounds
    /// first, which may be the block itself.
    pub(crate) fn insert(
        &mut self,
        block: VerifiedBlock,
        from: ValidatorIndex,
        missing: &[BlockRef],
    ) -> Vec<BlockRef> {
        let reference = block.block().reference();
        let size = block.block().encoded_len();
        self.bytes += size;
        self.bytes_by_peer[from.position()] += size;
        for parent in missing {
            self.children.entry(*parent).or_default().push(reference);
        }
        self.blocks.insert(
            reference,
            Waiting {
                block,
                from,
                missing: missing.len(),
            },
        );
        self.evict(from)
    }

    fn evict(&mut self, from: ValidatorIndex) -> Vec<BlockRef> {
        let mut evicted = Vec::new();
        while self.bytes_by_peer[from.position()] > SUSPENDED_PEER_BYTES_MAX {
            let of_peer = self
                .blocks
                .iter()
                .rev()
                .find(|(_, waiting)| waiting.from == from);
            let Some(highest) = of_peer.map(|(reference, _)| *reference) else {
                break;
            };
            self.remove(&highest);
            evicted.push(highest);
        }
        while self.bytes > SUSPENDED_BYTES_MAX {
            let Some(highest) = self
                .blocks
                .last_key_value()
                .map(|(reference, _)| *reference)
            else {
                break;
            };
            self.remove(&highest);
            evicted.push(highest);
        }
        evicted
    }

    fn remove(&mut self, reference: &BlockRef) -> Option<Waiting> {
        let waiting = self.blocks.remove(reference)?;
        let size = waiting.block.block().encoded_len();
        self.bytes -= size;
        self.bytes_by_peer[waiting.from.position()] -= size;
        for parent in waiting.block.block().parents() {
            let Some(children) = self.children.get_mut(parent) else {
                continue;
            };
            children.retain(|child| child != reference);
            if children.is_empty() {
                self.children.remove(parent);
            }
        }
        Some(waiting)
    }

    /// Whether some suspended block waits for this one.
    pub(crate) fn is_awaited(&self, parent: &BlockRef) -> bool {
        self.children.contains_key(parent)
    }

    /// The first author for which `pays` holds of those whose suspended blocks stand on this one, its children first. All
    /// of them may be looked at: the one that a correct author made must be found.
    pub(crate) fn payer(
        &self,
        block: &BlockRef,
        pays: impl Fn(ValidatorIndex) -> bool,
    ) -> Option<ValidatorIndex> {
        let mut seen = BTreeSet::new();
        let mut walk = VecDeque::from([*block]);
        while let Some(block) = walk.pop_front() {
            for child in self.children.get(&block).map_or(&[][..], Vec::as_slice) {
                if pays(child.author) {
                    return Some(child.author);
                }
                if seen.insert(*child) {
                    walk.push_back(*child);
                }
            }
        }
        None
    }

    /// What is missing beneath a suspended block, as far as [`EXTRA_WALK_MAX`] blocks show.
    pub(crate) fn missing_beneath(&self, top: &BlockRef) -> BTreeSet<BlockRef> {
        let mut missing = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut walk = vec![*top];
        while let Some(block) = walk.pop() {
            let Some(waiting) = self.blocks.get(&block) else {
                missing.insert(block);
                continue;
            };
            for parent in waiting.block.block().parents() {
                let lacks = self.children.contains_key(parent);
                if lacks && seen.len() < EXTRA_WALK_MAX && seen.insert(*parent) {
                    walk.push(*parent);
                }
            }
        }
        missing
    }

    /// A parent was accepted or collected: returns the blocks that lack nothing any more.
    pub(crate) fn handle_available(
        &mut self,
        parent: &BlockRef,
    ) -> Vec<(ValidatorIndex, VerifiedBlock)> {
        let mut ready = Vec::new();
        for child in self.children.remove(parent).unwrap_or_default() {
            let Some(waiting) = self.blocks.get_mut(&child) else {
                continue;
            };
            waiting.missing -= 1;
            if waiting.missing == 0 {
                ready.extend(
                    self.remove(&child)
                        .map(|waiting| (waiting.from, waiting.block)),
                );
            }
        }
        ready
    }

    /// The gc round rose: blocks at or below it go, and nobody waits for parents there any more (R5).
    pub(crate) fn collect(&mut self, gc_round: Round) -> Vec<(ValidatorIndex, VerifiedBlock)> {
        while let Some(lowest) = self
            .blocks
            .first_key_value()
            .map(|(reference, _)| *reference)
        {
            if lowest.round > gc_round {
                break;
            }
            self.remove(&lowest);
        }
        let mut ready = Vec::new();
        if planted!(SuspendedForgotten) {
            return ready;
        }
        while let Some(lowest) = self.children.first_key_value().map(|(parent, _)| *parent) {
            if lowest.round > gc_round {
                break;
            }
            ready.extend(self.handle_available(&lowest));
        }
        ready
    }
}
