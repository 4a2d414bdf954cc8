//! The command as a user runs it: exit codes, messages, and what it prints.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::path::Path;
use std::process::{Command, Output};

use probity_core::Profile;
use probity_sim::plan::{Draws, Plan, Sinner};
use probity_sim::run::run;

fn sim(line: &str) -> Output {
    let command = Command::new(env!("CARGO_BIN_EXE_probity-sim"))
        .args(line.split_whitespace())
        .output();
    command.expect("the command starts")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("the output is text")
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("the messages are text")
}

/// The value of a row of a printed table.
fn row<'a>(text: &'a str, name: &str) -> &'a str {
    let row = text
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(name));
    row.unwrap_or_else(|| panic!("no row {name}: {text}"))
        .trim()
}

#[test]
fn what_cannot_be_is_refused_with_exit_code_2() {
    let cases = [
        (
            "run --seeds 0..9 --scenario nonsense",
            "there are: swarm, calm",
        ),
        ("run --seeds 9..3", "the range ends before it starts"),
        ("run --seeds 9..9", "the range ends before it starts"),
        ("run --seeds 9", "expected FIRST..END"),
        ("run --seeds 0..9 --validators 0", "1 to 256"),
        ("run --seeds 0..9 --profile fast99", "dual30"),
        ("run --seeds 0..9 --weights 1,0,1,1", "weight 0"),
        (
            "run --seeds 0..9 --weights 18446744073709551615,1",
            "overflow",
        ),
        (
            "run --seeds 0..9 --weights 1,1,1,1 --byzantine 2",
            "impossible committee",
        ),
        ("run --seeds 0..9 --seconds 0", "1 to 86400"),
        ("replay", "--seed"),
        ("replay --plan no-such-file.toml", "no-such-file.toml"),
        (
            "dag --seed 1 --rounds 20..10",
            "the range ends before it starts",
        ),
        (
            "explain --seed 1 --scenario troubled --validator 10",
            "the committee has 10",
        ),
        ("explain --seed 1 --rounds 3..5", "--validator"),
        ("wan --validators 4", "--regions"),
        ("wan --regions 14", "1 to 13"),
        ("wan --delay 100..50", "the range ends before it starts"),
        (
            "wan --delay 50..100 --validators 10 --crash 4",
            "without 3 of them at most",
        ),
        ("wan --delay 50..100 --seconds 10", "--warm-up"),
        (
            "shrink --seed 1 --scenario calm --seconds 1",
            "nothing to shrink",
        ),
    ];
    for (line, words) in cases {
        let output = sim(line);
        assert_eq!(output.status.code(), Some(2), "{line}: {}", err(&output));
        assert!(err(&output).contains(words), "{line}: {}", err(&output));
    }
}

type Change = fn(&mut Plan);

#[test]
fn a_plan_file_that_cannot_be_run_is_named_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.toml");
    let broken: [(Change, &str); 3] = [
        (|plan| plan.committee.weights = vec![1, 0, 1], "weight 0"),
        (
            |plan| plan.committee.byzantine = Some(u64::MAX / 4),
            "impossible committee",
        ),
        (
            |plan| plan.committee.profile = "fast99".to_owned(),
            "fast99",
        ),
    ];
    for (change, words) in broken {
        let mut plan = Draws::of_scenario("calm").unwrap().plan(1).unwrap();
        change(&mut plan);
        refused(&path, &plan.to_toml(), words);
    }
    refused(&path, "seed = 1", "missing field");
    refused(&path, "not a plan", "is no plan");
}

fn refused(path: &Path, text: &str, words: &str) {
    std::fs::write(path, text).unwrap();
    let output = sim(&format!("replay --plan {}", path.display()));
    assert_eq!(output.status.code(), Some(2), "{text}");
    let message = err(&output);
    assert!(
        message.contains(words) && message.contains("plan.toml"),
        "{message}"
    );
}

#[test]
fn a_plan_survives_being_written_down() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.toml");
    for seed in 0..200 {
        let plan = Draws::of_scenario("swarm").unwrap().plan(seed).unwrap();
        std::fs::write(&path, plan.to_toml()).unwrap();
        assert_eq!(Plan::read(&path).unwrap(), plan);
    }
}

#[test]
fn a_few_seeds_are_summed_up_on_the_screen_and_in_json() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("summary.json");
    let line = "run --seeds 5..9 --scenario calm --validators 4 --seconds 2 --json";
    let output = sim(&format!("{line} {}", json.display()));
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}{}",
        out(&output),
        err(&output)
    );
    let text = out(&output);
    assert_eq!(row(&text, "seeds"), "4 from 5, calm");
    assert!(row(&text, "crypto").contains("stand-in"));
    assert_eq!(row(&text, "broken"), "0 of 4 seeds");
    let summary: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!(summary["seeds"], 4);
    assert_eq!(summary["recovery_ms"]["validators"], 16);
    assert!(summary["commits"].as_u64().unwrap() > 100);
    assert!(summary["violations"].as_array().unwrap().is_empty());
}

#[test]
fn real_signatures_are_named() {
    let output =
        sim("run --seeds 0..1 --scenario calm --validators 4 --seconds 1 --real-signatures");
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert_eq!(row(&out(&output), "crypto"), "Ed25519");
}

#[test]
fn a_replay_has_the_same_digest_as_the_plan_written_down_and_as_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.toml");
    let mut draws = Draws::of_scenario("calm").unwrap();
    draws.faulty_ms = 2_000;
    std::fs::write(&path, draws.plan(3).unwrap().to_toml()).unwrap();
    let digest = |line: &str| {
        let output = sim(line);
        assert_eq!(output.status.code(), Some(0), "{line}: {}", out(&output));
        row(&out(&output), "trace").to_owned()
    };
    let seed = "replay --seed 3 --scenario calm --seconds 2";
    assert_eq!(digest(seed), digest(seed));
    assert_eq!(
        digest(seed),
        digest(&format!("replay --plan {}", path.display()))
    );
    assert_ne!(
        digest(seed),
        digest("replay --seed 4 --scenario calm --seconds 2")
    );
}

#[test]
fn a_trace_tells_who_sent_and_who_committed() {
    let output = sim("replay --seed 3 --scenario calm --seconds 1 --trace");
    let text = out(&output);
    assert!(text.contains("validator 0 sends"), "{text}");
    assert!(text.contains("commits 1 led by"), "{text}");
}

#[test]
fn latencies_across_a_wan_are_given_in_ms_and_in_message_delays() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("wan.json");
    let line = "wan --delay 50..100 --validators 7 --crash 1 --seconds 8 --warm-up 2 --json";
    let output = sim(&format!("{line} {}", json.display()));
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let report: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!(report["mean_delay_ms"], 75.0);
    for what in ["leader_blocks", "transactions"] {
        let (ms, delays) = (&report[what]["ms"], &report[what]["message_delays"]);
        let (ms, delays) = (
            ms["mean"].as_f64().unwrap(),
            delays["mean"].as_f64().unwrap(),
        );
        assert!((150.0..600.0).contains(&ms), "{what}: {ms}");
        assert!((ms / 75.0 - delays).abs() < 0.01, "{what}: {delays}");
    }
}

#[test]
fn a_drawing_shows_decisions_as_text_and_as_svg() {
    let folder = tempfile::tempdir().unwrap();
    let svg = folder.path().join("dag.svg");
    let line = "dag --seed 3 --scenario calm --validators 4 --seconds 2 --rounds 3..6 --svg";
    let output = sim(&format!("{line} {}", svg.display()));
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let text = out(&output);
    assert!(row(&text, "5 ").starts_with('L'), "{text}");
    let svg = std::fs::read_to_string(svg).unwrap();
    assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
    assert_eq!(svg.matches("<circle").count(), 12);
}

/// The words of a validator's row, behind its number.
fn standing(text: &str, validator: u16) -> Vec<String> {
    let (_, table) = text.split_once("of median").expect("a table");
    let row = row(table, &format!("{validator} "));
    row.split("  ")
        .map(str::trim)
        .filter(|c| !c.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_crashed_a_slow_and_an_equivocating_validator_are_told_from_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let svg = folder.path().join("scores.svg");
    let line = "explain --scenario troubled --seed 1 --seconds 15 --reference-every 0";
    let output = sim(&format!("{line} --plot {}", svg.display()));
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let text = out(&output);
    let told = |name: &str| -> u16 {
        let value = row(&text, name);
        let number = value
            .split([' ', ','])
            .find(|word| !word.is_empty())
            .unwrap();
        number.parse().unwrap()
    };
    let sinner = told("sinners");
    let whole = text.replace("faults       crash 1, slow 1", "");
    let of = |name: &str| -> u16 {
        let value = row(&whole, name);
        value.split(',').next().unwrap().parse().unwrap()
    };
    let (crashed, slow) = (of("crash"), of("slow"));
    for validator in 0..10 {
        let cells = standing(&text, validator);
        let [name, score, _, merit, leads, _, slashed, rho, ..] = &cells[..] else {
            panic!("{cells:?}");
        };
        let expected = match validator {
            v if v == sinner => ("no: slashed", "yes"),
            v if v == crashed || v == slow => ("no: low score", "no"),
            _ => ("yes", "no"),
        };
        assert_eq!((leads.as_str(), slashed.as_str()), expected, "{text}");
        assert_eq!((rho.as_str(), name), ("1.000", &validator.to_string()));
        let (score, merit): (f64, f64) = (score.parse().unwrap(), merit.parse().unwrap());
        let scores = !(validator == crashed || validator == slow);
        assert_eq!(scores, score > 50.0 && merit > 0.4, "{text}");
    }
    let svg = std::fs::read_to_string(svg).unwrap();
    assert!(svg.starts_with("<svg"), "{svg}");
    for words in [
        "schedule 1",
        "seconds of commit time",
        "voting weight",
        ": 9.0 %, slashed",
    ] {
        assert!(svg.contains(words), "{words}");
    }
}

/// The same with epochs: whoever equivocated is out, whoever was not heard weighs less, and the picture goes on.
#[test]
fn weights_are_followed_through_the_epochs_of_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let svg = folder.path().join("scores.svg");
    let line =
        "explain --scenario troubled --seed 1 --seconds 12 --epoch-seconds 4 --reference-every 0";
    let output = sim(&format!("{line} --plot {}", svg.display()));
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let text = out(&output);
    let sinner: u16 = row(&text, "sinners")
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let newest = text
        .lines()
        .find(|line| line.starts_with("epoch "))
        .unwrap();
    assert!(newest.starts_with("epoch 2, after commit "), "{text}");
    // The weights stand in the last table, a row a validator.
    let rows: Vec<&str> = text.lines().rev().take(10).collect();
    for (validator, row) in (0..10).rev().zip(rows) {
        let cells: Vec<u64> = row
            .split_whitespace()
            .map(|cell| cell.parse().unwrap())
            .collect();
        let [name, first, second, third] = cells[..] else {
            panic!("{text}");
        };
        assert_eq!(name, u64::from(validator), "{text}");
        let slashed = validator == sinner;
        assert_eq!((second == 0, third == 0), (slashed, slashed), "{text}");
        assert!(first > 0, "{text}");
    }
    let svg = std::fs::read_to_string(svg).unwrap();
    for words in ["epoch 0", "epoch 1", "epoch 2", ": 0.0 %, slashed"] {
        assert!(svg.contains(words), "{words}");
    }

    // An earlier epoch is replayed to the same end, with the places of its own committee.
    let output = sim(&format!("{line} --epoch 0"));
    let text = out(&output);
    assert!(text.contains("\nepoch 0, after commit "), "{text}");
    assert_eq!(standing(&text, sinner)[6], "yes", "{text}");
    let output = sim(&format!("{line} --epoch 9"));
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("the newest epoch then was 2"));
}

#[test]
fn the_rounds_and_slots_that_moved_a_score_are_listed() {
    let line = "explain --scenario troubled --seed 1 --seconds 5 --reference-every 0";
    let text = out(&sim(line));
    let sinner: u16 = row(&text, "sinners")
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let detail = |more: &str| {
        let output = sim(&format!("{line} --validator {sinner} {more}"));
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        let text = out(&output);
        let (_, detail) = text.split_once("\nvalidator ").unwrap();
        let (_, detail) = detail.split_once("\nvalidator ").unwrap();
        detail.to_owned()
    };
    let whole = detail("");
    assert!(row(&whole, "slashed by").starts_with("commit "), "{whole}");
    assert!(
        whole.contains("rounds with less than all points"),
        "{whole}"
    );
    assert!(whole.contains("no block in the sequence"), "{whole}");
    let some = detail("--rounds 10..20");
    let listed = some.lines().filter(|line| line.starts_with("    "));
    let rounds = listed.map(|line| line.split_whitespace().next().unwrap());
    let rounds: Vec<u32> = rounds.map(|round| round.parse().unwrap()).collect();
    assert!(
        rounds.iter().all(|round| (10..20).contains(round)),
        "{some}"
    );
}

/// Two of four equals equivocate, and some things go wrong that have nothing to do with it.
fn over_the_limit(seed: u64) -> Plan {
    let mut draws = Draws::of_scenario("swarm").unwrap();
    draws.weights = Some(vec![1; 4]);
    draws.profile = Some(Profile::Dual30);
    draws.faulty_ms = 10_000;
    let mut plan = draws.plan(seed).unwrap();
    plan.over_the_limit = true;
    let sinner = |validator| Sinner {
        validator,
        sin: "equivocator".to_owned(),
    };
    plan.sinners = (0..2).map(sinner).collect();
    plan
}

#[test]
fn a_failing_plan_becomes_smaller_and_breaks_the_same_promise() {
    let folder = tempfile::tempdir().unwrap();
    let (before, after) = (
        folder.path().join("before.toml"),
        folder.path().join("after.toml"),
    );
    let broken = |plan: &Plan| {
        run(plan.clone())
            .unwrap()
            .violation
            .map(|violation| violation.promise)
    };
    let fails = |plan: &Plan| !plan.faults.is_empty() && broken(plan).is_some();
    let mut plans = (0..40).map(over_the_limit);
    let plan = plans.find(fails).expect("a broken promise in forty seeds");
    std::fs::write(&before, plan.to_toml()).unwrap();

    let (before, after) = (before.display(), after.display());
    let output = sim(&format!("shrink --plan {before} --tries 60 --out {after}"));
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let smaller = Plan::read(Path::new(&after.to_string())).unwrap();
    assert!(smaller.faults.len() < plan.faults.len() && smaller.faulty_ms < plan.faulty_ms);
    assert_eq!(broken(&smaller), broken(&plan));

    let output = sim(&format!("replay --plan {after}"));
    assert_eq!(
        output.status.code(),
        Some(1),
        "a broken promise is told by the exit code"
    );
    assert_eq!(row(&out(&output), "BROKEN"), broken(&plan).unwrap());
}
