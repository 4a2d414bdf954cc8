//! What an epoch's commits decided about the committee, kept for those who ask later (R32).

use bytes::{BufMut, Bytes, BytesMut};

use super::agenda::ChangeOutcome;
use super::change::{Change, Charter};
use crate::codec::{DecodeError, Reader};
use crate::committee::Committee;
use crate::id::CommitIndex;
use crate::record::{ReadError, RecordSource, RecordTable, epoch_key};
use crate::verify::Reject;

const TAG_DECIDED: u8 = 1;
const TAG_ALARM: u8 = 2;

/// One decision.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "only one exists at a time, on its way to the store"
)]
pub(crate) enum Note {
    /// A change was asked for by enough; whether it took effect follows from the charter before.
    Decided(Change),
    /// More stake is shown to have equivocated than may be Byzantine (R30).
    SlashingAlarm,
}

impl Note {
    pub(crate) fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::new();
        match self {
            Self::Decided(change) => {
                bytes.put_u8(TAG_DECIDED);
                bytes.put_slice(&change.encode());
            }
            Self::SlashingAlarm => bytes.put_u8(TAG_ALARM),
        }
        bytes.freeze()
    }

    fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let note = match reader.u8()? {
            TAG_DECIDED => Self::Decided(Change::decode(&reader.rest())?),
            TAG_ALARM => Self::SlashingAlarm,
            found => {
                let what = "note";
                return Err(DecodeError::Tag { what, found });
            }
        };
        reader.finish()?;
        Ok(note)
    }
}

/// What became of a change, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DecidedChange {
    /// The commit that decided it.
    pub index: CommitIndex,
    /// The change.
    pub change: Change,
    /// Whether it takes effect.
    pub outcome: ChangeOutcome,
}

/// Everything that an epoch's commits have decided about the committee, in order.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct EpochNotes {
    /// Changes that were asked for by enough.
    pub changes: Vec<DecidedChange>,
    /// The epoch has ended, and more stake is shown to have equivocated than may be Byzantine: nobody was slashed for
    /// it, and operators must act (R30).
    pub slashing_alarm: bool,
}

impl EpochNotes {
    /// Reads an epoch's notes back.
    ///
    /// # Errors
    /// When the store fails, or a record is no note.
    pub fn load<S: RecordSource>(
        source: &S,
        committee: &Committee,
    ) -> Result<Self, ReadError<S::Error>> {
        let epoch = committee.epoch();
        let mut stored = Vec::new();
        let visit = &mut |key: &[u8], value: &[u8]| {
            let ours = key.starts_with(&epoch.to_be_bytes());
            if ours {
                stored.push((index_of(key), Bytes::copy_from_slice(value)));
            }
            ours
        };
        source
            .scan(RecordTable::Notes, &epoch_key(epoch), visit)
            .map_err(ReadError::Store)?;
        let mut charter = Charter::of(committee);
        let mut notes = Self::default();
        for (index, bytes) in stored {
            let damaged = |why| ReadError::Damaged(Reject::Malformed(why));
            match Note::decode(&bytes).map_err(damaged)? {
                Note::Decided(change) => notes.changes.push(DecidedChange {
                    index,
                    outcome: charter.take(&change),
                    change,
                }),
                Note::SlashingAlarm => notes.slashing_alarm = true,
            }
        }
        Ok(notes)
    }
}

/// The commit in a key: epoch, index, number.
fn index_of(key: &[u8]) -> CommitIndex {
    let index = key.get(8..16).and_then(|index| index.try_into().ok());
    CommitIndex(index.map_or(0, u64::from_be_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_read_back_and_nothing_else_is() {
        for note in [Note::Decided(Change::EndEpoch), Note::SlashingAlarm] {
            let bytes = note.encode();
            assert_eq!(Note::decode(&bytes), Ok(note));
            let mut longer = bytes.to_vec();
            longer.push(0);
            assert!(Note::decode(&longer.into()).is_err());
        }
        assert!(Note::decode(&Bytes::from_static(&[9])).is_err());
    }
}
