//! Everything that happened, as a digest, and as text when somebody reads it.

use std::fmt::Write as _;

use probity_core::Time;

/// The record of a run.
#[derive(Default)]
pub struct Trace {
    hasher: blake3::Hasher,
    text: Option<String>,
}

/// Bytes of text after which the oldest half is dropped.
const TEXT_BYTES_MAX: usize = 64 << 20;

impl Trace {
    /// A trace that also keeps its text.
    #[must_use]
    pub fn with_text() -> Self {
        Self {
            hasher: blake3::Hasher::new(),
            text: Some(String::new()),
        }
    }

    /// Notes an event by its kind, who it concerns, and a few bytes of what it is about.
    #[allow(clippy::too_many_arguments, reason = "when, what, who and about what")]
    pub fn note(&mut self, now: Time, kind: &str, who: usize, about: &[u8]) {
        let mut head = [0u8; 16];
        head[..8].copy_from_slice(&now.0.to_le_bytes());
        head[8..].copy_from_slice(&(who as u64).to_le_bytes());
        self.hasher.update(&head);
        self.hasher.update(kind.as_bytes());
        self.hasher.update(&(about.len() as u64).to_le_bytes());
        self.hasher.update(about);
    }

    /// Adds a line of text, if anybody reads it.
    pub fn say(&mut self, now: Time, line: impl FnOnce() -> String) {
        let Some(text) = &mut self.text else { return };
        let (ms, us) = (now.0 / 1_000, now.0 % 1_000);
        writeln!(text, "{ms:>7}.{us:03} {}", line()).expect("a string grows");
        if text.len() > TEXT_BYTES_MAX {
            let middle = (TEXT_BYTES_MAX / 2..).find(|at| text.is_char_boundary(*at));
            text.drain(..middle.unwrap_or(0));
        }
    }

    /// The digest of everything so far.
    #[must_use]
    pub fn digest(&self) -> String {
        self.hasher.finalize().to_hex().to_string()
    }

    /// The text, if it was kept.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }
}
