//! `explain`: what a node's storage says about scores, replayed while the node does not run.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use probity::{CommitteeFile, Error, StoredEpoch};
use probity_core::crypto::PublicKey;
use probity_core::{Committee, ValidatorIndex};
use probity_explain::{History, Timeline, details, plot, summary, table};
use probity_storage::{LmdbStorage, Storage, StorageError};

use crate::Failure;
use crate::arguments::ExplainArguments;

pub(crate) fn run(arguments: &ExplainArguments) -> Result<(), Failure> {
    let file = CommitteeFile::load(&arguments.committee).map_err(Failure::fault)?;
    let first = Arc::new(file.committee().map_err(Failure::fault)?);
    let names = file.validators.iter();
    let names = names.map(|validator| (validator.signing_key, validator.name.clone()));
    let storage = open(&arguments.data)?;
    let replayed = Replayed::of(&storage, (&first, names.collect()), arguments.epoch)?;
    let (timeline, history) = (&replayed.timeline, replayed.asked()?);
    let standing = arguments
        .validator
        .map(|asked| standing_of(history, asked))
        .transpose()?;
    print!("{}", table(timeline, history));
    if let Some(standing) = standing.flatten() {
        let rounds = arguments.rounds.as_ref();
        print!("\n{}", details(history, standing, rounds));
    }
    if timeline.epochs().len() > 1 {
        print!("\n{}", summary(timeline));
    }
    if let Some(path) = &arguments.plot {
        let title = format!("Reputation, as stored in {}", arguments.data.display());
        write_plot(timeline, &title, path)?;
    }
    Ok(())
}

/// Draws the scores that a validator of a run that has ended has stored. `first` is the committee of the first epoch.
pub(crate) fn plot_stored(
    storage: &Arc<dyn Storage>,
    first: &Arc<Committee>,
    path: &Path,
) -> Result<(), Failure> {
    let name = |index: ValidatorIndex| {
        let member = first.member(index)?;
        Some((member.key, format!("validator-{index}")))
    };
    let names = first.indices().filter_map(name).collect();
    let replayed = Replayed::of(storage, (first, names), None)?;
    let title = "Reputation, as validator 0 has stored it";
    write_plot(&replayed.timeline, title, path)
}

/// Opens what a node has stored. Only one process can have it open, so the node must not be running.
fn open(dir: &Path) -> Result<Arc<dyn Storage>, Failure> {
    match LmdbStorage::open_existing(dir) {
        Ok(storage) => Ok(Arc::new(storage)),
        Err(locked @ (StorageError::Locked { .. } | StorageError::AlreadyOpen { .. })) => {
            Err(Failure::Fault(format!(
                "{locked}: stop its node first, or ask the running node with Node::reputation"
            )))
        }
        Err(other) => Err(Failure::fault(other)),
    }
}

/// All epochs of a storage, as far as their commits are still there.
struct Replayed {
    timeline: Timeline,
    /// The epoch that was asked for, or else the one that began last.
    epoch: u64,
    /// Why there are no scores of it.
    missing: Option<Error>,
}

impl Replayed {
    /// Each epoch is replayed from its own committee, which follows from the end of the one before.
    fn of(
        storage: &Arc<dyn Storage>,
        (first, names): (&Arc<Committee>, Vec<(PublicKey, String)>),
        asked: Option<u64>,
    ) -> Result<Self, Failure> {
        let mut replayed = Self {
            timeline: Timeline::new(names),
            epoch: asked.unwrap_or(0),
            missing: None,
        };
        for stored in probity::stored_epochs(storage, first) {
            let StoredEpoch { committee, end } = stored.map_err(Failure::fault)?;
            let history = replayed.timeline.epoch(&committee);
            let is_newest = end.is_none();
            if let Some(end) = &end {
                history.end(end);
            }
            if asked.is_none() && is_newest {
                replayed.epoch = committee.epoch();
            }
            let wanted = asked.map_or(is_newest, |asked| asked == committee.epoch());
            let note = &mut |commit: probity_core::ReplayedCommit<'_>| history.note(commit);
            match probity::replay_scores(storage, &committee, note) {
                Ok(Some(scores)) if wanted => history.explain(&scores),
                Ok(Some(scores)) => history.close(&scores),
                Ok(None) => {}
                Err(removed @ Error::EpochRemoved { .. }) => {
                    replayed.missing = wanted.then_some(removed).or(replayed.missing);
                }
                Err(other) => return Err(Failure::fault(other)),
            }
        }
        Ok(replayed)
    }

    /// The epoch that is explained.
    fn asked(&self) -> Result<&History, Failure> {
        let epoch = self.epoch;
        let newest = self.timeline.epochs().last().map_or(0, History::epoch);
        let Some(history) = self.timeline.of_epoch(epoch) else {
            return Err(Failure::Usage(format!(
                "epoch {epoch} has not begun here; the newest epoch is {newest}"
            )));
        };
        let held = self.held();
        if let Some(missing) = &self.missing {
            return Err(Failure::Fault(format!("{missing}; {held}")));
        }
        // Of the newest one there may be no commit yet.
        if history.last().is_none() && epoch < newest {
            return Err(Failure::Fault(format!(
                "no commit of epoch {epoch} is stored here: the node joined later, or left that epoch without \
                 its commits; ask another validator; {held}"
            )));
        }
        Ok(history)
    }

    /// Which epochs could be asked for.
    fn held(&self) -> String {
        let scored = self.timeline.epochs().iter();
        let scored = scored.filter(|history| history.last().is_some());
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for epoch in scored.map(History::epoch) {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == epoch => *last = epoch,
                _ => runs.push((epoch, epoch)),
            }
        }
        let words = |(first, last): &(u64, u64)| match first == last {
            true => first.to_string(),
            false => format!("{first} to {last}"),
        };
        match runs.len() {
            0 => "no epoch's scores are held here".to_owned(),
            _ => {
                let words: Vec<String> = runs.iter().map(words).collect();
                format!("held here are the scores of epochs {}", words.join(", "))
            }
        }
    }
}

/// A validator's standing in an epoch; none before its first commit.
fn standing_of(history: &History, asked: u16) -> Result<Option<&probity_core::Standing>, Failure> {
    let (validators, epoch) = (history.validators(), history.epoch());
    if usize::from(asked) >= validators {
        let why = format!(
            "there is no validator {asked}; the committee of epoch {epoch} has {validators}"
        );
        return Err(Failure::Usage(why));
    }
    Ok(history.standings().get(usize::from(asked)))
}

fn write_plot(timeline: &Timeline, title: &str, path: &Path) -> Result<(), Failure> {
    let svg = plot(timeline, title).map_err(Failure::fault)?;
    fs::write(path, svg)
        .map_err(|why| Failure::Fault(format!("cannot write {}: {why}", path.display())))
}

#[cfg(test)]
mod tests;
