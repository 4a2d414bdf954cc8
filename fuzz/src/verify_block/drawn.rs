//! A block that is valid but for some faults, each of them drawn.

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use probity_core::block::{CommitVote, EquivocationProof, genesis_ref, preimage};
use probity_core::crypto::{Digest, Signature};
use probity_core::{
    BlockRef, CommitIndex, Committee, Header, PROTOCOL_VERSION, Payload, Round, Slot,
    ValidatorIndex,
};

use crate::committee::{INVALID, VALIDATORS, member_keypair};

/// A block before it is signed, with what the one who drew it knows about it.
pub(super) struct Drawn {
    pub(super) header: Header,
    /// Whose key signs.
    pub(super) signer: ValidatorIndex,
    pub(super) payload: Payload,
    /// Those of `payload`, unless a fault changed them.
    pub(super) payload_bytes: Bytes,
    /// The table of lengths covers the bytes exactly.
    pub(super) table_is_sound: bool,
    pub(super) evidence_is_sound: bool,
}

impl Drawn {
    pub(super) fn draw(input: &mut Unstructured<'_>, committee: &Committee) -> Result<Self> {
        let author = ValidatorIndex(input.int_in_range(0..=VALIDATORS - 1)?);
        let round = Round(input.int_in_range(1..=12)?);
        let mut drawn = Self {
            header: header(committee, round, author),
            signer: author,
            payload: Payload::empty(),
            payload_bytes: Bytes::new(),
            table_is_sound: true,
            evidence_is_sound: true,
        };
        drawn.set_payload(&transactions(input)?);
        let faults = match input.arbitrary::<u8>()? {
            0..=60 => 0,
            61..=160 => 1,
            161..=220 => 2,
            _ => 4,
        };
        for _ in 0..faults {
            drawn.fault(input, committee)?;
        }
        Ok(drawn)
    }

    fn set_payload(&mut self, transactions: &[Vec<u8>]) {
        self.payload = Payload::from_transactions(transactions);
        self.payload_bytes = self.payload.bytes().clone();
        self.header.payload = self.payload.describe();
        self.table_is_sound = true;
    }

    /// One change, which may break a rule and may not.
    fn fault(&mut self, input: &mut Unstructured<'_>, committee: &Committee) -> Result<()> {
        let header = &mut self.header;
        match input.int_in_range(0..=19_u8)? {
            0 => header.version = input.arbitrary()?,
            1 => header.chain = Digest(input.arbitrary()?),
            2 => header.epoch = input.arbitrary()?,
            3 => header.round = Round(input.int_in_range(0..=20)?),
            4 => header.round = Round(input.arbitrary()?),
            5 => header.author = ValidatorIndex(input.int_in_range(0..=VALIDATORS)?),
            6 => self.signer = ValidatorIndex(input.int_in_range(0..=VALIDATORS)?),
            7 => header.timestamp_ms = input.arbitrary()?,
            8..=12 => change_parents(&mut header.parents, input, committee)?,
            13 => header.commit_votes = commit_votes(input)?,
            14 => self.add_evidence(input, committee)?,
            15 => header.payload.bytes = input.arbitrary()?,
            16 => header.payload.count = input.arbitrary()?,
            17 => header.payload.root = Digest(input.arbitrary()?),
            18 => self.break_table(input)?,
            _ => {
                let extreme = input.int_in_range(65_530..=65_540)?;
                self.set_payload(&[vec![b'x'; extreme]]);
            }
        }
        Ok(())
    }

    /// A byte of the table of lengths changes, and the description follows: only the table is wrong.
    fn break_table(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        let mut bytes = self.payload_bytes.to_vec();
        let table = self.payload.count() as usize * 4;
        if table == 0 || self.payload_bytes != *self.payload.bytes() {
            return Ok(());
        }
        let at = input.int_in_range(0..=u16::MAX)?;
        bytes[usize::from(at) % table] ^= 1 << input.int_in_range(0..=7)?;
        // One length changed, so their sum did.
        self.table_is_sound = false;
        self.header.payload.root =
            probity_core::crypto::hash(probity_core::crypto::Context::Payload, &[&bytes]);
        self.payload_bytes = bytes.into();
        Ok(())
    }

    /// A proof that is sound, or has one of the faults that a liar would try.
    fn add_evidence(&mut self, input: &mut Unstructured<'_>, committee: &Committee) -> Result<()> {
        let slot = Slot {
            round: Round(input.int_in_range(0..=3)?),
            author: ValidatorIndex(input.int_in_range(0..=VALIDATORS - 1)?),
        };
        let signed = |digest: Digest| {
            let message = preimage(committee.chain(), committee.epoch(), slot, &digest);
            (digest, member_keypair(slot.author).sign(&message))
        };
        let (low, high) = (signed(Digest([1; 32])), signed(Digest([2; 32])));
        let mut proof = EquivocationProof::new(slot, low, high).expect("two headers make a proof");
        let mut sound = slot.round.0 > 0;
        match input.int_in_range(0..=5_u8)? {
            0 => (proof.first, proof.second, sound) = (high, low, false),
            1 => (proof.second, sound) = (low, false),
            2 => (proof.first.1, sound) = (Signature([3; 64]), false),
            3 => (proof.second.0, sound) = (Digest([4; 32]), false),
            _ => {}
        }
        if self.header.evidence.len() < 6 {
            self.header.evidence.push(proof);
            self.evidence_is_sound &= sound;
        }
        Ok(())
    }
}

/// A header of this author whose parents are everybody in the round below.
fn header(committee: &Committee, round: Round, author: ValidatorIndex) -> Header {
    let parent = |author| parent(committee, round.minus(1), author);
    let others = committee.indices().filter(|other| *other != author);
    Header {
        version: PROTOCOL_VERSION,
        chain: *committee.chain(),
        epoch: committee.epoch(),
        round,
        author,
        timestamp_ms: 1_700_000_000_000,
        payload: Payload::empty().describe(),
        parents: std::iter::once(author).chain(others).map(parent).collect(),
        evidence: Vec::new(),
        commit_votes: Vec::new(),
    }
}

fn parent(committee: &Committee, round: Round, author: ValidatorIndex) -> BlockRef {
    match genesis_ref(committee, author) {
        Some(genesis) if round == Round::GENESIS => genesis,
        _ => BlockRef {
            round,
            author,
            digest: Digest([9; 32]),
        },
    }
}

fn change_parents(
    parents: &mut Vec<BlockRef>,
    input: &mut Unstructured<'_>,
    committee: &Committee,
) -> Result<()> {
    let kind = input.int_in_range(0..=6_u8)?;
    let at = usize::from(input.arbitrary::<u8>()?);
    let other = usize::from(input.arbitrary::<u8>()?);
    if parents.is_empty() || parents.len() > 300 {
        return Ok(());
    }
    let (at, other) = (at % parents.len(), other % parents.len());
    match kind {
        0 => drop(parents.remove(at)),
        1 => parents.insert(other, parents[at]),
        2 => parents.swap(at, other),
        3 => parents[at].round = Round(input.int_in_range(0..=13)?),
        4 => parents[at].author = ValidatorIndex(input.int_in_range(0..=VALIDATORS)?),
        5 => parents[at] = parent(committee, Round::GENESIS, parents[at].author),
        _ => parents.resize(input.int_in_range(0..=260)?, parents[at]),
    }
    Ok(())
}

fn commit_votes(input: &mut Unstructured<'_>) -> Result<Vec<CommitVote>> {
    let vote = |input: &mut Unstructured<'_>| -> Result<CommitVote> {
        Ok(CommitVote {
            index: CommitIndex(input.arbitrary()?),
            digest: Digest([input.arbitrary()?; 32]),
        })
    };
    let count = input.int_in_range(0..=COMMIT_VOTES_TRIED)?;
    (0..count).map(|_| vote(input)).collect()
}

fn transactions(input: &mut Unstructured<'_>) -> Result<Vec<Vec<u8>>> {
    let count = input.int_in_range(0..=4)?;
    (0..count)
        .map(|_| {
            let length = input.arbitrary::<u8>()?;
            // One in sixteen is the one that the check refuses.
            if length < 16 {
                return Ok(INVALID.to_vec());
            }
            Ok(vec![length; usize::from(length) - 16])
        })
        .collect()
}

/// Some more than allowed.
const COMMIT_VOTES_TRIED: usize = 10;
