//! Answers peers that ask for stored blocks and commits, on a thread of its own: reading is slow, deciding is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use probity_core::crypto::Digest;
use probity_core::limits::{REPLAY_BLOCKS_MAX, REPLAY_BYTES_MAX};
use probity_core::record::{
    RecordSource as _, RecordTable, read_block, read_certificate, read_commits, round_key,
};
use probity_core::{BlockRef, CommitCertificate, CommitIndex, Message, Round, ValidatorIndex};
use probity_transport::Lane;

use crate::allowance::Allowances;
use crate::health::{Health, NAP};
use crate::links::Links;
use crate::metrics::Metrics;
use crate::records::Records;

/// Requests of one peer that may wait.
const WAITING_PEER_MAX: usize = 16;

/// What a peer asked for.
pub(crate) enum Request {
    /// These blocks.
    Blocks(Vec<BlockRef>),
    /// Own blocks after this round (R34).
    Replay(Round),
    /// The certificate of the least commit from this one on that is kept, else the newest (R35).
    Certificate {
        at_least: CommitIndex,
        newest: Option<Arc<CommitCertificate>>,
    },
    /// Commit records (R35).
    Commits { first: CommitIndex, count: u8 },
}

/// Where the core puts requests.
pub(crate) struct ServeQueue {
    sender: Sender<(ValidatorIndex, Request)>,
    waiting: Arc<[AtomicUsize]>,
    metrics: Arc<Metrics>,
}

/// The thread's end.
pub(crate) struct Server {
    receiver: Receiver<(ValidatorIndex, Request)>,
    waiting: Arc<[AtomicUsize]>,
    records: Records,
    links: Arc<Links>,
    allowances: Arc<Allowances>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

pub(crate) fn serve_queue(
    records: Records,
    (links, allowances): (Arc<Links>, Arc<Allowances>),
    shared: (&Arc<Health>, &Arc<Metrics>),
) -> (ServeQueue, Server) {
    let peers = links.committee().size();
    let waiting: Arc<[AtomicUsize]> = (0..peers).map(|_| AtomicUsize::new(0)).collect();
    let (sender, receiver) = bounded(peers * WAITING_PEER_MAX);
    let metrics = Arc::clone(shared.1);
    let queue = ServeQueue {
        sender,
        waiting: Arc::clone(&waiting),
        metrics,
    };
    (
        queue,
        Server {
            receiver,
            waiting,
            records,
            links,
            allowances,
            health: Arc::clone(shared.0),
            metrics: Arc::clone(shared.1),
        },
    )
}

impl ServeQueue {
    /// Queues a request, or drops it when its peer has too many: it asks again.
    pub(crate) fn push(&self, to: ValidatorIndex, request: Request) {
        let Some(waiting) = self.waiting.get(to.position()) else {
            return;
        };
        let full = waiting.fetch_add(1, Ordering::Relaxed) >= WAITING_PEER_MAX;
        let sent = if full {
            Err(TrySendError::Full((to, request)))
        } else {
            self.sender.try_send((to, request))
        };
        if sent.is_err() {
            waiting.fetch_sub(1, Ordering::Relaxed);
            self.metrics.serve_dropped.inc();
        }
    }
}

impl Server {
    /// The thread.
    pub(crate) fn run(&self) {
        while !self.health.is_stopping() {
            let Ok((to, request)) = self.receiver.recv_timeout(NAP) else {
                continue;
            };
            if let Some(waiting) = self.waiting.get(to.position()) {
                waiting.fetch_sub(1, Ordering::Relaxed);
            }
            if !self.allowances.is_open(to, Instant::now()) {
                self.metrics.serve_dropped.inc();
                continue;
            }
            match request {
                Request::Blocks(refs) => self.send_blocks(to, refs),
                Request::Replay(after) => self.replay(to, after),
                Request::Certificate { at_least, newest } => {
                    self.send_certificate(to, at_least, newest);
                }
                Request::Commits { first, count } => self.send_commits(to, first, count),
            }
        }
    }

    fn send_blocks(&self, to: ValidatorIndex, refs: Vec<BlockRef>) {
        let epoch = self.links.committee().epoch();
        let mut not_held = Vec::new();
        for reference in refs {
            match read_block(&self.records, epoch, &reference) {
                Ok(Some(block)) => {
                    let block = block.block();
                    self.allowances
                        .charge(to, Instant::now(), block.encoded_len());
                    let frame =
                        Message::encode_fetched(block.signed_header(), block.payload().bytes());
                    self.links.send(to, Lane::CatchUp, frame);
                }
                Ok(None) => not_held.push(reference),
                Err(why) => {
                    tracing::warn!(?reference, ?why, "a stored block cannot be read");
                    not_held.push(reference);
                }
            }
        }
        if !not_held.is_empty() {
            self.links
                .send(to, Lane::Control, Message::NotHeld(not_held).encode());
        }
    }

    fn replay(&self, to: ValidatorIndex, after: Round) {
        let epoch = self.links.committee().epoch();
        let mut bytes = 0;
        for reference in self.own_blocks(after) {
            let Ok(Some(block)) = read_block(&self.records, epoch, &reference) else {
                return;
            };
            let block = block.block();
            bytes += block.encoded_len();
            if bytes > REPLAY_BYTES_MAX {
                return;
            }
            self.allowances
                .charge(to, Instant::now(), block.encoded_len());
            let (header, payload) = (block.signed_header(), block.payload().bytes());
            self.links
                .send(to, Lane::CatchUp, Message::encode_replayed(header, payload));
        }
    }

    fn send_certificate(
        &self,
        to: ValidatorIndex,
        at_least: CommitIndex,
        newest: Option<Arc<CommitCertificate>>,
    ) {
        let epoch = self.links.committee().epoch();
        let kept = read_certificate(&self.records, epoch, at_least).unwrap_or_else(|why| {
            tracing::warn!(%why, "certificates cannot be read");
            None
        });
        let newest = || newest.map(|newest| newest.encode());
        let certificate = kept.or_else(newest).unwrap_or_default();
        self.answer(to, Lane::Control, &Message::Certificate(certificate));
    }

    fn send_commits(&self, to: ValidatorIndex, first: CommitIndex, count: u8) {
        let records = read_commits(&self.records, first, count).unwrap_or_else(|why| {
            tracing::warn!(%why, "commits cannot be read");
            Vec::new()
        });
        self.answer(to, Lane::CatchUp, &Message::Commits { first, records });
    }

    fn answer(&self, to: ValidatorIndex, lane: Lane, message: &Message) {
        let frame = message.encode();
        self.allowances.charge(to, Instant::now(), frame.len());
        self.links.send(to, lane, frame);
    }

    fn own_blocks(&self, after: Round) -> Vec<BlockRef> {
        let epoch = self.links.committee().epoch();
        let me = self.links.me();
        let mut found = Vec::new();
        let mut visit = |key: &[u8], _: &[u8]| {
            let Some(reference) = read_key(key, epoch) else {
                return false;
            };
            if reference.author == me {
                found.push(reference);
            }
            found.len() < REPLAY_BLOCKS_MAX
        };
        let from = round_key(epoch, after.next());
        if let Err(why) = self.records.scan(RecordTable::Headers, &from, &mut visit) {
            tracing::warn!(%why, "own blocks cannot be read");
        }
        found
    }
}

/// Reads a header's key back: epoch, round, author, digest. `None` behind the epoch.
fn read_key(key: &[u8], epoch: u64) -> Option<BlockRef> {
    let rest = key.strip_prefix(&epoch.to_be_bytes())?;
    let (round, rest) = rest.split_first_chunk::<4>()?;
    let (author, digest) = rest.split_first_chunk::<2>()?;
    Some(BlockRef {
        round: Round(u32::from_be_bytes(*round)),
        author: ValidatorIndex(u16::from_be_bytes(*author)),
        digest: Digest(digest.try_into().ok()?),
    })
}
