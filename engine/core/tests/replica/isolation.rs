//! A validator cut off in one direction for longer than anybody remembers collected blocks, while a Byzantine author
//! links blocks at the gc round (R6, grounding; R8; R34).

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use probity_core::{Block, BlockRef, Committee, Message, Mode, Outcome, Payload, Round};

use crate::draw::{block, equal, genesis};
use crate::hand::message;
use crate::lab::Lab;

/// The validators that hear each other all the time: exactly a quorum of the seven.
const CORE: Range<u16> = 0..5;
/// The one that is cut off.
const CUT: u16 = 5;
/// The Byzantine one.
const Z: u16 = 6;

/// Which collected blocks the Byzantine author links.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Links {
    /// Those of the validator that nobody hears.
    OfTheCut,
    /// Own ones that it showed to nobody in time: the second blocks of its slots.
    OwnSecrets,
}

struct Isolation {
    committee: Arc<Committee>,
    lab: Lab,
    links: Links,
    /// Whether the Byzantine author serves the blocks that it links, to all but the validator cut off.
    serves: bool,
    made: Vec<Arc<Block>>,
    secrets: BTreeMap<u32, Arc<Block>>,
}

impl Isolation {
    fn start(gc_depth: u32, links: Links, serves: bool) -> Self {
        let committee = equal(7, Mode::Graded, gc_depth);
        Self {
            lab: Lab::new(&committee, Z, &[Z]),
            committee,
            links,
            serves,
            made: Vec::new(),
            secrets: BTreeMap::new(),
        }
    }

    fn gc_depth(&self) -> u32 {
        self.committee.gc_depth()
    }

    /// Goes on until these validators proposed in `round`; the Byzantine author does its part all along.
    fn run_to(&mut self, nodes: &Range<u16>, round: u32) {
        let mut least = 0;
        while least < round {
            let rounds = nodes
                .clone()
                .map(|node| self.lab.hand(node).status().round.0);
            least = rounds.min().unwrap();
            self.lab.run_to(nodes, round.min(least + 1));
            self.act();
        }
    }

    /// The Byzantine author is so late that the parent it links is just collected everywhere.
    fn act(&mut self) {
        let gc_round = self.lab.hand(0).status().gc_round.0;
        let next = u32::try_from(self.made.len()).unwrap() + 1;
        for round in next..=gc_round + self.gc_depth() {
            let Some(block) = self.late_block(round) else {
                break;
            };
            self.lab.play(&block, 0..Z);
            self.made.push(block);
        }
        self.answer();
    }

    fn late_block(&mut self, round: u32) -> Option<Arc<Block>> {
        let mut parents = match round {
            1 => genesis(&self.committee)[..5].to_vec(),
            _ => self.lab.round(CORE, round - 1),
        };
        if parents.len() < CORE.len() {
            return None;
        }
        let collected = round.saturating_sub(self.gc_depth());
        let last = self.made.last().map(|block| block.reference());
        let mut own = last.unwrap_or(genesis(&self.committee)[usize::from(Z)]);
        match self.links {
            Links::OfTheCut => parents.extend(self.lab.round([CUT], collected)),
            Links::OwnSecrets if collected > 0 => own = self.secret(collected),
            Links::OwnSecrets => {}
        }
        parents.push(own);
        Some(block(&self.committee, (round, Z), &parents))
    }

    /// A second own block of a round, upon the secret one of the round before.
    fn secret(&mut self, round: u32) -> BlockRef {
        let own = match self.secrets.get(&(round - 1)) {
            Some(below) => below.reference(),
            None => genesis(&self.committee)[usize::from(Z)],
        };
        let mut parents = match round {
            1 => genesis(&self.committee)[..6].to_vec(),
            _ => self.lab.round(CORE, round - 1),
        };
        parents.push(own);
        let secret = block(&self.committee, (round, Z), &parents);
        let reference = secret.reference();
        self.secrets.insert(round, secret);
        reference
    }

    /// Answers what was asked of the Byzantine author.
    fn answer(&mut self) {
        while !self.lab.inbox.is_empty() {
            for (from, _, asked) in std::mem::take(&mut self.lab.inbox) {
                let (Message::Fetch(refs) | Message::FetchHistory { refs, .. }) = asked else {
                    continue;
                };
                for reference in refs {
                    let found = self.find(reference).filter(|_| self.serves && from != CUT);
                    let answer = match found.map(|block| message(&block)) {
                        Some(Message::Block(bytes)) => Message::Fetched(bytes),
                        _ => Message::NotHeld(vec![reference]),
                    };
                    self.lab.send((Z, from, answer));
                }
            }
            self.lab.settle();
        }
    }

    fn find(&self, reference: BlockRef) -> Option<Arc<Block>> {
        let own = self.lab.hands.iter().flat_map(|hand| &hand.own);
        let mut all = own.chain(&self.made).chain(self.secrets.values());
        all.find(|block| block.reference() == reference).cloned()
    }

    /// Blocks that name collected ones are linked if these could be fetched, and only then.
    fn assert_only_grounded_links(&self) {
        let first = Round(self.gc_depth() + 6);
        let late = |block: &&Arc<Block>| block.round() >= first;
        let late: Vec<BlockRef> = self
            .made
            .iter()
            .filter(late)
            .map(|b| b.reference())
            .collect();
        assert!(late.len() > 2 * self.gc_depth() as usize);
        for node in CORE {
            let own = self.lab.hand(node).own.iter();
            let linked = own
                .flat_map(|own| own.parents())
                .filter(|parent| late.contains(parent));
            assert_eq!(linked.count() > 0, self.serves, "node {node}");
        }
    }

    /// The validator that was cut off catches up within `3 * gc_depth` rounds; from then on its blocks and their payload
    /// are ordered, all of them: it is grounded and stays so.
    fn assert_rejoins(&mut self) {
        let depth = self.gc_depth();
        let healed = self.lab.hand(0).status().round.0;
        self.run_to(&(0..Z), healed + 3 * depth);
        let payloads = [b"back 1", b"back 2", b"back 3"];
        let payloads = payloads.map(|text| Payload::from_transactions(&[text]));
        self.lab.hands[usize::from(CUT)].payloads = payloads.into();
        self.run_to(&(0..Z), healed + 8 * depth);
        self.lab.agreed();
        for hand in &self.lab.hands {
            let ordered = hand.commits.iter().flat_map(|commit| commit.transactions());
            let back = ordered.filter(|transaction| transaction.starts_with(b"back"));
            assert_eq!(back.count(), 3, "its payload is ordered");
            assert!(hand.status().last_leader.plus(4) >= hand.status().round);
        }
        for round in (healed + 3 * depth..healed + 7 * depth).map(Round) {
            let ends = self.lab.hand(CUT).outcomes.iter();
            let mut ends = ends.filter(|(of, _)| *of == round).map(|(_, end)| end);
            let end = ends.next();
            assert!(
                matches!(end, Some(Outcome::Sequenced { .. })),
                "{round}: {end:?}"
            );
        }
    }
}

fn every_case(links: Links, scenario: impl Fn(Isolation)) {
    for gc_depth in 4..=6 {
        for serves in [false, true] {
            println!("gc_depth {gc_depth}, the Byzantine author serves: {serves}");
            scenario(Isolation::start(gc_depth, links, serves));
        }
    }
}

/// It hears everybody and proposes on, and links the Byzantine author's blocks, which name its own old ones. When it is
/// heard again, its chain hangs on blocks that nobody else ever held, deeper than anybody serves.
#[test]
fn a_validator_that_nobody_heard_for_long_rejoins() {
    every_case(Links::OfTheCut, |mut test| {
        let long = 10 * test.gc_depth();
        test.run_to(&(0..Z), 3);
        for to in CORE {
            test.lab.lost.insert((CUT, to));
        }
        test.run_to(&(0..Z), long);
        let unheard = test.lab.hand(CUT).outcomes.iter();
        let unheard = unheard.filter(|(_, outcome)| *outcome == Outcome::Collected);
        assert!(unheard.count() > 4 * test.gc_depth() as usize);
        test.assert_only_grounded_links();
        test.lab.lost.clear();
        test.assert_rejoins();
    });
}

/// It stands still, and so does its gc round, while the blocks that the others went on from name collected ones.
#[test]
fn a_validator_that_heard_nobody_for_long_rejoins() {
    every_case(Links::OwnSecrets, |mut test| {
        let long = 10 * test.gc_depth();
        test.run_to(&(0..Z), test.gc_depth() + 3);
        for from in CORE.chain([Z]) {
            test.lab.lost.insert((from, CUT));
        }
        test.run_to(&CORE, long);
        let behind = test.lab.hand(CUT).status().round;
        assert!(behind.plus(4 * test.gc_depth()) < Round(long));
        test.assert_only_grounded_links();
        test.lab.lost.clear();
        test.assert_rejoins();
    });
}
