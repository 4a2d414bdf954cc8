//! Answers peers that ask for stored blocks and commits, on a thread of its own: reading is slow, deciding is not.

use std::sync::Arc;
use std::time::Instant;

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use probity_core::crypto::Digest;
use probity_core::limits::{REPLAY_BLOCKS_MAX, REPLAY_BYTES_MAX};
use probity_core::record::{
    RecordSource as _, RecordTable, epoch_key, read_block, read_certificate, read_commits,
    round_key,
};
use probity_core::{
    BlockRef, CommitCertificate, CommitIndex, Message, Round, ValidatorIndex, VerifiedBlock,
};
use probity_transport::Lane;

use crate::health::{Health, NAP};
use crate::links::Links;
use crate::metrics::Metrics;
use crate::peer::Peer;
use crate::records::Records;

/// Requests of all peers that may wait; each has few of them.
const WAITING_MAX: usize = 4096;

/// How far back blocks are looked for, the running epoch included; retention may have left fewer.
const EPOCHS_SERVED: usize = 8;

/// What a peer asked for.
pub(crate) enum Request {
    /// These blocks.
    Blocks(Vec<BlockRef>),
    /// Own blocks of an epoch after this round (R34).
    Replay(u64, Round),
    /// How an epoch ended (R32).
    EpochEnd(u64),
    /// Of an epoch, the certificate of the least commit from this one on that is kept, else the newest (R35).
    Certificate {
        epoch: u64,
        at_least: CommitIndex,
        newest: Option<Arc<CommitCertificate>>,
    },
    /// Commit records (R35).
    Commits { first: CommitIndex, count: u8 },
}

/// Where the core and the verifying threads put requests.
#[derive(Clone)]
pub(crate) struct ServeQueue {
    sender: Sender<(Arc<Peer>, Request)>,
    metrics: Arc<Metrics>,
}

/// The thread's end.
pub(crate) struct Server {
    receiver: Receiver<(Arc<Peer>, Request)>,
    records: Records,
    links: Arc<Links>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

pub(crate) fn serve_queue(
    records: Records,
    links: Arc<Links>,
    shared: (&Arc<Health>, &Arc<Metrics>),
) -> (ServeQueue, Server) {
    let (sender, receiver) = bounded(WAITING_MAX);
    let metrics = Arc::clone(shared.1);
    let queue = ServeQueue { sender, metrics };
    (
        queue,
        Server {
            receiver,
            records,
            links,
            health: Arc::clone(shared.0),
            metrics: Arc::clone(shared.1),
        },
    )
}

impl ServeQueue {
    /// Queues a request, or drops it when its peer has too many: it asks again.
    pub(crate) fn push(&self, to: &Arc<Peer>, request: Request) {
        if !to.begin_serving() {
            self.metrics.serve_dropped.inc();
            return;
        }
        let sent = self.sender.try_send((Arc::clone(to), request));
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = sent {
            to.end_serving();
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
            to.end_serving();
            if !to.allowance.is_open(Instant::now()) {
                self.metrics.serve_dropped.inc();
                continue;
            }
            match request {
                Request::Blocks(refs) => self.send_blocks(&to, refs),
                Request::Replay(epoch, after) => self.replay(&to, (epoch, after)),
                Request::EpochEnd(epoch) => self.send_end(&to, epoch),
                Request::Certificate {
                    epoch,
                    at_least,
                    newest,
                } => self.send_certificate(&to, (epoch, at_least), newest),
                Request::Commits { first, count } => self.send_commits(&to, first, count),
            }
        }
    }

    /// From the running epoch, or from one before: those who catch up need them (R32, R35).
    fn read(&self, reference: &BlockRef) -> Option<VerifiedBlock> {
        let running = self.links.epoch().number();
        let epochs = (0..=running).rev().take(EPOCHS_SERVED);
        let read = |epoch| {
            let found = read_block(&self.records, epoch, reference);
            found.unwrap_or_else(|why| {
                tracing::warn!(?reference, ?why, "a stored block cannot be read");
                None
            })
        };
        epochs.into_iter().find_map(read)
    }

    fn send_blocks(&self, to: &Peer, refs: Vec<BlockRef>) {
        let mut not_held = Vec::new();
        for reference in refs {
            let Some(block) = self.read(&reference) else {
                not_held.push(reference);
                continue;
            };
            let block = block.block();
            to.allowance.charge(Instant::now(), block.encoded_len());
            let frame = Message::encode_fetched(block.signed_header(), block.payload().bytes());
            self.links.send(to, Lane::CatchUp, frame);
        }
        if !not_held.is_empty() {
            let answer = Message::NotHeld(not_held);
            self.links.send(to, Lane::Control, answer.encode());
        }
    }

    fn send_end(&self, to: &Peer, epoch: u64) {
        match self.records.read(RecordTable::EpochEnd, &epoch_key(epoch)) {
            Ok(Some(end)) => {
                self.answer(to, Lane::Control, &Message::EpochEnd(end));
            }
            Ok(None) => {}
            Err(why) => tracing::warn!(%why, epoch, "an epoch's end cannot be read"),
        }
    }

    fn send_certificate(
        &self,
        to: &Peer,
        (epoch, at_least): (u64, CommitIndex),
        newest: Option<Arc<CommitCertificate>>,
    ) {
        let kept = read_certificate(&self.records, epoch, at_least).unwrap_or_else(|why| {
            tracing::warn!(%why, "certificates cannot be read");
            None
        });
        let newest = || newest.map(|newest| newest.encode());
        let certificate = kept.or_else(newest).unwrap_or_default();
        self.answer(to, Lane::Control, &Message::Certificate(certificate));
    }

    fn send_commits(&self, to: &Peer, first: CommitIndex, count: u8) {
        let records = read_commits(&self.records, first, count).unwrap_or_else(|why| {
            tracing::warn!(%why, "commits cannot be read");
            Vec::new()
        });
        self.answer(to, Lane::CatchUp, &Message::Commits { first, records });
    }

    fn answer(&self, to: &Peer, lane: Lane, message: &Message) {
        let frame = message.encode();
        to.allowance.charge(Instant::now(), frame.len());
        self.links.send(to, lane, frame);
    }

    fn replay(&self, to: &Peer, (epoch, after): (u64, Round)) {
        let mut bytes = 0;
        for reference in self.own_blocks((epoch, after)) {
            let Ok(Some(block)) = read_block(&self.records, epoch, &reference) else {
                return;
            };
            let block = block.block();
            bytes += block.encoded_len();
            if bytes > REPLAY_BYTES_MAX {
                return;
            }
            to.allowance.charge(Instant::now(), block.encoded_len());
            let (header, payload) = (block.signed_header(), block.payload().bytes());
            self.links
                .send(to, Lane::CatchUp, Message::encode_replayed(header, payload));
        }
    }

    /// The own index in the running epoch or the one before.
    fn me(&self, of: u64) -> Option<ValidatorIndex> {
        let epoch = self.links.epoch();
        let committees = [Some(epoch.committee()), epoch.before()];
        let mut committees = committees.into_iter().flatten();
        let committee = committees.find(|committee| committee.epoch() == of)?;
        committee.index_of(self.links.key())
    }

    fn own_blocks(&self, (epoch, after): (u64, Round)) -> Vec<BlockRef> {
        let mut found = Vec::new();
        let Some(me) = self.me(epoch) else {
            return found;
        };
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
