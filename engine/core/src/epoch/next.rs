//! What an epoch's last commit makes of the next epoch (R30, R32).

use crate::committee::Committee;
use crate::epoch::{Agenda, Charter};
use crate::reputation::{Reputation, reweigh};

/// What the next epoch starts from; a function of the prefix up to the last commit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct NextEpoch {
    /// With the weights that the epoch's scores make of its stakes.
    pub(crate) charter: Charter,
    /// More stake equivocated than may be Byzantine (R30).
    pub(crate) alarm: bool,
}

impl NextEpoch {
    /// After a commit that ends the epoch: the agenda and the scores have taken it already.
    pub(crate) fn after(committee: &Committee, reputation: &Reputation, agenda: &Agenda) -> Self {
        let mut charter = agenda.charter().clone();
        let next = reweigh(committee, reputation.table(), &charter.roster);
        charter.roster = next.roster;
        Self {
            charter,
            alarm: next.alarm,
        }
    }
}
