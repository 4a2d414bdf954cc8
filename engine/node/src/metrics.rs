//! Every number that a node counts, with its name and what it means, in one table.

use std::sync::atomic::{AtomicU64, Ordering};

use probity_transport::TransportStats;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// Counters that differ in one label.
pub(crate) type Labelled = Family<[(&'static str, &'static str); 1], Counter>;
/// Counters by peer and label.
pub(crate) type ByPeer = Family<Vec<(&'static str, String)>, Counter>;

macro_rules! metrics {
    ($($field:ident: $kind:ty = $make:expr, $name:literal, $unit:expr, $help:literal;)*) => {
        /// The metrics of one node.
        pub(crate) struct Metrics {
            registry: Registry,
            $(pub(crate) $field: $kind,)*
        }

        impl Metrics {
            pub(crate) fn new() -> Self {
                let mut registry = Registry::with_prefix("probity");
                $(
                    let $field: $kind = $make;
                    match $unit {
                        Some(unit) => {
                            registry.register_with_unit($name, $help, unit, $field.clone());
                        }
                        None => registry.register($name, $help, $field.clone()),
                    }
                )*
                Self { registry, $($field,)* }
            }
        }
    };
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_001, 4.0, 12))
}

fn sizes() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 4.0, 10))
}

const NONE: Option<Unit> = None;
const SECONDS: Option<Unit> = Some(Unit::Seconds);
const BYTES: Option<Unit> = Some(Unit::Bytes);

metrics! {
    submitted: Counter = Counter::default(), "submitted_transactions", NONE,
        "Transactions taken from clients";
    refused: Labelled = Labelled::default(), "refused_transactions", NONE,
        "Transactions not taken, by reason";
    resubmitted: Counter = Counter::default(), "resubmitted_transactions", NONE,
        "Own transactions whose block was not ordered, put back";
    pending: Gauge = Gauge::default(), "pending_transactions", NONE,
        "Verified transactions waiting for an own block";
    commits: Counter = Counter::default(), "commits", NONE, "Commits";
    committed_blocks: Counter = Counter::default(), "committed_blocks", NONE, "Blocks in commits";
    committed_transactions: Counter = Counter::default(), "committed_transactions", NONE,
        "Transactions in commits, those of void blocks left out";
    decisions: Labelled = Labelled::default(), "decisions", NONE,
        "Leader slots decided: fast, slow, indirect, skipped";
    certificates: Counter = Counter::default(), "certificates", NONE,
        "Commits proved final by a certificate";
    evidence: Counter = Counter::default(), "evidence", NONE,
        "Proofs that a validator signed two headers of one slot";
    blocks: Counter = Counter::default(), "verified_blocks", NONE,
        "Blocks of peers that passed every check";
    rejected: ByPeer = ByPeer::default(), "rejected_messages", NONE,
        "Messages of peers refused, by peer and broken rule";
    other_epoch: Counter = Counter::default(), "other_epoch_messages", NONE,
        "Messages of peers that belong to another epoch, answered with its end or a question for it";
    epoch: Gauge = Gauge::default(), "epoch", NONE, "The running epoch";
    proposed: Counter = Counter::default(), "proposed_blocks", NONE, "Own blocks broadcast";
    core_step: Histogram = seconds(), "core_step", SECONDS,
        "Time of the core for one step, which takes all inputs that wait";
    core_busy_us: Counter = Counter::default(), "core_busy_microseconds", NONE,
        "Time the core has spent in all steps";
    core_inputs: Counter = Counter::default(), "core_inputs", NONE, "Inputs the core has taken";
    core_queue: Gauge = Gauge::default(), "core_queue", NONE, "Inputs waiting for the core";
    persist_batch: Histogram = sizes(), "persist_group", NONE,
        "Requests made durable by one write of the storage";
    persist_time: Histogram = seconds(), "persist", SECONDS, "Time of one write of the storage";
    persist_bytes: Counter = Counter::default(), "persisted", BYTES, "Bytes written to storage";
    serve_dropped: Counter = Counter::default(), "serve_dropped", NONE,
        "Requests of peers for blocks dropped because they asked for too much";
    verify_dropped: Counter = Counter::default(), "verify_dropped", NONE,
        "Messages dropped because too many of their sender waited for verification";
    refused_peers: Counter = Counter::default(), "refused_peers", NONE,
        "Handshakes refused: key not listed, not the one dialled, or the wrong side dialled";
    failed_handshakes: Counter = Counter::default(), "failed_handshakes", NONE,
        "Incoming handshakes that ended without a link, refused ones included";
    malformed_frames: Counter = Counter::default(), "malformed_frames", NONE,
        "Links closed because the peer sent what is not a frame";
    reconnects: Counter = Counter::default(), "reconnects", NONE,
        "Links that came up for a peer that had been up before";
    frames_sent: Counter = Counter::default(), "sent_frames", NONE, "Frames sent to peers";
    frames_received: Counter = Counter::default(), "received_frames", NONE,
        "Frames of peers received";
    frames_dropped: Counter = Counter::default(), "dropped_frames", NONE,
        "Frames not sent: queue full, or peer not up";
    bytes_sent: Counter = Counter::default(), "sent", BYTES, "Bytes of frames sent to peers";
    bytes_received: Counter = Counter::default(), "received", BYTES,
        "Bytes of frames of peers received";
}

impl Metrics {
    /// Counts one of the values of a label.
    pub(crate) fn count(family: &Labelled, label: &'static str, value: &'static str, n: u64) {
        family.get_or_create(&[(label, value)]).inc_by(n);
    }

    /// Counts a refused message of a peer.
    pub(crate) fn reject(&self, peer: &str, rule: &str) {
        let labels = vec![("peer", peer.to_owned()), ("rule", rule.to_owned())];
        self.rejected.get_or_create(&labels).inc();
    }

    /// The text that Prometheus reads, with what the transport counted.
    pub(crate) fn text(&self, transport: &TransportStats) -> String {
        for (shown, counted) in [
            (&self.refused_peers, transport.refused_peers),
            (&self.failed_handshakes, transport.failed_handshakes),
            (&self.malformed_frames, transport.malformed_frames),
            (&self.reconnects, transport.reconnects),
            (&self.frames_sent, transport.frames_sent),
            (&self.frames_received, transport.frames_received),
            (&self.frames_dropped, transport.frames_dropped),
            (&self.bytes_sent, transport.bytes_sent),
            (&self.bytes_received, transport.bytes_received),
        ] {
            // Two readers at once must not set it back.
            shown.inner().fetch_max(counted, Ordering::Relaxed);
        }
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string cannot fail");
        text
    }
}

/// A gauge's value from a size.
pub(crate) fn level(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

// The counters of the client library are 64-bit atomics here.
const _: fn() -> Counter<u64, AtomicU64> = Counter::default;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_what_was_counted() {
        let metrics = Metrics::new();
        Metrics::count(&metrics.decisions, "path", "fast", 3);
        metrics.reject("2", "signature");
        let text = metrics.text(&TransportStats::default());
        assert!(
            text.contains("probity_decisions_total{path=\"fast\"} 3"),
            "{text}"
        );
        assert!(text.contains("rule=\"signature\""), "{text}");
        assert!(text.contains("# HELP probity_core_step_seconds"), "{text}");
    }
}
