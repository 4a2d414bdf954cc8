//! CUBIC, except that a goodbye is never held back.
//!
//! A connection that is closed while its congestion window is full sends no CONNECTION_CLOSE with
//! quinn-proto up to 0.11.19 (quinn issue 2785): the goodbye waits behind data that will never be
//! sent, and the peer notices only after its idle time. So closing first opens the window. Nothing
//! but the goodbye uses it, because a closed connection sends nothing else. Once a release sends
//! the goodbye by itself, this file can go: the test
//! `a_goodbye_is_heard_although_the_window_is_full` will tell.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use quinn::Connection;
use quinn_proto::RttEstimator;
use quinn_proto::congestion::{Controller, ControllerFactory, ControllerMetrics, CubicConfig};

/// A window that is never full, above the 4 GiB from which packets are not paced either.
const OPEN_WINDOW_BYTES: u64 = 1 << 33;

/// Lets the goodbye of `connection` out. To be called right before closing it.
pub(super) fn open_window(connection: &Connection) {
    if let Ok(controller) = connection
        .congestion_state()
        .into_any()
        .downcast::<OpenOnClose>()
    {
        controller.closing.store(true, Ordering::Relaxed);
    }
}

/// Makes the congestion controller of each connection.
pub(super) struct OpenOnCloseConfig {
    cubic: Arc<CubicConfig>,
}

impl OpenOnCloseConfig {
    pub(super) fn new() -> Self {
        Self {
            cubic: Arc::new(CubicConfig::default()),
        }
    }
}

impl ControllerFactory for OpenOnCloseConfig {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        let cubic = Arc::clone(&self.cubic).build(now, current_mtu);
        Box::new(OpenOnClose {
            cubic,
            closing: Arc::default(),
        })
    }
}

struct OpenOnClose {
    cubic: Box<dyn Controller>,
    /// Shared by the copies that the connection hands out, or nobody could set it.
    closing: Arc<AtomicBool>,
}

impl Controller for OpenOnClose {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.cubic.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.cubic.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        self.cubic
            .on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        self.cubic
            .on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.cubic.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        if self.closing.load(Ordering::Relaxed) {
            OPEN_WINDOW_BYTES
        } else {
            self.cubic.window()
        }
    }

    fn metrics(&self) -> ControllerMetrics {
        self.cubic.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            cubic: self.cubic.clone_box(),
            closing: Arc::clone(&self.closing),
        })
    }

    fn initial_window(&self) -> u64 {
        self.cubic.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
