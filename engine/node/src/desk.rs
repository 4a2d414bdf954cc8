//! Where an application asks the core about scores (R31), and for changes of the committee (R32).

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use probity_core::{Change, Standing, ValidatorIndex};

use crate::error::{ChangeError, ReputationError};
use crate::health::{Health, NAP, StopReason};
use crate::wake::Bell;

/// What somebody wants of the core; each has room for one answer.
pub(crate) enum Question {
    /// Why a validator's score is what it is (R31); the answer is none when another epoch runs.
    Standing {
        of: ValidatorIndex,
        epoch: u64,
        reply: Sender<Option<Option<Standing>>>,
    },
    /// Ask the validators for a change of the committee (R32).
    Change {
        change: Box<Change>,
        reply: Sender<Result<(), ChangeError>>,
    },
}

/// Takes questions to the core, which answers one a step.
pub(crate) struct Desk {
    questions: Sender<Question>,
    bell: Bell,
}

impl Desk {
    pub(crate) fn new(questions: Sender<Question>, bell: Bell) -> Self {
        Self { questions, bell }
    }

    /// A validator's standing in the running epoch; the outer none when another one runs.
    pub(crate) fn standing(
        &self,
        (of, epoch): (ValidatorIndex, u64),
        health: &Health,
    ) -> Result<Option<Option<Standing>>, ReputationError> {
        let (reply, answer) = bounded(1);
        let question = Question::Standing { of, epoch, reply };
        self.ask(question, &answer, health)
            .map_err(ReputationError::Stopped)
    }

    /// Has a change asked for.
    pub(crate) fn change(&self, change: Change, health: &Health) -> Result<(), ChangeError> {
        let (reply, answer) = bounded(1);
        let question = Question::Change {
            change: Box::new(change),
            reply,
        };
        self.ask(question, &answer, health)
            .map_err(ChangeError::Stopped)?
    }

    /// Waits for the core to come to the question.
    fn ask<T>(
        &self,
        question: Question,
        answer: &Receiver<T>,
        health: &Health,
    ) -> Result<T, StopReason> {
        let stopped = || health.reason().unwrap_or(StopReason::Requested);
        self.questions.send(question).map_err(|_| stopped())?;
        self.bell.ring();
        loop {
            match answer.recv_timeout(NAP) {
                Ok(answer) => return Ok(answer),
                Err(RecvTimeoutError::Timeout) if !health.is_stopping() => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return Err(stopped());
                }
            }
        }
    }
}
