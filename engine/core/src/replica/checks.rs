//! The invariants of a replica.

use crate::id::Round;
use crate::limits::SUSPENDED_BYTES_MAX;

use super::Replica;

impl Replica {
    /// Asserts what must hold between any two calls; run after every step in debug builds.
    ///
    /// # Panics
    /// When an invariant does not hold: a defect here, never a peer's doing.
    pub fn check(&self) {
        let gc_round = self.dag.gc_round();
        if let Some((last, _)) = &self.last {
            assert!(
                self.committee.gc_round(last.leader.round) == gc_round,
                "R22: gc follows commits"
            );
        }
        assert!(
            self.durable <= self.last_ticket,
            "only emitted tickets are durable"
        );
        assert!(
            self.held
                .iter()
                .all(|(needs, _)| *needs <= self.last_ticket),
            "held outputs end"
        );
        assert!(
            self.own_open.keys().all(|round| *round > gc_round),
            "R24: ended blocks are gone"
        );
        assert!(
            self.suspended.bytes() <= SUSPENDED_BYTES_MAX,
            "R6: suspended bytes are capped"
        );
        if let Some(in_flight) = &self.in_flight {
            let round = in_flight.proposal().header().round;
            assert!(
                round == self.own_round,
                "R8: the block in flight is the highest own one"
            );
        }
        let below = Round(self.clock.frontier().0 - 1);
        if below > gc_round {
            let quorum = self.committee.thresholds().quorum;
            assert!(
                self.dag.grounded_weight(below) >= quorum,
                "T stands on a grounded quorum"
            );
        }
    }
}
