//! Every plan that ever broke a promise runs clean, forever.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::path::PathBuf;

use probity_sim::plan::Plan;
use probity_sim::run::run;
use rayon::prelude::*;

#[test]
fn every_regression_runs_clean() {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} has plans", directory.display());
    let broken: Vec<String> = files.par_iter().filter_map(broken).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

fn broken(path: &PathBuf) -> Option<String> {
    let name = path.file_name().unwrap().display();
    let text = std::fs::read_to_string(path).unwrap();
    let plan: Plan = match toml::from_str(&text) {
        Ok(plan) => plan,
        Err(why) => return Some(format!("{name} is no plan: {why}")),
    };
    match run(plan) {
        Ok(report) => {
            let violation = report.violation?;
            Some(format!("{name}: {violation:?}"))
        }
        Err(why) => Some(format!("{name} cannot run: {why}")),
    }
}
