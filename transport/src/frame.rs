//! Frames on a byte stream: a length of four bytes, little-endian, then that many bytes.
//!
//! ```text
//! | length: u32 LE, 1 ..= FRAME_BYTES_MAX | body |   | length | body | …
//! ```
//!
//! The simple idea is [`decode_frame`]: all bytes at hand, nothing allocated. A network hands them
//! over in pieces, so [`FrameDecoder`] keeps an unfinished body between calls. It never trusts the
//! announced length with memory: the body grows as bytes arrive and never holds more than twice
//! what was received, plus [`GROWTH_BYTES`]. Tests compare the two on every split.
//!
//! A finished body is always an allocation of its own. A slice of the receive buffer would save
//! that copy, but a 100-byte vote that the engine keeps would then hold up to 64 KiB of buffer.

use bytes::{BufMut, Bytes, BytesMut};

/// The largest body of a frame, in bytes.
pub const FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes in front of every body.
pub const FRAME_HEADER_BYTES: usize = 4;

/// Up to this size a body is allocated at once, on the word of its header.
const GROWTH_BYTES: usize = 64 * 1024;

// The header can express every legal length.
const _: () = assert!(FRAME_BYTES_MAX <= u32::MAX as usize);
const _: () = assert!(GROWTH_BYTES <= FRAME_BYTES_MAX);

/// Why bytes are not a frame. The fault is always the sender's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A frame without a body says nothing and would cost the receiver an event.
    #[error("an empty frame")]
    Empty,
    /// The announced body is larger than [`FRAME_BYTES_MAX`].
    #[error("a frame of {0} bytes, of {FRAME_BYTES_MAX} allowed")]
    TooLarge(usize),
}

/// A whole frame found at the front of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodedFrame<'a> {
    /// The frame without its header.
    pub body: &'a [u8],
    /// What follows the frame.
    pub rest: &'a [u8],
}

/// Reads the frame at the front of `input`; `None` when it is not whole yet. Allocates nothing.
///
/// # Errors
/// [`FrameError`] as soon as the header is known to be illegal.
pub fn decode_frame(input: &[u8]) -> Result<Option<DecodedFrame<'_>>, FrameError> {
    let Some((header, after)) = input.split_first_chunk::<FRAME_HEADER_BYTES>() else {
        return Ok(None);
    };
    let body_len = body_len(*header)?;
    Ok(after
        .split_at_checked(body_len)
        .map(|(body, rest)| DecodedFrame { body, rest }))
}

/// Appends the frame around `body`.
///
/// # Errors
/// [`FrameError`] when no frame may have this size; then nothing is appended.
pub fn encode_frame(body: &[u8], out: &mut BytesMut) -> Result<(), FrameError> {
    check_body_len(body.len())?;
    out.reserve(FRAME_HEADER_BYTES + body.len());
    put_header(body.len(), out);
    out.put_slice(body);
    Ok(())
}

/// Cuts a byte stream that arrives in pieces into frames.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    header: [u8; FRAME_HEADER_BYTES],
    header_len: usize,
    body: Vec<u8>,
}

impl FrameDecoder {
    /// A decoder at the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes off the front of `input` up to the end of the next frame and returns its body;
    /// `None` when `input` is used up and the frame is not whole.
    ///
    /// # Errors
    /// [`FrameError`] on an illegal header; the stream cannot be understood any further.
    pub fn next_frame(&mut self, input: &mut &[u8]) -> Result<Option<Bytes>, FrameError> {
        take(input, FRAME_HEADER_BYTES - self.header_len, |part| {
            self.header[self.header_len..][..part.len()].copy_from_slice(part);
            self.header_len += part.len();
        });
        if self.header_len < FRAME_HEADER_BYTES {
            return Ok(None);
        }
        let body_len = body_len(self.header)?;
        take(input, body_len - self.body.len(), |part| {
            grow(&mut self.body, part.len(), body_len);
            self.body.extend_from_slice(part);
        });
        if self.body.len() < body_len {
            return Ok(None);
        }
        self.header_len = 0;
        Ok(Some(Bytes::from(std::mem::take(&mut self.body))))
    }

    /// Bytes of memory held for an unfinished body.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.body.capacity()
    }
}

/// Whether a frame may have a body of this size.
pub(crate) fn check_body_len(body_len: usize) -> Result<(), FrameError> {
    match body_len {
        0 => Err(FrameError::Empty),
        1..=FRAME_BYTES_MAX => Ok(()),
        _ => Err(FrameError::TooLarge(body_len)),
    }
}

/// Appends the header of a body whose size was checked.
pub(crate) fn put_header(body_len: usize, out: &mut BytesMut) {
    let body_len = u32::try_from(body_len).expect("checked bodies are far below 4 GiB");
    out.put_u32_le(body_len);
}

fn body_len(header: [u8; FRAME_HEADER_BYTES]) -> Result<usize, FrameError> {
    let body_len = u32::from_le_bytes(header) as usize;
    check_body_len(body_len)?;
    Ok(body_len)
}

/// Hands at most `wanted` bytes from the front of `input` to `use_part`.
fn take(input: &mut &[u8], wanted: usize, use_part: impl FnOnce(&[u8])) {
    let (part, rest) = input.split_at(wanted.min(input.len()));
    use_part(part);
    *input = rest;
}

/// Makes room for `more` bytes of a body that will have `body_len` in the end.
///
/// At least doubles, so that a large body is moved a logarithmic number of times, and ends with
/// exactly `body_len`, so that nothing is wasted for as long as the frame lives.
fn grow(body: &mut Vec<u8>, more: usize, body_len: usize) {
    let needed = body.len() + more;
    if needed <= body.capacity() {
        return;
    }
    let target = needed
        .max(2 * body.capacity())
        .max(GROWTH_BYTES)
        .min(body_len);
    body.reserve_exact(target - body.len());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream_of(bodies: &[Vec<u8>]) -> Vec<u8> {
        let mut stream = BytesMut::new();
        for body in bodies {
            encode_frame(body, &mut stream).unwrap();
        }
        stream.to_vec()
    }

    #[test]
    fn a_header_alone_is_judged() {
        let too_large = u32::try_from(FRAME_BYTES_MAX + 1).unwrap();
        assert_eq!(decode_frame(&[0; 4]), Err(FrameError::Empty));
        assert_eq!(
            FrameDecoder::new().next_frame(&mut &too_large.to_le_bytes()[..]),
            Err(FrameError::TooLarge(FRAME_BYTES_MAX + 1))
        );
    }

    #[test]
    fn a_frame_of_the_largest_size_passes_and_one_more_byte_does_not() {
        let mut out = BytesMut::new();
        let body = vec![7; FRAME_BYTES_MAX + 1];
        assert!(encode_frame(&body, &mut out).is_err());
        assert!(out.is_empty());
        encode_frame(&body[1..], &mut out).unwrap();
        let frame = FrameDecoder::new()
            .next_frame(&mut &out[..])
            .unwrap()
            .unwrap();
        assert_eq!(frame.len(), FRAME_BYTES_MAX);
    }

    #[test]
    fn an_announced_body_costs_no_memory_until_it_arrives() {
        let mut decoder = FrameDecoder::new();
        let announced = u32::try_from(FRAME_BYTES_MAX).unwrap().to_le_bytes();
        decoder.next_frame(&mut &announced[..]).unwrap();
        assert_eq!(decoder.held_bytes(), 0);
        for received in 1..=300_000 {
            decoder.next_frame(&mut &[1][..]).unwrap();
            assert!(decoder.held_bytes() <= 2 * received + GROWTH_BYTES);
        }
    }

    #[test]
    fn a_finished_body_holds_no_spare_memory() {
        let stream = stream_of(&[vec![1; 70_000]]);
        let mut decoder = FrameDecoder::new();
        for mut piece in stream[..70_003].chunks(1000) {
            assert_eq!(decoder.next_frame(&mut piece), Ok(None));
        }
        assert_eq!(decoder.held_bytes(), 70_000);
    }

    proptest! {
        #[test]
        fn pieces_give_the_frames_of_the_whole(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..20),
            piece_bytes in 1_usize..400,
        ) {
            let stream = stream_of(&bodies);
            let mut decoder = FrameDecoder::new();
            let mut frames = Vec::new();
            for mut piece in stream.chunks(piece_bytes) {
                while let Some(frame) = decoder.next_frame(&mut piece).unwrap() {
                    frames.push(frame.to_vec());
                }
                prop_assert!(piece.is_empty());
            }
            prop_assert_eq!(frames, bodies);
        }

        #[test]
        fn the_incremental_decoder_agrees_with_the_plain_one(
            input in prop::collection::vec(0_u8..3, 0..200),
            piece_bytes in 1_usize..50,
        ) {
            let mut plain = Vec::new();
            let mut rest = &input[..];
            let plain_end = loop {
                match decode_frame(rest) {
                    Ok(Some(frame)) => { plain.push(frame.body.to_vec()); rest = frame.rest; }
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            };
            let mut decoder = FrameDecoder::new();
            let mut pieces = Vec::new();
            let mut pieces_end = None;
            'stream: for mut piece in input.chunks(piece_bytes) {
                loop {
                    match decoder.next_frame(&mut piece) {
                        Ok(Some(frame)) => pieces.push(frame.to_vec()),
                        Ok(None) => break,
                        Err(error) => { pieces_end = Some(error); break 'stream; }
                    }
                }
            }
            prop_assert_eq!(pieces, plain);
            prop_assert_eq!(pieces_end, plain_end);
        }
    }
}
