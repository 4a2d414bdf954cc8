//! The scores of an epoch: what R27 adds up, and the digest that commit records carry (R21).

use crate::committee::{AuthorSet, Committee};
use crate::crypto::{Context, Digest, hash};
use crate::id::{Round, ValidatorIndex};
use crate::reputation::mark::{Mark, ONE};
use crate::reputation::rounds::ScoredRound;
use crate::reputation::slots;
use crate::reputation::window::Window;

/// The marks of all scored rounds that still count, and their sums.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Table {
    /// The highest scored round; every round from 1 on is scored once.
    pub(crate) scored: Round,
    /// Scored rounds of which R30 thinks well.
    pub(crate) healthy: u32,
    /// Who had two committed blocks in one slot, or committed evidence against it.
    pub(crate) slashed: AuthorSet,
    /// By validator: [`Mark::merit`] over all scored rounds of the epoch (R30).
    pub(crate) merits: Vec<u64>,
    /// Marks of the last scored rounds, by validator.
    pub(crate) marks: Window<Mark>,
    /// Slots of the last scored rounds, as [`SlotOutcomes::put`] has them.
    pub(crate) slots: Window<u8>,
    /// By validator: the sums over the two windows.
    sums: Vec<Sums>,
}

/// The sums of one validator over the windows of R27.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Sums {
    pub(crate) points: u64,
    pub(crate) slots: u32,
    pub(crate) skipped: u32,
}

impl Sums {
    /// R27.
    pub(crate) fn score(&self) -> u64 {
        if 8 * u64::from(self.skipped) > u64::from(self.slots) {
            self.points / 4
        } else {
            self.points
        }
    }
}

/// Encoded size of what the digest covers of one validator.
const ROW_BYTES: usize = 25;

impl Table {
    /// The table of an epoch's start.
    pub(crate) fn new(committee: &Committee) -> Self {
        let windows = committee.reputation();
        Self {
            scored: Round::GENESIS,
            healthy: 0,
            slashed: AuthorSet::default(),
            merits: vec![0; committee.size()],
            marks: Window::new(committee.size(), windows.score_rounds),
            slots: Window::new(2 * committee.set_bytes(), windows.slot_rounds),
            sums: vec![Sums::default(); committee.size()],
        }
    }

    /// Adds the next round and drops what leaves the windows.
    pub(crate) fn add(&mut self, round: &ScoredRound, committee: &Committee) {
        self.scored = self.scored.next();
        self.healthy += u32::from(is_healthy(&round.marks, committee));
        for (merit, mark) in self.merits.iter_mut().zip(&round.marks) {
            *merit += mark.merit();
        }
        if let Some(gone) = self.marks.leaving() {
            for (sums, mark) in self.sums.iter_mut().zip(gone) {
                sums.points -= u64::from(mark.points());
            }
        }
        enter_marks(&mut self.sums, &round.marks);
        self.marks.enter().copy_from_slice(&round.marks);
        if let Some(gone) = self.slots.leaving() {
            slots::for_each(&mut self.sums, gone, |sums, led, skipped| {
                sums.slots -= led;
                sums.skipped -= skipped;
            });
        }
        let row = self.slots.enter();
        round.slots.put(row);
        enter_slots(&mut self.sums, row);
    }

    /// Adds both windows up again, after they were read back.
    pub(crate) fn add_up(&mut self) {
        self.sums.fill(Sums::default());
        for marks in self.marks.rows() {
            enter_marks(&mut self.sums, marks);
        }
        for slots in self.slots.rows() {
            enter_slots(&mut self.sums, slots);
        }
    }

    /// The sums of a member.
    pub(crate) fn sums(&self, validator: ValidatorIndex) -> &Sums {
        &self.sums[validator.position()]
    }

    /// R27: every validator's score, by index.
    pub(crate) fn scores(&self) -> Vec<u64> {
        self.sums.iter().map(Sums::score).collect()
    }

    /// R21: the digest of the table's canonical bytes (docs/storage-format.md), which are left in `bytes` for its memory.
    pub(crate) fn digest(&self, bytes: &mut Vec<u8>) -> Digest {
        bytes.clear();
        bytes.reserve(8 + self.sums.len() * ROW_BYTES);
        bytes.extend_from_slice(&self.scored.0.to_le_bytes());
        bytes.extend_from_slice(&self.healthy.to_le_bytes());
        for ((author, sums), merit) in (0..).map(ValidatorIndex).zip(&self.sums).zip(&self.merits) {
            let mut row = [u8::from(self.slashed.contains(author)); ROW_BYTES];
            row[1..9].copy_from_slice(&sums.points.to_le_bytes());
            row[9..13].copy_from_slice(&sums.slots.to_le_bytes());
            row[13..17].copy_from_slice(&sums.skipped.to_le_bytes());
            row[17..].copy_from_slice(&merit.to_le_bytes());
            bytes.extend_from_slice(&row);
        }
        hash(Context::ReputationTable, &[bytes])
    }
}

fn enter_marks(sums: &mut [Sums], marks: &[Mark]) {
    for (sums, mark) in sums.iter_mut().zip(marks) {
        sums.points += u64::from(mark.points());
    }
}

fn enter_slots(sums: &mut [Sums], slots: &[u8]) {
    slots::for_each(sums, slots, |sums, led, skipped| {
        sums.slots += led;
        sums.skipped += skipped;
    });
}

/// R30: validators of at least six tenths of the weight were seen in time.
fn is_healthy(marks: &[Mark], committee: &Committee) -> bool {
    let weighed = |(author, mark): (ValidatorIndex, &Mark)| {
        u128::from(committee.weight(author)) * u128::from(mark.prop)
    };
    let seen: u128 = committee.indices().zip(marks).map(weighed).sum();
    let total = u128::from(committee.thresholds().total);
    10 * seen >= 6 * total * u128::from(ONE)
}
