//! Base stakes, and what becomes of them at an epoch's end: who is a validator next, with which weight (R30, R32).

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::codec::{DecodeError, ListOf, Reader};
use crate::crypto::PublicKey;
use crate::limits::{CONTACT_BYTES_MAX, STAKE_TOTAL_MAX, VALIDATORS_MAX};
use crate::reputation::ONE;

/// Whoever has stake. Its weight follows from stake and `rho`; with none it is no member of the committee.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seat {
    /// Verifies its blocks.
    pub key: PublicKey,
    /// Its base stake, above zero; only ratios count.
    pub stake: u64,
    /// What part of the stake counts, in units of [`ONE`] (R30).
    pub rho: u32,
    /// Shown to have equivocated: no weight until its stake is set anew (R30).
    pub slashed: bool,
    /// How to reach it, for the shell alone; empty for those that the shell knows from its own configuration.
    pub contact: Bytes,
}

impl Seat {
    /// Somebody without a past (R30: the previous `rho` of a newcomer is one).
    #[must_use]
    pub fn newcomer(key: PublicKey, stake: u64) -> Self {
        Self {
            key,
            stake,
            rho: ONE,
            slashed: false,
            contact: Bytes::new(),
        }
    }
}

/// All seats, in the order in which they came; never empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Roster {
    seats: Vec<Seat>,
}

impl Roster {
    /// Checks the seats.
    ///
    /// # Errors
    /// When there is none or too many, two have one key, a stake is zero, or they add up to too much.
    pub fn new(seats: Vec<Seat>) -> Result<Self, RosterError> {
        if seats.is_empty() || seats.len() > VALIDATORS_MAX {
            return Err(RosterError::Size { seats: seats.len() });
        }
        let mut total = 0u64;
        for (at, seat) in seats.iter().enumerate() {
            if seat.stake == 0 {
                return Err(RosterError::NoStake(*seat.key.as_bytes()));
            }
            total = total
                .checked_add(seat.stake)
                .filter(|total| *total <= STAKE_TOTAL_MAX)
                .ok_or(RosterError::StakeOverflow)?;
            if seats[..at].iter().any(|earlier| earlier.key == seat.key) {
                return Err(RosterError::DuplicateKey(*seat.key.as_bytes()));
            }
            if seat.contact.len() > CONTACT_BYTES_MAX {
                return Err(RosterError::Contact {
                    bytes: seat.contact.len(),
                });
            }
        }
        Ok(Self { seats })
    }

    /// The seats.
    #[must_use]
    pub fn seats(&self) -> &[Seat] {
        &self.seats
    }

    pub(crate) fn seats_mut(&mut self) -> &mut [Seat] {
        &mut self.seats
    }

    /// The seat of a key.
    #[must_use]
    pub fn seat(&self, key: &PublicKey) -> Option<&Seat> {
        self.seats.iter().find(|seat| seat.key == *key)
    }

    /// All base stake.
    pub(crate) fn stake(&self) -> u64 {
        self.seats.iter().map(|seat| seat.stake).sum()
    }

    /// Gives a key this stake; zero takes its seat away. Whoever gets a stake of its own is a newcomer if it had none
    /// or was slashed. An empty contact leaves the one before.
    ///
    /// # Errors
    /// When what is left is no roster, or would give no weight to anybody or not to the key itself.
    pub(crate) fn with_stake(
        &self,
        key: &PublicKey,
        (stake, contact): (u64, &Bytes),
        total: u64,
    ) -> Result<Self, RosterError> {
        let mut seats = self.seats.clone();
        let held = seats.iter().position(|seat| seat.key == *key);
        match (held, stake) {
            (None, 0) => return Err(RosterError::Unknown(*key.as_bytes())),
            (Some(at), 0) => {
                seats.remove(at);
            }
            (Some(at), _) => {
                let seat = &mut seats[at];
                seat.stake = stake;
                if seat.slashed {
                    (seat.slashed, seat.rho) = (false, ONE);
                }
            }
            (None, _) => seats.push(Seat::newcomer(*key, stake)),
        }
        if let Some(seat) = seats.iter_mut().find(|seat| seat.key == *key)
            && !contact.is_empty()
        {
            seat.contact = contact.clone();
        }
        let roster = Self::new(seats)?;
        let weights = roster.weights(total)?;
        let of_key = roster
            .seats
            .iter()
            .zip(weights)
            .find(|(s, _)| s.key == *key);
        if of_key.is_some_and(|(_, weight)| weight == 0) {
            return Err(RosterError::Weightless(*key.as_bytes()));
        }
        Ok(roster)
    }

    /// R30: `stake * rho`, scaled to `total` by largest remainder, ties to the lower seat.
    ///
    /// # Errors
    /// When nobody has any.
    pub fn weights(&self, total: u64) -> Result<Vec<u64>, RosterError> {
        let shares: Vec<u128> = self
            .seats
            .iter()
            .map(|seat| u128::from(seat.stake) * u128::from(seat.rho))
            .collect();
        apportion(&shares, total).ok_or(RosterError::NoWeight)
    }

    pub(crate) fn put(&self, bytes: &mut BytesMut) {
        bytes.put_u16_le(u16::try_from(self.seats.len()).expect("at most 256 seats"));
        for seat in &self.seats {
            bytes.put_slice(seat.key.as_bytes());
            bytes.put_u64_le(seat.stake);
            bytes.put_u32_le(seat.rho);
            bytes.put_u8(u8::from(seat.slashed));
            bytes.put_u16_le(u16::try_from(seat.contact.len()).expect("at most 256 bytes"));
            bytes.put_slice(&seat.contact);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = usize::from(reader.u16()?);
        let seats = ListOf {
            what: "seats",
            item_bytes: 32 + 8 + 4 + 1 + 2,
            allowed: VALIDATORS_MAX,
        };
        let seats = reader.list(count, seats, |r| {
            Ok(Seat {
                key: r.key()?,
                stake: r.u64()?,
                rho: match r.u32()? {
                    rho if rho <= ONE => rho,
                    _ => return Err(tag("rho")),
                },
                slashed: match r.u8()? {
                    0 => false,
                    1 => true,
                    _ => return Err(tag("slashed")),
                },
                contact: read_contact(r)?,
            })
        })?;
        Self::new(seats).map_err(|_| tag("roster"))
    }
}

pub(super) fn read_contact(reader: &mut Reader<'_>) -> Result<Bytes, DecodeError> {
    let found = usize::from(reader.u16()?);
    if found > CONTACT_BYTES_MAX {
        return Err(DecodeError::Limit {
            what: "contact bytes",
            found,
            allowed: CONTACT_BYTES_MAX,
        });
    }
    reader.bytes(found)
}

fn tag(what: &'static str) -> DecodeError {
    DecodeError::Tag {
        what,
        found: u8::MAX,
    }
}

/// Splits `total` by these shares: each part is rounded down, then what is missing goes one by one to the largest
/// remainders, ties to the lower place. `None` when all shares are zero.
pub(crate) fn apportion(shares: &[u128], total: u64) -> Option<Vec<u64>> {
    let sum: u128 = shares.iter().sum();
    if sum == 0 {
        return None;
    }
    let scaled = |share: u128| share * u128::from(total);
    let narrow = |part: u128| u64::try_from(part).expect("a part of a u64");
    let mut parts: Vec<u64> = shares.iter().map(|s| narrow(scaled(*s) / sum)).collect();
    let missing = total - parts.iter().sum::<u64>();
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.sort_by_key(|at| (std::cmp::Reverse(scaled(shares[*at]) % sum), *at));
    // Fewer are missing than there are shares with a remainder.
    for at in order.into_iter().take(usize::try_from(missing).ok()?) {
        parts[at] += 1;
    }
    Some(parts)
}

/// Why stakes make no committee.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RosterError {
    /// Nobody has stake, or too many have.
    Size {
        /// How many.
        seats: usize,
    },
    /// A listed stake is zero.
    NoStake([u8; 32]),
    /// The stakes add up to more than is allowed.
    StakeOverflow,
    /// Two seats have one key.
    DuplicateKey([u8; 32]),
    /// The key has no stake that could be taken away.
    Unknown([u8; 32]),
    /// The stake is so small a part that it would weigh nothing.
    Weightless([u8; 32]),
    /// Everybody with stake is slashed.
    NoWeight,
    /// A contact is too long.
    Contact {
        /// Its length.
        bytes: usize,
    },
    /// The weights would not carry the fault bounds.
    Bounds(crate::thresholds::ThresholdError),
}

/// The start of a key, for people.
fn short(key: &[u8; 32]) -> String {
    let [a, b, c, d, ..] = key;
    format!("key {a:02x}{b:02x}{c:02x}{d:02x}")
}

impl fmt::Display for RosterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size { seats } => write!(f, "{seats} with stake; allowed: 1 to {VALIDATORS_MAX}"),
            Self::NoStake(key) => write!(f, "{} has a stake of zero", short(key)),
            Self::StakeOverflow => write!(f, "the stakes add up to more than {STAKE_TOTAL_MAX}"),
            Self::DuplicateKey(key) => write!(f, "{} is listed twice", short(key)),
            Self::Unknown(key) => write!(f, "{} has no stake to take away", short(key)),
            Self::Weightless(key) => {
                write!(
                    f,
                    "{} would have weight 0; give it a larger stake",
                    short(key)
                )
            }
            Self::NoWeight => f.write_str("nobody would have any weight"),
            Self::Contact { bytes } => {
                write!(
                    f,
                    "a contact of {bytes} bytes; allowed: {CONTACT_BYTES_MAX}"
                )
            }
            Self::Bounds(why) => why.fmt(f),
        }
    }
}

impl std::error::Error for RosterError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ValidatorIndex;
    use crate::testing::keypair;

    fn key(of: u16) -> PublicKey {
        keypair(ValidatorIndex(of)).public()
    }

    fn roster(stakes: &[u64]) -> Roster {
        let seats = (0..).zip(stakes).map(|(at, s)| Seat::newcomer(key(at), *s));
        Roster::new(seats.collect()).unwrap()
    }

    #[test]
    fn weights_are_apportioned_by_largest_remainder() {
        assert_eq!(apportion(&[1, 1, 1], 10), Some(vec![4, 3, 3]));
        assert_eq!(apportion(&[5, 3, 2], 7), Some(vec![4, 2, 1]));
        assert_eq!(apportion(&[0, 0], 7), None);
        let mut halved = roster(&[2, 1, 1]);
        halved.seats[0].rho = ONE / 2;
        assert_eq!(halved.weights(9), Ok(vec![3, 3, 3]));
    }

    #[test]
    fn changes_that_leave_no_committee_are_refused() {
        let none = Bytes::new();
        let one = roster(&[1]);
        let gone = one.with_stake(&key(0), (0, &none), 100);
        assert_eq!(gone, Err(RosterError::Size { seats: 0 }));
        let unknown = one.with_stake(&key(1), (0, &none), 100);
        assert_eq!(unknown, Err(RosterError::Unknown(*key(1).as_bytes())));
        let huge = one.with_stake(&key(1), (u64::MAX, &none), 100);
        assert_eq!(huge, Err(RosterError::StakeOverflow));
        let tiny = roster(&[1 << 50]).with_stake(&key(1), (1, &none), 100);
        assert_eq!(tiny, Err(RosterError::Weightless(*key(1).as_bytes())));
        let long = Bytes::from(vec![0; CONTACT_BYTES_MAX + 1]);
        let long = one.with_stake(&key(1), (1, &long), 100);
        assert!(matches!(long, Err(RosterError::Contact { .. })));
    }

    #[test]
    fn a_new_stake_ends_a_slashing() {
        let mut slashed = roster(&[1, 1]);
        (slashed.seats[1].slashed, slashed.seats[1].rho) = (true, 0);
        assert_eq!(slashed.weights(10), Ok(vec![10, 0]));
        let again = slashed.with_stake(&key(1), (1, &Bytes::new()), 10).unwrap();
        assert_eq!(again.weights(10), Ok(vec![5, 5]));
    }

    #[test]
    fn a_roster_is_read_back() {
        let mut roster = roster(&[3, 4]);
        roster.seats[1].contact = Bytes::from_static(b"here");
        let mut bytes = BytesMut::new();
        roster.put(&mut bytes);
        let bytes = bytes.freeze();
        let mut reader = Reader::new(&bytes);
        assert_eq!(Roster::read(&mut reader), Ok(roster.clone()));
        assert_eq!(reader.finish(), Ok(()));
    }
}
