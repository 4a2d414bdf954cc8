//! Fuzz targets as plain functions: any bytes in, a panic when a promise is broken.
//!
//! ```
//! probity_fuzz::decode_block(b"no block");
//! probity_fuzz::decode_frame(b"no frame");
//! ```
//!
//! Two ways to run them:
//!
//! - `cargo test -p probity-fuzz` runs every target over its corpus, on stable Rust, in seconds.
//! - `cargo +nightly fuzz run --features libfuzzer decode_block` looks for new inputs.
//!
//! The second one adds inputs that reach new code to the corpus; name an empty directory in front of it, as in
//! `… decode_block NEW fuzz/corpus/decode_block`, and they go there instead.
//!
//! An input that broke a promise goes into `corpus/<target>/` under a name that says so, and is thereby a test. The
//! first inputs come from `cargo run -p probity-fuzz --example make_corpus`.
#![forbid(unsafe_code)]

pub mod committee;
mod decode_block;
mod decode_frame;
mod sign_anew;

pub use decode_block::decode_block;
pub use decode_frame::decode_frame;

use bytes::Bytes;
use probity_core::Message;

/// A message that decodes has one encoding: the bytes it came from (R2).
fn check_message(frame: &Bytes) {
    if let Ok(message) = Message::decode(frame) {
        assert_eq!(
            message.encode(),
            *frame,
            "a message re-encodes to other bytes"
        );
    }
}
