//! Commit records between the own last commit and a certificate, proved from the certificate down (R35).

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::commit::{CommitRecord, digest_of};
use crate::crypto::Digest;
use crate::finality::CommitCertificate;
use crate::id::{CommitIndex, Time, ValidatorIndex};
use crate::limits::{CATCH_UP_COMMITS_MAX, COMMITS_BYTES_MAX, COMMITS_MAX};

use super::Forked;

/// A commit that a certificate proves.
#[derive(Clone, Debug)]
pub(crate) struct Proved {
    pub(crate) record: CommitRecord,
    pub(crate) digest: Digest,
}

/// Records from `first` to `last`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Part {
    pub(super) first: CommitIndex,
    pub(super) last: CommitIndex,
}

#[derive(Clone, Debug)]
enum State {
    Unasked,
    Asked {
        peer: ValidatorIndex,
        until: Time,
    },
    /// The digests inside chain; whether they fit the part above is not known.
    Held {
        from: ValidatorIndex,
        records: Vec<Proved>,
    },
}

/// What lies between the last proved record and a certificate.
#[derive(Clone, Debug)]
pub(super) struct Window {
    certificate: Arc<CommitCertificate>,
    /// By ascending index, without gaps.
    parts: Vec<(Part, State)>,
    /// The highest record not proved yet, and the digest that it must have.
    junction: (CommitIndex, Digest),
    /// What is proved of the window, from above; highest first.
    above: Vec<Proved>,
}

/// The records of one window after the other.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    epoch: u64,
    /// The last proved record, or the own last commit.
    proved: (CommitIndex, Digest),
    window: Option<Window>,
    /// Proved and not installed.
    ready: VecDeque<Proved>,
    /// How many of them have had their blocks asked for.
    queued: usize,
    proofs: Vec<Arc<CommitCertificate>>,
}

impl Chain {
    pub(super) fn new(epoch: u64, proved: (CommitIndex, Digest)) -> Self {
        Self {
            epoch,
            proved,
            window: None,
            ready: VecDeque::new(),
            queued: 0,
            proofs: Vec::new(),
        }
    }

    pub(super) fn proved(&self) -> CommitIndex {
        self.proved.0
    }

    pub(super) fn window(&self) -> Option<&Window> {
        self.window.as_ref()
    }

    /// Whether so much is proved that the next window has to wait.
    pub(super) fn is_full(&self) -> bool {
        self.ready.len() as u64 >= CATCH_UP_COMMITS_MAX / 2
    }

    pub(super) fn records(&self) -> usize {
        let held = |(_, state): &(Part, State)| match state {
            State::Held { records, .. } => records.len(),
            State::Unasked | State::Asked { .. } => 0,
        };
        let of =
            |window: &Window| window.above.len() + window.parts.iter().map(held).sum::<usize>();
        self.ready.len() + self.window.as_ref().map_or(0, of)
    }

    /// Begins a window that ends with a certified commit, if there is none under way.
    pub(super) fn begin(&mut self, certificate: &Arc<CommitCertificate>) {
        let (proved, _) = self.proved;
        let wanted = self.window.is_none() && certificate.index > proved;
        if !wanted || certificate.index.0 - proved.0 > CATCH_UP_COMMITS_MAX {
            return;
        }
        let firsts = (proved.0 + 1..=certificate.index.0).step_by(COMMITS_MAX);
        let part = |first: u64| {
            let last = (first + COMMITS_MAX as u64 - 1).min(certificate.index.0);
            let (first, last) = (CommitIndex(first), CommitIndex(last));
            (Part { first, last }, State::Unasked)
        };
        self.window = Some(Window {
            parts: firsts.map(part).collect(),
            junction: (certificate.index, certificate.digest),
            above: Vec::new(),
            certificate: Arc::clone(certificate),
        });
    }

    /// The next part that nobody was asked for.
    pub(super) fn unasked(&self) -> Option<Part> {
        let parts = &self.window.as_ref()?.parts;
        let unasked = |(_, state): &&(Part, State)| matches!(state, State::Unasked);
        parts.iter().find(unasked).map(|(part, _)| *part)
    }

    pub(super) fn handle_asked(&mut self, part: Part, peer: ValidatorIndex, until: Time) {
        if let Some(state) = self.state(part.first) {
            *state = State::Asked { peer, until };
        }
    }

    fn state(&mut self, first: CommitIndex) -> Option<&mut State> {
        let parts = self.window.as_mut()?.parts.iter_mut();
        let mut parts = parts.filter(|(part, _)| part.first == first);
        parts.next().map(|(_, state)| state)
    }

    /// Parts that did not come in time are to be asked of others; of whom they were asked.
    pub(super) fn expire(&mut self, now: Time) -> Vec<ValidatorIndex> {
        let mut late = Vec::new();
        let parts = self.window.iter_mut().flat_map(|window| &mut window.parts);
        for (_, state) in parts {
            if let State::Asked { peer, until } = *state
                && until <= now
            {
                late.push(peer);
                *state = State::Unasked;
            }
        }
        late
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        let parts = &self.window.as_ref()?.parts;
        let until = |(_, state): &(Part, State)| match state {
            State::Asked { until, .. } => Some(*until),
            State::Unasked | State::Held { .. } => None,
        };
        parts.iter().filter_map(until).min()
    }

    /// Takes an answer; who turned out to have sent what does not fit.
    ///
    /// # Errors
    /// When what is certified does not continue what was proved before.
    pub(super) fn handle_commits(
        &mut self,
        from: ValidatorIndex,
        first: CommitIndex,
        encoded: &[Bytes],
    ) -> Result<Vec<ValidatorIndex>, Forked> {
        let epoch = self.epoch;
        let Some(window) = self.window.as_mut() else {
            return Ok(Vec::new());
        };
        let asked = |(part, state): &(Part, State)| {
            let of = matches!(state, State::Asked { peer, .. } if *peer == from);
            part.first == first && of
        };
        let Some(at) = window.parts.iter().position(asked) else {
            return Ok(Vec::new()); // Nobody waits for it any more.
        };
        let (part, _) = window.parts[at];
        let Some(records) = read_part(epoch, part, encoded) else {
            window.parts[at].1 = State::Unasked;
            return Ok(vec![from]);
        };
        let last = CommitIndex(part.first.0 + records.len() as u64 - 1);
        let mut liars = Vec::new();
        if last < part.last {
            sometimes!(CatchUpShort);
            let first = last.next();
            let rest = Part {
                first,
                last: part.last,
            };
            window.parts.insert(at + 1, (rest, State::Unasked));
            // Only what does not fit an answer may be left out.
            let bytes: usize = encoded.iter().map(Bytes::len).sum();
            if bytes < COMMITS_BYTES_MAX / 2 {
                liars.push(from);
            }
        }
        let first = part.first;
        window.parts[at] = (Part { first, last }, State::Held { from, records });
        liars.extend(self.prove()?);
        Ok(liars)
    }

    /// Goes down from the certificate as far as parts are held and fit; whose part did not.
    fn prove(&mut self) -> Result<Vec<ValidatorIndex>, Forked> {
        let Some(window) = self.window.as_mut() else {
            return Ok(Vec::new());
        };
        while let Some((part, State::Held { from, records })) = window.parts.last_mut() {
            let (index, digest) = window.junction;
            let top = records.last().map(|top| top.digest);
            if part.last != index || (top != Some(digest) && !planted!(JunctionUnchecked)) {
                sometimes!(CatchUpJunction);
                let liar = *from;
                if let Some((_, state)) = window.parts.last_mut() {
                    *state = State::Unasked;
                }
                return Ok(vec![liar]);
            }
            let below = records.first().map(|lowest| lowest.record.previous);
            window.junction = (CommitIndex(part.first.0 - 1), below.unwrap_or(Digest::ZERO));
            window
                .above
                .extend(std::mem::take(records).into_iter().rev());
            window.parts.pop();
        }
        if window.parts.is_empty() {
            return self.finish().map(|()| Vec::new());
        }
        Ok(Vec::new())
    }

    /// The whole window hangs on its certificate; it must begin where the proved records end.
    fn finish(&mut self) -> Result<(), Forked> {
        let Some(window) = self.window.take() else {
            return Ok(());
        };
        if window.junction != self.proved && !planted!(JunctionUnchecked) {
            let index = self.proved.0.next();
            return Err(Forked { index });
        }
        self.proved = (window.certificate.index, window.certificate.digest);
        self.ready.extend(window.above.into_iter().rev());
        self.proofs.push(window.certificate);
        Ok(())
    }

    /// The next proved commit.
    pub(super) fn next(&self) -> Option<&Proved> {
        self.ready.front()
    }

    pub(super) fn take(&mut self) -> Option<Proved> {
        self.queued = self.queued.saturating_sub(1);
        self.ready.pop_front()
    }

    /// The proved commits whose blocks have not been asked for; what is taken of them counts as asked for.
    pub(super) fn unqueued(&mut self) -> Unqueued<'_> {
        Unqueued { chain: self }
    }

    pub(super) fn take_proofs(&mut self) -> Vec<Arc<CommitCertificate>> {
        std::mem::take(&mut self.proofs)
    }
}

/// See [`Chain::unqueued`].
pub(super) struct Unqueued<'a> {
    chain: &'a mut Chain,
}

impl Unqueued<'_> {
    /// Whether none of the commits before the next one is waiting to be installed.
    pub(super) fn is_first(&self) -> bool {
        self.chain.queued == 0
    }

    pub(super) fn peek(&self) -> Option<&CommitRecord> {
        let next = self.chain.ready.get(self.chain.queued)?;
        Some(&next.record)
    }

    pub(super) fn advance(&mut self) {
        self.chain.queued += 1;
    }
}

/// Reads an answer; `None` unless it is a beginning of the part and its digests chain.
fn read_part(epoch: u64, part: Part, encoded: &[Bytes]) -> Option<Vec<Proved>> {
    let count = part.last.0 - part.first.0 + 1;
    let bytes: usize = encoded.iter().map(Bytes::len).sum();
    let large = bytes > COMMITS_BYTES_MAX && encoded.len() > 1;
    if encoded.is_empty() || encoded.len() as u64 > count || large {
        return None;
    }
    let mut records: Vec<Proved> = Vec::with_capacity(encoded.len());
    for (index, bytes) in (part.first.0..).zip(encoded) {
        let record = CommitRecord::decode(bytes).ok()?;
        let chains = records
            .last()
            .is_none_or(|before| before.digest == record.previous)
            || planted!(RecordsUnchained);
        if record.epoch != epoch || record.index.0 != index || !chains {
            return None;
        }
        let digest = digest_of(bytes);
        records.push(Proved { record, digest });
    }
    Some(records)
}
