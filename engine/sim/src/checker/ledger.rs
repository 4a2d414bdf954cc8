//! The agreed sequence, and what the slow reference makes of it: scores and schedules (R26 to R29).
//!
//! The first validator that outputs a commit writes it down; that the others have the same is `agreement`'s business.

use std::cell::RefCell;
use std::rc::Rc;

use probity_core::testing::{PlainBlock, PlainCommit, ReferenceReputation, ReferenceSchedule};
use probity_core::{BlockRef, CommitIndex, CommitRecord};

use super::Scene;

/// Shared by the checkers of one run, which is one thread.
pub(super) type SharedLedger = Rc<RefCell<Ledger>>;

#[derive(Default)]
pub(super) struct Ledger {
    /// From the first commit on.
    reference: Option<ReferenceReputation>,
    /// The commits that made the schedules after the initial one.
    made: Vec<CommitIndex>,
}

impl Ledger {
    /// Writes a commit down, if it is the next one; whether it was.
    pub(super) fn note(
        &mut self,
        scene: &Scene<'_>,
        record: &CommitRecord,
    ) -> Result<bool, String> {
        let reference = self.of(scene);
        if record.index.0 != scene.origin.index.0 + reference.commits().len() as u64 + 1 {
            return Ok(false);
        }
        let plain = |(reference, _): &(BlockRef, bool)| {
            let block = scene.blocks.get(&reference.digest);
            let header = block
                .ok_or_else(|| format!("commit {} has a block of nobody", record.index))?
                .header();
            Ok(PlainBlock {
                reference: *reference,
                parents: header.parents.clone(),
                accused: header.evidence.iter().map(|proof| proof.author).collect(),
            })
        };
        let blocks: Result<_, String> = record.blocks.iter().map(plain).collect();
        let before = reference.schedules().len();
        reference.push(PlainCommit {
            leader: record.leader,
            skipped: record.skipped.clone(),
            blocks: blocks?,
        });
        if reference.schedules().len() > before {
            self.made.push(record.index);
        }
        Ok(true)
    }

    /// What the reference makes of the commits so far.
    pub(super) fn of(&mut self, scene: &Scene<'_>) -> &mut ReferenceReputation {
        self.reference
            .get_or_insert_with(|| ReferenceReputation::new(scene.committee))
    }

    /// The schedules that were made by a commit or before it, by ascending start.
    pub(super) fn schedules(
        &mut self,
        scene: &Scene<'_>,
        after: CommitIndex,
    ) -> &[ReferenceSchedule] {
        let made = self.made.partition_point(|index| *index <= after);
        &self.of(scene).schedules()[..=made]
    }

    /// Whether a commit made a schedule.
    pub(super) fn made_schedule(&self, index: CommitIndex) -> bool {
        self.made.binary_search(&index).is_ok()
    }
}
