//! The bound on what a decoder may allocate.

use allocation_counter::measure;

/// Runs `decode` on `input_bytes` bytes; it never holds more than twice as much, and 64 KiB.
///
/// The peak is measured for this thread alone, so targets may run side by side.
///
/// # Panics
/// When it held more.
pub fn bounded<T>(input_bytes: usize, decode: impl FnOnce() -> T) -> T {
    let mut decoded = None;
    let peak = measure(|| decoded = Some(decode())).bytes_max;
    let allowed = 2 * input_bytes + FREE_BYTES;
    assert!(
        peak <= allowed as u64,
        "{peak} bytes held for {input_bytes} bytes of input, allowed are {allowed}"
    );
    decoded.expect("the decoder has run")
}

/// What any decoder may hold, however short its input.
const FREE_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::bounded;

    #[test]
    fn what_is_within_the_bound_passes() {
        assert_eq!(bounded(1000, || vec![0_u8; 67_000].len()), 67_000);
    }

    #[test]
    #[should_panic(expected = "68000 bytes held")]
    fn what_is_freed_again_counts_too() {
        bounded(1000, || drop(std::hint::black_box(vec![0_u8; 68_000])));
    }
}
