//! A commit certificate that leaves the core or is kept convinces whoever knows nothing but the committee, and names the
//! agreed commit; and each that leaves it is higher than those before (R25, R35).

use std::collections::BTreeMap;

use probity_core::crypto::Digest;
use probity_core::record::{Record, RecordTable};
use probity_core::{CommitCertificate, CommitIndex, Rule, Tally};

use super::bound::Bound;
use super::{Checker, Observation, Scene};

#[derive(Default)]
pub(super) struct Certificates {
    bound: Bound,
    agreed: BTreeMap<CommitIndex, Digest>,
    /// By process: the highest of this life.
    highest: BTreeMap<usize, CommitIndex>,
}

impl Checker for Certificates {
    fn promise(&self) -> &'static str {
        "commit certificates hold, name the agreed commit, and rise"
    }

    fn look(&mut self, scene: &Scene<'_>, seen: &Observation<'_>) -> Result<(), String> {
        for record in self.bound.news(scene, seen) {
            let digest = record.digest();
            self.agreed.entry(record.index).or_insert(digest);
        }
        if let Observation::Started { .. } = seen {
            self.highest.remove(&scene.process);
        }
        if let Observation::Persisting(records) = seen {
            return self.check_kept(scene, records);
        }
        let Observation::Certified(certificate) = seen else {
            return Ok(());
        };
        self.check(scene, certificate)?;
        let index = certificate.index;
        let before = self.highest.get(&scene.process).copied();
        if before.is_some_and(|before| before >= index) {
            return Err(format!(
                "the certificate of commit {index} follows that of {}",
                before.unwrap_or_default()
            ));
        }
        self.highest.insert(scene.process, index);
        Ok(())
    }
}

impl Certificates {
    fn check(&self, scene: &Scene<'_>, certificate: &CommitCertificate) -> Result<(), String> {
        let index = certificate.index;
        if !certificate.verify(scene.committee) {
            return Err(format!("the certificate of commit {index} does not hold"));
        }
        let weight = weight(scene, certificate);
        let least = certifying_weight(scene);
        if weight < least {
            return Err(format!(
                "the votes for commit {index} weigh {weight}, a certificate takes {least}"
            ));
        }
        // A correct validator voted, so it had output the commit.
        let agreed = self.agreed.get(&index);
        if agreed != Some(&certificate.digest) {
            let named = certificate.digest;
            return Err(format!(
                "commit {index} is {agreed:?}, certified is {named:?}"
            ));
        }
        Ok(())
    }

    /// Those that are served to whoever catches up.
    fn check_kept(&self, scene: &Scene<'_>, records: &[Record]) -> Result<(), String> {
        let of_table = |record: &&Record| record.table == RecordTable::Certificates;
        for record in records.iter().filter(of_table) {
            let certificate = CommitCertificate::decode(&record.value)
                .map_err(|why| format!("a certificate that is kept: {why}"))?;
            self.check(scene, &certificate)?;
        }
        Ok(())
    }
}

/// R25, R1: `V`, in fast mode `Q`, derived anew.
fn certifying_weight(scene: &Scene<'_>) -> u64 {
    let thresholds = scene.committee.thresholds();
    let (total, byzantine) = (thresholds.total, thresholds.byzantine);
    match thresholds.rule {
        Rule::Fast => total - byzantine - thresholds.crashed,
        Rule::Classic | Rule::Dual => (total + byzantine) / 2 + 1,
    }
}

fn weight(scene: &Scene<'_>, certificate: &CommitCertificate) -> u64 {
    let mut tally = Tally::default();
    for vote in &certificate.votes {
        tally.add(vote.slot.author, scene.committee);
    }
    tally.weight()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use probity_core::record::{Record, RecordTable};
    use probity_core::{Commit, CommitCertificate};

    use super::Certificates;
    use crate::checker::Observation;
    use crate::checker::stage::Stage;

    fn certified(checker: &mut Certificates, stage: &Stage, of: &CommitCertificate) -> String {
        let seen = Observation::Certified(of);
        stage.look(checker, 0, &seen).err().unwrap_or_default()
    }

    fn after(stage: &Stage, commits: &[Commit]) -> Certificates {
        let mut checker = Certificates::default();
        for commit in commits {
            assert_eq!(stage.commit(&mut checker, 0, commit), Ok(()));
        }
        checker
    }

    #[test]
    fn a_certificate_that_does_not_hold_is_seen() {
        let stage = Stage::full_dag(4);
        let commits = stage.commits();
        let mut checker = after(&stage, &commits);
        let mut light = stage.certificate(&commits[0], 3);
        assert_eq!(certified(&mut checker, &stage, &light), "");
        light.votes.pop();
        assert!(certified(&mut checker, &stage, &light).contains("does not hold"));
    }

    #[test]
    fn a_certificate_of_another_commit_is_seen() {
        let stage = Stage::full_dag(4);
        let commits = stage.commits();
        let mut checker = after(&stage, &commits[..1]);
        let mut other = commits[0].clone();
        other.digest.0[0] ^= 1;
        let wrong = stage.certificate(&other, 4);
        assert!(certified(&mut checker, &stage, &wrong).contains("certified is"));
        let unknown = stage.certificate(&commits[1], 4);
        assert!(certified(&mut checker, &stage, &unknown).contains("is None"));
    }

    #[test]
    fn a_certificate_that_does_not_hold_is_not_kept() {
        let stage = Stage::full_dag(4);
        let commits = stage.commits();
        let mut checker = after(&stage, &commits);
        let mut kept = |votes| {
            let certificate = stage.certificate(&commits[0], votes);
            let record = Record {
                table: RecordTable::Certificates,
                key: Bytes::new(),
                value: certificate.encode(),
            };
            let seen = Observation::Persisting(&[record]);
            stage.look(&mut checker, 0, &seen).err().unwrap_or_default()
        };
        assert_eq!(kept(3), "");
        assert!(kept(2).contains("does not hold"));
    }

    #[test]
    fn a_certificate_that_does_not_rise_is_seen() {
        let stage = Stage::full_dag(4);
        let commits = stage.commits();
        let mut checker = after(&stage, &commits);
        let of = |at: usize| stage.certificate(&commits[at], 4);
        assert_eq!(certified(&mut checker, &stage, &of(1)), "");
        assert!(certified(&mut checker, &stage, &of(0)).contains("follows"));
        assert!(certified(&mut checker, &stage, &of(1)).contains("follows"));
    }
}
