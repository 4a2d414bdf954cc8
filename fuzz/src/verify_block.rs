//! A block laid out from the bytes, against R4 in its plainest wording.

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use probity_core::block::genesis_ref;
use probity_core::crypto::{Context, hash};
use probity_core::limits::{
    COMMIT_VOTES_MAX, EVIDENCE_MAX, HEADER_BYTES_MAX, PAYLOAD_BYTES_MAX, PAYLOAD_TRANSACTIONS_MAX,
    TRANSACTION_BYTES_MAX, VALIDATORS_MAX,
};
use probity_core::{
    BlockRef, Committee, Header, PROTOCOL_VERSION, Proposal, Reject, Round, verify_block as verify,
};

use crate::bounded;
use crate::committee::{INVALID, MostAccepted, committee, keypair, uneven_committee};

mod drawn;

use drawn::Drawn;

/// Draws a nearly valid block from `data`, signs it, perhaps damages its bytes, and has it judged.
///
/// - The verdict is that of R4 said once more, over the values that were drawn.
/// - A block refused behind its signature still gives its commit votes (R25).
///
/// # Panics
/// When one of these promises is broken.
pub fn verify_block(data: &[u8]) {
    let mut input = Unstructured::new(data);
    // An input that ends early draws zeros, so this never fails in practice.
    let _ = judge(&mut input);
}

fn judge(input: &mut Unstructured<'_>) -> Result<()> {
    let committee = if input.ratio(1_u8, 2_u8)? {
        committee()
    } else {
        uneven_committee()
    };
    let drawn = Drawn::draw(input, committee)?;
    let proposal = Proposal::new(drawn.header.clone(), drawn.payload.clone());
    // A stranger signs for an author that is no member.
    let signature = keypair(drawn.signer).sign(&proposal.preimage());
    let header = [&proposal.header_bytes()[..], &signature.0].concat();
    let sound = [&header[..], &drawn.payload_bytes].concat();
    let bytes = damage(input, &sound)?;

    let judged = bounded(bytes.len(), || verify(&bytes, committee, &MostAccepted));
    if bytes != sound {
        assert!(judged.is_err(), "damage behind a signature was not noticed");
        return Ok(());
    }
    let signed = drawn.signer == drawn.header.author;
    let sizes = keeps_sizes(&drawn.header, header.len());
    let origin = keeps_origin(&drawn.header, committee);
    let valid = signed
        && sizes
        && origin
        && keeps_parents(&drawn.header, committee)
        && drawn.evidence_is_sound
        && keeps_payload(&drawn);
    match judged {
        Ok(verified) => {
            assert!(
                valid,
                "R4 is broken, and the block was accepted: {:?}",
                drawn.header
            );
            assert_eq!(*verified.block().header(), drawn.header);
        }
        Err(rejected) => {
            assert!(!valid, "{}: {:?}", rejected.reject, drawn.header);
            assert_eq!(
                rejected.votes.is_some(),
                signed && sizes && origin,
                "votes count whenever the signature does"
            );
            if let Reject::Transaction(at) = rejected.reject {
                assert_eq!(drawn.payload.iter().nth(at), Some(INVALID));
            }
        }
    }
    Ok(())
}

/// R4.5: what is refused before anything is allocated for it.
fn keeps_sizes(header: &Header, signed_header_bytes: usize) -> bool {
    header.parents.len() <= VALIDATORS_MAX
        && header.commit_votes.len() <= COMMIT_VOTES_MAX
        && header.evidence.len() <= EVIDENCE_MAX
        && signed_header_bytes <= HEADER_BYTES_MAX
}

/// R4.1.
fn keeps_origin(header: &Header, committee: &Committee) -> bool {
    header.version == PROTOCOL_VERSION
        && header.chain == *committee.chain()
        && header.epoch == committee.epoch()
        && header.round >= Round(1)
        && usize::from(header.author.0) < committee.size()
}

/// R4.2 to R4.4.
fn keeps_parents(header: &Header, committee: &Committee) -> bool {
    let Some(own) = header.parents.first() else {
        return false;
    };
    let others = &header.parents[1..];
    let order = own.author == header.author
        && others.iter().all(|parent| parent.author != header.author)
        && others
            .windows(2)
            .all(|pair| pair[0].author < pair[1].author)
        && header.parents.len() <= committee.size();
    let oldest = u64::from(header.round.0).saturating_sub(u64::from(committee.gc_depth()));
    let rounds = header
        .parents
        .iter()
        .all(|parent| parent.round < header.round)
        && others
            .iter()
            .all(|parent| u64::from(parent.round.0) >= oldest);
    let known = |parent: &BlockRef| {
        usize::from(parent.author.0) < committee.size()
            && (parent.round.0 > 0 || genesis_ref(committee, parent.author) == Some(*parent))
    };
    let below = header
        .parents
        .iter()
        .filter(|parent| parent.round.0 + 1 == header.round.0);
    let weight: u64 = below.map(|parent| committee.weight(parent.author)).sum();
    order && rounds && header.parents.iter().all(known) && weight >= committee.thresholds().quorum
}

/// R4.6. What was drawn knows its transactions, so the table of lengths is not read again here.
fn keeps_payload(drawn: &Drawn) -> bool {
    let described = drawn.header.payload;
    drawn.table_is_sound
        && drawn.payload_bytes.len() <= PAYLOAD_BYTES_MAX
        && described.bytes as usize == drawn.payload_bytes.len()
        && described.count as usize <= PAYLOAD_TRANSACTIONS_MAX
        && described.count == drawn.payload.count()
        && described.root == hash(Context::Payload, &[&drawn.payload_bytes])
        && drawn
            .payload
            .iter()
            .all(|transaction| transaction.len() <= TRANSACTION_BYTES_MAX && transaction != INVALID)
}

/// Mostly nothing; else a flipped bit, a cut or an appendix.
fn damage(input: &mut Unstructured<'_>, sound: &[u8]) -> Result<Bytes> {
    let mut bytes = sound.to_vec();
    let kind = input.arbitrary::<u8>()?;
    let at = input.int_in_range(0..=u16::MAX)?;
    let at = usize::from(at) % bytes.len();
    match kind {
        0..=199 => {}
        200..=229 => bytes[at] ^= 1 << (kind % 8),
        230..=244 => bytes.truncate(at),
        _ => bytes.push(kind),
    }
    Ok(bytes.into())
}
