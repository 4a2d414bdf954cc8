//! Damage to the files of a storage: right bytes or a typed error, and never the end of the process.
//!
//! Damage goes wherever a promise is made: into records and their checksums, into the fields of the header that LMDB
//! relies on, into the other files; and files are cut, made longer or removed. Only LMDB's index pages are left alone:
//! LMDB follows them without a check, and `LmdbStorage` says that it promises nothing for them.

use std::fs;

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use probity_storage::{Batch, LmdbStorage, Scan, Storage, StorageError};

mod sound;

use sound::{File, Sound, TABLE};

/// Damages a storage as `data` says, opens it, and reads all it held.
///
/// - What was not damaged is read as it was written; what was is reported as corrupt.
/// - Damage outside of the records is a typed error, at the opening or at the reading.
/// - A storage whose records alone are damaged opens, takes writes, and gives them back.
///
/// # Panics
/// When one of these promises is broken.
pub fn storage_recovery(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let sound = Sound::get();
    let mut damaged = Damaged {
        files: sound.files.clone(),
        records: vec![false; sound.records.len()],
        elsewhere: false,
    };
    for _ in 0..DAMAGES_MAX {
        // An input that ends early is less damage.
        if input.is_empty() || damaged.draw(&mut input, sound).is_err() {
            break;
        }
    }
    damaged.check(sound);
}

struct Damaged {
    /// The content of each file, by its place in [`File::ALL`]; `None` for one that is gone.
    files: Vec<Option<Vec<u8>>>,
    /// Which records have other bytes now.
    records: Vec<bool>,
    /// Whether anything else has.
    elsewhere: bool,
}

impl Damaged {
    fn draw(&mut self, input: &mut Unstructured<'_>, sound: &Sound) -> Result<()> {
        match input.int_in_range(0..=9_u8)? {
            0..=4 => self.damage_record(input, sound)?,
            5 => self.exchange_records(input, sound)?,
            6 => self.damage_header(input)?,
            7 => self.cut_or_extend(input)?,
            8 => self.overwrite(input)?,
            _ => {
                self.elsewhere = true;
                let file = *input.choose(&File::ALL)?;
                self.files[file as usize] = None;
            }
        }
        Ok(())
    }

    fn data(&mut self) -> Option<&mut Vec<u8>> {
        self.files[File::Data as usize].as_mut()
    }

    /// Other bits somewhere in a record or its checksum.
    fn damage_record(&mut self, input: &mut Unstructured<'_>, sound: &Sound) -> Result<()> {
        let which = input.choose_index(sound.records.len())?;
        let record = &sound.records[which];
        let start = usize::from(input.arbitrary::<u16>()?) % record.place.len();
        let with: [u8; 3] = input.arbitrary()?;
        let place = record.place.start + start..record.place.end;
        let Some(found) = self.data().and_then(|data| data.get_mut(place)) else {
            return Ok(()); // it was cut off before
        };
        for (byte, with) in found.iter_mut().zip(with) {
            *byte ^= with;
        }
        self.records[which] = self.differs(sound, which);
        Ok(())
    }

    /// Two sound records of one length, each in the other's place.
    fn exchange_records(&mut self, input: &mut Unstructured<'_>, sound: &Sound) -> Result<()> {
        let (a, b) = *input.choose(&sound.twins)?;
        let (first, second) = (
            sound.records[a].place.clone(),
            sound.records[b].place.clone(),
        );
        let Some(data) = self.data() else {
            return Ok(());
        };
        if data.len() < first.end.max(second.end) {
            return Ok(());
        }
        let moved = data[first.clone()].to_vec();
        data.copy_within(second.clone(), first.start);
        data[second].copy_from_slice(&moved);
        for which in [a, b] {
            self.records[which] = self.differs(sound, which);
        }
        Ok(())
    }

    fn differs(&self, sound: &Sound, which: usize) -> bool {
        let place = sound.records[which].place.clone();
        let file = File::Data as usize;
        let bytes = |files: &[Option<Vec<u8>>]| {
            files[file]
                .as_ref()
                .and_then(|data| data.get(place.clone()))
                .map(<[u8]>::to_vec)
        };
        bytes(&self.files) != bytes(&sound.files)
    }

    /// A field on which LMDB would rely without a check, in one of the two header pages.
    fn damage_header(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        let page = input.int_in_range(0..=1_usize)? * 4096;
        let (offset, length) = *input.choose(&HEADER_FIELDS)?;
        let mut with = [0; 8];
        input.fill_buffer(&mut with[..length])?;
        if length == ROOT_BYTES {
            // A root inside the file leads into index pages; one beyond it is for the header's check to find.
            with[7] |= 1;
        }
        self.elsewhere = true;
        let place = page + offset..page + offset + length;
        if let Some(found) = self.data().and_then(|data| data.get_mut(place)) {
            found.copy_from_slice(&with[..length]);
        }
        Ok(())
    }

    fn cut_or_extend(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        let file = *input.choose(&File::ALL)?;
        let longer = input.ratio(1_u8, 4_u8)?;
        let by = usize::from(input.arbitrary::<u16>()?) * 8;
        self.elsewhere = true;
        let Some(content) = &mut self.files[file as usize] else {
            return Ok(());
        };
        let length = if longer {
            content.len() + by
        } else {
            by % (content.len() + 1)
        };
        content.resize(length, 0xa5);
        Ok(())
    }

    /// Any bytes for one of the small files.
    fn overwrite(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        let file = *input.choose(&[File::Identity, File::Readers, File::Lock])?;
        let start = usize::from(input.arbitrary::<u8>()?);
        let bytes = input.arbitrary::<[u8; 4]>()?;
        self.elsewhere = true;
        if let Some(content) = &mut self.files[file as usize] {
            for (byte, with) in content.iter_mut().skip(start).zip(bytes) {
                *byte = with;
            }
        }
        Ok(())
    }

    fn check(&self, sound: &Sound) {
        let place = tempfile::tempdir().expect("a directory");
        for (file, content) in File::ALL.iter().zip(&self.files) {
            if let Some(content) = content {
                fs::write(place.path().join(file.name()), content).expect("it is ours");
            }
        }
        let storage = match LmdbStorage::open_existing(place.path()) {
            Ok(storage) => storage,
            Err(refused) => {
                assert!(
                    self.elsewhere,
                    "damaged records keep a storage from opening: {refused}"
                );
                return;
            }
        };
        self.check_reads(&storage, sound);
        self.check_scan(&storage, sound);
        if !self.elsewhere {
            check_goes_on(&storage);
            drop(storage);
            let again = LmdbStorage::open_existing(place.path()).expect("it was open before");
            assert_eq!(
                again.read(TABLE, NEW_KEY).ok(),
                Some(Some(Bytes::from_static(NEW_VALUE)))
            );
        }
    }

    fn check_reads(&self, storage: &LmdbStorage, sound: &Sound) {
        for (record, damaged) in sound.records.iter().zip(&self.records) {
            match storage.read(TABLE, &record.key) {
                Ok(Some(value)) => {
                    assert!(value == record.value, "wrong bytes under {:?}", record.key);
                    assert!(!damaged || self.elsewhere, "damage was not noticed");
                }
                Ok(None) => panic!("the record {:?} is hidden", record.key),
                Err(StorageError::Corrupt { .. }) => assert!(*damaged || self.elsewhere),
                Err(other) => assert!(self.elsewhere, "{other}"),
            }
        }
    }

    fn check_scan(&self, storage: &LmdbStorage, sound: &Sound) {
        let mut expected = sound.records.iter();
        let mut visit = |key: &[u8], value: &[u8]| {
            let record = expected.next().expect("no more records than were written");
            assert!(
                record.key == key && record.value == value,
                "wrong bytes in a scan"
            );
            Scan::Continue
        };
        let scanned = storage.scan(TABLE, b"", &mut visit);
        if !self.elsewhere {
            let first = self.records.iter().position(|damaged| *damaged);
            assert_eq!(
                scanned.is_err(),
                first.is_some(),
                "a scan sees what reads see"
            );
            let seen = sound.records.len() - expected.len();
            // The visitor is not shown the damaged one.
            assert_eq!(seen, first.unwrap_or(sound.records.len()));
        }
    }
}

fn check_goes_on(storage: &LmdbStorage) {
    let written = storage.write(Batch::new().put(TABLE, NEW_KEY, NEW_VALUE));
    written.expect("a storage with damaged records takes writes");
    let found = storage.read(TABLE, NEW_KEY).expect("just written");
    assert_eq!(found.as_deref(), Some(NEW_VALUE));
}

const DAMAGES_MAX: usize = 6;
/// Behind all others, so that scans before and after differ by it alone.
const NEW_KEY: &[u8] = b"~new";
const NEW_VALUE: &[u8] = b"written after the damage";
/// Offset and length: flags, magic, version, page size, the two roots.
const HEADER_FIELDS: [(usize, usize); 6] = [
    (10, 2),
    (16, 4),
    (20, 4),
    (40, 4),
    (80, ROOT_BYTES),
    (128, ROOT_BYTES),
];
const ROOT_BYTES: usize = 8;
