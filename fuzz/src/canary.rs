//! A planted crash: the run that does not find it sees nothing.

/// Panics on one word that chance would not guess: each letter of it opens a branch of its own.
///
/// # Panics
/// When `data` starts with the word.
pub fn canary(data: &[u8]) {
    // Nested, and not a loop or one comparison: what stays the same code for every letter shows no way.
    if heard(data, 0) == Some(b'c')
        && heard(data, 1) == Some(b'a')
        && heard(data, 2) == Some(b'n')
        && heard(data, 3) == Some(b'a')
        && heard(data, 4) == Some(b'r')
        && heard(data, 5) == Some(b'y')
    {
        panic!("the canary sings");
    }
}

#[inline(never)]
fn heard(data: &[u8], at: usize) -> Option<u8> {
    std::hint::black_box(data.get(at).copied())
}
