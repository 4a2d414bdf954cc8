//! Where an application asks the core about scores, and what a store alone says about them (R31).

use std::sync::Arc;

use crossbeam::channel::{RecvTimeoutError, Sender, bounded};
use probity_core::{Committee, RecoverError, ReplayedCommit, Scoring, Standing, ValidatorIndex};
use probity_storage::Storage;

use crate::core_thread::Question;
use crate::error::{Error, ReputationError};
use crate::health::{Health, NAP, StopReason};
use crate::records::Records;
use crate::wake::Bell;

/// Takes questions to the core, which answers one a step.
pub(crate) struct Desk {
    questions: Sender<Question>,
    bell: Bell,
}

impl Desk {
    pub(crate) fn new(questions: Sender<Question>, bell: Bell) -> Self {
        Self { questions, bell }
    }

    /// Waits for the core to come to the question.
    pub(crate) fn ask(
        &self,
        validator: ValidatorIndex,
        health: &Health,
    ) -> Result<Option<Standing>, ReputationError> {
        let stopped = || {
            let why = health.reason().unwrap_or(StopReason::Requested);
            Err(ReputationError::Stopped(why))
        };
        let (reply, answer) = bounded(1);
        if self.questions.send(Question { validator, reply }).is_err() {
            return stopped();
        }
        self.bell.ring();
        loop {
            match answer.recv_timeout(NAP) {
                Ok(standing) => return Ok(standing),
                Err(RecvTimeoutError::Timeout) if !health.is_stopping() => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return stopped();
                }
            }
        }
    }
}

/// Replays the scores of a stored epoch without a running node, and shows each commit to `visit`; `None` when there is
/// no commit. It begins with the epoch's first commit, or after the stored scores when retention has removed that one.
///
/// # Errors
/// When the storage fails, belongs to another committee, or contradicts itself.
pub fn replay_scores(
    storage: &Arc<dyn Storage>,
    committee: &Arc<Committee>,
    visit: &mut dyn FnMut(ReplayedCommit<'_>),
) -> Result<Option<Scoring>, Error> {
    let records = Records(Arc::clone(storage));
    let replayed: Result<_, RecoverError<_>> =
        probity_core::replay_scores(&records, committee, visit);
    replayed.map_err(Error::recover)
}
