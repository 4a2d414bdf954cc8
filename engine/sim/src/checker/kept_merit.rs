//! No minority takes merit from a block that all correct validators had in time, whatever it links or settles (R26).
//!
//! Asked of committed blocks alone: a round is settled by the first commit whose leader is three rounds further. If all
//! committed blocks of the next round by correct authors link a block by then, their weight is `Q - f` at least, which
//! is all that `prop` counts. Rounds that were collected before they were settled are left out: nothing of them is
//! committed any more.

use std::collections::BTreeMap;
use std::sync::Arc;

use probity_core::{Block, BlockRef, CommitRecord, Round, Tally, ValidatorIndex};

use super::bound::Bound;
use super::{Checker, Observation, Scene};

#[derive(Default)]
pub(super) struct KeptMerit {
    bound: Bound,
    commits: u64,
    /// Committed blocks of correct authors, by round.
    rounds: BTreeMap<Round, Vec<Arc<Block>>>,
    /// The highest settled round.
    settled: Round,
}

impl Checker for KeptMerit {
    fn promise(&self) -> &'static str {
        "a block that all correct validators had in time keeps its merit"
    }

    fn look(&mut self, scene: &Scene<'_>, seen: &Observation<'_>) -> Result<(), String> {
        for record in self.bound.news(scene, seen) {
            if record.index.0 == scene.origin.index.0 + self.commits + 1 {
                self.commits += 1;
                self.note(scene, &record)?;
            }
        }
        Ok(())
    }
}

impl KeptMerit {
    fn note(&mut self, scene: &Scene<'_>, record: &CommitRecord) -> Result<(), String> {
        let stolen = |author| {
            let seat = scene.seat(author);
            seat.is_some_and(|seat| scene.plan.is_stolen(seat))
        };
        let follows = |author| scene.is_correct(author) && !stolen(author);
        for (reference, _) in &record.blocks {
            let block = scene.blocks.get(&reference.digest);
            if let Some(block) = block.filter(|_| follows(reference.author)) {
                let round = self.rounds.entry(reference.round).or_default();
                round.push(Arc::clone(block));
            }
        }
        let leader = record.leader.round;
        while self.settled.plus(4) <= leader {
            self.settled = self.settled.next();
            // R22: what is in the gc round after the commit before may be collected already.
            if self.settled > scene.committee.gc_round(leader) {
                self.judge(scene, self.settled)?;
            }
        }
        let kept = scene.committee.gc_round(leader).min(self.settled);
        self.rounds = self.rounds.split_off(&kept);
        Ok(())
    }

    fn judge(&self, scene: &Scene<'_>, round: Round) -> Result<(), String> {
        let of = |round| self.rounds.get(&round).map_or(&[][..], Vec::as_slice);
        let above = of(round.next());
        for block in of(round) {
            let name = block.reference();
            if !above.iter().all(|voter| links(voter, &name)) {
                continue;
            }
            let (seen, least) = (weight(scene, above), least(scene));
            if seen < least {
                return Err(format!(
                    "{name:?} was in time everywhere, and only {seen} of weight were counted, not {least}"
                ));
            }
        }
        Ok(())
    }
}

fn links(voter: &Block, block: &BlockRef) -> bool {
    voter.header().parents.contains(block)
}

/// `Q - f`: `prop` counts no more.
fn least(scene: &Scene<'_>) -> u64 {
    let t = scene.committee.thresholds();
    t.quorum - t.byzantine
}

fn weight(scene: &Scene<'_>, blocks: &[Arc<Block>]) -> u64 {
    let mut tally = Tally::default();
    let authors = blocks.iter().map(|block| block.author());
    authors.for_each(|author: ValidatorIndex| tally.add(author, scene.committee));
    tally.weight()
}

#[cfg(test)]
mod tests {
    use super::KeptMerit;
    use crate::checker::stage::Stage;
    use crate::plan::Sinner;

    #[test]
    fn merit_that_a_commit_takes_away_is_seen() {
        let stage = Stage::full_dag(12);
        let commits = stage.commits();
        let run = |authors: u16| {
            let mut checker = KeptMerit::default();
            let mut commits = commits.clone();
            for commit in &mut commits {
                // Q - f = 2 of 4 are needed: with one author there are not enough.
                let counted = |author: u16| author < authors;
                commit.record.blocks.retain(|(of, _)| counted(of.author.0));
            }
            let looks = commits.iter().map(|c| stage.commit(&mut checker, 0, c));
            looks.collect::<Result<Vec<()>, String>>()
        };
        assert!(run(4).is_ok());
        assert!(run(3).is_ok());
        assert!(run(1).unwrap_err().contains("only 1 of weight"));
    }

    #[test]
    fn sinners_have_no_merit_to_keep() {
        let mut stage = Stage::full_dag(12);
        stage.plan.sinners.push(Sinner {
            validator: 0,
            sin: "griefer".to_owned(),
        });
        let mut checker = KeptMerit::default();
        for commit in stage.commits() {
            assert_eq!(stage.commit(&mut checker, 0, &commit), Ok(()));
        }
    }
}
