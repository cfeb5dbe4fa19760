//! The tables of the state, and the effects of commands on them.

use raft_core::{Bytes, Entry, Index, Payload};
use redb::{
    Database, Durability, ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction,
};

use super::error::damaged;
use super::sessions::{self, Admission, MAX_SESSIONS, Sessions};
use crate::command::{Answer, Command, MAX_VALUE, Operation, Owner};

/// The keys. For each key, the table stores its version as 8 bytes, little-endian, followed by its
/// value.
pub(super) const DATA: TableDefinition<&[u8], &[u8]> = TableDefinition::new("data");

const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const APPLIED: &str = "applied";
const LAYOUT: &str = "layout";

/// The version of the tables' layout that this crate writes.
pub(super) const THIS_LAYOUT: u64 = 2;

/// The former layout, in which sessions have no owner. [`update`] converts it.
pub(super) const FORMER_LAYOUT: u64 = 1;

/// The length of the version in a value of [`DATA`], in bytes.
pub(super) const VERSION_LENGTH: usize = size_of::<u64>();

/// Creates the tables of a state that reflects the log up to `applied`, in a transaction that
/// [`begin`] or [`begin_durable`] has begun.
pub(super) fn initialize(transaction: WriteTransaction, applied: Index) -> Result<(), redb::Error> {
    {
        let mut state = State::open(&transaction, MAX_SESSIONS)?;
        state.meta.insert(LAYOUT, THIS_LAYOUT)?;
        state.meta.insert(APPLIED, applied.0)?;
    }
    Ok(transaction.commit()?)
}

/// Converts tables from [`FORMER_LAYOUT`] to [`THIS_LAYOUT`], durably.
pub(super) fn update(database: &Database) -> Result<(), redb::Error> {
    let transaction = begin_durable(database)?;
    sessions::give_owners(&transaction)?;
    transaction.open_table(META)?.insert(LAYOUT, THIS_LAYOUT)?;
    Ok(transaction.commit()?)
}

/// Begins a transaction. After its commit, readers see its changes at once. The changes are on disk
/// after the commit of the next durable transaction.
pub(super) fn begin(database: &Database) -> Result<WriteTransaction, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::None)?;
    Ok(transaction)
}

/// Begins a durable transaction. Its commit brings its changes and those of all earlier
/// transactions to disk. To open the file after a crash, the storage engine need not scan all of
/// it.
pub(super) fn begin_durable(database: &Database) -> Result<WriteTransaction, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    Ok(transaction)
}

/// Reads the layout of a file's tables, and the last index that they reflect.
pub(super) fn read_meta(transaction: &ReadTransaction) -> Result<(u64, Index), redb::Error> {
    let meta = transaction.open_table(META)?;
    let number = |name| -> Result<u64, redb::Error> {
        let found = meta.get(name)?.ok_or_else(|| damaged("a number in `meta` is missing"))?;
        Ok(found.value())
    };
    Ok((number(LAYOUT)?, Index(number(APPLIED)?)))
}

/// Splits a value of [`DATA`] into the version and the value of the key.
pub(super) fn split_version(stored: &[u8]) -> Result<(u64, &[u8]), redb::Error> {
    let (version, value) =
        stored.split_first_chunk().ok_or_else(|| damaged("a value in `data` has no version"))?;
    Ok((u64::from_le_bytes(*version), value))
}

/// The tables in a write transaction.
pub(super) struct State<'t> {
    data: Table<'t, &'static [u8], &'static [u8]>,
    sessions: Sessions<'t>,
    meta: Table<'t, &'static str, u64>,
}

impl<'t> State<'t> {
    pub(super) fn open(
        transaction: &'t WriteTransaction,
        max_sessions: u64,
    ) -> Result<State<'t>, redb::Error> {
        Ok(State {
            data: transaction.open_table(DATA)?,
            sessions: Sessions::open(transaction, max_sessions)?,
            meta: transaction.open_table(META)?,
        })
    }

    /// Applies consecutive entries from `first` on. The answer to a no-op entry is empty.
    pub(super) fn apply(
        &mut self,
        first: Index,
        entries: &[Entry],
    ) -> Result<Vec<Bytes>, redb::Error> {
        let mut answers = Vec::with_capacity(entries.len());
        for (place, entry) in entries.iter().enumerate() {
            answers.push(match &entry.payload {
                Payload::Noop => Bytes::empty(),
                Payload::Command(command) => self.command(first.plus(place), command.as_slice())?,
            });
        }
        self.meta.insert(APPLIED, first.plus(entries.len()).prev().0)?;
        Ok(answers)
    }

    fn command(&mut self, index: Index, command: &[u8]) -> Result<Bytes, redb::Error> {
        let Ok(Command { request, operation }) = Command::decode(command) else {
            return Ok(Answer::BadCommand.encode());
        };
        let Some(request) = request else {
            return Ok(self.perform(index, &operation)?.encode());
        };
        match self.sessions.admit(index, request)? {
            Admission::Answered(answer) => Ok(answer),
            Admission::New { owner } => {
                let answer = self.perform(index, &operation)?.encode();
                self.sessions.remember(index, owner, request, answer.as_slice())?;
                Ok(answer)
            }
        }
    }

    fn perform(&mut self, index: Index, operation: &Operation) -> Result<Answer, redb::Error> {
        match operation {
            Operation::Put { key, value } => self.write(index, key, &[value.as_slice()]),
            Operation::Delete { key } => {
                let existed = self.data.remove(key.as_slice())?.is_some();
                Ok(Answer::Deleted { existed })
            }
            Operation::Append { key, suffix } => self.append(index, key, suffix),
            Operation::CompareAndSet { key, expected, value } => {
                let present = self.version(key)?;
                if present == *expected {
                    self.write(index, key, &[value.as_slice()])
                } else {
                    Ok(Answer::Conflict { present })
                }
            }
            Operation::OpenSession => self.open_session(index, Owner::UNKNOWN),
            Operation::OpenSessionFor { owner } => self.open_session(index, *owner),
        }
    }

    fn open_session(&mut self, index: Index, owner: Owner) -> Result<Answer, redb::Error> {
        let client = self.sessions.create(index, owner)?;
        Ok(Answer::SessionOpened { client })
    }

    fn append(&mut self, index: Index, key: &Bytes, suffix: &Bytes) -> Result<Answer, redb::Error> {
        let suffix = suffix.as_slice();
        let present = match self.data.get(key.as_slice())? {
            None => Vec::new(),
            Some(stored) => {
                let (_, value) = split_version(stored.value())?;
                if value.len() + suffix.len() > MAX_VALUE {
                    return Ok(Answer::TooLarge);
                }
                value.to_owned()
            }
        };
        self.write(index, key, &[&present, suffix])
    }

    fn version(&self, key: &Bytes) -> Result<Option<u64>, redb::Error> {
        let Some(stored) = self.data.get(key.as_slice())? else { return Ok(None) };
        Ok(Some(split_version(stored.value())?.0))
    }

    /// Stores a value that is given in parts.
    fn write(&mut self, index: Index, key: &Bytes, value: &[&[u8]]) -> Result<Answer, redb::Error> {
        let length = value.iter().map(|part| part.len()).sum::<usize>();
        let mut stored = self.data.insert_reserve(key.as_slice(), VERSION_LENGTH + length)?;
        let (version, mut rest) = stored.as_mut().split_at_mut(VERSION_LENGTH);
        version.copy_from_slice(&index.0.to_le_bytes());
        for part in value {
            let (here, behind) = rest.split_at_mut(part.len());
            here.copy_from_slice(part);
            rest = behind;
        }
        Ok(Answer::Written { version: index.0, length: length as u64 })
    }
}
