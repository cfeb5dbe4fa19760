//! The key-value service as short as it can be said: what the log means, entry by entry.
//!
//! The production store is compared with it after every entry and every restart. It keeps nothing on
//! a disk and knows nothing of transactions.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use raft_core::{Bytes, Entry, Index, Payload};
use raft_kv::command::{Answer, ClientId, Command, MAX_VALUE, Operation, Owner, RequestId};
use raft_kv::store::MAX_SESSIONS;

/// A value, and the index of the entry that wrote it.
pub type Versioned = (u64, Vec<u8>);

/// The state after some prefix of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reference {
    /// The last entry that it reflects.
    pub applied: Index,
    /// The keys.
    pub keys: BTreeMap<Vec<u8>, Versioned>,
    sessions: BTreeMap<u64, Session>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Session {
    owner: Owner,
    used: u64,
    serial: u64,
    answer: Bytes,
}

impl Reference {
    /// The state after these entries, from index 1 on.
    pub fn of(entries: &[Entry]) -> Reference {
        let mut reference = Reference::default();
        for entry in entries {
            reference.apply(entry);
        }
        reference
    }

    /// Applies the next entry, and answers it.
    pub fn apply(&mut self, entry: &Entry) -> Bytes {
        self.applied = self.applied.next();
        let Payload::Command(command) = &entry.payload else { return Bytes::empty() };
        let Ok(Command { request, operation }) = Command::decode(command.as_slice()) else {
            return Answer::BadCommand.encode();
        };
        match request {
            None => self.perform(&operation).encode(),
            Some(request) => self.perform_once(request, &operation),
        }
    }

    /// A request that was performed before is answered, not performed.
    fn perform_once(&mut self, request: RequestId, operation: &Operation) -> Bytes {
        let (client, used) = (request.client.0, self.applied.0);
        let Some(session) = self.sessions.get_mut(&client) else {
            return Answer::UnknownSession.encode();
        };
        session.used = used;
        if request.serial < session.serial {
            return Answer::StaleSerial.encode();
        }
        if request.serial == session.serial {
            return session.answer.clone();
        }
        let owner = session.owner;
        let answer = self.perform(operation).encode();
        let session = Session { owner, used, serial: request.serial, answer: answer.clone() };
        self.sessions.insert(client, session);
        answer
    }

    fn perform(&mut self, operation: &Operation) -> Answer {
        match operation {
            Operation::Put { key, value } => self.write(key, value.as_slice().to_vec()),
            Operation::Delete { key } => {
                Answer::Deleted { existed: self.keys.remove(key.as_slice()).is_some() }
            }
            Operation::Append { key, suffix } => {
                let present = self.keys.get(key.as_slice()).map(|(_, value)| value.clone());
                let appends = present.is_some();
                let mut value = present.unwrap_or_default();
                value.extend_from_slice(suffix.as_slice());
                if appends && value.len() > MAX_VALUE {
                    return Answer::TooLarge;
                }
                self.write(key, value)
            }
            Operation::CompareAndSet { key, expected, value } => {
                let present = self.keys.get(key.as_slice()).map(|(version, _)| *version);
                if present == *expected {
                    self.write(key, value.as_slice().to_vec())
                } else {
                    Answer::Conflict { present }
                }
            }
            Operation::OpenSession => self.open_session(Owner::UNKNOWN),
            Operation::OpenSessionFor { owner } => self.open_session(*owner),
        }
    }

    fn write(&mut self, key: &Bytes, value: Vec<u8>) -> Answer {
        let (version, length) = (self.applied.0, value.len() as u64);
        self.keys.insert(key.as_slice().to_vec(), (version, value));
        Answer::Written { version, length }
    }

    fn open_session(&mut self, owner: Owner) -> Answer {
        if self.sessions.len() as u64 >= MAX_SESSIONS
            && let Some(client) = self.superfluous()
        {
            self.sessions.remove(&client);
        }
        let client = self.applied.0;
        let session = Session { owner, used: client, serial: 0, answer: Bytes::empty() };
        self.sessions.insert(client, session);
        Answer::SessionOpened { client: ClientId(client) }
    }

    /// The session that ends when there are too many: of the owner with most, the least recently
    /// used one.
    fn superfluous(&self) -> Option<u64> {
        // How many sessions each owner has, and its least recent use.
        let mut owners: BTreeMap<Owner, (usize, (u64, u64))> = BTreeMap::new();
        for (client, session) in &self.sessions {
            let last_use = (session.used, *client);
            let (count, oldest) = owners.entry(session.owner).or_insert((0, last_use));
            (*count, *oldest) = (*count + 1, last_use.min(*oldest));
        }
        let loser = owners
            .iter()
            .max_by_key(|(owner, (count, (used, _)))| (*count, Reverse(*used), **owner));
        loser.map(|(_, (_, (_, client)))| *client)
    }
}
