//! Every plan that failed once is run again, forever.

use std::path::{Path, PathBuf};

use probity_sim::plan::Plan;
use probity_sim::run::run;

fn plans() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let files = std::fs::read_dir(folder).expect("the folder is part of the repository");
    let paths = files.map(|file| file.expect("the folder can be listed").path());
    let is_plan = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "toml");
    let mut plans: Vec<PathBuf> = paths.filter(is_plan).collect();
    plans.sort();
    plans
}

#[test]
fn every_plan_that_failed_once_keeps_all_promises() {
    for path in plans() {
        let plan = Plan::read(&path).unwrap_or_else(|why| panic!("{why}"));
        let report = run(plan).expect("the plan was checked");
        let path = path.display();
        assert_eq!(report.violation, None, "probity-sim replay --plan {path}");
    }
}
