//! Proofs of equivocation reach the sequence: each is carried once, in an own block or in one that it links (R12, R26).

use std::sync::Arc;

use probity_core::block::EquivocationProof;
use probity_core::limits::{EVIDENCE_AUTHOR_MAX, EVIDENCE_MAX};
use probity_core::testing::{Draft, proposal, sign};
use probity_core::{
    Block, BlockRef, Committee, Link, Mode, Payload, Proposal, Round, ValidatorIndex,
};

use crate::draw::{At, block, block_with, equal, genesis, refs};
use crate::hand::{Hand, Takes};

const VALIDATORS: u16 = 7;
const GC_DEPTH: u32 = 8;

/// Which blocks the others link.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hears {
    Everybody,
    /// All but those of the replica under test.
    OnlyEachOther,
}

/// Validator 0 under test, and six others that the test plays.
struct Scene {
    committee: Arc<Committee>,
    hand: Hand,
    hears: Hears,
    below: Vec<BlockRef>,
    next: u32,
}

fn scene(takes: Takes, hears: Hears) -> Scene {
    let committee = equal(usize::from(VALIDATORS), Mode::Graded, GC_DEPTH);
    let mut hand = Hand::new(&committee, 0, takes);
    (1..VALIDATORS).for_each(|peer| hand.link(peer, Link::Up));
    Scene {
        below: genesis(&committee),
        committee,
        hand,
        hears,
        next: 1,
    }
}

impl Scene {
    /// The others' next round, in which these make a second block that only the replica under test gets to see.
    fn round(&mut self, sinners: &[u16]) {
        let blocks = self.row(&[]);
        self.deliver(&blocks, sinners);
    }

    fn row(&self, proofs: &[(u16, EquivocationProof)]) -> Vec<Arc<Block>> {
        let of = |author| {
            let mut header = self.draft(author).header().clone();
            let carried = proofs.iter().filter(|(by, _)| *by == author);
            header.evidence = carried.map(|(_, proof)| proof.clone()).collect();
            Arc::new(sign(Proposal::new(header, Payload::empty())))
        };
        (1..VALIDATORS).map(of).collect()
    }

    fn draft(&self, author: u16) -> Proposal {
        let draft = Draft {
            round: Round(self.next),
            author: ValidatorIndex(author),
            parents: own_first(&self.below, author),
            timestamp_ms: u64::from(self.next),
        };
        proposal(&self.committee, draft, Payload::empty())
    }

    fn deliver(&mut self, blocks: &[Arc<Block>], sinners: &[u16]) {
        for sinner in sinners {
            let first = &blocks[usize::from(*sinner) - 1];
            self.hand.take(first);
            self.hand.take(&self.second(*sinner));
        }
        blocks.iter().for_each(|block| self.hand.take(block));
        self.below = refs(blocks);
        let own = self.hand.own.iter();
        let mut own = own.filter(|own| own.round() == Round(self.next));
        if self.hears == Hears::Everybody {
            self.below.extend(own.next().map(|own| own.reference()));
        }
        self.below.sort_by_key(|parent| parent.author);
        self.next += 1;
        self.hand.wait_us(2_000);
    }

    /// Another block of this round.
    fn second(&self, author: u16) -> Arc<Block> {
        let payload = Payload::from_transactions(&[b"another"]);
        let parents = own_first(&self.below, author);
        block_with(&self.committee, (self.next, author), &parents, payload)
    }

    fn proof(&self, at: At) -> EquivocationProof {
        let payload = Payload::from_transactions(&[b"another"]);
        let parents = genesis(&self.committee);
        let a = block(&self.committee, at, &own_first(&parents, at.1));
        let b = block_with(&self.committee, at, &own_first(&parents, at.1), payload);
        let part = |block: &Block| (block.header_digest(), *block.signature());
        EquivocationProof::new(a.reference().slot(), part(&a), part(&b)).unwrap()
    }

    /// What own blocks carry: own round, author, round.
    fn carried(&self) -> Vec<(u32, u16, u32)> {
        let mut carried = Vec::new();
        for own in &self.hand.own {
            let proofs = own.header().evidence.iter();
            carried.extend(proofs.map(|proof| (own.round().0, proof.author.0, proof.round.0)));
        }
        carried
    }

    fn is_slashed(&self, validator: u16) -> bool {
        self.hand.replica.is_slashed(ValidatorIndex(validator))
    }
}

/// An author's parents begin with its own.
fn own_first(below: &[BlockRef], author: u16) -> Vec<BlockRef> {
    let own = |parent: &&BlockRef| parent.author.0 == author;
    let own_parent = below.iter().find(own).into_iter();
    let others = below.iter().filter(|parent| !own(parent));
    own_parent.chain(others).copied().collect()
}

#[test]
fn a_proof_is_carried_once_and_slashes_when_its_block_is_committed() {
    let mut scene = scene(Takes::All, Hears::Everybody);
    scene.round(&[]);
    scene.round(&[3]);
    assert_eq!(scene.carried(), [(3, 3, 2)]);
    assert_eq!(scene.hand.accused.len(), 1);
    assert!(!scene.is_slashed(3), "nothing is committed yet");
    (0..8).for_each(|_| scene.round(&[]));
    assert!(scene.is_slashed(3), "R26");
    assert!((0..VALIDATORS).all(|v| v == 3 || !scene.is_slashed(v)));
    assert_eq!(scene.carried(), [(3, 3, 2)], "R12: once");

    // Of one that is slashed already, proofs are kept and not carried.
    scene.round(&[3]);
    (0..3).for_each(|_| scene.round(&[]));
    assert_eq!(scene.hand.status().equivocations, 2);
    assert_eq!(scene.carried(), [(3, 3, 2)]);
}

#[test]
fn more_proofs_than_a_block_carries_are_spread_over_the_next_ones() {
    let mut scene = scene(Takes::All, Hears::Everybody);
    scene.round(&[]);
    scene.round(&[1, 2, 3, 4, 5, 6]);
    (0..8).for_each(|_| scene.round(&[]));
    let carried = scene.carried();
    assert_eq!(EVIDENCE_MAX, 4);
    let expected = [3, 3, 3, 3, 4, 4].into_iter().zip(1..7);
    let expected: Vec<_> = expected.map(|(own, author)| (own, author, 2)).collect();
    assert_eq!(carried, expected);
    assert!((1..VALIDATORS).all(|sinner| scene.is_slashed(sinner)));
}

/// Its blocks are linked by nobody, so what they carry is collected.
#[test]
fn a_proof_whose_block_was_collected_is_carried_again_across_a_restart_too() {
    for restarts in [false, true] {
        let mut scene = scene(Takes::All, Hears::OnlyEachOther);
        scene.round(&[]);
        scene.round(&[3]);
        while scene.hand.status().gc_round < Round(2) {
            scene.round(&[]);
        }
        if restarts {
            scene.hand.restart();
            assert_eq!(scene.hand.status().equivocations, 1);
            (1..VALIDATORS).for_each(|peer| scene.hand.link(peer, Link::Up));
        }
        assert_eq!(scene.carried(), [(3, 3, 2)], "its block may be committed");
        (0..4).for_each(|_| scene.round(&[]));
        let again = scene.carried()[1];
        assert!(again.0 > 3 + GC_DEPTH && (again.1, again.2) == (3, 2));
        assert_eq!(scene.carried().len(), 2);
        assert!(!scene.is_slashed(3));
        scene.hears = Hears::Everybody;
        (0..8).for_each(|_| scene.round(&[]));
        assert!(scene.is_slashed(3));
        assert_eq!(scene.carried().len(), 2);
    }
}

#[test]
fn a_proof_that_was_not_carried_before_a_restart_is_carried_after_it() {
    let mut scene = scene(Takes::Nothing, Hears::Everybody);
    scene.round(&[]);
    scene.round(&[5]);
    scene.round(&[]);
    let newest = scene.row(&[]);
    scene.deliver(&newest, &[]);
    assert!(scene.hand.own.is_empty() && !scene.hand.commits.is_empty());
    scene.hand.takes = Takes::All;
    scene.hand.restart();
    (1..VALIDATORS).for_each(|peer| scene.hand.link(peer, Link::Up));
    // What came after the last commit was not written.
    newest.iter().for_each(|block| scene.hand.take(block));
    (0..8).for_each(|_| scene.round(&[]));
    let carried = scene.carried();
    assert_eq!(carried.len(), 1, "{carried:?}");
    assert_eq!((carried[0].1, carried[0].2), (5, 2));
    assert!(scene.is_slashed(5));
}

#[test]
fn a_proof_in_a_linked_block_is_not_carried_again() {
    let mut scene = scene(Takes::All, Hears::Everybody);
    scene.round(&[]);
    // The equivocation of one validator is seen here as well, that of another is known from the proof alone.
    let part = |block: &Block| (block.header_digest(), *block.signature());
    let (first, second) = (scene.row(&[])[3].clone(), scene.second(4));
    let seen = EquivocationProof::new(first.reference().slot(), part(&first), part(&second));
    let row = scene.row(&[(1, seen.unwrap()), (2, scene.proof((1, 6)))]);
    scene.deliver(&row, &[4]);
    assert_eq!(scene.hand.accused.len(), 2);
    (0..8).for_each(|_| scene.round(&[]));
    assert_eq!(scene.carried(), []);
    assert!(scene.is_slashed(6) && scene.is_slashed(4));
}

/// The block that carries a proof is linked through a later one of its author.
#[test]
fn a_proof_in_the_own_chain_of_a_linked_block_is_not_carried_again() {
    let mut scene = scene(Takes::All, Hears::Everybody);
    scene.round(&[]);
    // Validator 1's blocks of two rounds come late, and the equivocation becomes known with them.
    scene.hand.link(1, Link::Down);
    let proof = scene.proof((1, 6));
    let mut late = vec![scene.row(&[(1, proof)])[0].clone()];
    let rest = |scene: &mut Scene, late: &Arc<Block>| {
        let row: Vec<_> = (2..VALIDATORS)
            .map(|author| Arc::new(sign(scene.draft(author))))
            .collect();
        row.iter().for_each(|block| scene.hand.take(block));
        let mut own = scene.hand.own.iter();
        let own = own.rfind(|own| own.round() == Round(scene.next)).unwrap();
        let mut seen = refs(&row);
        seen.insert(0, own.reference());
        scene.below = seen;
        scene.next += 1;
        scene.hand.wait_us(100_000);
        let mut of_late = vec![late.reference()];
        of_late.extend(scene.below.iter().copied());
        of_late
    };
    let parents = rest(&mut scene, &late[0]);
    late.push(block(&scene.committee, (scene.next, 1), &parents));
    let _ = rest(&mut scene, &late[1]);
    assert!(scene.hand.accused.is_empty());
    late.iter().for_each(|block| scene.hand.take(block));
    assert_eq!(scene.hand.accused.len(), 1);
    let own = scene.hand.own.len();
    for _ in 0..3 {
        let row: Vec<_> = (2..VALIDATORS)
            .map(|author| Arc::new(sign(scene.draft(author))))
            .collect();
        scene.deliver(&row, &[]);
        scene.hand.wait_us(100_000);
    }
    let linked = scene.hand.own[own..].iter();
    let linked = linked.filter(|own| own.parents().contains(&late[1].reference()));
    assert_eq!(linked.count(), 1);
    assert_eq!(scene.carried(), []);
}

#[test]
fn a_sinner_fills_its_own_room_and_nothing_else() {
    let mut scene = scene(Takes::Nothing, Hears::Everybody);
    for _ in 0..EVIDENCE_AUTHOR_MAX + 3 {
        scene.round(&[2]);
    }
    scene.round(&[2, 4]);
    assert_eq!(scene.hand.accused.len(), EVIDENCE_AUTHOR_MAX + 1);
    assert_eq!(scene.hand.status().equivocations, EVIDENCE_AUTHOR_MAX + 1);
}
