//! A byte stream, as a link would deliver it.

use bytes::{Bytes, BytesMut};
use probity_transport::{FrameDecoder, FrameError, decode_frame as front_frame, encode_frame};

use crate::check_message;

/// Cuts `data` into frames, whole and in pieces, and reads each frame as a message.
///
/// - However the stream is split, the frames and the end are the same as for all bytes at once.
/// - A decoder never holds more than twice what it received, and 64 KiB.
/// - Frames re-encode to the bytes they came from, and so do messages.
///
/// # Panics
/// When one of these promises is broken.
pub fn decode_frame(data: &[u8]) {
    let whole = cut_whole(data);
    check_encoding(&whole, data);
    whole.bodies.iter().for_each(check_message);

    assert_eq!(cut_in_pieces(data, || data.len()), whole, "fed at once");
    if data.len() <= SINGLE_BYTES_MAX {
        assert_eq!(cut_in_pieces(data, || 1), whole, "fed byte by byte");
    }
    for bits in [3, 8, 17] {
        let mut sizes = Sizes {
            state: fold(data),
            bits,
        };
        assert_eq!(
            cut_in_pieces(data, || sizes.draw()),
            whole,
            "fed in pieces below 2^{bits}"
        );
    }
}

/// What a stream holds: its whole frames, and how it ends.
#[derive(PartialEq, Eq, Debug)]
struct Cut {
    bodies: Vec<Bytes>,
    end: Option<FrameError>,
}

/// The obvious way, with all bytes at hand.
fn cut_whole(data: &[u8]) -> Cut {
    let mut cut = Cut {
        bodies: Vec::new(),
        end: None,
    };
    let mut rest = data;
    loop {
        match front_frame(rest) {
            Ok(Some(frame)) => {
                cut.bodies.push(Bytes::copy_from_slice(frame.body));
                rest = frame.rest;
            }
            Ok(None) => return cut,
            Err(error) => {
                return Cut {
                    end: Some(error),
                    ..cut
                };
            }
        }
    }
}

/// The way of a link: pieces of the sizes that `next_size` says.
fn cut_in_pieces(data: &[u8], mut next_size: impl FnMut() -> usize) -> Cut {
    let mut cut = Cut {
        bodies: Vec::new(),
        end: None,
    };
    let mut decoder = FrameDecoder::new();
    let mut rest = data;
    while !rest.is_empty() {
        let (mut piece, behind) = rest.split_at(next_size().clamp(1, rest.len()));
        rest = behind;
        loop {
            let next = decoder.next_frame(&mut piece);
            let received = data.len() - rest.len() - piece.len();
            assert!(
                decoder.held_bytes() <= 2 * received + HELD_BYTES_FREE,
                "held too much"
            );
            match next {
                Ok(Some(body)) => cut.bodies.push(body),
                Ok(None) => break,
                Err(error) => {
                    return Cut {
                        end: Some(error),
                        ..cut
                    };
                }
            }
        }
        assert!(
            piece.is_empty(),
            "a decoder that waits for more has used up what it got"
        );
    }
    cut
}

/// The frames found, encoded again, are the front of the stream.
fn check_encoding(cut: &Cut, data: &[u8]) {
    let mut encoded = BytesMut::new();
    for body in &cut.bodies {
        encode_frame(body, &mut encoded).expect("a frame that was found may exist");
    }
    assert!(
        data.starts_with(&encoded),
        "frames re-encode to other bytes"
    );
}

/// Sizes of pieces that follow from the input alone, so that a finding repeats.
struct Sizes {
    state: u64,
    bits: u32,
}

impl Sizes {
    fn draw(&mut self) -> usize {
        self.state = self
            .state
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(1);
        usize::try_from(self.state >> (u64::BITS - self.bits)).expect("few bits")
    }
}

/// FNV-1a over the front of the input.
fn fold(data: &[u8]) -> u64 {
    let front = data.iter().take(256);
    front.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Longer inputs are not fed byte by byte.
const SINGLE_BYTES_MAX: usize = 8 * 1024;

/// What a decoder may hold on the word of a header alone.
const HELD_BYTES_FREE: usize = 64 * 1024;
