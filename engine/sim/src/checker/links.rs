//! An own block links what R10 says: the own chain, then of each author the highest grounded block that no own block
//! links yet. Grounding (R6) is asked from scratch.

use probity_core::block::genesis_ref;
use probity_core::{BlockRef, Header, Round, Slot, ValidatorIndex};

use super::held::{AllHeld, Held};
use super::{Checker, Observation, Scene};

#[derive(Default)]
pub(super) struct Links {
    held: AllHeld,
}

impl Links {
    pub(super) fn new(held: AllHeld) -> Self {
        Self { held }
    }
}

impl Checker for Links {
    fn promise(&self) -> &'static str {
        "own blocks link every author's highest grounded block that is not linked yet, and nothing else"
    }

    fn look(&mut self, scene: &Scene<'_>, seen: &Observation<'_>) -> Result<(), String> {
        self.held
            .follow(scene, seen, |held, own| check(scene, held, own))
    }
}

fn check(scene: &Scene<'_>, held: &Held, own: &Header) -> Result<(), String> {
    let round = own.round;
    let expected = own_parent(scene, held, round);
    if own.parents.first() != expected.as_ref() {
        let named = own.parents.first();
        return Err(format!(
            "round {round}: the own parent is {named:?} instead of {expected:?}"
        ));
    }
    for author in scene
        .committee
        .indices()
        .filter(|other| *other != scene.validator)
    {
        let named = own.parents.iter().find(|parent| parent.author == author);
        if round == Round(1) {
            if named.copied() != genesis_ref(scene.committee, author) {
                return Err(format!("the first block links {named:?} of {author}"));
            }
            continue;
        }
        let open = to_link(scene, held, Slot { round, author });
        let right = match (named, open) {
            (None, None) => true,
            (Some(named), Some(slot)) => named.slot() == slot && held.is_grounded(named),
            (None, Some(_)) | (Some(_), None) => false,
        };
        if !right {
            let gc_round = held.gc_round;
            return Err(format!(
                "round {round} links {named:?} of {author}, it should be a grounded block of {open:?} (gc round {gc_round})"
            ));
        }
    }
    Ok(())
}

/// R8: the highest own grounded block above `gc_round - gc_depth`, else the own genesis.
fn own_parent(scene: &Scene<'_>, held: &Held, round: Round) -> Option<BlockRef> {
    let lowest = held.gc_round.minus(scene.committee.gc_depth());
    let own = held.own(scene.validator).map(|block| block.reference());
    let mut own = own.take_while(|own| own.round > lowest);
    own.find(|own| own.round < round && held.is_grounded(own))
        .or_else(|| genesis_ref(scene.committee, scene.validator))
}

/// R10: the slot of the author's highest grounded block below the round, unless an own block links it.
fn to_link(scene: &Scene<'_>, held: &Held, below: Slot) -> Option<Slot> {
    let author: ValidatorIndex = below.author;
    let oldest = below.round.minus(scene.committee.gc_depth());
    let lowest = held.gc_round.next().max(oldest);
    let mut slots = (lowest.0..below.round.0).rev().map(|round| Slot {
        round: Round(round),
        author,
    });
    let grounded = |slot: &Slot| {
        held.of_slot(*slot)
            .any(|b| held.is_grounded(&b.reference()))
    };
    slots.find(grounded).filter(|slot| !held.is_linked(*slot))
}

#[cfg(test)]
mod tests {
    use probity_core::BlockRef;

    use super::Links;
    use crate::checker::Observation;
    use crate::checker::stage::{Stage, header_record, own_record};

    /// Shows the checker a validator that holds two rounds and makes its block of round 3.
    fn look(change: impl FnOnce(&mut Vec<BlockRef>)) -> Result<(), String> {
        let stage = Stage::full_dag(3);
        let below = stage.dag.iter().filter(|block| block.round().0 < 3);
        let mut records: Vec<_> = below.map(|block| header_record(block)).collect();
        // As if the own blocks had been made one by one, each is linked by the next.
        let mut header = stage.own(3).header().clone();
        change(&mut header.parents);
        records.push(own_record(&header));
        stage.look(&mut Links::default(), 0, &Observation::Persisting(&records))
    }

    #[test]
    fn what_is_left_out_or_too_much_is_seen() {
        assert_eq!(look(|_| {}), Ok(()));
        let left_out = look(|parents| {
            parents.pop();
        });
        assert!(left_out.unwrap_err().contains("links None"));
        let old = look(|parents| parents[1].round = probity_core::Round(1));
        assert!(old.unwrap_err().contains("should be"));
        let invented = look(|parents| parents[1].digest.0[0] ^= 1);
        assert!(invented.unwrap_err().contains("should be"));
        let own = look(|parents| parents[0].digest.0[0] ^= 1);
        assert!(own.unwrap_err().contains("the own parent"));
    }
}
