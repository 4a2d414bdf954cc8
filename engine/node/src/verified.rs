//! Blocks verified lately, so that what comes again is not verified again.
//!
//! Under load a block is often asked for while it is on its way, and then comes twice; its transactions cost a signature
//! check each. A block's digest binds header, signature and payload, so equal names mean equal verdicts.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use probity_core::crypto::Digest;
use probity_core::{BlockRef, VerifiedBlock};

/// Bytes of blocks remembered; most of them are in the DAG's window anyway.
const BYTES_MAX: usize = 32 << 20;
/// Blocks remembered.
const BLOCKS_MAX: usize = 1_024;

/// The newest verified blocks.
#[derive(Default)]
pub(crate) struct Verified(Mutex<Newest>);

#[derive(Default)]
struct Newest {
    blocks: HashMap<Digest, VerifiedBlock>,
    order: VecDeque<Digest>,
    bytes: usize,
}

impl Verified {
    /// The block of this name, if it was verified lately.
    pub(crate) fn get(&self, name: &BlockRef) -> Option<VerifiedBlock> {
        self.0.lock().blocks.get(&name.digest).cloned()
    }

    /// Remembers a block, and forgets the oldest ones.
    pub(crate) fn put(&self, block: &VerifiedBlock) {
        let digest = block.block().reference().digest;
        let mut newest = self.0.lock();
        if newest.blocks.insert(digest, block.clone()).is_some() {
            return;
        }
        newest.order.push_back(digest);
        newest.bytes += block.block().encoded_len();
        while newest.bytes > BYTES_MAX || newest.order.len() > BLOCKS_MAX {
            let Some(oldest) = newest.order.pop_front() else {
                return;
            };
            if let Some(gone) = newest.blocks.remove(&oldest) {
                newest.bytes -= gone.block().encoded_len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use probity_core::crypto::Keypair;
    use probity_core::{
        Committee, Header, Payload, Profile, Proposal, Round, ValidatorIndex, block, name_block,
        verify_block,
    };

    use super::{BLOCKS_MAX, Verified};
    use crate::transaction::Opaque;

    #[test]
    fn the_newest_blocks_are_known_by_name_and_the_oldest_forgotten() {
        let key = Keypair::from_seed(&[1; 32]);
        let committee = [(key.public(), 1)];
        let committee = Committee::from_stakes(&committee, Profile::Dual30, "opaque/1").unwrap();
        let me = ValidatorIndex(0);
        let verified = Verified::default();
        let mut names = Vec::new();
        for timestamp_ms in 0..BLOCKS_MAX as u64 + 3 {
            let payload = Payload::empty();
            let header = Header {
                version: probity_core::PROTOCOL_VERSION,
                chain: *committee.chain(),
                epoch: 0,
                round: Round(1),
                author: me,
                timestamp_ms,
                payload: payload.describe(),
                parents: block::genesis_ref(&committee, me).into_iter().collect(),
                evidence: Vec::new(),
                commit_votes: Vec::new(),
            };
            let proposal = Proposal::new(header, payload);
            let signature = key.sign(&proposal.preimage());
            let block = Arc::new(proposal.seal(signature));
            let bytes = block.signed_header().clone();
            names.push(name_block(&bytes).unwrap());
            assert_eq!(names.last(), Some(&block.reference()));
            verified.put(&verify_block(&bytes, &committee, &Opaque).unwrap());
        }
        assert!(names[..3].iter().all(|name| verified.get(name).is_none()));
        assert!(names[3..].iter().all(|name| verified.get(name).is_some()));
    }
}
