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
    if let Some(asked) = arguments
        .validator
        .filter(|v| usize::from(*v) >= validators)
    {
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
                "{locked}: stop its node first, or ask the running node with Node::reputation"
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use clap::Parser as _;

    use super::*;
    use crate::arguments::{Arguments, Command};
    use crate::cluster::{Cluster, Next, Plan, next_commit};

    /// Validators that have committed a few rounds and were stopped.
    fn stopped(line: &str) -> Cluster {
        let words = ["probity-bench", "local", "--transport", "memory"].into_iter();
        let Command::Local(options) =
            Arguments::parse_from(words.chain(line.split_whitespace())).into_command()
        else {
            panic!("not local");
        };
        let plan = Plan::new(&options).unwrap_or_else(|why| panic!("{why:?}"));
        let cluster = plan.start().unwrap_or_else(|why| panic!("{why:?}"));
        let mut commits = cluster.nodes[0].commits_after(cluster.after);
        loop {
            let patience = std::time::Duration::from_secs(60);
            let Next::Commit(commit) = next_commit(&mut commits, patience) else {
                panic!("no commit");
            };
            if commit.record.leader.round.0 >= 12 {
                break;
            }
        }
        cluster.stop();
        cluster
    }

    #[test]
    fn what_a_run_in_memory_has_stored_is_replayed_and_drawn() {
        let home = tempfile::tempdir().unwrap();
        let cluster = stopped("--storage memory --validators 4");
        let path = home.path().join("plot.svg");
        plot_stored(cluster.storage(), &cluster.committee, &path).unwrap();
        let svg = fs::read_to_string(path).unwrap();
        assert!(svg.contains("voting weight") && svg.contains("leader round"));
        let history = history(cluster.storage(), &cluster.committee).unwrap();
        assert_eq!(history.standings().len(), 4);
        assert!(history.standings()[0].scored_rounds >= 9);
    }

    #[test]
    fn a_directory_of_a_stopped_node_is_explained_and_that_of_a_running_one_is_not() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("cluster");
        let cluster = stopped(&format!("--validators 1 --data {}", dir.display()));
        let explain = |data: PathBuf, validator| {
            run(&ExplainArguments {
                data,
                committee: dir.join("committee.toml"),
                validator,
                rounds: None,
                plot: Some(home.path().join("plot.svg")),
            })
        };
        let data = dir.join("data/node-0");
        let refused = |result, words: &str| match result {
            Err(Failure::Fault(why) | Failure::Usage(why)) => {
                assert!(why.contains(words), "{why}");
            }
            Ok(()) => panic!("not refused, but should be for: {words}"),
        };
        refused(explain(data.clone(), None), "stop its node first");
        drop(cluster);
        // The thread that waited for the node's end may hold the storage a moment longer.
        let asked = std::time::Instant::now();
        while explain(data.clone(), Some(0)).is_err() {
            assert!(asked.elapsed() < std::time::Duration::from_secs(60));
            std::thread::yield_now();
        }
        assert!(home.path().join("plot.svg").exists());
        refused(explain(data, Some(1)), "the committee has 1");
        refused(explain(dir.join("nowhere"), None), "no storage");
    }
}
