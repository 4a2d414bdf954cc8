//! Secret keys on disk: one 32-byte seed a file, as 64 hex digits and a newline, for its owner only.
//!
//! A file that others could have read is refused: its key must count as known.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use probity_core::crypto::Keypair;
use thiserror::Error;
use zeroize::Zeroizing;

/// A 32-byte secret, wiped when it is dropped.
pub type Seed = Zeroizing<[u8; 32]>;

/// Hex digits of a seed.
const SEED_DIGITS: usize = 64;
/// What a key file's permissions may be at most.
const MODE: u32 = 0o600;

/// 32 secret random bytes from the operating system.
///
/// # Errors
/// When the operating system gives none.
pub fn generate_seed() -> Result<Seed, KeyFileError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut_slice()).map_err(|_| KeyFileError::NoRandomness)?;
    Ok(seed)
}

/// Writes `seed` to a new file that only its owner can read, durably.
///
/// # Errors
/// When the file exists, whatever it is, or cannot be written; then none is left behind.
pub fn write_seed(path: &Path, seed: &[u8; 32]) -> Result<(), KeyFileError> {
    let fault = |op| {
        move |source| KeyFileError::Io {
            op,
            path: path.to_owned(),
            source,
        }
    };
    let mut file = match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(path)
    {
        Ok(file) => file,
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {
            return Err(KeyFileError::Exists {
                path: path.to_owned(),
            });
        }
        Err(why) => return Err(fault("create")(why)),
    };
    let mut text = Zeroizing::new([b'\n'; SEED_DIGITS + 1]);
    hex::encode_to_slice(seed, &mut text[..SEED_DIGITS]).expect("64 digits for 32 bytes");
    let written = file
        .write_all(text.as_slice())
        .and_then(|()| file.sync_all());
    if let Err(why) = written {
        // Half a key helps nobody and would be in the way of the next attempt.
        let _ = std::fs::remove_file(path);
        return Err(fault("write")(why));
    }
    sync_directory_of(path).map_err(fault("sync the directory of"))
}

/// The keypair whose seed is in the file at `path`.
///
/// # Errors
/// See [`KeyFileError`].
pub fn load_signing_key(path: &Path) -> Result<Keypair, KeyFileError> {
    Ok(Keypair::from_seed(&*read_seed(path)?))
}

/// The seed of a network key, from the file at `path`.
///
/// # Errors
/// See [`KeyFileError`].
pub fn load_network_seed(path: &Path) -> Result<Seed, KeyFileError> {
    read_seed(path)
}

fn read_seed(path: &Path) -> Result<Seed, KeyFileError> {
    let fault = |op| {
        move |source| KeyFileError::Io {
            op,
            path: path.to_owned(),
            source,
        }
    };
    let not_a_file = || KeyFileError::NotAFile {
        path: path.to_owned(),
    };
    // NOFOLLOW: no link is trusted. NONBLOCK: a pipe under this name must not hang the start.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(why) if why.raw_os_error() == Some(libc::ELOOP) => return Err(not_a_file()),
        Err(why) => return Err(fault("open")(why)),
    };
    // Asked of the open file, so that it cannot be swapped in between.
    let metadata = file.metadata().map_err(fault("inspect"))?;
    if !metadata.is_file() {
        return Err(not_a_file());
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Permissions {
            path: path.to_owned(),
            mode,
        });
    }
    let mut text = Zeroizing::new([0; SEED_DIGITS + 2]);
    let length = read_up_to(&file, text.as_mut_slice()).map_err(fault("read"))?;
    parse_seed(&text[..length]).ok_or_else(|| KeyFileError::Malformed {
        path: path.to_owned(),
    })
}

/// Fills `buffer` as far as the file goes; a growing vector would leave copies of the secret.
fn read_up_to(mut file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) => return Err(why),
        }
    }
    Ok(length)
}

fn parse_seed(text: &[u8]) -> Option<Seed> {
    let digits = text.strip_suffix(b"\n").unwrap_or(text);
    let mut seed = Zeroizing::new([0; 32]);
    hex::decode_to_slice(digits, seed.as_mut_slice()).ok()?;
    Some(seed)
}

/// Makes the name of a new file durable.
pub(crate) fn sync_directory_of(path: &Path) -> io::Result<()> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// Why a key file cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The operating system refused.
    #[error("cannot {op} key file {}", path.display())]
    Io {
        /// What was tried.
        op: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// There is a file already; secrets are never overwritten.
    #[error("key file {} exists; it is never overwritten", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A link, a directory, a pipe or a device.
    #[error("key file {} is not a regular file; links are not followed", path.display())]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// Others than the owner can read or write it.
    #[error(
        "key file {} has mode {mode:04o}; allowed: 0600 or 0400, for its owner only",
        path.display()
    )]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The content is no seed. It is not shown: it may be most of one.
    #[error("key file {} must hold 64 hex digits and a newline, nothing else", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// No random bytes for a new key.
    #[error("the operating system gives no random bytes")]
    NoRandomness,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_written_seed_is_read_back_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let seed = generate_seed().unwrap();
        write_seed(&path, &seed).unwrap();
        assert_eq!(*load_network_seed(&path).unwrap(), *seed);
        let keypair = load_signing_key(&path).unwrap();
        assert_eq!(keypair.public(), Keypair::from_seed(&seed).public());
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
            0o600
        );
        assert_eq!(fs::read(&path).unwrap().len(), 65);
    }

    #[test]
    fn two_seeds_differ() {
        assert_ne!(*generate_seed().unwrap(), *generate_seed().unwrap());
    }

    #[test]
    fn an_existing_file_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, "precious").unwrap();
        let refused = write_seed(&path, &[1; 32]);
        assert!(matches!(refused, Err(KeyFileError::Exists { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn a_file_that_others_can_touch_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        write_seed(&path, &[1; 32]).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o610, 0o666] {
            set_mode(&path, mode);
            let refused = load_network_seed(&path).unwrap_err();
            assert!(matches!(refused, KeyFileError::Permissions { mode: m, .. } if m == mode));
            assert!(
                refused.to_string().contains(&format!("{mode:04o}")),
                "{refused}"
            );
        }
        set_mode(&path, 0o400);
        assert!(load_network_seed(&path).is_ok());
    }

    #[test]
    fn links_and_directories_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("key"), dir.path().join("link"));
        write_seed(&path, &[1; 32]).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        for path in [link.as_path(), dir.path()] {
            let refused = load_network_seed(path);
            assert!(
                matches!(refused, Err(KeyFileError::NotAFile { .. })),
                "{path:?}"
            );
        }
        // A link that leads nowhere is not written through either.
        let dangling = dir.path().join("dangling");
        std::os::unix::fs::symlink(dir.path().join("nowhere"), &dangling).unwrap();
        assert!(matches!(
            write_seed(&dangling, &[1; 32]),
            Err(KeyFileError::Exists { .. })
        ));
    }

    #[test]
    fn malformed_content_is_refused_and_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let good = "ab".repeat(32);
        let bad = [
            String::new(),
            good[1..].to_owned(),
            format!("{good}0"),
            format!("{good}\n\n"),
            format!("{good}\r\n"),
            format!(" {good}"),
            "zz".repeat(32),
            good.repeat(2),
        ];
        for text in bad {
            fs::write(&path, &text).unwrap();
            set_mode(&path, 0o600);
            let refused = load_network_seed(&path).unwrap_err();
            assert!(
                matches!(refused, KeyFileError::Malformed { .. }),
                "{text:?}"
            );
            assert!(!refused.to_string().contains("abab"), "{refused}");
        }
        fs::write(&path, &good).unwrap();
        assert_eq!(*load_network_seed(&path).unwrap(), [0xab; 32]);
    }

    #[test]
    fn a_missing_file_is_named() {
        let refused = load_network_seed(Path::new("/nowhere/key")).unwrap_err();
        assert!(refused.to_string().contains("/nowhere/key"), "{refused}");
    }
}
