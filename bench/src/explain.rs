//! `explain`: what a node's storage says about scores, replayed while the node does not run.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use probity::CommitteeFile;
use probity_core::Committee;
use probity_explain::{History, details, plot, table};
use probity_storage::{LmdbStorage, Storage, StorageError};

use crate::Failure;
use crate::arguments::ExplainArguments;

pub(crate) fn run(arguments: &ExplainArguments) -> Result<(), Failure> {
    let file = CommitteeFile::load(&arguments.committee).map_err(Failure::fault)?;
    let committee = Arc::new(file.committee().map_err(Failure::fault)?);
    let validators = committee.size();
    if let Some(asked) = arguments.validator.filter(|v| usize::from(*v) >= validators) {
        let why = format!("there is no validator {asked}; the committee has {validators}");
        return Err(Failure::Usage(why));
    }
    let storage = open(&arguments.data)?;
    let history = history(&storage, &committee)?;
    print!("{}", table(&history));
    let asked = arguments.validator.map(usize::from);
    if let Some(standing) = asked.and_then(|v| history.standings().get(v)) {
        let rounds = arguments.rounds.as_ref();
        print!("\n{}", details(&history, standing, rounds));
    }
    if let Some(path) = &arguments.plot {
        let title = format!("Reputation, as stored in {}", arguments.data.display());
        write_plot(&history, &title, path)?;
    }
    Ok(())
}

/// Draws the scores that a validator of a run that has ended has stored.
pub(crate) fn plot_stored(
    storage: &Arc<dyn Storage>,
    committee: &Arc<Committee>,
    path: &Path,
) -> Result<(), Failure> {
    let history = history(storage, committee)?;
    write_plot(&history, "Reputation, as validator 0 has stored it", path)
}

/// Opens what a node has stored. Only one process can have it open, so the node must not be running.
fn open(dir: &Path) -> Result<Arc<dyn Storage>, Failure> {
    match LmdbStorage::open_existing(dir) {
        Ok(storage) => Ok(Arc::new(storage)),
        Err(locked @ (StorageError::Locked { .. } | StorageError::AlreadyOpen { .. })) => {
            Err(Failure::Fault(format!(
                "{locked}: its node is running; stop it, copy its storage, or ask it with Node::reputation"
            )))
        }
        Err(other) => Err(Failure::fault(other)),
    }
}

fn history(storage: &Arc<dyn Storage>, committee: &Arc<Committee>) -> Result<History, Failure> {
    let mut history = History::default();
    let scores = probity::replay_scores(storage, committee, &mut |commit| history.note(commit));
    if let Some(scores) = scores.map_err(Failure::fault)? {
        history.end(scores.standings());
    }
    Ok(history)
}

fn write_plot(history: &History, title: &str, path: &Path) -> Result<(), Failure> {
    let svg = plot(history, title).map_err(Failure::fault)?;
    fs::write(path, svg)
        .map_err(|why| Failure::Fault(format!("cannot write {}: {why}", path.display())))
}
