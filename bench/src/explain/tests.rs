use std::path::PathBuf;

use clap::Parser as _;
use probity_core::EpochEnd;
use probity_core::record::{RecordTable, commit_key};
use probity_storage::{Batch, Table};

use super::*;
use crate::arguments::{Arguments, Command};
use crate::cluster::{Cluster, Next, Plan, next_commit};

/// Validators that have committed a few rounds and an epoch, and were stopped. Idle, they make five rounds a second.
fn stopped(line: &str, epoch: u64) -> Cluster {
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
        let few = if epoch == 0 { 12 } else { 4 };
        if commit.record.epoch >= epoch && commit.record.leader.round.0 >= few {
            break;
        }
    }
    cluster.stop();
    cluster
}

#[test]
fn what_a_run_in_memory_has_stored_is_replayed_and_drawn() {
    let home = tempfile::tempdir().unwrap();
    let cluster = stopped("--storage memory --validators 4", 0);
    let path = home.path().join("plot.svg");
    plot_stored(cluster.storage(), &cluster.committee, &path).unwrap();
    let svg = fs::read_to_string(path).unwrap();
    assert!(svg.contains("voting weight") && svg.contains("validator-3: 25.0 %"));
    let replayed = replayed(&cluster, None);
    let history = replayed.asked().unwrap();
    assert_eq!(history.standings().len(), 4);
    assert!(history.standings()[0].scored_rounds >= 9);
}

/// What validator 0 has stored.
fn replayed(cluster: &Cluster, epoch: Option<u64>) -> Replayed {
    let first = (&cluster.committee, Vec::new());
    Replayed::of(cluster.storage(), first, epoch).unwrap()
}

fn refused<T>(result: Result<T, Failure>, words: &str) {
    match result {
        Err(Failure::Fault(why) | Failure::Usage(why)) => {
            assert!(why.contains(words), "{why}");
        }
        Ok(_) => panic!("not refused, but should be for: {words}"),
    }
}

#[test]
fn each_epoch_is_explained_by_itself_and_all_are_in_one_picture() {
    let home = tempfile::tempdir().unwrap();
    let cluster = stopped("--storage memory --validators 4 --epoch-length 1s", 2);
    let newest = replayed(&cluster, None);
    assert!(newest.epoch >= 2);
    let mut before = None;
    for epoch in 0..newest.epoch {
        let replayed = replayed(&cluster, Some(epoch));
        let history = replayed.asked().unwrap();
        assert_eq!((history.epoch(), history.standings().len()), (epoch, 4));
        let text = table(&replayed.timeline, history);
        assert!(text.starts_with(&format!("epoch {epoch}, after")), "{text}");
        let standing = standing_of(history, 3).unwrap().unwrap();
        let text = details(history, standing, None);
        assert!(text.starts_with(&format!("validator 3 in epoch {epoch}")));
        let last = history.last();
        assert!(last.map(|(index, _)| index) > before.map(|(index, _)| index));
        before = last;
    }
    let text = summary(&newest.timeline);
    assert!(text.matches("250000").count() >= 3 * 4, "{text}");
    let beyond = replayed(&cluster, Some(newest.epoch + 1));
    refused(beyond.asked(), "has not begun here; the newest epoch is");
    let path = home.path().join("plot.svg");
    plot_stored(cluster.storage(), &cluster.committee, &path).unwrap();
    let svg = fs::read_to_string(path).unwrap();
    assert!(svg.contains("epoch 1") && svg.contains("epoch 2"));

    // Retention takes the first epoch away, and only that.
    let first = cluster.committee.as_ref();
    let key = probity_core::record::epoch_key(first.epoch());
    let storage = cluster.storage();
    let end = storage.read(Table::new(RecordTable::EpochEnd as u8), &key);
    let end = EpochEnd::decode(&end.unwrap().unwrap()).unwrap();
    let mut batch = Batch::new();
    let upto = commit_key(end.record.index.next());
    let commits = Table::new(RecordTable::Commits as u8);
    batch.remove_range(commits, bytes::Bytes::new(), upto);
    storage.write(&batch).unwrap();
    let removed = replayed(&cluster, Some(0));
    refused(removed.asked(), "raise `retain`");
    refused(removed.asked(), "held here are the scores of epochs 1 to");
    let later = replayed(&cluster, Some(1));
    assert_eq!(later.asked().unwrap().standings().len(), 4);
    assert!(summary(&later.timeline).contains("not here, to"));
}

#[test]
fn a_directory_of_a_stopped_node_is_explained_and_that_of_a_running_one_is_not() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("cluster");
    let cluster = stopped(&format!("--validators 1 --data {}", dir.display()), 0);
    let explain = |data: PathBuf, validator| {
        run(&ExplainArguments {
            data,
            committee: dir.join("committee.toml"),
            epoch: None,
            validator,
            rounds: None,
            plot: Some(home.path().join("plot.svg")),
        })
    };
    let data = dir.join("data/node-0");
    refused(explain(data.clone(), None), "stop its node first");
    drop(cluster);
    // The thread that waited for the node's end may hold the storage a moment longer.
    let asked = std::time::Instant::now();
    while explain(data.clone(), Some(0)).is_err() {
        assert!(asked.elapsed() < std::time::Duration::from_secs(60));
        std::thread::yield_now();
    }
    assert!(home.path().join("plot.svg").exists());
    refused(explain(data, Some(1)), "the committee of epoch 0 has 1");
    refused(explain(dir.join("nowhere"), None), "no storage");
}
