//! The epochs of a run in a row. Validators are followed by their keys, for places in committees change.

use std::collections::BTreeMap;

use probity_core::Committee;
use probity_core::crypto::PublicKey;

use crate::History;

/// The histories of a run's epochs, and what validators are called.
#[derive(Clone, Default, Debug)]
pub struct Timeline {
    epochs: Vec<History>,
    names: BTreeMap<PublicKey, String>,
}

impl Timeline {
    /// Before the first epoch. Who is not named here is called by the first digits of its key.
    #[must_use]
    pub fn new(names: impl IntoIterator<Item = (PublicKey, String)>) -> Self {
        Self {
            epochs: Vec::new(),
            names: names.into_iter().collect(),
        }
    }

    /// The history of a committee's epoch, which begins if it is not the last one.
    pub fn epoch(&mut self, committee: &Committee) -> &mut History {
        let known = self.epochs.last().map(History::epoch);
        if known != Some(committee.epoch()) {
            self.epochs.push(History::new(committee));
        }
        self.epochs.last_mut().expect("one was just added")
    }

    /// All of them, in order.
    #[must_use]
    pub fn epochs(&self) -> &[History] {
        &self.epochs
    }

    /// One of them.
    #[must_use]
    pub fn of_epoch(&self, epoch: u64) -> Option<&History> {
        self.epochs.iter().find(|history| history.epoch == epoch)
    }

    /// What a key's owner is called.
    #[must_use]
    pub fn name(&self, key: &PublicKey) -> String {
        let named = self.names.get(key).cloned();
        named.unwrap_or_else(|| format!("{key:?}").chars().take(8).collect())
    }

    /// Everybody who ever had a seat, in the order in which they came.
    pub(crate) fn keys(&self) -> Vec<PublicKey> {
        let mut keys: Vec<PublicKey> = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        for (key, _) in self.epochs.iter().flat_map(|history| &history.seats) {
            if seen.insert(*key) {
                keys.push(*key);
            }
        }
        keys
    }
}
