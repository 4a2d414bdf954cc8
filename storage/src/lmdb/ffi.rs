//! The only unsafe code of the crate: four calls that no safe wrapper offers.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use lmdb::{Database, Environment, RwTransaction, Transaction};

/// Frees the reader slots of processes that died. Answers how many there were.
pub(super) fn clear_dead_readers(environment: &Environment) -> lmdb::Result<i32> {
    let mut dead = 0;
    // SAFETY: the pointer comes from a live environment, which the borrow keeps open during the
    // call, and `dead` is a valid place for the answer.
    let code = unsafe { lmdb_sys::mdb_reader_check(environment.env(), &raw mut dead) };
    check(code).map(|()| dead)
}

/// What stands in the 16 bytes before a value. When the value has pages of its own, these bytes are
/// the header of the first one; otherwise they mean nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageHeader {
    /// The number of the first page.
    pub(super) number: u64,
    /// How many pages there are.
    pub(super) pages: u32,
}

/// Stores `head` followed by `body` under `key`, without joining them in memory first.
///
/// The binding's own `reserve` hands out a `&mut [u8]` over bytes that were never initialised;
/// writing through the raw pointer avoids that.
pub(super) fn put_in_two_parts(
    transaction: &mut RwTransaction<'_>,
    database: Database,
    key: &[u8],
    (head, body): (&[u8], &[u8]),
) -> lmdb::Result<PageHeader> {
    let length = head.len() + body.len();
    let mut key = lmdb_sys::MDB_val {
        mv_size: key.len(),
        mv_data: key.as_ptr().cast_mut().cast(),
    };
    let mut place = lmdb_sys::MDB_val {
        mv_size: length,
        mv_data: std::ptr::null_mut(),
    };
    // SAFETY: the transaction is live and exclusively borrowed, the handle belongs to its
    // environment, and LMDB only reads the key although its pointer is not const.
    let code = unsafe {
        lmdb_sys::mdb_put(
            transaction.txn(),
            database.dbi(),
            &raw mut key,
            &raw mut place,
            lmdb_sys::MDB_RESERVE,
        )
    };
    check(code)?;
    assert!(
        place.mv_size == length,
        "LMDB reserves what it was asked for"
    );
    let place: *mut u8 = place.mv_data.cast();
    // SAFETY: LMDB answered with `length` bytes of writable memory, valid until the next change in
    // this transaction, which the exclusive borrow rules out. They are part of no slice of ours,
    // and all of them are overwritten here: `head.len() + body.len() == length`.
    unsafe {
        head.as_ptr().copy_to_nonoverlapping(place, head.len());
        body.as_ptr()
            .copy_to_nonoverlapping(place.add(head.len()), body.len());
    }
    // SAFETY: a page starts with a header of 16 bytes, so as many bytes before the value are on its
    // page too. Both fields are initialised: in a header LMDB has set them, and elsewhere they are
    // part of a page of nodes, which LMDB clears when it takes one.
    unsafe {
        Ok(PageHeader {
            number: place.sub(16).cast::<u64>().read_unaligned(),
            pages: place.sub(4).cast::<u32>().read_unaligned(),
        })
    }
}

/// Makes `file` at least `length` bytes long, and on Linux takes the disk space for them now.
pub(super) fn allocate(file: &File, length: u64) -> io::Result<()> {
    let offset = file.metadata()?.len();
    if offset >= length {
        return Ok(());
    }
    #[cfg(target_os = "linux")]
    {
        let signed = |number: u64| {
            libc::off_t::try_from(number).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))
        };
        let (offset, added) = (signed(offset)?, signed(length - offset)?);
        loop {
            // SAFETY: the descriptor is open as long as `file` is borrowed; no memory is involved.
            if unsafe { libc::fallocate(file.as_raw_fd(), 0, offset, added) } == 0 {
                return Ok(());
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EINTR) => {}
                Some(libc::EOPNOTSUPP) => break,
                _ => return Err(error),
            }
        }
    }
    file.set_len(length)
}

/// Whether `directory` is on a network file system. Elsewhere than on Linux the answer is no.
pub(super) fn is_on_network(directory: &File) -> io::Result<bool> {
    #[cfg(target_os = "linux")]
    {
        let mut answer = std::mem::MaybeUninit::<libc::statfs>::uninit();
        // SAFETY: the descriptor is open as long as `directory` is borrowed, and the place for the
        // answer has the size that the call fills.
        if unsafe { libc::fstatfs(directory.as_raw_fd(), answer.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call succeeded, so it has filled the whole answer.
        let kind = unsafe { answer.assume_init() }.f_type;
        Ok(NETWORK_FILE_SYSTEMS
            .iter()
            .any(|network| i128::from(kind) == i128::from(*network)))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = directory;
        Ok(false)
    }
}

fn check(code: i32) -> lmdb::Result<()> {
    if code == lmdb_sys::MDB_SUCCESS {
        Ok(())
    } else {
        Err(lmdb::Error::from_err_code(code))
    }
}

/// The numbers that Linux gives to NFS, SMB, SMB2, CIFS, AFS, Coda and Ceph.
#[cfg(target_os = "linux")]
const NETWORK_FILE_SYSTEMS: [u32; 7] = [
    0x6969,
    0x517B,
    0xFE53_4D42,
    0xFF53_4D42,
    0x5346_414F,
    0x7375_7245,
    0x00C3_6400,
];
