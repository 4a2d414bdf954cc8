//! The tail of an epoch (R32): after the last commit nothing is output, and blocks are empty, until votes of weight
//! `Q` prove that commit final.

use std::sync::Arc;

use crate::block::{Block, BlockRef, CommitVote};
use crate::commit::{Commit, CommitRecord};
use crate::crypto::Digest;
use crate::dag::BlockId;
use crate::epoch::{Change, Charter, EpochEnd, NextEpoch, Note, Progress};
use crate::finality::CommitCertificate;
use crate::id::{Round, Time, ValidatorIndex};
use crate::message::Message;
use crate::output::{Outcome, Output};
use crate::record::Record;

use super::Replica;

/// The last commit of the epoch is output.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    vote: CommitVote,
    record: CommitRecord,
    charter: Charter,
    /// More stake equivocated than may (R30).
    pub(super) alarm: bool,
    /// An own block with the vote was sent.
    voted: bool,
    /// The certificate is kept and sent: nothing more is to be done in this epoch.
    over: bool,
}

impl Replica {
    /// Whether the epoch is over here: the next replica takes its place.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ending.as_ref().is_some_and(|ending| ending.over)
    }

    /// The next epoch's stakes and fault bounds as far as they are ordered: what a change has to fit (R32).
    #[must_use]
    pub fn charter(&self) -> &Charter {
        self.agenda.charter()
    }

    /// Changes that the sequence has this validator's vote for, and that are not decided.
    pub fn open_changes(&self) -> impl Iterator<Item = &Change> {
        self.agenda.open_of(self.config.me)
    }

    /// R32: nothing is output after the last commit.
    pub(super) fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// R32: takes the commit's requests; what the next epoch starts from if this commit ends the one that runs, whose
    /// record then names it.
    pub(super) fn progress(
        &mut self,
        record: &mut CommitRecord,
        ordered: &[(BlockId, BlockRef, bool)],
    ) -> Option<NextEpoch> {
        let counts = ordered.iter().filter(|(_, _, void)| !void);
        let blocks = counts.map(|(id, ..)| &self.dag.entry(*id).block);
        let Progress {
            changed,
            outcomes,
            ends,
        } = self
            .agenda
            .handle_commit(&*self.config.rule, record, blocks);
        if changed {
            let agenda = Record::agenda(record.epoch, self.agenda.encode());
            self.records.push(agenda);
        }
        for (number, (change, _)) in (0..).zip(&outcomes) {
            let note = Note::Decided(change.clone());
            let at = (record.epoch, record.index, number);
            self.records.push(Record::note(at, &note));
        }
        self.change_outcomes.extend(outcomes);
        let late =
            planted!(EpochEndsLate) && self.config.me.0 == 0 && record.index.0.is_multiple_of(2);
        (ends && !late).then(|| {
            let next = NextEpoch::after(&self.committee, &self.reputation, &self.agenda);
            if next.alarm {
                let at = (record.epoch, record.index, u16::MAX);
                self.records.push(Record::note(at, &Note::SlashingAlarm));
            }
            sometimes!(EpochAlarm if next.alarm);
            record.next = next.charter.digest();
            next
        })
    }

    /// Says what became of changes, after the commit that decided it has left.
    pub(super) fn tell_changes(&mut self, commit: &Commit) {
        let index = commit.index();
        for (change, outcome) in std::mem::take(&mut self.change_outcomes) {
            sometimes!(ChangeEffective if outcome == crate::epoch::ChangeOutcome::Effective);
            self.hold(Output::Change {
                index,
                change,
                outcome,
            });
        }
    }

    /// R32, R24: the last commit is output; own blocks outside the sequence have ended.
    pub(super) fn begin_ending(&mut self, record: CommitRecord, digest: Digest, next: NextEpoch) {
        sometimes!(EpochEnding);
        self.finality.handle_epoch_end();
        self.forget_own_open(Outcome::EpochEnded);
        self.ending = Some(Ending {
            vote: CommitVote {
                index: record.index,
                digest,
            },
            record,
            charter: next.charter,
            alarm: next.alarm,
            voted: false,
            over: false,
        });
    }

    /// R36: the store ends with the epoch's last commit, and not with its certificate.
    pub(super) fn resume_ending(&mut self, next: NextEpoch) {
        let (record, digest) = self.last.clone().expect("what ends an epoch is a commit");
        sometimes!(RestartEnding);
        self.finality.handle_commit(&record, digest);
        self.begin_ending(record, digest, next);
        let vote = self.ending.as_ref().map(|ending| ending.vote);
        let own = self.own_refs.iter().rev();
        let own = own.filter_map(|own| self.dag.block(own));
        let voted = own.flat_map(|block| &block.header().commit_votes);
        if voted.copied().any(|held| Some(held) == vote)
            && let Some(ending) = &mut self.ending
        {
            ending.voted = true;
        }
    }

    /// An own block was signed and is sent.
    pub(super) fn note_own_vote(&mut self, block: &Block) {
        if let Some(ending) = &mut self.ending
            && block.header().commit_votes.contains(&ending.vote)
        {
            ending.voted = true;
        }
    }

    /// R32: ends the tail once votes of weight `Q` are here and the own one has been sent.
    pub(super) fn end_epoch(&mut self) {
        let Some(ending) = self.ending.as_ref().filter(|e| e.voted && !e.over) else {
            return;
        };
        let Some(votes) = self.finality.final_votes(&ending.vote) else {
            return;
        };
        let end = EpochEnd {
            record: ending.record.clone(),
            certificate: CommitCertificate {
                index: ending.vote.index,
                digest: ending.vote.digest,
                votes: votes.to_vec(),
            },
            charter: ending.charter.clone(),
        };
        self.finish(Arc::new(end));
    }

    /// How the epoch ended, from a peer. Whoever hands it in has verified it ([`EpochEnd::verify`]).
    pub fn handle_epoch_end(&mut self, now: Time, from: ValidatorIndex, end: Arc<EpochEnd>) {
        sometimes!(EpochEndTaken);
        match &self.ending {
            Some(ending) if ending.over => {}
            Some(ending) if ending.record == end.record => self.finish(end),
            Some(_) => {}
            None => {
                // Blocks are served through the next epoch only: has that one ended, too?
                let message = Message::Replay {
                    epoch: end.record.epoch + 1,
                    after: Round::GENESIS,
                };
                self.outputs.push_back(Output::Send { to: from, message });
                self.known_end = Some(end);
            }
        }
        self.settle(now);
        self.step(now);
    }

    /// The end of the epoch after this one, from a peer and not verified: with it the blocks that are missing here are
    /// not served any more, and the rest of this epoch is skipped. The commits between are never output here.
    ///
    /// Whether it was what it claims to be and this epoch's end is known.
    pub fn handle_later_end(&mut self, now: Time, later: &Arc<EpochEnd>) -> bool {
        let Some(end) = self.known_end.clone() else {
            return false;
        };
        let Ok(committee) = end.next_committee(&self.committee) else {
            return false;
        };
        if later.record.epoch != committee.epoch() || !later.verify(&committee) {
            return false;
        }
        sometimes!(EpochSkipped);
        self.known_end = None;
        self.forget_own_open(Outcome::Unknown);
        self.drop_in_flight();
        self.ending = Some(Ending {
            vote: CommitVote {
                index: end.record.index,
                digest: end.certificate.digest,
            },
            record: end.record.clone(),
            charter: end.charter.clone(),
            alarm: false,
            voted: false,
            over: false,
        });
        self.finish(end);
        // For the replica of that epoch.
        self.known_end = Some(Arc::clone(later));
        self.settle(now);
        self.step(now);
        true
    }

    /// R24: own blocks whose end is not known end now.
    fn forget_own_open(&mut self, outcome: Outcome) {
        while let Some((round, own)) = self.own_open.pop_first() {
            self.own_payload_bytes -= own.payload_bytes;
            sometimes!(OutcomeEpochEnded);
            self.hold(Output::Outcome { round, outcome });
        }
    }

    /// The end that was known before its commit was output here.
    pub(super) fn take_known_end(&mut self) {
        let ours = |end: &Arc<EpochEnd>| {
            let ending = self.ending.as_ref();
            ending.is_some_and(|ending| !ending.over && ending.record == end.record)
        };
        if let Some(end) = self.known_end.take_if(|end| ours(end)) {
            self.finish(end);
        }
    }

    fn finish(&mut self, end: Arc<EpochEnd>) {
        let Some(ending) = &mut self.ending else {
            return;
        };
        ending.over = true;
        sometimes!(EpochOver);
        let committee = end.next_committee(&self.committee);
        let committee = committee.expect("effective changes leave a committee");
        self.records.extend(end.records(&committee));
        // R24: also what was proposed before the last commit and signed in the tail, or not at all.
        self.forget_own_open(Outcome::EpochEnded);
        if let Some(in_flight) = self.in_flight.take() {
            let round = in_flight.proposal().header().round;
            let outcome = Outcome::EpochEnded;
            self.hold(Output::Outcome { round, outcome });
        }
        let message = Message::EpochEnd(end.encode());
        for to in self.connected.iter() {
            let message = message.clone();
            self.outputs.push_back(Output::Send { to, message });
        }
        self.hold(Output::EpochEnded(end));
    }
}
