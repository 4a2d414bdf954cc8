//! Four processes, and what their clients know to be committed.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use probity::{Addresses, EpochTerms, FixedCommittee, InitOptions, Profile, TransactionKind, init};

use crate::common::mortal::rule_of;
use crate::{HOME, NUMBER, START};

pub(crate) const VALIDATORS: u8 = 4;
/// So that kills meet the ends of epochs, too.
const EPOCH_MS: u64 = 1_500;

/// Validators in processes of their own.
pub(crate) struct Network {
    home: tempfile::TempDir,
    places: Vec<Place>,
    committed: Arc<Mutex<BTreeSet<Bytes>>>,
}

/// One validator.
#[derive(Default)]
struct Place {
    running: Option<(Child, JoinHandle<()>)>,
    starts: u32,
}

impl Network {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        // All sockets are held until all ports are known, or one might be offered twice.
        let sockets: Vec<_> = (0..VALIDATORS)
            .map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap())
            .collect();
        let addresses: Vec<SocketAddr> = sockets.iter().map(|s| s.local_addr().unwrap()).collect();
        let options = InitOptions {
            validators: usize::from(VALIDATORS),
            profile: Profile::default(),
            transactions: TransactionKind::Opaque,
            epochs: EpochTerms {
                length_ms: Some(EPOCH_MS),
                rule: rule_of(&FixedCommittee),
            },
            addresses: Addresses::Listed(addresses),
        };
        init(home.path(), &options).unwrap();
        Self {
            home,
            places: (0..VALIDATORS).map(|_| Place::default()).collect(),
            committed: Arc::default(),
        }
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Starts a validator's process.
    pub(crate) fn start(&mut self, number: u8) {
        let place = &mut self.places[usize::from(number)];
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .env(HOME, self.home.path())
            .env(NUMBER, number.to_string())
            .env(START, place.starts.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        place.starts += 1;
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let committed = Arc::clone(&self.committed);
        let reader = thread::spawn(move || {
            let mut line = String::new();
            while lines.read_line(&mut line).unwrap() > 0 {
                if let Some(whole) = line.strip_suffix('\n') {
                    let transaction = Bytes::from(hex::decode(whole).unwrap());
                    committed.lock().unwrap().insert(transaction);
                }
                line.clear();
            }
        });
        place.running = Some((child, reader));
    }

    /// Kills a validator's process in whatever it does, and reads what it still said.
    ///
    /// # Panics
    /// When it has ended by itself: nothing that happens here may stop a validator.
    pub(crate) fn kill(&mut self, number: u8) {
        let running = self.places[usize::from(number)].running.take();
        let (mut child, reader) = running.expect("it runs");
        let ended = child.try_wait().unwrap();
        assert_eq!(ended, None, "validator {number} ended by itself");
        child.kill().unwrap();
        child.wait().unwrap();
        reader.join().unwrap();
    }

    /// How many transactions are known to be committed.
    pub(crate) fn count(&self) -> usize {
        self.committed.lock().unwrap().len()
    }

    /// All transactions that are known to be committed.
    pub(crate) fn committed(&self) -> BTreeSet<Bytes> {
        self.committed.lock().unwrap().clone()
    }
}

impl Drop for Network {
    /// A failed test leaves no process behind.
    fn drop(&mut self) {
        for place in &mut self.places {
            if let Some((mut child, _)) = place.running.take() {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}
