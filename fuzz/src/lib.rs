//! Fuzz targets as plain functions: any bytes in, a panic when a promise is broken.
//!
//! ```
//! probity_fuzz::decode_block(b"no block");
//! probity_fuzz::decode_frame(b"no frame");
//! ```
//!
//! | target | what the bytes become |
//! |---|---|
//! | `decode_block` | a block, a message or a commit record as a peer or the disk gives it, or an evidence file |
//! | `decode_frame` | a byte stream of a link |
//! | `verify_block` | a block with some faults, against R4 said once more |
//! | `signatures` | strange signatures among honest ones: single, batch, second library |
//! | `transaction_envelope` | a client's transactions |
//! | `config` | the text of configuration files |
//! | `lane_frames` | frames on their way through the lanes of a link into the inbox |
//! | `dag_operations` | a DAG, delivered in several orders, against the slow reference |
//! | `replica_operations` | what happens to one replica: blocks, links, disk, signer, time, crashes |
//! | `linearize_gc` | a DAG and a short memory: one output in every order |
//! | `storage_model` | batches, reads and restarts of the disk's storage, against a map |
//! | `storage_recovery` | damage to its files |
//! | `simulation` | a schedule of faults and sins for a whole cluster |
//! | `canary` | a song that leads to a planted crash |
//!
//! Two ways to run them:
//!
//! - `cargo test -p probity-fuzz` runs every target over its corpus, on stable Rust, in seconds.
//! - `fuzz/run.sh [seconds]` looks for new inputs with libFuzzer, and fails when a target was too slow to see
//!   anything, or when the canary was not found.
//!
//! An input that broke a promise goes into `corpus/<target>/` under a name that says so, and is thereby a test. The
//! first inputs come from `cargo run -p probity-fuzz --example make_corpus`.
#![forbid(unsafe_code)]

mod allocation;
mod canary;
pub mod committee;
mod config;
mod dag_operations;
mod decode_block;
mod decode_frame;
mod lane_frames;
mod linearize_gc;
mod replica_operations;
mod sign_anew;
mod signatures;
mod simulation;
mod storage_model;
mod storage_recovery;
mod transaction_envelope;
mod verify_block;

pub use allocation::bounded;
pub use canary::canary;
pub use config::config;
pub use dag_operations::dag_operations;
pub use decode_block::decode_block;
pub use decode_frame::decode_frame;
pub use lane_frames::lane_frames;
pub use linearize_gc::linearize_gc;
pub use replica_operations::{Reached, replica_operations, run_replica};
pub use signatures::signatures;
pub use simulation::simulation;
pub use storage_model::storage_model;
pub use storage_recovery::storage_recovery;
pub use transaction_envelope::transaction_envelope;
pub use verify_block::verify_block;

use bytes::Bytes;
use probity_core::{CommitCertificate, CommitRecord, EpochEnd, Message};

/// A message that decodes has one encoding: the bytes it came from (R2). Decoding takes bounded memory.
fn check_message(frame: &Bytes) {
    if let Ok(message) = bounded(frame.len(), || Message::decode(frame)) {
        assert_eq!(
            message.encode(),
            *frame,
            "a message re-encodes to other bytes"
        );
        check_inside(&message);
    }
}

/// What a message carries unread has one encoding, too (R35).
fn check_inside(message: &Message) {
    match message {
        Message::Certificate(bytes) => {
            if let Ok(inside) = bounded(bytes.len(), || CommitCertificate::decode(bytes)) {
                assert_eq!(inside.encode(), *bytes, "a certificate");
            }
        }
        Message::Commits { records, .. } => {
            for bytes in records {
                if let Ok(inside) = bounded(bytes.len(), || CommitRecord::decode(bytes)) {
                    assert_eq!(inside.encode(), *bytes, "a commit record");
                }
            }
        }
        Message::EpochEnd(bytes) => {
            if let Ok(inside) = bounded(bytes.len(), || EpochEnd::decode(bytes)) {
                assert_eq!(inside.encode(), *bytes, "the end of an epoch");
            }
        }
        Message::Block(_)
        | Message::Fetched(_)
        | Message::Fetch(_)
        | Message::NotHeld(_)
        | Message::Replay { .. }
        | Message::FetchHistory { .. }
        | Message::FetchCertificate { .. }
        | Message::FetchCommits { .. } => {}
    }
}
