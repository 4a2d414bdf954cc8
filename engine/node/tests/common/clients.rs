//! Clients that submit without a pause, and what has to come of it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use bytes::Bytes;
use probity::{CommitIndex, EpochEvent, Node, StreamEvent};

use super::{PATIENCE, assert_same, read, transactions};

/// Clients of one node, one transaction after the other, until they are told to stop.
pub(crate) struct Clients {
    stop: Arc<AtomicBool>,
    committed: Arc<Mutex<BTreeSet<Bytes>>>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Clients {
    /// Two for each node; every transaction is waited for, and must be committed.
    pub(crate) fn start(nodes: &[Node], mark: u8) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let committed = Arc::new(Mutex::new(BTreeSet::new()));
        let client = |number: usize| {
            let (node, stop) = (nodes[number % nodes.len()].clone(), Arc::clone(&stop));
            let committed = Arc::clone(&committed);
            let head = [mark, u8::try_from(number).unwrap()];
            thread::spawn(move || {
                for count in 0u32.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let transaction = Bytes::from([&head[..], &count.to_le_bytes()].concat());
                    let taken = node.submit_blocking(transaction.clone()).unwrap();
                    taken
                        .committed_blocking()
                        .expect("its receipt outlives the epoch");
                    committed.lock().unwrap().insert(transaction);
                }
            })
        };
        let threads = (0..2 * nodes.len()).map(client).collect();
        Self {
            stop,
            committed,
            threads,
        }
    }

    /// Everything that was committed.
    pub(crate) fn stop(self) -> BTreeSet<Bytes> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        Arc::into_inner(self.committed)
            .unwrap()
            .into_inner()
            .unwrap()
    }
}

/// The events of a node's whole sequence until an epoch has ended.
pub(crate) fn events_until(node: &Node, epoch: u64) -> Vec<Arc<EpochEvent>> {
    let mut stream = node.commits_after(CommitIndex::GENESIS);
    let (mut events, mut last) = (Vec::new(), CommitIndex::GENESIS);
    loop {
        match stream.next_event_timeout(PATIENCE).unwrap().unwrap() {
            StreamEvent::Commit(commit) => {
                assert_eq!(commit.index(), last.next());
                assert_eq!(
                    commit.record.epoch,
                    events.len() as u64,
                    "an event is between epochs"
                );
                last = commit.index();
            }
            StreamEvent::Epoch(event) => {
                assert_eq!(
                    (event.epoch, event.last_commit),
                    (events.len() as u64, last)
                );
                events.push(event);
                if events.len() as u64 > epoch {
                    return events;
                }
            }
        }
    }
}

/// Every node has the same sequence, with each of these in it once.
pub(crate) fn assert_once(nodes: &[Node], expected: &BTreeSet<Bytes>) {
    let delivered: Vec<_> = nodes
        .iter()
        .map(|node| read(node, CommitIndex::GENESIS, expected.len()))
        .collect();
    let found = transactions(&delivered[0]);
    let once: BTreeSet<Bytes> = found.iter().cloned().collect();
    assert_eq!(found.len(), once.len(), "nothing comes twice");
    assert!(once.is_superset(expected), "nothing is lost");
    for other in &delivered[1..] {
        assert_same(&delivered[0], other);
        assert_eq!(transactions(other), found);
    }
}
