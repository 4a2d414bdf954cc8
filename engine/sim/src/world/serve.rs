//! Answers from the disk (R33, R34), as the node's serving thread gives them.

use std::sync::Arc;

use probity_core::crypto::Digest;
use probity_core::limits::REPLAY_BLOCKS_MAX;
use probity_core::record::{
    RecordSource, RecordTable, read_block, read_certificate, read_commits, round_key,
};
use probity_core::{BlockRef, CommitCertificate, CommitIndex, Message, Round, ValidatorIndex};

use super::World;

impl World {
    /// Blocks of this epoch and of those before, to a validator.
    pub(super) fn serve(&mut self, process: usize, to: ValidatorIndex, refs: Vec<BlockRef>) {
        let mut missing = Vec::new();
        let epoch = self.processes[process].committee.epoch();
        for reference in refs {
            let disk = &self.processes[process].disk;
            let held = |epoch| read_block(disk, epoch, &reference).ok().flatten();
            match (0..=epoch).rev().find_map(held) {
                Some(block) => {
                    let block = block.block();
                    let (header, payload) = (block.signed_header(), block.payload().bytes());
                    self.send_seat(process, to, &Message::encode_fetched(header, payload));
                }
                None => missing.push(reference),
            }
        }
        if !missing.is_empty() {
            self.send_seat(process, to, &Message::NotHeld(missing).encode());
        }
    }

    /// Commit records, to a validator (R35).
    pub(super) fn serve_commits(
        &mut self,
        process: usize,
        to: ValidatorIndex,
        (first, count): (CommitIndex, u8),
    ) {
        let Ok(records) = read_commits(&self.processes[process].disk, first, count);
        let message = Message::Commits { first, records };
        self.send_seat(process, to, &message.encode());
    }

    /// A certificate from the disk, or the newest one, or the word that there is none (R35).
    pub(super) fn serve_certificate(
        &mut self,
        (process, to): (usize, ValidatorIndex),
        (epoch, at_least): (u64, CommitIndex),
        newest: Option<Arc<CommitCertificate>>,
    ) {
        let Ok(kept) = read_certificate(&self.processes[process].disk, epoch, at_least);
        let newest = || newest.map(|newest| newest.encode());
        let certificate = kept.or_else(newest).unwrap_or_default();
        self.send_seat(process, to, &Message::Certificate(certificate).encode());
    }

    /// Own blocks of an epoch after a round, to a validator.
    pub(super) fn serve_replay(
        &mut self,
        process: usize,
        to: ValidatorIndex,
        (epoch, after): (u64, Round),
    ) {
        let host = &self.processes[process];
        let key = host.signer.public();
        let committee = self.committees.get(&epoch);
        let Some(me) = committee.and_then(|committee| committee.index_of(&key)) else {
            return;
        };
        let mut refs: Vec<BlockRef> = Vec::new();
        let from = round_key(epoch, after.next());
        let visit = &mut |key: &[u8], _: &[u8]| {
            if !key.starts_with(&epoch.to_be_bytes()) {
                return false;
            }
            refs.extend(own_ref(key, me));
            refs.len() < REPLAY_BLOCKS_MAX
        };
        let Ok(()) = host.disk.scan(RecordTable::Headers, &from, visit);
        for reference in refs {
            if let Ok(Some(block)) = read_block(&self.processes[process].disk, epoch, &reference) {
                self.send_seat(process, to, &Message::encode_block(block.block()));
            }
        }
    }
}

/// The reference that a header's key names, if it is `me`'s.
fn own_ref(key: &[u8], me: ValidatorIndex) -> Option<BlockRef> {
    let round = u32::from_be_bytes(key.get(8..12)?.try_into().ok()?);
    let author = u16::from_be_bytes(key.get(12..14)?.try_into().ok()?);
    let digest = Digest(key.get(14..46)?.try_into().ok()?);
    (author == me.0).then_some(BlockRef {
        round: Round(round),
        author: me,
        digest,
    })
}
