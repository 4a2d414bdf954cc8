//! Blocks of proved commits, asked for by digest of several peers at once (R35).

use std::collections::{BTreeMap, BTreeSet};

use crate::block::BlockRef;
use crate::committee::AuthorSet;
use crate::id::{Time, ValidatorIndex};
use crate::limits::{CATCH_UP_BLOCKS_MAX, CATCH_UP_BYTES_MAX, FETCH_PEERS_MAX, REQUEST_REFS_MAX};
use crate::verify::VerifiedBlock;

use super::chain::Unqueued;
use super::peers::Peers;

#[derive(Clone, Debug)]
struct Want {
    /// Its place in the sequence: the order of asking.
    place: u64,
    tried: AuthorSet,
    asked: Vec<(ValidatorIndex, Time)>,
    due: Option<Time>,
}

/// Blocks that are asked for, and those that came and wait for their commit.
#[derive(Clone, Default, Debug)]
pub(super) struct Blocks {
    wants: BTreeMap<BlockRef, Want>,
    /// Those to be asked for, by place.
    open: BTreeMap<u64, BlockRef>,
    due: BTreeSet<(Time, BlockRef)>,
    held: BTreeMap<BlockRef, VerifiedBlock>,
    held_bytes: usize,
    /// Of the blocks that came, to guess how much is under way.
    mean_bytes: usize,
    places: u64,
}

impl Blocks {
    pub(super) fn len(&self) -> usize {
        self.wants.len() + self.held.len()
    }

    pub(super) fn holds(&self, block: &BlockRef) -> bool {
        self.held.contains_key(block)
    }

    pub(super) fn take(&mut self, block: &BlockRef) -> Option<VerifiedBlock> {
        let taken = self.held.remove(block);
        self.held_bytes -= taken
            .as_ref()
            .map_or(0, |taken| taken.block().encoded_len());
        taken
    }

    /// Blocks of proved commits join those to be asked for, as far as there is room. There always is for the next one.
    pub(super) fn queue(&mut self, mut proved: Unqueued<'_>, holds: impl Fn(&BlockRef) -> bool) {
        while let Some(record) = proved.peek() {
            let bytes = self.held_bytes + self.wants.len() * self.mean_bytes;
            let full = self.len() + record.blocks.len() > CATCH_UP_BLOCKS_MAX
                || bytes > CATCH_UP_BYTES_MAX;
            if full && !proved.is_first() {
                sometimes!(CatchUpFull);
                return;
            }
            for (block, _) in &record.blocks {
                if !holds(block) && !self.holds(block) {
                    self.want(*block);
                }
            }
            proved.advance();
        }
    }

    fn want(&mut self, block: BlockRef) {
        let place = self.places;
        self.places += 1;
        let want = Want {
            place,
            tried: AuthorSet::default(),
            asked: Vec::new(),
            due: None,
        };
        if self.wants.insert(block, want).is_none() {
            self.open.insert(place, block);
        }
    }

    /// Whether the block is one of those asked for.
    pub(super) fn handle_block(
        &mut self,
        now: Time,
        (from, block): (ValidatorIndex, &VerifiedBlock),
        peers: &mut Peers,
    ) -> bool {
        let reference = block.block().reference();
        let Some(want) = self.wants.remove(&reference) else {
            return false;
        };
        self.open.remove(&want.place);
        if let Some(due) = want.due {
            self.due.remove(&(due, reference));
        }
        for (peer, asked_at) in want.asked {
            peers.release(peer);
            if peer == from {
                peers.handle_block(now, from, asked_at);
            }
        }
        let bytes = block.block().encoded_len();
        self.mean_bytes = (self.mean_bytes * 15 + bytes) / 16;
        self.held_bytes += bytes;
        self.held.insert(reference, block.clone());
        true
    }

    /// The next peer is asked at once.
    pub(super) fn handle_not_held(
        &mut self,
        from: ValidatorIndex,
        block: &BlockRef,
        peers: &mut Peers,
    ) {
        let Some(want) = self.wants.get_mut(block) else {
            return;
        };
        let Some(at) = want.asked.iter().position(|(peer, _)| *peer == from) else {
            return;
        };
        want.asked.remove(at);
        if let Some(due) = want.due.take() {
            self.due.remove(&(due, *block));
        }
        self.open.insert(want.place, *block);
        peers.release(from);
        peers.handle_not_held(from);
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Whom to ask for what, those that were asked in vain first to others.
    pub(super) fn poll(
        &mut self,
        now: Time,
        connected: &AuthorSet,
        peers: &mut Peers,
    ) -> Vec<(ValidatorIndex, Vec<BlockRef>)> {
        self.expire(now, peers);
        let usable = peers.usable(connected);
        let mut rooms = peers.rooms(&usable);
        let mut asked: BTreeMap<ValidatorIndex, Vec<BlockRef>> = BTreeMap::new();
        let open: Vec<(u64, BlockRef)> = self.open.iter().map(|(p, b)| (*p, *b)).collect();
        for (place, block) in open {
            if rooms.is_empty() {
                break;
            }
            if self.begins_again(now, &block, (&usable, &mut *peers)) {
                continue;
            }
            let Some(peer) = self.choose(&block, &rooms) else {
                continue;
            };
            self.open.remove(&place);
            self.ask(now, (peer, block), peers);
            asked.entry(peer).or_default().push(block);
            if let Some(room) = rooms.iter_mut().find(|(of, _)| *of == peer) {
                room.1 -= 1;
            }
            rooms.retain(|(_, room)| *room > 0);
        }
        let mut requests = Vec::new();
        for (peer, refs) in asked {
            requests.extend(
                refs.chunks(REQUEST_REFS_MAX)
                    .map(|refs| (peer, refs.to_vec())),
            );
        }
        requests
    }

    fn expire(&mut self, now: Time, peers: &mut Peers) {
        while let Some((due, block)) = self.due.first().copied() {
            if due > now {
                return;
            }
            self.due.remove(&(due, block));
            let Some(want) = self.wants.get_mut(&block) else {
                continue;
            };
            want.due = None;
            if let Some((last, _)) = want.asked.last() {
                peers.handle_late(now, *last);
            }
            if want.asked.len() >= FETCH_PEERS_MAX {
                let (oldest, _) = want.asked.remove(0);
                peers.release(oldest);
            }
            self.open.insert(want.place, block);
        }
    }

    /// Everybody who can be asked was: it is asked for again, also of those whose answer never came, but not in a circle.
    fn begins_again(
        &mut self,
        now: Time,
        block: &BlockRef,
        (usable, peers): (&[ValidatorIndex], &mut Peers),
    ) -> bool {
        let Some(want) = self.wants.get_mut(block) else {
            return false;
        };
        if !usable.iter().all(|peer| want.tried.contains(*peer)) {
            return false;
        }
        sometimes!(CatchUpAllTried);
        want.tried = AuthorSet::default();
        for (peer, _) in want.asked.drain(..) {
            peers.release(peer);
        }
        let due = now.plus_us(peers.patience_us());
        want.due = Some(due);
        self.due.insert((due, *block));
        self.open.remove(&want.place);
        true
    }

    /// The peer with most room that was not asked for the block.
    fn choose(
        &self,
        block: &BlockRef,
        rooms: &[(ValidatorIndex, usize)],
    ) -> Option<ValidatorIndex> {
        let want = self.wants.get(block)?;
        let fresh = |(peer, _): &&(ValidatorIndex, usize)| {
            !want.tried.contains(*peer) && want.asked.iter().all(|(of, _)| of != peer)
        };
        let most = rooms.iter().filter(fresh).max_by_key(|(_, room)| *room);
        most.map(|(peer, _)| *peer)
    }

    fn ask(&mut self, now: Time, (peer, block): (ValidatorIndex, BlockRef), peers: &mut Peers) {
        let Some(want) = self.wants.get_mut(&block) else {
            return;
        };
        let due = now.plus_us(peers.patience_us());
        want.tried.insert(peer);
        want.asked.push((peer, now));
        want.due = Some(due);
        self.due.insert((due, block));
        peers.handle_asked(peer);
    }
}
