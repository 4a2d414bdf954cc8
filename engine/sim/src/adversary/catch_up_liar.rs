//! Whoever is far behind gets from it commit records with gaps, too few, too many, false ones that chain or do not, or nothing; false
//! certificates; and no blocks (R35).

use bytes::Bytes;
use probity_core::crypto::Digest;
use probity_core::{CommitCertificate, CommitRecord, Message, ValidatorIndex, digest_of};

use super::hands::noise;
use super::{Hands, Sin};
use crate::random::Random;

struct CatchUpLiar {
    random: Random,
    /// Answers with records in a million that are lies.
    records_ppm: u64,
    /// Certificates in a million that are.
    certificates_ppm: u64,
    /// Blocks in a million that are kept.
    kept_ppm: u64,
}

pub(super) fn make(mut random: Random) -> Box<dyn Sin> {
    let records_ppm = *random.pick(&[1_000_000, 1_000_000, 300_000, 0]);
    let certificates_ppm = *random.pick(&[1_000_000, 1_000_000, 300_000, 0]);
    let kept_ppm = *random.pick(&[0, 500_000, 1_000_000]);
    Box::new(CatchUpLiar {
        random,
        records_ppm,
        certificates_ppm,
        kept_ppm,
    })
}

impl CatchUpLiar {
    fn records(&mut self, mut records: Vec<Bytes>) -> Option<Vec<Bytes>> {
        let count = records.len() as u64;
        match self.random.below(10) {
            0 => return None,
            1 => records.clear(),
            2 if count > 2 => {
                let gap = 1 + self.random.below(count - 2);
                records.remove(usize::try_from(gap).unwrap_or(0));
            }
            3 => records.truncate(usize::try_from(self.random.below(count + 1)).unwrap_or(0)),
            4 if records.len() < 64 => records.extend(records.clone().into_iter().take(1)),
            5 => records.reverse(),
            _ => records = self.forged(&records),
        }
        Some(records)
    }

    /// From one record on a history of its own, whose digests chain; or one false record among true ones.
    fn forged(&mut self, records: &[Bytes]) -> Vec<Bytes> {
        let from = self.random.below(records.len().max(1) as u64);
        let chains = self.random.chance(500_000);
        let mut previous: Option<Digest> = None;
        let mut forged = Vec::new();
        for (at, bytes) in (0..).zip(records) {
            let Ok(mut record) = CommitRecord::decode(bytes) else {
                break;
            };
            if let Some(previous) = previous.filter(|_| chains) {
                record.previous = previous;
            }
            if at == from {
                match self.random.below(3) {
                    0 => record.timestamp_ms += 1,
                    1 => record.blocks.truncate(1),
                    _ => record.skipped.clear(),
                }
            }
            let bytes = record.encode();
            previous = Some(digest_of(&bytes));
            forged.push(bytes);
        }
        forged
    }

    /// A certificate of something else, or with too few votes, or none.
    fn certificate(&mut self, bytes: &Bytes) -> Option<Bytes> {
        let mut certificate = CommitCertificate::decode(bytes).ok()?;
        match self.random.below(5) {
            0 => return None,
            1 => return Some(Bytes::new()),
            2 => certificate.digest = noise(&mut self.random),
            3 => certificate.votes.truncate(1),
            _ => certificate.index.0 += self.random.below(10_000),
        }
        Some(certificate.encode())
    }
}

impl Sin for CatchUpLiar {
    fn send(&mut self, hands: &mut Hands<'_>, to: ValidatorIndex, frame: Bytes) {
        let lie = match Message::decode(&frame) {
            Ok(Message::Commits { first, records }) if self.random.chance(self.records_ppm) => {
                let records = self.records(records);
                records.map(|records| Message::Commits { first, records })
            }
            Ok(Message::Certificate(bytes)) if self.random.chance(self.certificates_ppm) => {
                self.certificate(&bytes).map(Message::Certificate)
            }
            Ok(Message::Fetched(_)) if self.random.chance(self.kept_ppm) => None,
            _ => return hands.send(to, frame),
        };
        if let Some(lie) = lie {
            hands.send(to, lie.encode());
        }
    }
}
