use super::*;
use crate::transaction::Opaque;

fn intake() -> Intake {
    let limits = IntakeLimits {
        transactions: 1 << 20,
        bytes: 1 << 30,
        block_bytes: CHUNK_BYTES,
    };
    let shared = (&Arc::new(Health::default()), &Arc::new(Metrics::new()));
    Intake::new(limits, Arc::new(Opaque), shared, Bell::default())
}

#[test]
fn whoever_waits_for_a_chunk_learns_of_the_stop_wherever_it_is() {
    let intake = intake();
    let chunk = || Arc::new(Chunk::new(vec![Bytes::from_static(b"x")], 1));
    let chunks: Vec<_> = (0..3).map(|_| chunk()).collect();
    intake.pending.lock().push_back(Arc::clone(&chunks[0]));
    intake.set_proposed(Round(1), vec![Arc::clone(&chunks[1])]);
    // The core stops before it comes to put it back.
    intake.hand_back(vec![Arc::clone(&chunks[2])]);
    intake.health.stop(StopReason::Requested);
    intake.abandon();
    let stopped = Some(Fate::Stopped(StopReason::Requested));
    assert!(chunks.iter().all(|chunk| chunk.fate() == stopped));
}

#[test]
fn a_chunk_fits_a_block_beside_as_many_changes_as_count_in_one() {
    let intake = intake();
    let mut chunks = ChunkMaker::default();
    let positions = (0..2 * CHUNK_BYTES).map(|_| chunks.push(Bytes::from_static(b"x")));
    let last = positions.last().unwrap();
    let chunks = chunks.finish();
    assert_eq!(last, chunks.len() - 1);
    let made = chunks.len();
    intake.pending.lock().extend(chunks);
    let changes = vec![Bytes::from_static(&[7; 400]); CHANGES_PER_BLOCK_MAX];
    let mut taken = 0;
    while intake.has_pending() {
        let chunks = intake.take(&changes);
        taken += chunks.len();
        let transactions = chunks.iter().flat_map(|chunk| chunk.transactions());
        let transactions: Vec<&Bytes> = changes.iter().chain(transactions).collect();
        assert!(transactions.len() <= PAYLOAD_TRANSACTIONS_MAX);
        let payload = probity_core::Payload::from_transactions(&transactions);
        assert!(payload.bytes().len() <= PAYLOAD_BYTES_MAX);
    }
    assert_eq!(taken, made);
}
