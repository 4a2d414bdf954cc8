//! What may be changed at an epoch's end, and the transactions that ask for it (R32).

use bytes::{BufMut, Bytes, BytesMut};

use super::agenda::ChangeOutcome;
use super::roster::{Roster, RosterError, read_contact};
use crate::codec::{DecodeError, Reader};
use crate::committee::Committee;
use crate::crypto::{Context, Digest, PublicKey, hash};
use crate::thresholds::{FaultBounds, Mode, Thresholds};

/// The first bytes of every transaction that asks for a change.
const MAGIC: &[u8; 16] = b"probity/change/1";

const TAG_STAKE: u8 = 1;
const TAG_BOUNDS: u8 = 2;
const TAG_END: u8 = 3;

/// A change of the committee, or the mark that ends the epoch. Changes take effect at the epoch's end.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "a key carries its curve point; only a few changes ever exist at once"
)]
pub enum Change {
    /// A key's base stake: a new validator, another share, or with zero a leaver.
    Stake {
        /// Whose.
        key: PublicKey,
        /// How much; zero takes the seat away.
        stake: u64,
        /// How to reach it; empty leaves what is known.
        contact: Bytes,
    },
    /// Other fault bounds, as weights of the same total.
    Bounds(FaultBounds),
    /// The epoch ends with the commit that makes this effective.
    EndEpoch,
}

impl Change {
    /// The transaction that asks for it.
    ///
    /// # Panics
    /// When a contact has more than 65,535 bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::from(&MAGIC[..]);
        match self {
            Self::Stake {
                key,
                stake,
                contact,
            } => {
                bytes.put_u8(TAG_STAKE);
                bytes.put_slice(key.as_bytes());
                bytes.put_u64_le(*stake);
                bytes.put_u16_le(u16::try_from(contact.len()).expect("a short contact"));
                bytes.put_slice(contact);
            }
            Self::Bounds(bounds) => {
                bytes.put_u8(TAG_BOUNDS);
                put_bounds(&mut bytes, *bounds);
            }
            Self::EndEpoch => bytes.put_u8(TAG_END),
        }
        bytes.freeze()
    }

    /// Whether a transaction claims to ask for a change.
    #[must_use]
    pub fn is_change(transaction: &[u8]) -> bool {
        transaction.starts_with(MAGIC)
    }

    /// Reads a transaction.
    ///
    /// # Errors
    /// When it is not the canonical encoding of a change.
    pub fn decode(transaction: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(transaction);
        if reader.array::<16>()? != *MAGIC {
            return Err(DecodeError::Tag {
                what: "change",
                found: 0,
            });
        }
        let change = match reader.u8()? {
            TAG_STAKE => Self::Stake {
                key: reader.key()?,
                stake: reader.u64()?,
                contact: read_contact(&mut reader)?,
            },
            TAG_BOUNDS => Self::Bounds(read_bounds(&mut reader)?),
            TAG_END => Self::EndEpoch,
            found => {
                return Err(DecodeError::Tag {
                    what: "change",
                    found,
                });
            }
        };
        reader.finish()?;
        Ok(change)
    }
}

fn put_bounds(bytes: &mut BytesMut, bounds: FaultBounds) {
    bytes.put_u8(match bounds.mode {
        Mode::Graded => 0,
        Mode::Classic => 1,
    });
    bytes.put_u64_le(bounds.byzantine);
    bytes.put_u64_le(bounds.crashed);
}

fn read_bounds(reader: &mut Reader<'_>) -> Result<FaultBounds, DecodeError> {
    let mode = match reader.u8()? {
        0 => Mode::Graded,
        1 => Mode::Classic,
        found => {
            return Err(DecodeError::Tag {
                what: "mode",
                found,
            });
        }
    };
    Ok(FaultBounds {
        mode,
        byzantine: reader.u64()?,
        crashed: reader.u64()?,
    })
}

/// What the next epoch starts from, as far as it is ordered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Charter {
    /// Base stakes.
    pub roster: Roster,
    /// Mode, `f` and `c`, as weights.
    pub bounds: FaultBounds,
    /// `W`.
    pub total: u64,
}

impl Charter {
    /// What a committee started from.
    pub(crate) fn of(committee: &Committee) -> Self {
        Self {
            roster: committee.roster().clone(),
            bounds: committee.bounds(),
            total: committee.thresholds().total,
        }
    }

    /// Takes a change in, or says why not.
    pub(crate) fn take(&mut self, change: &Change) -> ChangeOutcome {
        match self.with(change) {
            Ok(charter) => {
                *self = charter;
                ChangeOutcome::Effective
            }
            Err(why) => ChangeOutcome::Refused(why),
        }
    }

    /// What the last record of an epoch names (R21).
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut bytes = BytesMut::new();
        self.put(&mut bytes);
        hash(Context::Charter, &[&bytes])
    }

    pub(crate) fn put(&self, bytes: &mut BytesMut) {
        bytes.put_u64_le(self.total);
        put_bounds(bytes, self.bounds);
        self.roster.put(bytes);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            total: reader.u64()?,
            bounds: read_bounds(reader)?,
            roster: Roster::read(reader)?,
        })
    }

    /// The charter after a change.
    ///
    /// # Errors
    /// When it would leave no committee; nothing has changed then.
    pub fn with(&self, change: &Change) -> Result<Self, RosterError> {
        let mut next = self.clone();
        match change {
            Change::Stake {
                key,
                stake,
                contact,
            } => {
                next.roster = {
                    let of = (*stake, contact);
                    self.roster.with_stake(key, of, self.total)?
                }
            }
            Change::Bounds(bounds) => {
                Thresholds::derive(*bounds, self.total).map_err(RosterError::Bounds)?;
                next.bounds = *bounds;
            }
            Change::EndEpoch => {}
        }
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::epoch::Seat;
    use crate::id::ValidatorIndex;
    use crate::testing::keypair;

    #[test]
    fn changes_are_read_back_and_nothing_else_is() {
        let key = keypair(ValidatorIndex(3)).public();
        let contact = Bytes::from_static(b"192.0.2.1:7000");
        let bounds = FaultBounds {
            mode: Mode::Classic,
            byzantine: 3,
            crashed: 1,
        };
        for change in [
            Change::Stake {
                key,
                stake: 7,
                contact,
            },
            Change::Bounds(bounds),
            Change::EndEpoch,
        ] {
            let bytes = change.encode();
            assert!(Change::is_change(&bytes));
            assert_eq!(Change::decode(&bytes), Ok(change));
            let mut longer = bytes.to_vec();
            longer.push(0);
            assert_eq!(Change::decode(&longer.into()), Err(DecodeError::Trailing));
            assert!(Change::decode(&bytes.slice(..bytes.len() - 1)).is_err());
        }
        assert!(!Change::is_change(b"probity/change/2"));
    }

    #[test]
    fn bounds_that_no_committee_carries_are_refused() {
        let seats = vec![Seat::newcomer(keypair(ValidatorIndex(0)).public(), 1)];
        let bounds = |byzantine| FaultBounds {
            mode: Mode::Graded,
            byzantine,
            crashed: 0,
        };
        let charter = Charter {
            roster: Roster::new(seats).unwrap(),
            bounds: bounds(1),
            total: 10,
        };
        let next = charter.with(&Change::Bounds(bounds(3))).unwrap();
        assert_eq!(next.bounds.byzantine, 3);
        let refused = charter.with(&Change::Bounds(bounds(4)));
        assert!(matches!(refused, Err(RosterError::Bounds(_))));
    }
}
