//! The key-value service as short as it can be said: what the log means, entry by entry.
//!
//! The production store is compared with it after every entry and every restart. It keeps nothing on
//! a disk and knows nothing of transactions.

use std::collections::BTreeMap;

use raft_core::{Bytes, Entry, Index, Payload};
use raft_kv::command::{Answer, ClientId, Command, MAX_VALUE, Operation, RequestId};
use raft_kv::store::MAX_SESSIONS;

/// A value, and the index of the entry that wrote it.
pub type Versioned = (u64, Vec<u8>);

/// The state after some prefix of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The last entry that it reflects.
    pub applied: Index,
    /// The keys.
    pub keys: BTreeMap<Vec<u8>, Versioned>,
    sessions: BTreeMap<u64, Session>,
    max_sessions: u64,
}

impl Default for Reference {
    fn default() -> Reference {
        Reference::new(MAX_SESSIONS)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Session {
    used: u64,
    serial: u64,
    answer: Bytes,
}

impl Reference {
    /// The state before the first entry, of a service that keeps at most this many sessions.
    pub fn new(max_sessions: u64) -> Reference {
        let (keys, sessions) = (BTreeMap::new(), BTreeMap::new());
        Reference { applied: Index::ZERO, keys, sessions, max_sessions }
    }

    /// The state after these entries, from index 1 on.
    pub fn of(entries: &[Entry]) -> Reference {
        Reference::default().after(entries)
    }

    /// The state after these entries as well.
    pub fn after(mut self, entries: &[Entry]) -> Reference {
        for entry in entries {
            self.apply(entry);
        }
        self
    }

    /// The state as a snapshot of the production store has it, to the byte
    /// (`impl/kv/src/store/snapshot.rs`).
    pub fn snapshot(&self) -> Vec<u8> {
        let mut bytes = b"RAFT-KV\0".to_vec();
        bytes.extend(1u32.to_le_bytes());
        bytes.extend(self.applied.0.to_le_bytes());
        for (key, (version, value)) in &self.keys {
            bytes.push(1);
            bytes.extend(u32::try_from(key.len()).unwrap_or(u32::MAX).to_le_bytes());
            bytes.extend(u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes());
            bytes.extend(key);
            bytes.extend(version.to_le_bytes());
            bytes.extend(value);
        }
        for (client, Session { used, serial, answer }) in &self.sessions {
            let answer = answer.as_slice();
            bytes.push(2);
            bytes.extend([*client, *used, *serial].into_iter().flat_map(u64::to_le_bytes));
            bytes.push(u8::try_from(answer.len()).unwrap_or(u8::MAX));
            bytes.extend(answer);
        }
        bytes.push(0);
        let counts = [self.keys.len() as u64, self.sessions.len() as u64];
        bytes.extend(counts.into_iter().flat_map(u64::to_le_bytes));
        bytes
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
        let answer = self.perform(operation).encode();
        let session = Session { used, serial: request.serial, answer: answer.clone() };
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
            Operation::OpenSession => self.open_session(),
        }
    }

    fn write(&mut self, key: &Bytes, value: Vec<u8>) -> Answer {
        let (version, length) = (self.applied.0, value.len() as u64);
        self.keys.insert(key.as_slice().to_vec(), (version, value));
        Answer::Written { version, length }
    }

    fn open_session(&mut self) -> Answer {
        if self.sessions.len() as u64 >= self.max_sessions {
            let oldest = self.sessions.iter().min_by_key(|(_, session)| session.used);
            if let Some(client) = oldest.map(|(client, _)| *client) {
                self.sessions.remove(&client);
            }
        }
        let client = self.applied.0;
        self.sessions.insert(client, Session { used: client, serial: 0, answer: Bytes::empty() });
        Answer::SessionOpened { client: ClientId(client) }
    }
}
