//! The I/O thread: accepts, dials, wakes the writers, and closes everything in the end.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use quinn::{Endpoint, Incoming};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::identity::proved_peer;
use super::lanes::Bell;
use super::limits::{
    CloseCode, FLUSH_DEADLINE, HALF_OPEN_MAX, HANDSHAKE_DEADLINE, RETRY_ABOVE, STOP_DEADLINE,
};
use super::link::Link;
use super::peers::{PeerEntry, PeerTable};
use crate::stats::Counters;
use crate::{Inbox, PeerId, reconnect};

/// What the transport's handle and its I/O thread share.
pub(super) struct Shared {
    pub(super) peers: Arc<PeerTable>,
    pub(super) counters: Arc<Counters>,
    pub(super) bell: Bell,
    /// Told when the list of peers has changed.
    pub(super) listing: Notify,
}

/// What the tasks of the I/O thread share. Gone with the thread, and the inbox with it.
pub(super) struct Context {
    pub(super) inbox: Inbox,
    pub(super) counters: Arc<Counters>,
    peers: Arc<PeerTable>,
    endpoint: Endpoint,
    half_open: Arc<AtomicUsize>,
}

/// Runs the transport until `stop` is sent or dropped.
pub(super) async fn run(
    shared: Arc<Shared>,
    endpoint: Endpoint,
    inbox: Inbox,
    stop: oneshot::Receiver<()>,
) {
    let context = Arc::new(Context {
        inbox,
        counters: Arc::clone(&shared.counters),
        peers: Arc::clone(&shared.peers),
        endpoint,
        half_open: Arc::new(AtomicUsize::new(0)),
    });
    tokio::select! {
        _ = stop => {}
        () = accept(&context) => {}
        () = keep_dialling_all(&context, &shared.listing) => {}
        () = answer_bell(&shared) => {}
    }
    close(&context).await;
}

/// Closes every link and waits, not for long, until each has reported down.
async fn close(context: &Context) {
    context.peers.visit(|entry| entry.close(CloseCode::Stopped));
    context
        .endpoint
        .close(quinn::VarInt::from_u32(CloseCode::Stopped as u32), b"");
    let all_down = async {
        for entry in context.peers.all() {
            drop(entry.running.lock().await);
        }
    };
    if timeout(STOP_DEADLINE, all_down).await.is_err() {
        tracing::warn!("a link did not end in time");
    }
    // The peers learn of the end from the packet that this lets out; if it is lost, by a time-out.
    let _ = timeout(FLUSH_DEADLINE, context.endpoint.wait_idle()).await;
}

/// Wakes the writers of lanes that have got frames.
async fn answer_bell(shared: &Shared) {
    loop {
        shared.bell.wait().await;
        shared.peers.visit(|entry| entry.lanes.answer());
    }
}

async fn accept(context: &Arc<Context>) {
    while let Some(incoming) = context.endpoint.accept().await {
        let half_open = context.half_open.load(Ordering::Relaxed);
        if half_open >= HALF_OPEN_MAX {
            incoming.refuse();
        } else if half_open >= RETRY_ABOVE && incoming.may_retry() {
            // Fails only if the address is validated already, which was just asked.
            let _ = incoming.retry();
        } else {
            let guard = HalfOpen::count(&context.half_open);
            tokio::spawn(answer(Arc::clone(context), incoming, guard));
        }
    }
}

async fn answer(context: Arc<Context>, incoming: Incoming, half_open: HalfOpen) {
    let proven = timeout(HANDSHAKE_DEADLINE, prove_incoming(&context, incoming)).await;
    drop(half_open);
    match proven {
        Ok(Some((link, entry))) => link.run(&context, &entry).await,
        Ok(None) | Err(_) => context.counters.failed_handshakes.add(1),
    }
}

async fn prove_incoming(context: &Context, incoming: Incoming) -> Option<(Link, Arc<PeerEntry>)> {
    let connection = incoming.await.ok()?;
    let Some(entry) = proved_peer(&connection).and_then(|peer| context.peers.get(peer)) else {
        CloseCode::NotListed.close(&connection);
        return None;
    };
    let link = prove(context, connection).await?;
    Some((link, entry))
}

async fn prove(context: &Context, connection: quinn::Connection) -> Option<Link> {
    Link::prove(connection.clone())
        .await
        .inspect_err(|end| {
            tracing::debug!(%end, "a connection did not become a link");
            end.close(&connection, context);
        })
        .ok()
}

/// One handshake that has proved nothing yet.
struct HalfOpen {
    count: Arc<AtomicUsize>,
}

impl HalfOpen {
    fn count(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self {
            count: Arc::clone(count),
        }
    }
}

impl Drop for HalfOpen {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Starts a dialling task for each listed peer that is ours to dial, whenever the list changes.
async fn keep_dialling_all(context: &Arc<Context>, listing: &Notify) {
    loop {
        for entry in context.peers.all() {
            let wanted = context.peers.dials(entry.id) && entry.address().is_some();
            if wanted && !entry.dialled.swap(true, Ordering::AcqRel) {
                tokio::spawn(keep_dialling(Arc::clone(context), entry));
            }
        }
        listing.notified().await;
    }
}

/// Keeps one peer connected for as long as it is listed.
async fn keep_dialling(context: Arc<Context>, entry: Arc<PeerEntry>) {
    let mut listing = entry.watch_address();
    let mut failures = 0;
    loop {
        let Some(address) = *listing.borrow_and_update() else {
            break;
        };
        let dialled = tokio::select! {
            dialled = timeout(HANDSHAKE_DEADLINE, dial(&context, entry.id, address)) => dialled,
            _ = listing.changed() => {
                failures = 0;
                continue;
            }
        };
        failures = match dialled {
            Ok(Some(link)) => {
                let up_at = Instant::now();
                link.run(&context, &entry).await;
                reconnect::failures_after(failures, up_at.elapsed())
            }
            Ok(None) | Err(_) => failures.saturating_add(1),
        };
        tokio::select! {
            () = sleep(reconnect::delay(failures, noise())) => {}
            _ = listing.changed() => failures = 0,
        }
    }
    entry.dialled.store(false, Ordering::Release);
}

async fn dial(context: &Context, expected: PeerId, address: SocketAddr) -> Option<Link> {
    // The name is required by the interface and sent nowhere: the key is what is checked.
    let connecting = context
        .endpoint
        .connect(address, "probity")
        .inspect_err(|error| tracing::debug!(peer = ?expected, %error, "cannot dial"))
        .ok()?;
    let connection = connecting
        .await
        .inspect_err(|error| tracing::trace!(peer = ?expected, %error, "dialling failed"))
        .ok()?;
    if proved_peer(&connection) != Some(expected) {
        context.counters.refused_peers.add(1);
        tracing::warn!(?expected, %address, "another listed peer answers at this address");
        CloseCode::WrongKey.close(&connection);
        return None;
    }
    prove(context, connection).await
}

/// Random bits for jitter, from the hasher that the standard library seeds from the system.
fn noise() -> u64 {
    RandomState::new().hash_one(())
}
