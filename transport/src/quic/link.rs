//! One link: a connection whose two sides have proved themselves.
//!
//! ```text
//! handshake ─▶ prove: three streams each way, a hello on each ─▶ adopt: the older link is closed
//!           ─▶ wait for the older link's down ─▶ Up ─▶ three readers, three writers ─▶ Down
//! ```
//!
//! The hello matters because in TLS 1.3 the dialling side believes itself connected before the
//! other has judged its key. Only an answer on a stream shows that the key was accepted.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use quinn::{Connection, ConnectionError, ReadError, ReadExactError, RecvStream, SendStream};
use tokio::task::JoinSet;

use super::endpoint::Context;
use super::lanes::WriteBatch;
use super::limits::{CloseCode, READ_CHUNKS, priority};
use super::peers::PeerEntry;
use crate::{Event, FrameDecoder, FrameError, Lane};

/// First bytes of every stream; the lane's index follows.
const HELLO: &[u8; 7] = b"probity";

/// A connection whose other side has said hello on every lane.
pub(super) struct Link {
    connection: Connection,
    lanes: Vec<LaneStreams>,
}

struct LaneStreams {
    lane: Lane,
    send: SendStream,
    receive: RecvStream,
}

/// Why a connection did not become a link, or a link ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkEnd {
    #[error("connection: {0}")]
    Connection(#[from] ConnectionError),
    #[error("the peer ended a stream")]
    StreamEnded,
    #[error("malformed frame: {0}")]
    Malformed(#[from] FrameError),
    #[error("a stream did not begin with the hello")]
    NoHello,
    #[error("the inbox is closed")]
    InboxClosed,
}

impl LinkEnd {
    fn close_code(&self) -> CloseCode {
        match self {
            Self::Connection(_) | Self::StreamEnded => CloseCode::Ended,
            Self::Malformed(_) | Self::NoHello => CloseCode::Malformed,
            Self::InboxClosed => CloseCode::Busy,
        }
    }

    /// Counts a fault of the peer and tells it why.
    pub(super) fn close(&self, connection: &Connection, context: &Context) {
        if self.close_code() == CloseCode::Malformed {
            context.counters.malformed_frames.add(1);
        }
        self.close_code().close(connection);
    }
}

impl From<ReadError> for LinkEnd {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::ConnectionLost(error) => Self::Connection(error),
            ReadError::Reset(_)
            | ReadError::ClosedStream
            | ReadError::IllegalOrderedRead
            | ReadError::ZeroRttRejected => Self::StreamEnded,
        }
    }
}

impl From<ReadExactError> for LinkEnd {
    fn from(error: ReadExactError) -> Self {
        match error {
            ReadExactError::FinishedEarly(_) => Self::NoHello,
            ReadExactError::ReadError(error) => Self::from(error),
        }
    }
}

impl From<quinn::WriteError> for LinkEnd {
    fn from(error: quinn::WriteError) -> Self {
        match error {
            quinn::WriteError::ConnectionLost(error) => Self::Connection(error),
            quinn::WriteError::Stopped(_)
            | quinn::WriteError::ClosedStream
            | quinn::WriteError::ZeroRttRejected => Self::StreamEnded,
        }
    }
}

impl Link {
    /// Says hello on three streams and waits for the other side's three. The caller sets a limit
    /// to the time.
    pub(super) async fn prove(connection: Connection) -> Result<Self, LinkEnd> {
        let mut lanes = Vec::with_capacity(Lane::ALL.len());
        for lane in Lane::ALL {
            let mut send = connection.open_uni().await?;
            // Fails only when the stream is closed, which the write then says.
            let _ = send.set_priority(priority(lane));
            send.write_all(&hello(lane)).await?;
            lanes.push((lane, send));
        }
        let mut proven = Vec::with_capacity(Lane::ALL.len());
        // Streams are accepted in the order in which the other side opened them.
        for (lane, send) in lanes {
            let mut receive = connection.accept_uni().await?;
            let mut shown = [0; HELLO.len() + 1];
            receive.read_exact(&mut shown).await?;
            if shown != hello(lane) {
                return Err(LinkEnd::NoHello);
            }
            proven.push(LaneStreams {
                lane,
                send,
                receive,
            });
        }
        Ok(Self {
            connection,
            lanes: proven,
        })
    }

    /// Writes what no transport would write.
    #[cfg(test)]
    pub(super) async fn send_raw(&mut self, lane: Lane, bytes: &[u8]) {
        self.lanes[lane.index()]
            .send
            .write_all(bytes)
            .await
            .expect("the stream is open");
    }

    /// Carries frames until either side ends the link. Reports up first and down last, unless a
    /// newer connection takes over before this one's turn comes.
    pub(super) async fn run(self, context: &Arc<Context>, entry: &Arc<PeerEntry>) {
        let Self { connection, lanes } = self;
        if let Err(code) = entry.adopt(&connection) {
            code.close(&connection);
            return;
        }
        let running = entry.running.lock().await;
        if connection.close_reason().is_none() {
            // Opened first: whoever hears the up may send at once.
            entry.lanes.open();
            let end = match context.inbox.try_deliver(Event::Up(entry.id)) {
                Ok(()) => run_lanes(context, entry, &connection, lanes).await,
                Err(_) => LinkEnd::InboxClosed,
            };
            context.counters.frames_dropped.add(entry.lanes.close());
            end.close(&connection, context);
            tracing::debug!(peer = ?entry.id, %end, "link down");
            // An inbox that refuses this has lost its receiver.
            let _ = context.inbox.try_deliver(Event::Down(entry.id));
        }
        entry.release(&connection);
        drop(running);
    }
}

fn hello(lane: Lane) -> [u8; HELLO.len() + 1] {
    let mut hello = [0; HELLO.len() + 1];
    hello[..HELLO.len()].copy_from_slice(HELLO);
    hello[HELLO.len()] = u8::try_from(lane.index()).expect("three lanes");
    hello
}

/// Runs all readers and writers; when the first ends, ends the others and says why.
async fn run_lanes(
    context: &Arc<Context>,
    entry: &Arc<PeerEntry>,
    connection: &Connection,
    lanes: Vec<LaneStreams>,
) -> LinkEnd {
    if entry.met.swap(true, Ordering::AcqRel) {
        context.counters.reconnects.add(1);
    }
    tracing::debug!(peer = ?entry.id, address = %connection.remote_address(), "link up");
    let mut tasks = JoinSet::new();
    for LaneStreams {
        lane,
        send,
        receive,
    } in lanes
    {
        let reader = Reader {
            context: Arc::clone(context),
            entry: Arc::clone(entry),
            lane,
        };
        let writer = Writer {
            context: Arc::clone(context),
            entry: Arc::clone(entry),
            lane,
        };
        tasks.spawn(reader.run(receive));
        tasks.spawn(writer.run(send));
    }
    let end = tokio::select! {
        lost = connection.closed() => LinkEnd::Connection(lost),
        Some(Ok(end)) = tasks.join_next() => end,
    };
    // After this nobody delivers, so that the down is the last event.
    tasks.shutdown().await;
    end
}

struct Reader {
    context: Arc<Context>,
    entry: Arc<PeerEntry>,
    lane: Lane,
}

impl Reader {
    async fn run(self, mut stream: RecvStream) -> LinkEnd {
        let mut decoder = FrameDecoder::new();
        let mut chunks: [Bytes; READ_CHUNKS] = std::array::from_fn(|_| Bytes::new());
        loop {
            let received = match stream.read_chunks(&mut chunks).await {
                Ok(Some(received)) => received,
                Ok(None) => return LinkEnd::StreamEnded,
                Err(error) => return error.into(),
            };
            for chunk in &mut chunks[..received] {
                let chunk = std::mem::take(chunk);
                if let Err(end) = self.take(&mut decoder, &chunk).await {
                    return end;
                }
            }
        }
    }

    async fn take(&self, decoder: &mut FrameDecoder, chunk: &[u8]) -> Result<(), LinkEnd> {
        self.context.counters.bytes_received.add(chunk.len());
        let mut rest = chunk;
        while let Some(frame) = decoder.next_frame(&mut rest)? {
            self.deliver(frame).await?;
        }
        Ok(())
    }

    /// Puts a frame into the inbox, and reads nothing more until there is room: then the stream's
    /// window closes and the peer stops sending on this lane.
    async fn deliver(&self, frame: Bytes) -> Result<(), LinkEnd> {
        let frame_bytes = frame.len();
        let mut event = Event::Frame {
            peer: self.entry.id,
            lane: self.lane,
            frame,
        };
        loop {
            match self.context.inbox.try_deliver(event) {
                Ok(()) => break,
                Err(_) if self.context.inbox.is_closed() => return Err(LinkEnd::InboxClosed),
                Err(refused) => event = refused,
            }
            self.context
                .inbox
                .wait_for_room(self.entry.id, self.lane, frame_bytes)
                .await;
        }
        self.context.counters.frames_received.add(1);
        Ok(())
    }
}

struct Writer {
    context: Arc<Context>,
    entry: Arc<PeerEntry>,
    lane: Lane,
}

impl Writer {
    async fn run(self, mut stream: SendStream) -> LinkEnd {
        let mut batch = WriteBatch::new();
        loop {
            self.entry.lanes.lane(self.lane).take(&mut batch).await;
            if let Err(error) = stream.write_all_chunks(&mut batch.chunks).await {
                return error.into();
            }
            self.context.counters.frames_sent.add(batch.frames);
            self.context.counters.bytes_sent.add(batch.bytes);
            batch.clear();
        }
    }
}
