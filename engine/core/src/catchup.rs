//! # Catch-up by certificates
//!
//! Who is far behind does not repeat the commit rule: it fetches what was committed and checks that it is that (R35).
//!
//! ```text
//!   certificate ──▶ window: records asked of several peers in parts of 64
//!                   own last commit ◀─digest─ part ◀─digest─ part ◀─digest─ part ◀── certificate
//!               ──▶ blocks of the proved records, by digest, of several peers ──▶ install, in order
//! ```
//!
//! Nobody's word counts. A certificate shows one digest; each record names the digest of the one before, so a whole window
//! hangs on it, and blocks hang on the records. What a peer sends is compared with that, and who sends something else, or
//! nothing, is asked no more for a while.
//!
//! Memory is bounded, however far the tip is: a window ends at a certificate that peers have kept
//! ([`CERTIFICATE_SPACING`](crate::limits::CERTIFICATE_SPACING)), and the next one is fetched while the blocks of the
//! one before arrive.

use std::sync::Arc;

use bytes::Bytes;

use crate::block::BlockRef;
use crate::committee::AuthorSet;
use crate::crypto::Digest;
use crate::finality::CommitCertificate;
use crate::id::{CommitIndex, Time, ValidatorIndex};
use crate::limits::{CATCH_UP_COMMITS, CERTIFICATE_RETRY_US};
use crate::message::Message;
use crate::verify::VerifiedBlock;

mod blocks;
mod chain;
mod peers;
#[cfg(test)]
mod tests;

use blocks::Blocks;
pub(crate) use chain::Proved;
use chain::{Chain, Part};
use peers::Peers;

/// Commits of another history than the own one are certified: more weight than `f` is faulty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Forked {
    /// The first commit that differs, at the latest.
    pub(crate) index: CommitIndex,
}

/// What to fetch, and what has been proved and is not installed.
#[derive(Clone, Debug)]
pub(crate) struct CatchUp {
    epoch: u64,
    peers: Peers,
    /// The highest certified commit that is known.
    target: Arc<CommitCertificate>,
    chain: Chain,
    blocks: Blocks,
    /// Whom a certificate was asked of last, and when.
    asked_certificate: Option<(ValidatorIndex, Time)>,
}

impl CatchUp {
    /// Begins after the own last commit, whose digest is given.
    pub(crate) fn new(
        (me, validators): (ValidatorIndex, usize),
        epoch: u64,
        last: (CommitIndex, Digest),
        target: Arc<CommitCertificate>,
    ) -> Self {
        Self {
            epoch,
            peers: Peers::new(me, validators),
            target,
            chain: Chain::new(epoch, last),
            blocks: Blocks::default(),
            asked_certificate: None,
        }
    }

    /// Whether everything up to the highest certified commit is installed.
    pub(crate) fn is_done(&self, last: CommitIndex) -> bool {
        last >= self.target.index
    }

    /// The highest certified commit that is known.
    pub(crate) fn target(&self) -> &Arc<CommitCertificate> {
        &self.target
    }

    /// Records that are held.
    pub(crate) fn records(&self) -> usize {
        self.chain.records()
    }

    /// Blocks that are asked for or held.
    pub(crate) fn open_blocks(&self) -> usize {
        self.blocks.len()
    }

    /// A certificate that was verified.
    pub(crate) fn handle_certificate(
        &mut self,
        from: Option<ValidatorIndex>,
        certificate: &Arc<CommitCertificate>,
    ) {
        if certificate.index > self.target.index {
            self.target = Arc::clone(certificate);
        }
        let asked = self.asked_certificate.map(|(peer, _)| peer);
        let Some(from) = from.filter(|from| asked == Some(*from)) else {
            return;
        };
        self.asked_certificate = None;
        self.chain.begin(certificate);
        if self.chain.window().is_none() {
            // It has none within reach: somebody else may.
            sometimes!(CatchUpOutOfReach);
            self.peers.refuse(from);
        }
    }

    /// A peer has no certificate to send.
    pub(crate) fn handle_no_certificate(&mut self, from: ValidatorIndex) {
        if self.asked_certificate.map(|(peer, _)| peer) == Some(from) {
            self.asked_certificate = None;
            self.peers.refuse(from);
        }
    }

    /// Commit records arrived.
    ///
    /// # Errors
    /// When what is certified does not continue the own sequence.
    pub(crate) fn handle_commits(
        &mut self,
        now: Time,
        from: ValidatorIndex,
        (first, records): (CommitIndex, &[Bytes]),
    ) -> Result<(), Forked> {
        let liars = self.chain.handle_commits(from, first, records)?;
        sometimes!(CatchUpLiar if !liars.is_empty());
        if !liars.contains(&from) {
            self.peers.handle_records(now, from);
        }
        for liar in liars {
            self.peers.refuse(liar);
        }
        Ok(())
    }

    /// Whether a block is asked for; if so it is not for the DAG, and is kept until its commit is installed.
    pub(crate) fn takes(&mut self, now: Time, from: ValidatorIndex, block: &VerifiedBlock) -> bool {
        self.blocks
            .handle_block(now, (from, block), &mut self.peers)
    }

    /// A peer does not hold blocks.
    pub(crate) fn handle_not_held(&mut self, from: ValidatorIndex, refs: &[BlockRef]) {
        for block in refs {
            self.blocks.handle_not_held(from, block, &mut self.peers);
        }
    }

    /// The next commit, if it is proved and all its blocks are here or in the window of the DAG.
    pub(crate) fn ready(&self, holds: impl Fn(&BlockRef) -> bool) -> Option<&Proved> {
        let next = self.chain.next()?;
        let here = |(block, _): &(BlockRef, bool)| holds(block) || self.blocks.holds(block);
        next.record.blocks.iter().all(here).then_some(next)
    }

    /// Takes the next commit out, with those of its blocks that were fetched for it.
    pub(crate) fn take(&mut self) -> Option<(Proved, Vec<Option<VerifiedBlock>>)> {
        let proved = self.chain.take()?;
        let blocks = &mut self.blocks;
        let of = proved.record.blocks.iter();
        let of = of.map(|(block, _)| blocks.take(block)).collect();
        Some((proved, of))
    }

    /// Commits that were output on another way are not needed.
    pub(crate) fn handle_output(&mut self, last: CommitIndex) {
        while self
            .chain
            .next()
            .is_some_and(|next| next.record.index <= last)
        {
            self.take();
        }
    }

    /// Certificates of windows that were proved, to be kept.
    pub(crate) fn take_proofs(&mut self) -> Vec<Arc<CommitCertificate>> {
        self.chain.take_proofs()
    }

    /// What to ask now, of peers in `connected`.
    pub(crate) fn poll(
        &mut self,
        now: Time,
        connected: &AuthorSet,
        holds: impl Fn(&BlockRef) -> bool,
    ) -> Vec<(ValidatorIndex, Message)> {
        self.peers.note_time(now, connected);
        let mut asked = Vec::new();
        self.ask_certificate(now, connected, &mut asked);
        self.ask_commits(now, connected, &mut asked);
        let proved = self.chain.unqueued();
        self.blocks.queue(proved, holds);
        for (to, refs) in self.blocks.poll(now, connected, &mut self.peers) {
            asked.push((to, Message::Fetch(refs)));
        }
        asked
    }

    /// The next window ends at the target, or at a certificate within reach that somebody has kept.
    fn ask_certificate(
        &mut self,
        now: Time,
        connected: &AuthorSet,
        asked: &mut Vec<(ValidatorIndex, Message)>,
    ) {
        let proved = self.chain.proved();
        if self.chain.window().is_some() || proved >= self.target.index || self.chain.is_full() {
            return;
        }
        let near = CommitIndex(proved.0 + CATCH_UP_COMMITS);
        if self.target.index <= near {
            self.chain.begin(&Arc::clone(&self.target));
            return;
        }
        if let Some((peer, at)) = self.asked_certificate {
            if at.plus_us(CERTIFICATE_RETRY_US) > now && connected.contains(peer) {
                return;
            }
            self.peers.refuse(peer);
            self.asked_certificate = None;
        }
        let Some(peer) = self.peers.next(connected) else {
            return;
        };
        self.asked_certificate = Some((peer, now));
        let message = Message::FetchCertificate {
            epoch: self.epoch,
            at_least: CommitIndex(near.0 - CATCH_UP_COMMITS / 4),
        };
        asked.push((peer, message));
    }

    fn ask_commits(
        &mut self,
        now: Time,
        connected: &AuthorSet,
        asked: &mut Vec<(ValidatorIndex, Message)>,
    ) {
        for late in self.chain.expire(now) {
            sometimes!(CatchUpLate);
            self.peers.handle_records_late(now, late);
        }
        let patience_us = self.peers.patience_us();
        while let Some(part) = self.chain.unasked() {
            let Some(peer) = self.peers.next(connected) else {
                return;
            };
            let Part { first, last } = part;
            self.chain
                .handle_asked(part, peer, now.plus_us(2 * patience_us));
            let count = u8::try_from(last.0 - first.0 + 1).expect("parts fit an answer");
            asked.push((peer, Message::FetchCommits { first, count }));
        }
    }

    /// When to look again at the latest.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        let certificate = self
            .asked_certificate
            .map(|(_, at)| at.plus_us(CERTIFICATE_RETRY_US));
        [
            certificate,
            self.chain.next_deadline(),
            self.blocks.next_deadline(),
            self.peers.next_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}
