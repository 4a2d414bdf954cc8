//! Scores and schedules as bytes, for recovery (docs/storage-format.md).
//!
//! Sums are not written: they are added up again, and the commit's record says whether they are right.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{BufMut, Bytes};

use crate::codec::{DecodeError, ListOf, Reader};
use crate::committee::{AuthorSet, Committee};
use crate::id::{CommitIndex, Round, ValidatorIndex};
use crate::limits::{GC_DEPTH_ROUNDS_MAX, REPUTATION_ROUNDS_MAX};
use crate::order::schedule::{Schedule, Schedules};

use super::Reputation;
use super::mark::Mark;
use super::rounds::{CommittedRound, CommittedRounds, Seat};
use super::slots::SlotOutcomes;
use super::table::Table;

/// Version of the encoding.
const VERSION: u16 = 1;

/// Greatest numbers of rows and schedules that a snapshot is read with; above what a window holds.
const ROWS_MAX: usize = 4 * GC_DEPTH_ROUNDS_MAX as usize;
const WINDOW_MAX: usize = REPUTATION_ROUNDS_MAX as usize;

pub(crate) fn encode(reputation: &Reputation, index: CommitIndex) -> Bytes {
    let Reputation {
        committee,
        rounds,
        table,
        schedules,
        next_schedule,
        saved,
        digest: _,
        scratch: _,
    } = reputation;
    let set_bytes = committee.set_bytes();
    let windows =
        table.marks.len() * committee.size() * MARK_BYTES + table.slots.len() * 2 * set_bytes;
    let mut to = Writer {
        bytes: Vec::with_capacity(16_384 + windows),
        set_bytes,
    };
    to.bytes.put_u16_le(VERSION);
    to.bytes.put_u64_le(index.0);
    to.bytes.put_u32_le(saved.0);
    to.bytes.put_u32_le(next_schedule.0);
    to.schedules(schedules);
    to.table(table);
    to.rounds(rounds);
    Bytes::from(to.bytes)
}

/// Encoded size of a [`Mark`].
const MARK_BYTES: usize = 20;

fn mark_bytes(mark: &Mark) -> [u8; MARK_BYTES] {
    let mut bytes = [0; MARK_BYTES];
    bytes[..8].copy_from_slice(&mark.seen.to_le_bytes());
    bytes[8..12].copy_from_slice(&mark.vote.to_le_bytes());
    bytes[12..16].copy_from_slice(&mark.prop.to_le_bytes());
    bytes[16..].copy_from_slice(&mark.fast.to_le_bytes());
    bytes
}

struct Writer {
    bytes: Vec<u8>,
    set_bytes: usize,
}

impl Writer {
    fn set(&mut self, set: &AuthorSet) {
        self.bytes.extend(set.bytes(self.set_bytes));
    }

    fn count(&mut self, count: usize) {
        let count = u32::try_from(count).expect("the windows are bounded");
        self.bytes.put_u32_le(count);
    }

    fn schedules(&mut self, schedules: &Schedules) {
        self.count(schedules.iter().count());
        for schedule in schedules.iter() {
            self.bytes.put_u64_le(schedule.id());
            self.bytes.put_u32_le(schedule.start().0);
            self.count(schedule.pool().len());
            for (author, key) in schedule.pool() {
                self.bytes.put_u16_le(author.0);
                self.bytes.put_u128_le(*key);
            }
        }
    }

    fn table(&mut self, table: &Table) {
        self.bytes.put_u32_le(table.scored.0);
        self.bytes.put_u32_le(table.healthy);
        self.set(&table.slashed);
        table
            .merits
            .iter()
            .for_each(|merit| self.bytes.put_u64_le(*merit));
        self.count(table.marks.len());
        for marks in table.marks.pieces() {
            self.marks(marks);
        }
        self.count(table.slots.len());
        for slots in table.slots.pieces() {
            self.bytes.extend_from_slice(slots);
        }
    }

    /// There are many, so room is made for all at once.
    fn marks(&mut self, marks: &[Mark]) {
        let before = self.bytes.len();
        self.bytes.resize(before + marks.len() * MARK_BYTES, 0);
        let places = self.bytes[before..].chunks_exact_mut(MARK_BYTES);
        for (place, mark) in places.zip(marks) {
            place.copy_from_slice(&mark_bytes(mark));
        }
    }

    fn slots(&mut self, slots: &SlotOutcomes) {
        self.set(&slots.committed);
        self.set(&slots.skipped);
    }

    fn rounds(&mut self, rounds: &CommittedRounds) {
        self.bytes.put_u32_le(rounds.base.0);
        self.bytes.put_u32_le(rounds.unscored.0);
        self.count(rounds.rows.len());
        for row in &rounds.rows {
            self.set(&row.authors);
            self.set(&row.doubled);
            self.slots(&row.slots);
            self.count(row.seats.len());
            for seat in &row.seats {
                self.bytes.put_u8(u8::from(seat.is_some()));
                let Some(seat) = seat else { continue };
                self.bytes.put_slice(seat.digest.as_bytes());
                self.set(&seat.links);
            }
        }
    }
}

pub(crate) fn decode(
    bytes: &Bytes,
    committee: &Arc<Committee>,
) -> Result<(CommitIndex, Reputation), DecodeError> {
    let mut from = Parser {
        reader: Reader::new(bytes),
        committee,
    };
    let version = from.reader.u16()?;
    if version != VERSION {
        return Err(DecodeError::Limit {
            what: "version of a snapshot of scores",
            found: usize::from(version),
            allowed: usize::from(VERSION),
        });
    }
    let index = CommitIndex(from.reader.u64()?);
    let saved = Round(from.reader.u32()?);
    let next_schedule = Round(from.reader.u32()?);
    let schedules = from.schedules()?;
    let table = from.table()?;
    let rounds = from.rounds()?;
    from.reader.finish()?;
    let mut reputation = Reputation::new(Arc::clone(committee));
    reputation.rounds = rounds;
    reputation.table = table;
    reputation.schedules = schedules;
    reputation.next_schedule = next_schedule;
    reputation.saved = saved;
    reputation.digest = reputation.table.digest(&mut reputation.scratch.bytes);
    Ok((index, reputation))
}

struct Parser<'a> {
    reader: Reader<'a>,
    committee: &'a Committee,
}

impl Parser<'_> {
    fn set(&mut self) -> Result<AuthorSet, DecodeError> {
        let count = self.committee.set_bytes();
        let members = ListOf {
            what: "members",
            item_bytes: 1,
            allowed: count,
        };
        let bytes = self.reader.list(count, members, Reader::u8)?;
        let set = AuthorSet::from_bytes(&bytes, self.committee.size());
        set.ok_or(tag("member", u8::MAX))
    }

    fn count(&mut self, what: &'static str, allowed: usize) -> Result<usize, DecodeError> {
        let found = self.reader.u32()? as usize;
        if found > allowed {
            return Err(DecodeError::Limit {
                what,
                found,
                allowed,
            });
        }
        Ok(found)
    }

    fn schedules(&mut self) -> Result<Schedules, DecodeError> {
        let count = self.count("schedules", ROWS_MAX)?;
        let mut list = Vec::new();
        for _ in 0..count {
            let id = self.reader.u64()?;
            let start = Round(self.reader.u32()?);
            let size = self.committee.size();
            let members = self.count("leaders", size)?;
            let leaders = ListOf {
                what: "leaders",
                item_bytes: 2 + 16,
                allowed: size,
            };
            let pool = self.reader.list(members, leaders, |r| {
                let author = ValidatorIndex(r.u16()?);
                Ok((author, u128::from_le_bytes(r.array()?)))
            })?;
            let rising = pool.windows(2).all(|pair| pair[0].0 < pair[1].0);
            let known = |(author, key): &(ValidatorIndex, u128)| {
                author.position() < size && (1..1 << 64).contains(key)
            };
            if pool.is_empty() || !rising || !pool.iter().all(known) {
                return Err(tag("leader", u8::MAX));
            }
            list.push(Schedule::new(id, start, self.committee, pool));
        }
        Schedules::restored(list).ok_or(tag("schedule", u8::MAX))
    }

    fn table(&mut self) -> Result<Table, DecodeError> {
        let size = self.committee.size();
        let mut table = Table::new(self.committee);
        table.scored = Round(self.reader.u32()?);
        table.healthy = self.reader.u32()?;
        table.slashed = self.set()?;
        for merit in &mut table.merits {
            *merit = self.reader.u64()?;
        }
        let window = self.committee.reputation();
        let count = self.count("marks", window.score_rounds as usize)?;
        for _ in 0..count {
            let of_round = ListOf {
                what: "marks",
                item_bytes: 8 + 3 * 4,
                allowed: size,
            };
            let marks = self.reader.list(size, of_round, |r| {
                Ok(Mark {
                    seen: r.u64()?,
                    vote: r.u32()?,
                    prop: r.u32()?,
                    fast: r.u32()?,
                })
            })?;
            table.marks.enter().copy_from_slice(&marks);
        }
        let count = self.count("slots", WINDOW_MAX.min(window.slot_rounds as usize))?;
        for _ in 0..count {
            let slots = self.slots()?;
            slots.put(table.slots.enter());
        }
        if table.marks.rows().flatten().any(|mark| !mark.is_possible()) {
            return Err(tag("mark", u8::MAX));
        }
        table.add_up();
        Ok(table)
    }

    fn slots(&mut self) -> Result<SlotOutcomes, DecodeError> {
        Ok(SlotOutcomes {
            committed: self.set()?,
            skipped: self.set()?,
        })
    }

    fn rounds(&mut self) -> Result<CommittedRounds, DecodeError> {
        let base = Round(self.reader.u32()?);
        let unscored = Round(self.reader.u32()?);
        let mut rows = VecDeque::new();
        for _ in 0..self.count("rounds", ROWS_MAX)? {
            rows.push_back(self.row()?);
        }
        // Round 1 is the first, and the round below an unscored one is kept for its leaders.
        if base.0 == 0 || unscored.0 == 0 || base > unscored.minus(1).max(Round(1)) {
            return Err(tag("round", u8::MAX));
        }
        Ok(CommittedRounds::restored(base, unscored, rows))
    }

    fn row(&mut self) -> Result<CommittedRound, DecodeError> {
        let authors = self.set()?;
        let doubled = self.set()?;
        let slots = self.slots()?;
        let size = self.committee.size();
        let mut seats = Vec::new();
        for _ in 0..self.count("seats", size)? {
            let seat = match self.reader.u8()? {
                0 => None,
                1 => Some(self.seat()?),
                found => return Err(tag("seat", found)),
            };
            seats.push(seat);
        }
        Ok(CommittedRound {
            authors,
            doubled,
            slots,
            seats,
        })
    }

    fn seat(&mut self) -> Result<Seat, DecodeError> {
        Ok(Seat {
            digest: self.reader.digest()?,
            links: self.set()?,
        })
    }
}

fn tag(what: &'static str, found: u8) -> DecodeError {
    DecodeError::Tag { what, found }
}
