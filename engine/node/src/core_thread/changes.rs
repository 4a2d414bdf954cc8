//! Changes of the committee that this validator asks for (R32).

use std::collections::BTreeSet;

use bytes::Bytes;
use probity_core::limits::{CHANGES_OPEN_PER_AUTHOR_MAX, CHANGES_PER_BLOCK_MAX, CONTACT_BYTES_MAX};
use probity_core::{Change, Charter, EpochRule as _, Replica, Round, VotedChanges};

use crate::config::ValidatorInfo;
use crate::contact::Contact;
use crate::error::ChangeError;

use super::Core;

impl Core {
    /// Takes a change into the next own block that has room, if it fits what is ordered so far.
    pub(super) fn take_change(&mut self, change: Change) -> Result<(), ChangeError> {
        let rule = self.habits.rule.name();
        if rule != VotedChanges.name() {
            let rule = rule.to_owned();
            return Err(ChangeError::NoVotes { rule });
        }
        let Some(replica) = &self.replica else {
            return Err(ChangeError::NotMember);
        };
        check(replica.charter(), &change, self.hands.links.listed())?;
        let proposed = self.proposed_changes.values().flatten();
        let open = self.changes.iter().chain(proposed);
        // What was ordered a moment ago is in two places.
        let open: BTreeSet<&Change> = open.chain(replica.open_changes()).collect();
        if open.len() >= CHANGES_OPEN_PER_AUTHOR_MAX && !open.contains(&change) {
            return Err(ChangeError::TooMany);
        }
        if !self.changes.contains(&change) {
            self.changes.push_back(change);
        }
        self.look_at_pending(self.clock.now());
        Ok(())
    }

    /// The front of the next own block's payload.
    pub(super) fn take_changes(&mut self, round: Round) -> Vec<Bytes> {
        let count = self.changes.len().min(CHANGES_PER_BLOCK_MAX);
        let changes: Vec<Change> = self.changes.drain(..count).collect();
        let encoded = changes.iter().map(Change::encode).collect();
        if !changes.is_empty() {
            self.proposed_changes.insert(round, changes);
        }
        encoded
    }

    /// What no longer fits the epoch's charter is not asked for in it; and the epoch that was to end has ended.
    pub(super) fn drop_unfit_changes(&mut self) {
        let charter = self.replica.as_ref().map(Replica::charter);
        let listed = self.hands.links.listed();
        self.changes.retain(|change| *change != Change::EndEpoch);
        self.changes.retain(|change| {
            let fits = charter.is_some_and(|charter| check(charter, change, listed).is_ok());
            if !fits {
                tracing::warn!(
                    ?change,
                    "a change is given up: it does not fit the new epoch"
                );
            }
            fits
        });
    }
}

/// Whether a change can be carried by a block, and leaves a committee whose members can reach each other.
fn check(charter: &Charter, change: &Change, listed: &[ValidatorInfo]) -> Result<(), ChangeError> {
    charter.with(change).map_err(ChangeError::Refused)?;
    let Change::Stake {
        key,
        stake,
        contact,
    } = change
    else {
        return Ok(());
    };
    // With a change that is not read back, the own block would be one that nobody takes.
    let is_read = contact.len() <= CONTACT_BYTES_MAX && Change::decode(&change.encode()).is_ok();
    if !is_read {
        return Err(ChangeError::Unreadable);
    }
    let seated = charter.roster.seat(key).is_some();
    if contact.is_empty() && (seated || *stake == 0) {
        return Ok(());
    }
    let contact = Contact::decode(contact).ok_or(ChangeError::Contact)?;
    let seats = charter.roster.seats().iter();
    let mut others = seats.filter(|seat| seat.key != *key);
    let taken = others.any(|seat| {
        Contact::of(seat, listed).is_some_and(|held| held.network_key == contact.network_key)
    });
    if taken {
        return Err(ChangeError::NetworkKeyTaken);
    }
    Ok(())
}
