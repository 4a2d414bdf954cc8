//! Compares what the validators delivered: one sequence everywhere, nothing lost, nothing twice.

use crate::ledger::Ledger;
use crate::reader::Delivered;

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Verdict {
    /// Whether every validator's whole sequence is the same.
    pub(crate) sequences_identical: bool,
    /// Index of the last commit that was compared.
    pub(crate) compared_to: u64,
    /// What is wrong, in words; empty when all is well.
    pub(crate) problems: Vec<String>,
}

/// Whether validators may deliver transactions that this run did not submit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Strangers {
    /// No: the network is new.
    Impossible,
    /// Yes: an earlier run on the same data may have left some in flight.
    Possible,
}

/// Compares all validators, by index, with each other and with the ledger.
pub(crate) fn check(delivered: &[Delivered], ledger: &Ledger, strangers: Strangers) -> Verdict {
    let mut problems = Vec::new();
    let compared = delivered
        .iter()
        .map(|seen| seen.digests.len())
        .min()
        .unwrap_or(0);
    for (validator, seen) in delivered.iter().enumerate() {
        problems.extend(
            seen.fault
                .as_ref()
                .map(|why| format!("validator {validator}: {why}")),
        );
        problems.extend(difference(delivered, validator, compared));
    }
    let sequences_identical = problems.is_empty();
    for (validator, seen) in delivered.iter().enumerate() {
        problems.extend(miscounted(validator, seen, ledger));
        if seen.unknown > 0 && strangers == Strangers::Impossible {
            let count = seen.unknown;
            problems.push(format!(
                "validator {validator} delivered {count} transactions that nobody submitted"
            ));
        }
    }
    let after = delivered.first().map_or(0, |seen| seen.after.0);
    Verdict {
        sequences_identical,
        compared_to: after + compared as u64,
        problems,
    }
}

/// Where the sequence of `validator` first differs from that of validator 0.
fn difference(delivered: &[Delivered], validator: usize, compared: usize) -> Option<String> {
    let (first, other) = (&delivered[0], &delivered[validator]);
    let differs = |at: &usize| first.digests[*at] != other.digests[*at];
    let at = (0..compared).find(differs)?;
    Some(format!(
        "sequences differ from commit {} on: validator 0 has digest {}, validator {validator} has {}",
        first.after.0 + at as u64 + 1,
        first.digests[at],
        other.digests[at],
    ))
}

/// Lost, doubled and unwanted transactions of one validator.
fn miscounted(validator: usize, seen: &Delivered, ledger: &Ledger) -> Vec<String> {
    let of = |wanted: fn(bool, bool) -> bool| {
        let is = |sequence: &usize| {
            wanted(
                ledger.accepted(*sequence),
                seen.transactions.contains(*sequence),
            )
        };
        let mut found = (0..ledger.len()).filter(is);
        found.next().map(|first| (found.count() + 1, first))
    };
    let lost = of(|accepted, delivered| accepted && !delivered);
    let unwanted = of(|accepted, delivered| !accepted && delivered);
    let doubled = seen.doubled_example.map(|example| (seen.doubled, example));
    let mut problems = Vec::new();
    if let Some((count, example)) = lost {
        problems.push(format!(
            "validator {validator} never delivered {count} accepted transactions, for example {example}"
        ));
    }
    if let Some((count, example)) = doubled {
        problems.push(format!(
            "validator {validator} delivered {count} transactions again, for example {example}"
        ));
    }
    if let Some((count, example)) = unwanted {
        problems.push(format!(
            "validator {validator} delivered {count} transactions that were refused, for example {example}"
        ));
    }
    problems
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use probity_core::CommitIndex;

    use super::*;
    use crate::ledger::{Row, SequenceSet};
    use crate::reader::Decisions;

    /// A validator that delivered `transactions` in commits with these digests.
    fn delivered(digests: &[&str], transactions: &[usize]) -> Delivered {
        let mut set = SequenceSet::new(4);
        for transaction in transactions {
            set.insert(*transaction);
        }
        Delivered {
            after: CommitIndex(10),
            digests: digests
                .iter()
                .map(|text| blake3::hash(text.as_bytes()))
                .collect(),
            transactions: set,
            doubled: 0,
            doubled_example: None,
            unknown: 0,
            decisions: Decisions::default(),
            fault: None,
        }
    }

    /// Four transactions, of which 0 to 2 were accepted.
    fn ledger() -> Ledger {
        let ledger = Ledger::new(4);
        for sequence in 0..4 {
            ledger.hand_over(
                sequence,
                Row {
                    taker: 0,
                    due: Duration::ZERO,
                },
            );
        }
        (0..3).for_each(|sequence| ledger.accept(sequence));
        ledger
    }

    #[test]
    fn equal_sequences_of_different_length_are_fine() {
        let all = [
            delivered(&["a", "b", "c"], &[0, 1, 2]),
            delivered(&["a", "b"], &[0, 1, 2]),
        ];
        let verdict = check(&all, &ledger(), Strangers::Impossible);
        let expected = Verdict {
            sequences_identical: true,
            compared_to: 12,
            problems: vec![],
        };
        assert_eq!(verdict, expected);
    }

    #[test]
    fn a_difference_is_named_by_its_first_commit() {
        let all = [
            delivered(&["a", "b", "c"], &[0, 1, 2]),
            delivered(&["a", "x", "y"], &[0, 1, 2]),
        ];
        let verdict = check(&all, &ledger(), Strangers::Impossible);
        assert!(!verdict.sequences_identical);
        assert_eq!(verdict.problems.len(), 1);
        assert!(
            verdict.problems[0].contains("from commit 12 on"),
            "{:?}",
            verdict.problems
        );
    }

    #[test]
    fn lost_doubled_and_unwanted_transactions_are_named() {
        let mut bad = delivered(&["a"], &[0, 2, 3]);
        (bad.doubled, bad.doubled_example, bad.unknown) = (5, Some(2), 1);
        let verdict = check(&[bad], &ledger(), Strangers::Impossible);
        let problems = verdict.problems.join("\n");
        for part in [
            "never delivered 1 accepted transactions, for example 1",
            "delivered 5 transactions again, for example 2",
            "delivered 1 transactions that were refused, for example 3",
            "delivered 1 transactions that nobody submitted",
        ] {
            assert!(problems.contains(part), "{problems}");
        }
    }
}
