//! A minimal key-value service: the meaning of the log, entry by entry.
//!
//! The production store is compared with it after every entry and every restart. The reference has
//! no disk and no transactions.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use raft_core::{Bytes, Entry, Index, Payload};
use raft_kv::command::{Answer, ClientId, Command, MAX_VALUE, Operation, Owner, RequestId};
use raft_kv::store::MAX_SESSIONS;

/// A value, and the index of the entry that wrote it.
pub type Versioned = (u64, Vec<u8>);

/// The state after some prefix of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The index of the last entry that it reflects.
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
    owner: Owner,
    used: u64,
    serial: u64,
    answer: Bytes,
}

impl Reference {
    /// Returns the state before the first entry, of a service that keeps at most this many
    /// sessions.
    pub fn new(max_sessions: u64) -> Reference {
        let (keys, sessions) = (BTreeMap::new(), BTreeMap::new());
        Reference { applied: Index::ZERO, keys, sessions, max_sessions }
    }

    /// Returns the state after these entries, from index 1 on.
    pub fn of(entries: &[Entry]) -> Reference {
        Reference::default().after(entries)
    }

    /// Returns the state after these further entries.
    pub fn after(mut self, entries: &[Entry]) -> Reference {
        for entry in entries {
            self.apply(entry);
        }
        self
    }

    /// Returns the state in a snapshot of the production store, or `None` if it is not a snapshot.
    /// The format is that of `raft_kv::store`.
    pub fn read(snapshot: &[u8]) -> Option<Reference> {
        let mut rest = snapshot.strip_prefix(b"RAFT-KV\0")?.strip_prefix(&2u32.to_le_bytes())?;
        let rest = &mut rest;
        let mut reference = Reference { applied: Index(number(rest)?), ..Reference::default() };
        loop {
            match take(rest, 1)? {
                [1] => {
                    let (key, value) = (length(take(rest, 4)?)?, length(take(rest, 4)?)?);
                    let key = take(rest, key)?.to_vec();
                    let version = number(rest)?;
                    reference.keys.insert(key, (version, take(rest, value)?.to_vec()));
                }
                [2] => {
                    let (client, owner) = (number(rest)?, Owner(number(rest)?));
                    let (used, serial) = (number(rest)?, number(rest)?);
                    let length = length(take(rest, 1)?)?;
                    let answer = Bytes::from(take(rest, length)?);
                    let session = Session { owner, used, serial, answer };
                    reference.sessions.insert(client, session);
                }
                _ => break,
            }
        }
        let counts = (number(rest)?, number(rest)?);
        let held = (reference.keys.len() as u64, reference.sessions.len() as u64);
        (counts == held && rest.is_empty()).then_some(reference)
    }

    /// Describes how `found` differs from this state, which is the expected one. Returns `None` if
    /// it does not differ.
    pub fn difference(&self, found: &Reference) -> Option<String> {
        let mut differences = Vec::new();
        if found.applied != self.applied {
            differences.push(format!("reflects index {}, not {}", found.applied, self.applied));
        }
        let text = |key: &Vec<u8>| format!("key {:?}", String::from_utf8_lossy(key));
        let value = |(version, value): &Versioned| {
            format!("{:?} of version {version}", String::from_utf8_lossy(value))
        };
        compare(&self.keys, &found.keys, text, value, &mut differences);
        let name = |client: &u64| format!("session {client}");
        let session = |session: &Session| {
            let Session { owner, used, serial, answer } = session;
            format!("of {owner:?}, last used at {used} with serial {serial} and answer {answer:?}")
        };
        compare(&self.sessions, &found.sessions, name, session, &mut differences);
        if differences.len() > SHOWN {
            let more = differences.len() - SHOWN;
            differences.truncate(SHOWN);
            differences.push(format!("{more} more differences"));
        }
        (!differences.is_empty()).then(|| differences.join("; "))
    }

    /// Applies the next entry, and returns its answer.
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

    /// Performs a request of a session. A request that was performed before is only answered.
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
        if self.sessions.len() as u64 >= self.max_sessions
            && let Some(client) = self.superfluous()
        {
            self.sessions.remove(&client);
        }
        let client = self.applied.0;
        let session = Session { owner, used: client, serial: 0, answer: Bytes::empty() };
        self.sessions.insert(client, session);
        Answer::SessionOpened { client: ClientId(client) }
    }

    /// Returns the session that ends when there are too many: the least recently used one of the
    /// owner with the most sessions.
    fn superfluous(&self) -> Option<u64> {
        // The number of sessions of each owner, and its least recent use.
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

/// The number of differences that are listed.
const SHOWN: usize = 4;

/// Lists the items that are missing, surplus or different in `found`.
fn compare<K: Ord, V: PartialEq>(
    expected: &BTreeMap<K, V>,
    found: &BTreeMap<K, V>,
    name: impl Fn(&K) -> String,
    show: impl Fn(&V) -> String,
    differences: &mut Vec<String>,
) {
    for (key, value) in expected {
        match found.get(key) {
            None => differences.push(format!("{} is missing", name(key))),
            Some(other) if other != value => {
                let (other, value) = (show(other), show(value));
                differences.push(format!("{} is {other}, not {value}", name(key)));
            }
            Some(_) => {}
        }
    }
    for key in found.keys().filter(|key| !expected.contains_key(key)) {
        differences.push(format!("{} should not be there", name(key)));
    }
}

/// Takes `count` bytes from the beginning.
fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count)?;
    *rest = left;
    Some(taken)
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    take(rest, 8)?.try_into().ok().map(u64::from_le_bytes)
}

/// Decodes a little-endian length.
fn length(bytes: &[u8]) -> Option<usize> {
    let length = bytes.iter().rev().fold(0, |length, byte| length << 8 | u64::from(*byte));
    usize::try_from(length).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(keys: &[(&str, u64)], sessions: &[u64]) -> Reference {
        let key = |(key, version): &(&str, u64)| (key.as_bytes().to_vec(), (*version, Vec::new()));
        let session = |client: &u64| {
            let (owner, used) = (Owner::UNKNOWN, *client);
            (*client, Session { owner, used, serial: 0, answer: Bytes::empty() })
        };
        Reference {
            applied: Index(9),
            keys: keys.iter().map(key).collect(),
            sessions: sessions.iter().map(session).collect(),
            ..Reference::default()
        }
    }

    #[test]
    fn surplus_keys_and_sessions_are_differences_like_missing_ones() {
        let expected = state(&[("a", 1), ("b", 2)], &[3]);
        assert_eq!(expected.difference(&expected.clone()), None);
        let found = state(&[("a", 1), ("c", 2)], &[3, 4]);
        let difference = expected.difference(&found).expect("they differ");
        for part in [
            "key \"b\" is missing",
            "key \"c\" should not be there",
            "session 4 should not be there",
        ] {
            assert!(difference.contains(part), "{difference}");
        }
    }

    #[test]
    fn what_a_snapshot_of_the_production_store_holds_is_what_its_log_means() {
        use raft_kv::store::KvStore;
        use raft_node::StateMachine as _;

        let operations = [
            (None, Operation::OpenSession),
            (Some(1), Operation::Put { key: "a".into(), value: "".into() }),
            (None, Operation::Append { key: "b".into(), suffix: "x".into() }),
            (Some(2), Operation::Delete { key: "b".into() }),
        ];
        let entries = operations.map(|(serial, operation)| {
            let request = serial.map(|serial| RequestId { client: ClientId(1), serial });
            let command = Command { request, operation }.encode().expect("it is short");
            let payload = Payload::Command(command.into());
            Entry { term: raft_core::Term(1), payload }
        });
        let disk = crate::disk::Disk::default();
        let directory = disk.root().directory("kv").expect("the disk is sound");
        let mut store = KvStore::open_in(directory, 1 << 20).expect("the disk is sound");
        store.apply(Index(1), &entries).expect("the disk is sound");
        let mut bytes = Vec::new();
        store.snapshot().expect("it can").write_to(&mut bytes).expect("a vector takes everything");
        assert_eq!(Reference::read(&bytes), Some(Reference::of(&entries)));
        assert_eq!(Reference::read(&bytes[..bytes.len() - 1]), None);
    }
}
