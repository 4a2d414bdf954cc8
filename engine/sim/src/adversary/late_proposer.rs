//! Sends its blocks around the moment at which the others stop waiting for them: some get it just before, some after.
//!
//! It cannot see their clocks. It takes its own pace of rounds and its own leader timeout for theirs.

use std::sync::Arc;

use probity_core::{Block, Message, Time};

use super::{Hands, Sin};
use crate::random::Random;

struct LateProposer {
    random: Random,
    ppm: u64,
    last_at: Option<Time>,
    round_us: u64,
}

/// How far from the deadline, in microseconds: jitter of links and disks.
const AROUND_US: [u64; 4] = [500, 3_000, 20_000, 60_000];

pub(super) fn make(mut random: Random) -> Box<dyn Sin> {
    let ppm = *random.pick(&[1_000_000, 500_000, 150_000]);
    Box::new(LateProposer {
        random,
        ppm,
        last_at: None,
        round_us: 100_000,
    })
}

impl LateProposer {
    fn note_pace(&mut self, now: Time) {
        if let Some(before) = self.last_at.replace(now) {
            let took_us = now.since_us(before).min(4_000_000);
            self.round_us = (self.round_us * 7 + took_us) / 8;
        }
    }

    /// R9's deadlines as it guesses them.
    fn deadline_us(&mut self, hands: &Hands<'_>) -> u64 {
        let soft_hold_us = self.round_us / 4;
        let timeout_us = hands.status.leader_timeout_us;
        let deadline_us = *self.random.pick(&[
            soft_hold_us,
            timeout_us,
            timeout_us + soft_hold_us,
            2 * timeout_us,
            self.round_us,
        ]);
        // Its own quorum may stand before or after theirs, and its block still has to travel.
        deadline_us * self.random.between(50, 120) / 100
    }
}

impl Sin for LateProposer {
    fn broadcast(&mut self, hands: &mut Hands<'_>, block: &Arc<Block>) {
        self.note_pace(hands.now);
        if !self.random.chance(self.ppm) {
            hands.push_all(block);
            return;
        }
        let deadline_us = self.deadline_us(hands);
        let around_us = *self.random.pick(&AROUND_US);
        let frame = Message::encode_block(block);
        for to in hands.others() {
            let off_us = self.random.below(2 * around_us);
            let after_us = (deadline_us + off_us).saturating_sub(around_us);
            hands.send_after(after_us, to, frame.clone());
        }
    }
}
