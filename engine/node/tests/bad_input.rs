//! Whatever is wrong with a transaction, its sender learns it by type, and the node goes on.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::sync::Arc;

use bytes::Bytes;
use common::{Network, PATIENCE, now_ms, signed, wait_until};
use probity::{
    BODY_BYTES_MAX, ClientCheck, CommitIndex, CommitsEnd, Config, Envelope, Error, Keypair,
    MemoryNetwork, MemoryStorage, Node, Opaque, Profile, State, StopReason, SubmitError,
    TransactionFault, TransactionKind,
};
use probity_core::TransactionCheck;
use probity_core::crypto::Digest;
use probity_transport::{Inbox, Lane, MemoryTransport, Peer, PeerId, Transport, TransportStats};

#[test]
fn every_fault_of_a_transaction_has_its_error() {
    let network = Network::start(1, TransactionKind::SignedEnvelope);
    let node = &network.nodes[0];
    let client = Keypair::from_seed(&[100; 32]);
    let envelope = Envelope {
        network: network.chain,
        namespace: 0,
        idempotency_key: [1; 16],
        expires_ms: now_ms() + 30_000,
        body: b"pay",
    };
    let fault = |transaction: Bytes| match node.submit_blocking(transaction) {
        Err(SubmitError::Fault(fault)) => fault,
        other => panic!("{other:?}"),
    };
    assert!(matches!(
        fault(vec![0; 1 << 20].into()),
        TransactionFault::TooLarge { .. }
    ));
    assert!(matches!(
        fault(Bytes::from_static(b"nonsense")),
        TransactionFault::Malformed(_)
    ));
    let body = vec![0; BODY_BYTES_MAX + 1];
    let oversized = Envelope {
        body: &body,
        ..envelope
    };
    assert!(matches!(
        fault(oversized.sign(&client)),
        TransactionFault::TooLarge { .. }
    ));
    let foreign = Envelope {
        network: Digest([9; 32]),
        ..envelope
    };
    assert_eq!(fault(foreign.sign(&client)), TransactionFault::Network);
    let late = Envelope {
        expires_ms: now_ms() - 1,
        ..envelope
    };
    assert!(matches!(
        fault(late.sign(&client)),
        TransactionFault::Expired { .. }
    ));
    let early = Envelope {
        expires_ms: now_ms() + 3_600_000,
        ..envelope
    };
    assert_eq!(fault(early.sign(&client)), TransactionFault::ExpiresTooLate);

    let good = envelope.sign(&client);
    let mut forged = good.to_vec();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(fault(forged.into()), TransactionFault::BadSignature);
    // The forged copy, of the same id, does not keep the real one out.
    let taken = node.submit_blocking(good.clone()).unwrap();
    let duplicate = node.submit_blocking(good).unwrap_err();
    assert_eq!(duplicate, SubmitError::Duplicate { id: taken.id() });
    taken.committed_blocking().unwrap();
    let metrics = node.metrics_text();
    assert!(metrics.contains("probity_refused_transactions_total{reason=\"duplicate\"} 1"));
}

#[test]
fn one_bad_transaction_spoils_no_other_of_its_batch() {
    let network = Network::start(1, TransactionKind::SignedEnvelope);
    let client = Keypair::from_seed(&[100; 32]);
    let mut batch: Vec<Bytes> = (0..5).map(|k| signed(network.chain, &client, k)).collect();
    let mut forged = batch[2].to_vec();
    *forged.last_mut().unwrap() ^= 1;
    batch[2] = forged.into();
    let answers = network.nodes[0].submit_batch_blocking(batch);
    let taken: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(taken, [true, true, false, true, true]);
}

fn alone(check: Option<Arc<dyn ClientCheck>>, transactions: usize) -> Node {
    let mut config = Config::single(Keypair::from_seed(&[1; 32])).unwrap();
    config.tuning.intake_transactions = transactions;
    let transport = MemoryNetwork::new().transport(PeerId::new([1; 32]));
    let builder = Node::builder(config)
        .storage(MemoryStorage::new())
        .transport(transport);
    let builder = match check {
        Some(check) => builder.check(check),
        None => builder,
    };
    builder.start().unwrap()
}

#[test]
fn a_full_node_is_busy_and_a_stopped_one_says_so() {
    let node = alone(None, 8);
    let batch = (0..20_u8).map(|k| vec![k].into()).collect();
    let answers = node.submit_batch_blocking(batch);
    let busy = |answer: &&Result<_, _>| matches!(answer, Err(SubmitError::Busy { .. }));
    assert_eq!(answers.iter().filter(busy).count(), 12);
    for taken in answers.into_iter().flatten() {
        taken.committed_blocking().unwrap();
    }
    node.submit_blocking(Bytes::from_static(b"room again"))
        .unwrap();
    node.stop();
    let error = node
        .submit_blocking(Bytes::from_static(b"too late"))
        .unwrap_err();
    assert_eq!(error, SubmitError::Stopped(StopReason::Requested));
}

/// A check with a defect.
struct Panics;

impl TransactionCheck for Panics {
    fn name(&self) -> &str {
        Opaque::NAME
    }

    fn first_invalid(&self, _: &[&[u8]]) -> Option<usize> {
        None
    }
}

impl ClientCheck for Panics {
    fn admit(&self, bytes: &[u8], now_ms: u64) -> Result<probity::Admitted, TransactionFault> {
        Opaque.admit(bytes, now_ms)
    }

    fn verdicts(&self, _: &[&[u8]]) -> Vec<bool> {
        panic!("a defect in the check")
    }
}

#[test]
fn a_panic_stops_the_node_and_names_its_thread() {
    let node = alone(Some(Arc::new(Panics)), 8);
    let error = node.submit_blocking(Bytes::from_static(b"x")).unwrap_err();
    assert!(
        matches!(error, SubmitError::Stopped(StopReason::Panic { .. })),
        "{error}"
    );
    wait_until("the node stops", || node.status().state != State::Running);
    let State::Stopped {
        why: StopReason::Panic { thread, message },
    } = node.status().state
    else {
        panic!("{:?}", node.status().state)
    };
    assert_eq!(
        (thread.as_str(), message.as_str()),
        ("intake", "a defect in the check")
    );
}

/// A check that takes everything.
struct Lax(&'static str);

impl TransactionCheck for Lax {
    fn name(&self) -> &str {
        self.0
    }

    fn first_invalid(&self, _: &[&[u8]]) -> Option<usize> {
        None
    }
}

impl ClientCheck for Lax {
    fn admit(&self, _: &[u8], _: u64) -> Result<probity::Admitted, TransactionFault> {
        Opaque.admit(b"?", 0)
    }

    fn verdicts(&self, transactions: &[&[u8]]) -> Vec<bool> {
        vec![true; transactions.len()]
    }
}

/// Its validator's block would be one that nobody takes, and there is no way around a block.
#[test]
fn no_check_lets_in_what_fits_no_block() {
    let node = alone(Some(Arc::new(Lax(Opaque::NAME))), 8);
    let fault = |bytes: usize| node.submit_blocking(vec![7; bytes].into()).unwrap_err();
    let allowed = 64 << 10;
    for bytes in [allowed + 1, 5 << 20] {
        let large = TransactionFault::TooLarge { bytes, allowed };
        assert_eq!(fault(bytes), large.into());
    }
    assert_eq!(fault(0), TransactionFault::Empty.into());
    let taken = node.submit_blocking(vec![7; allowed].into()).unwrap();
    taken.committed_blocking().unwrap();
}

/// A transport whose end is not an orderly one.
struct Breaks(MemoryTransport);

impl Transport for Breaks {
    fn start(&self, inbox: Inbox) {
        self.0.start(inbox);
    }

    fn set_peers(&self, peers: &[Peer]) {
        self.0.set_peers(peers);
    }

    fn send(&self, peer: PeerId, lane: Lane, frame: Bytes) {
        self.0.send(peer, lane, frame);
    }

    fn stop(&self) {
        self.0.stop();
        panic!("a defect in the transport")
    }

    fn stats(&self) -> TransportStats {
        self.0.stats()
    }
}

#[test]
fn a_transport_that_panics_when_it_is_stopped_keeps_nobody_waiting() {
    let config = Config::single(Keypair::from_seed(&[1; 32])).unwrap();
    let transport = Breaks(MemoryNetwork::new().transport(PeerId::new([1; 32])));
    let builder = Node::builder(config).storage(MemoryStorage::new());
    let node = builder.transport(transport).start().unwrap();
    let mut stream = node.commits_after(CommitIndex::GENESIS);
    node.stop();
    while let Ok(commit) = stream.next_timeout(PATIENCE) {
        drop(commit.expect("the stream ends in time"));
    }
    assert!(matches!(stream.why_ended(), Some(CommitsEnd::Stopped(_))));
}

#[test]
fn a_node_starts_with_the_check_that_its_committee_names_and_no_other() {
    let start = |kind: &str, check: Option<&'static str>| {
        let keys = vec![Keypair::from_seed(&[1; 32])];
        let kind = kind.parse().unwrap();
        let mut configs = Config::in_process(keys, Profile::default(), kind).unwrap();
        let transport = MemoryNetwork::new().transport(PeerId::new([1; 32]));
        let builder = Node::builder(configs.remove(0))
            .storage(MemoryStorage::new())
            .transport(transport);
        match check {
            Some(name) => builder.check(Arc::new(Lax(name))).start(),
            None => builder.start(),
        }
    };
    let wrong = [
        ("opaque/1", Some("mine/7")),
        ("mine/7", Some("mine/8")),
        ("mine/7", None),
    ];
    for (kind, check) in wrong {
        let error = start(kind, check).err().unwrap();
        let Error::Check { named, given } = &error else {
            panic!("{error}");
        };
        assert_eq!((named.as_str(), given.as_deref()), (kind, check));
        assert!(error.to_string().contains(kind), "{error}");
    }
    let node = start("mine/7", Some("mine/7")).unwrap();
    let taken = node.submit_blocking(Bytes::from_static(b"x")).unwrap();
    taken.committed_blocking().unwrap();
}
