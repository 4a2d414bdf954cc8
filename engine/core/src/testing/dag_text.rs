//! A DAG drawn as text.
//!
//! ```text
//! weights 1 1 1 1          # one number a validator: A, B, C, D
//! faults f=1 c=0
//! mode graded              # or classic
//! gc 8
//! windows 512 4096 128 11  # of the scores: points, slots, from schedule to schedule, and to its start
//! 1: *                     # everybody
//! 2: B C D    <- all       # A is silent
//! 3: A        <- A1 B C D  # a label without a number is of the round below
//! 3: B C      <- all but D
//! 3: D D'     <- B C D     # D equivocates; D'@77 would set the timestamp
//! ```
//!
//! A block's own parent, if it is not named, is its author's last block before, or genesis. A round without `<-`
//! links all. `all` means the unprimed blocks of the round below.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::block::{Block, BlockRef, genesis_ref};
use crate::committee::Committee;
use crate::id::{Round, ValidatorIndex};
use crate::reputation::ReputationParams;
use crate::testing::{Draft, Signing, build, committee_with};
use crate::thresholds::{FaultBounds, Mode};

/// A drawn DAG with the names of its blocks.
#[derive(Clone, Debug)]
pub struct DagText {
    /// The committee that the head describes.
    pub committee: Arc<Committee>,
    /// The blocks, parents first.
    pub blocks: Vec<Arc<Block>>,
    names: BTreeMap<BlockRef, String>,
}

/// Which line of a drawing makes no sense, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DagTextError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for DagTextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

impl std::error::Error for DagTextError {}

impl DagText {
    /// Reads a drawing, up to a line of dashes if there is one.
    ///
    /// # Errors
    /// Names the first line that makes no sense.
    pub fn parse(text: &str) -> Result<Self, DagTextError> {
        let mut reading = Reading::default();
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.split('#').next().unwrap_or_default().trim();
            if text.starts_with("----") {
                break;
            }
            if !text.is_empty() {
                reading
                    .line(text)
                    .map_err(|why| DagTextError { line, why })?;
            }
        }
        let Reading {
            committee,
            blocks,
            names,
            ..
        } = reading;
        let committee = committee.ok_or(DagTextError {
            line: 1,
            why: "no round is drawn".to_owned(),
        })?;
        let names = names
            .into_iter()
            .map(|(name, reference)| (reference, name.text()))
            .collect();
        Ok(Self {
            committee,
            blocks,
            names,
        })
    }

    /// The name of a block, such as `A'3`.
    #[must_use]
    pub fn name(&self, reference: &BlockRef) -> &str {
        self.names.get(reference).map_or("?", String::as_str)
    }

    /// The block with a name.
    #[must_use]
    pub fn block(&self, name: &str) -> Option<&Arc<Block>> {
        self.blocks
            .iter()
            .find(|block| self.name(&block.reference()) == name)
    }
}

/// The name of a block: author, number of primes, round.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Name {
    round: Round,
    author: ValidatorIndex,
    primes: usize,
}

impl Name {
    fn text(self) -> String {
        let letter = char::from(b'A' + u8::try_from(self.author.0).expect("drawn by a letter"));
        format!("{letter}{}{}", "'".repeat(self.primes), self.round)
    }

    /// `A`, `A'`, `A3`, `A'3`; without a number of round `below`.
    fn parse(text: &str, below: Round) -> Result<Self, String> {
        let bad = || format!("`{text}` names no block");
        let letter = text
            .bytes()
            .next()
            .filter(u8::is_ascii_uppercase)
            .ok_or_else(bad)?;
        let rest = &text[1..];
        let number = rest.trim_start_matches('\'');
        let round = match number {
            "" => below,
            number => Round(number.parse().map_err(|_| bad())?),
        };
        let author = ValidatorIndex(u16::from(letter - b'A'));
        Ok(Self {
            round,
            author,
            primes: rest.len() - number.len(),
        })
    }
}

#[derive(Default)]
struct Reading {
    weights: Vec<u64>,
    byzantine: u64,
    crashed: u64,
    mode: Option<Mode>,
    gc_depth: Option<u32>,
    windows: ReputationParams,
    committee: Option<Arc<Committee>>,
    blocks: Vec<Arc<Block>>,
    names: BTreeMap<Name, BlockRef>,
}

impl Reading {
    fn line(&mut self, text: &str) -> Result<(), String> {
        let number = |text: &str| {
            text.parse::<u64>()
                .map_err(|_| format!("`{text}` is no number"))
        };
        if let Some((round, drawn)) = text.split_once(':') {
            let round = Round(
                round
                    .trim()
                    .parse()
                    .map_err(|_| format!("`{round}` is no round"))?,
            );
            return self.row(round, drawn);
        }
        let mut words = text.split_whitespace();
        match (words.next(), words.collect::<Vec<_>>().as_slice()) {
            (Some("weights"), weights) => {
                self.weights = weights
                    .iter()
                    .map(|w| number(w))
                    .collect::<Result<_, _>>()?;
            }
            (Some("faults"), [f, c]) => {
                self.byzantine = number(f.trim_start_matches("f="))?;
                self.crashed = number(c.trim_start_matches("c="))?;
            }
            (Some("mode"), ["graded"]) => self.mode = Some(Mode::Graded),
            (Some("mode"), ["classic"]) => self.mode = Some(Mode::Classic),
            (Some("gc"), [depth]) => {
                self.gc_depth = Some(depth.parse().map_err(|_| format!("`{depth}` rounds?"))?);
            }
            (Some("windows"), words) => {
                let rounds = |word: &&str| word.parse::<u32>().map_err(|why| why.to_string());
                let rounds: Vec<u32> = words.iter().map(rounds).collect::<Result<_, _>>()?;
                let [
                    score_rounds,
                    slot_rounds,
                    schedule_rounds,
                    schedule_lead_rounds,
                ] = rounds[..]
                else {
                    return Err("four windows".to_owned());
                };
                self.windows = ReputationParams {
                    score_rounds,
                    slot_rounds,
                    schedule_rounds,
                    schedule_lead_rounds,
                };
            }
            _ => return Err(format!("`{text}` is not understood")),
        }
        Ok(())
    }

    fn committee(&mut self) -> Arc<Committee> {
        let bounds = FaultBounds {
            mode: self.mode.unwrap_or(Mode::Graded),
            byzantine: self.byzantine,
            crashed: self.crashed,
        };
        let (weights, gc_depth) = (&self.weights, self.gc_depth.unwrap_or(8));
        let new = || Arc::new(committee_with(weights, bounds, (gc_depth, self.windows)));
        Arc::clone(self.committee.get_or_insert_with(new))
    }

    fn row(&mut self, round: Round, drawn: &str) -> Result<(), String> {
        let committee = self.committee();
        let (names, parents) = drawn.split_once("<-").unwrap_or((drawn, "all"));
        let parents = self.parents(round, parents)?;
        let names: Vec<(Name, u64)> = if names.trim() == "*" {
            committee
                .indices()
                .map(|author| {
                    (
                        Name {
                            round,
                            author,
                            primes: 0,
                        },
                        0,
                    )
                })
                .collect()
        } else {
            let name = |text: &str| {
                let (name, stamp) = text.split_once('@').unwrap_or((text, "0"));
                let stamp = stamp.parse().map_err(|_| format!("`{stamp}` is no time"))?;
                Ok::<_, String>((Name::parse(name, round)?, stamp))
            };
            names
                .split_whitespace()
                .map(name)
                .collect::<Result<_, _>>()?
        };
        for (name, stamp) in names {
            if name.author.position() >= committee.size() {
                return Err(format!("{} is no validator", name.text()));
            }
            let mut parents = parents.clone();
            if !parents.iter().any(|parent| parent.author == name.author) {
                parents.push(self.own_parent(&committee, name));
            }
            // Variants of a block differ at least in their time.
            let timestamp_ms = if stamp > 0 {
                stamp
            } else {
                u64::from(round.0) * 10
            } + name.primes as u64;
            let draft = Draft {
                round,
                author: name.author,
                parents,
                timestamp_ms,
            };
            let block = build(&committee, draft, Signing::Zero);
            crate::verify::check_parents(block.header(), &committee)
                .map_err(|why| format!("{}: {why}", name.text()))?;
            if self.names.insert(name, block.reference()).is_some() {
                return Err(format!("{} is drawn twice", name.text()));
            }
            self.blocks.push(block);
        }
        Ok(())
    }

    fn own_parent(&self, committee: &Committee, name: Name) -> BlockRef {
        let earlier = self.names.range(
            ..Name {
                author: ValidatorIndex(0),
                primes: 0,
                ..name
            },
        );
        let own = earlier.filter(|(known, _)| known.author == name.author);
        let unprimed = own.rev().find(|(known, _)| known.primes == 0);
        let genesis = || genesis_ref(committee, name.author).expect("a member");
        unprimed.map_or_else(genesis, |(_, reference)| *reference)
    }

    fn parents(&mut self, round: Round, drawn: &str) -> Result<Vec<BlockRef>, String> {
        let below = round.minus(1);
        if let Some(but) = drawn.trim().strip_prefix("all") {
            let but: Vec<&str> = but
                .split_whitespace()
                .filter(|word| *word != "but")
                .collect();
            let but: Vec<Name> = but
                .into_iter()
                .map(|b| Name::parse(b, below))
                .collect::<Result<_, _>>()?;
            let committee = self.committee();
            if below == Round::GENESIS {
                return Ok(committee
                    .indices()
                    .filter_map(|a| genesis_ref(&committee, a))
                    .collect());
            }
            let row = self
                .names
                .iter()
                .filter(|(n, _)| n.round == below && n.primes == 0);
            return Ok(row
                .filter(|(n, _)| !but.contains(n))
                .map(|(_, r)| *r)
                .collect());
        }
        let find = |text: &str| {
            let name = Name::parse(text, below)?;
            self.names
                .get(&name)
                .copied()
                .ok_or_else(|| format!("{} is not drawn", name.text()))
        };
        drawn.split_whitespace().map(find).collect()
    }
}
