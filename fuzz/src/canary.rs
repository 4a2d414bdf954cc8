//! A planted crash: the run that does not find it sees nothing.

/// Panics on inputs that only coverage can lead to: each byte of the song opens a branch of its own.
///
/// # Panics
/// When `data` starts with the song.
pub fn canary(data: &[u8]) {
    let mut heard = 0;
    for (byte, note) in data.iter().zip(SONG) {
        if byte != note {
            return;
        }
        heard += 1;
        // Kept apart for the optimiser, or one comparison of eight bytes would hide the way.
        std::hint::black_box(heard);
    }
    assert!(heard < SONG.len(), "the canary sings");
}

const SONG: &[u8; 6] = b"canary";
