//! The real commit rule against the slow reference, on DAGs whose every choice is a byte of the input.

use std::collections::BTreeMap;
use std::sync::Arc;

use probity_core::testing::{
    Chance, Committed, Committer, RandomDag, Verdict, delivery, reference_answer,
};
use probity_core::{Block, Slot};

/// Draws a committee and a DAG from `data`, delivers the blocks in three orders, and stops at some place to start
/// again from what is stored.
///
/// - At every stop the decided slots and the commits are those of the reference (R14 to R22).
/// - No two views ever decide a slot differently, and all end with the same commits (R23).
/// - A restart changes nothing (R36).
///
/// # Panics
/// When one of these promises is broken.
pub fn dag_operations(data: &[u8]) {
    let (order, script) = split(data);
    let dag = RandomDag::of_script(script);
    if dag.blocks.is_empty() {
        return;
    }
    let mut chance = Chance::new(order);
    let mut agreed = Agreed::default();
    for observer in 0..3 {
        let noise = chance.pick(&[0, 10, 40, 200, 1000]);
        let mut arriving = delivery(&dag.blocks, noise, &mut chance);
        if observer == 2 {
            shuffle(&mut arriving, &mut chance); // parents may come after children
        }
        let committer = deliver(&dag, &arriving, &mut agreed, &mut chance);
        assert_eq!(committer.suspended(), 0, "every parent was delivered");
        check_restart(&dag, &arriving, &committer, &mut chance);
        agreed.note_end(committer.commits());
    }
}

/// Inserts the blocks, with one stop on the way.
fn deliver(
    dag: &RandomDag,
    arriving: &[Arc<Block>],
    agreed: &mut Agreed,
    chance: &mut Chance,
) -> Committer {
    let stop = place(chance, arriving.len());
    let mut committer = Committer::new(Arc::clone(&dag.shape.committee));
    for (at, block) in (1..).zip(arriving) {
        committer.insert(Arc::clone(block));
        if at == stop || at == arriving.len() {
            check_against_reference(&committer, dag);
            agreed.note(committer.decisions());
        }
    }
    committer
}

/// What all views must share.
#[derive(Default)]
struct Agreed {
    decided: BTreeMap<Slot, Verdict>,
    commits: Option<Vec<Committed>>,
}

impl Agreed {
    fn note(&mut self, view: BTreeMap<Slot, Verdict>) {
        for (slot, verdict) in view {
            let first = *self.decided.entry(slot).or_insert(verdict);
            assert_eq!(first, verdict, "two views disagree about {slot:?}");
        }
    }

    fn note_end(&mut self, commits: &[Committed]) {
        let first = self.commits.get_or_insert_with(|| commits.to_vec());
        assert_eq!(first, commits, "one output for one DAG");
    }
}

fn check_against_reference(committer: &Committer, dag: &RandomDag) {
    let answer = reference_answer(&dag.shape.committee, committer.accepted());
    let ours = committer.answer();
    assert_eq!(ours.decisions, answer.decisions, "another decision");
    assert_eq!(ours.output, answer.output, "slots leave in slot order");
    assert_eq!(ours.commits, answer.commits, "another commit");
}

/// Stops somewhere and goes on from the checkpoint; suspended blocks were lost and come again.
pub(crate) fn check_restart(
    dag: &RandomDag,
    arriving: &[Arc<Block>],
    uninterrupted: &Committer,
    chance: &mut Chance,
) {
    let stop = place(chance, arriving.len());
    let mut before = Committer::new(Arc::clone(&dag.shape.committee));
    arriving[..stop]
        .iter()
        .for_each(|block| before.insert(Arc::clone(block)));
    let Some(checkpoint) = before.checkpoint() else {
        return;
    };
    let (done, gc_round) = (before.commits().len(), before.gc_round());
    let accepted = before.accepted().iter();
    let kept: Vec<Arc<Block>> = accepted
        .filter(|block| block.round() > gc_round)
        .cloned()
        .collect();
    let mut after = Committer::resume(Arc::clone(&dag.shape.committee), checkpoint);
    for block in delivery(&kept, 40, chance).iter().chain(arriving) {
        after.insert(Arc::clone(block));
    }
    assert_eq!(
        after.commits(),
        &uninterrupted.commits()[done..],
        "a restart changes the output"
    );
}

/// The seed of the delivery orders, and the script of the DAG.
pub(crate) fn split(data: &[u8]) -> (u64, &[u8]) {
    match data.split_first_chunk::<2>() {
        Some((order, script)) => (u64::from(u16::from_le_bytes(*order)), script),
        None => (0, data),
    }
}

/// A place between the blocks.
pub(crate) fn place(chance: &mut Chance, blocks: usize) -> usize {
    usize::try_from(chance.below(blocks as u64 + 1)).expect("an index fits")
}

pub(crate) fn shuffle(blocks: &mut [Arc<Block>], chance: &mut Chance) {
    for at in (1..blocks.len()).rev() {
        blocks.swap(at, place(chance, at));
    }
}
