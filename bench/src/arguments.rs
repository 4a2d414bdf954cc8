//! The command line: what may be asked, and which values are possible.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use probity_core::limits::TRANSACTION_BYTES_MAX;
use probity_core::{EpochTerms, Profile};

use crate::marker::MARKER_BYTES;

/// Measures clusters of real validators. Without a command it is `local`, and without `--rate` it
/// saturates.
#[derive(Parser, Debug)]
#[command(
    name = "probity-bench",
    version,
    args_conflicts_with_subcommands = true
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    local: LocalOptions,
}

impl Arguments {
    /// The command, `local` when none was given.
    pub(crate) fn into_command(self) -> Command {
        self.command.unwrap_or(Command::Local(self.local))
    }
}

/// What to do.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Write keys, `committee.toml` and one `node-N.toml` per validator into a directory.
    Init(InitArguments),
    /// Run a whole cluster in this process, load it, and compare what every validator delivered.
    Local(LocalOptions),
    /// Write the proofs of equivocation that a stopped validator has stored into a file.
    ExportEvidence(ExportEvidenceArguments),
    /// Verify such a file, and say who equivocated.
    VerifyEvidence(VerifyEvidenceArguments),
    /// Say why validators' scores are what they are, by what a node that does not run has stored.
    Explain(ExplainArguments),
}

/// `export-evidence`.
#[derive(Args, Debug)]
pub(crate) struct ExportEvidenceArguments {
    /// Storage of one validator, which must not run.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The validator's `committee.toml`.
    #[arg(long, value_name = "FILE")]
    pub(crate) committee: PathBuf,
    /// Where to write; nothing is ever overwritten.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

/// `verify-evidence`.
#[derive(Args, Debug)]
pub(crate) struct VerifyEvidenceArguments {
    /// What `export-evidence` wrote.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The `committee.toml` that `init` wrote; it describes the first epoch.
    #[arg(long, value_name = "FILE")]
    pub(crate) committee: PathBuf,
}

/// `init`.
#[derive(Args, Debug)]
pub(crate) struct InitArguments {
    #[command(flatten)]
    pub(crate) cluster: ClusterOptions,
    /// Where to write; nothing is ever overwritten.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
}

/// `explain`.
#[derive(Args, Debug)]
pub(crate) struct ExplainArguments {
    /// The node's storage.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The committee of the network's first epoch, as `init` wrote it.
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) committee: PathBuf,
    /// Which epoch; by default the one that began last.
    #[arg(long, value_name = "N")]
    pub(crate) epoch: Option<u64>,
    /// List the rounds and slots that moved this one's score, by its place in the epoch's committee.
    #[arg(long, value_name = "V")]
    pub(crate) validator: Option<u16>,
    /// Of those rounds, only these; END left out.
    #[arg(long, value_name = "FIRST..END", value_parser = rounds, requires = "validator")]
    pub(crate) rounds: Option<Range<u32>>,
    /// Draw scores and weights over the time of all epochs there.
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) plot: Option<PathBuf>,
}

/// What fixes a committee.
#[derive(Args, Clone, Debug)]
pub(crate) struct ClusterOptions {
    /// How many validators.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = validators)]
    pub(crate) validators: usize,
    /// Which faults are tolerated: dual30, classic33, dual25, dual20c or fast20.
    #[arg(long, default_value_t = Profile::Dual30, value_parser = profile)]
    pub(crate) profile: Profile,
    /// What a transaction is.
    #[arg(long, value_enum, default_value_t = TransactionKind::Signed)]
    pub(crate) transactions: TransactionKind,
    /// How long an epoch lasts, for example 5s; by default the first one has no end.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) epoch_length: Option<Duration>,
}

impl ClusterOptions {
    /// When epochs end; the committee stays as it is, but for its weights.
    pub(crate) fn terms(&self) -> EpochTerms {
        let length_ms = |length: Duration| u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        EpochTerms {
            length_ms: self.epoch_length.map(length_ms),
            ..EpochTerms::default()
        }
    }
}

/// `local`.
#[derive(Args, Clone, Debug)]
pub(crate) struct LocalOptions {
    #[command(flatten)]
    pub(crate) cluster: ClusterOptions,
    /// How long the load lasts, for example 20s, 1500ms or 2m.
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = duration)]
    pub(crate) duration: Duration,
    /// Transactions a second that fall due, whether or not earlier ones are through (open loop).
    #[arg(long, value_name = "TX/S", conflicts_with = "saturate", value_parser = rate)]
    pub(crate) rate: Option<u64>,
    /// As many transactions as the validators take; the default.
    #[arg(long)]
    pub(crate) saturate: bool,
    /// Bytes of one transaction as it is ordered, envelope and signature included.
    #[arg(long, value_name = "BYTES", default_value_t = 512, value_parser = transaction_bytes)]
    pub(crate) size: usize,
    /// Where blocks and commits are kept.
    #[arg(long, value_enum, default_value_t = StorageKind::Lmdb)]
    pub(crate) storage: StorageKind,
    /// How validators reach each other.
    #[arg(long, value_enum, default_value_t = TransportKind::Quic)]
    pub(crate) transport: TransportKind,
    /// History that each validator keeps, for example 512MiB or 2GiB.
    #[arg(long, value_name = "BYTES", default_value = "2GiB", value_parser = retained_bytes)]
    pub(crate) retain: u64,
    /// Keep everything in this directory, made by `init`, empty or absent; by default a temporary one.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Write the result there as one JSON object.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Draw scores and weights over the time of all epochs there, as validator 0 has stored them.
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) plot: Option<PathBuf>,
}

/// What a transaction is.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TransactionKind {
    /// Envelopes that clients sign and every validator verifies.
    Signed,
    /// Bytes that nobody looks into.
    Opaque,
}

/// Where blocks and commits are kept.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StorageKind {
    /// A directory per validator, durable.
    Lmdb,
    /// Memory.
    Memory,
}

/// How validators reach each other.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TransportKind {
    /// An encrypted endpoint per validator on loopback.
    Quic,
    /// Queues inside the process.
    Memory,
}

macro_rules! display_by_value_name {
    ($($kind:ty),*) => {$(
        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let value = self.to_possible_value().expect("no variant is hidden");
                f.write_str(value.get_name())
            }
        }
    )*};
}
display_by_value_name!(TransactionKind, StorageKind, TransportKind);

const VALIDATORS_ALLOWED: std::ops::RangeInclusive<usize> = 1..=64;
const RATE_ALLOWED: std::ops::RangeInclusive<u64> = 1..=10_000_000;
const DURATION_ALLOWED: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(3600);
const RETAIN_MIN_BYTES: u64 = 64 << 20;

fn validators(text: &str) -> Result<usize, String> {
    within(text, &VALIDATORS_ALLOWED)
}

fn rate(text: &str) -> Result<u64, String> {
    within(text, &RATE_ALLOWED)
}

fn transaction_bytes(text: &str) -> Result<usize, String> {
    within(text, &(MARKER_BYTES..=TRANSACTION_BYTES_MAX))
}

fn profile(text: &str) -> Result<Profile, String> {
    text.parse()
        .map_err(|error: probity_core::UnknownProfile| error.to_string())
}

/// `10..20`, without the last.
fn rounds(text: &str) -> Result<Range<u32>, String> {
    let ends = text.split_once("..");
    let ends = ends.and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    ends.filter(|range: &Range<u32>| !range.is_empty())
        .ok_or_else(|| "allowed: FIRST..END with END above FIRST, for example 100..120".to_owned())
}

/// Parses a number and checks its range.
fn within<T>(text: &str, allowed: &std::ops::RangeInclusive<T>) -> Result<T, String>
where
    T: std::str::FromStr + PartialOrd + fmt::Display,
{
    let value = text.parse().ok().filter(|value| allowed.contains(value));
    value.ok_or_else(|| format!("allowed: {} to {}", allowed.start(), allowed.end()))
}

/// Parses `20s`, `1500ms`, `2m`; a bare number is seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split_unit(text);
    let unit_ms = match unit {
        "ms" => 1.0,
        "" | "s" => 1e3,
        "m" | "min" => 6e4,
        _ => f64::NAN,
    };
    let milliseconds = number.parse().unwrap_or(f64::NAN) * unit_ms;
    let duration = Duration::try_from_secs_f64(milliseconds / 1e3).ok();
    duration
        .filter(|duration| DURATION_ALLOWED.contains(duration))
        .ok_or_else(|| "allowed: 100ms to 60m, for example 20s".to_owned())
}

/// Parses `512MiB`, `2GiB`; a bare number is bytes.
fn retained_bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = split_unit(text);
    let shift = match unit {
        "" | "B" => Some(0),
        "KiB" => Some(10),
        "MiB" => Some(20),
        "GiB" => Some(30),
        "TiB" => Some(40),
        _ => None,
    };
    let bytes = shift.and_then(|shift| number.parse::<u64>().ok()?.checked_mul(1 << shift));
    bytes
        .filter(|bytes| *bytes >= RETAIN_MIN_BYTES)
        .ok_or_else(|| "allowed: 64MiB or more, in B, KiB, MiB, GiB or TiB".to_owned())
}

fn split_unit(text: &str) -> (&str, &str) {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    (number, &text[number.len()..])
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::*;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        let words = std::iter::once("probity-bench").chain(line.split_whitespace());
        Arguments::try_parse_from(words).map(Arguments::into_command)
    }

    #[test]
    fn nothing_is_local_with_its_defaults() {
        let Ok(Command::Local(local)) = parse("") else {
            panic!("not local")
        };
        assert_eq!(local.cluster.validators, 4);
        assert_eq!(
            (local.duration, local.retain),
            (Duration::from_secs(20), 2 << 30)
        );
        assert_eq!((local.rate, local.size), (None, 512));
        assert!(matches!(
            parse("--rate 100 --transactions opaque"),
            Ok(Command::Local(_))
        ));
    }

    #[test]
    fn a_rate_and_saturation_exclude_each_other_with_exit_code_2() {
        let error = parse("local --rate 100 --saturate").unwrap_err();
        assert_eq!(
            (error.kind(), error.exit_code()),
            (ErrorKind::ArgumentConflict, 2)
        );
    }

    #[test]
    fn rounds_are_asked_for_with_a_validator_and_a_sound_range() {
        let line = "explain --data d --committee c.toml";
        let refused = |more: &str| parse(&format!("{line} {more}")).unwrap_err();
        assert!(matches!(parse(line), Ok(Command::Explain(_))));
        assert!(refused("--rounds 3..5").to_string().contains("--validator"));
        let backwards = refused("--validator 1 --rounds 5..3");
        assert_eq!(backwards.exit_code(), 2);
        assert!(backwards.to_string().contains("FIRST..END"));
        assert!(parse(&format!("{line} --validator 1 --rounds 3..5")).is_ok());
    }

    #[test]
    fn an_impossible_value_names_field_value_and_what_is_allowed() {
        let cases = [
            ("--validators 0", "1 to 64"),
            ("--rate 0", "1 to 10000000"),
            ("--size 70000", "to 65536"),
            ("--duration 2h", "100ms to 60m"),
            ("--epoch-length 1ms", "100ms to 60m"),
            ("--retain 3", "64MiB or more"),
            ("--profile fast99", "fast20"),
        ];
        for (line, allowed) in cases {
            let error = parse(&format!("local {line}")).unwrap_err();
            let text = error.to_string();
            assert_eq!(error.exit_code(), 2, "{line}");
            for word in line.split(' ').chain([allowed]) {
                assert!(text.contains(word), "{line}: {text}");
            }
        }
    }
}
