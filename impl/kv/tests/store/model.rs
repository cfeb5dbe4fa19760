//! Comparison of the store with a map: random commands, restarts, crashes and snapshots.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs;

use proptest::prelude::*;
use raft_core::{Bytes, Entry, Index, Payload, Term};
use raft_kv::command::{Answer, ClientId, Command, Operation, Owner, RequestId};
use raft_kv::store::{KvStore, MAX_SESSIONS};
use raft_node::StateMachine;
use tempfile::TempDir;

use crate::{command, directory, entry, open, snapshot};

#[derive(Clone, Debug)]
enum Step {
    /// Apply these as one batch.
    Apply(Vec<Request>),
    Sync,
    /// Close the store and open it again.
    Restart,
    /// Continue with a copy of the file, as after a crash.
    Crash,
    /// Continue with another store that has restored a snapshot of this one.
    Move,
}

#[derive(Clone, Debug)]
enum Request {
    Blank,
    Nonsense(Vec<u8>),
    /// In the session at this place, with a serial number at this distance from its last one.
    Session(usize, i64, Operation),
    Plain(Operation),
    /// The entry at this place of the log, a second time.
    Again(usize),
}

fn any_operation() -> impl Strategy<Value = Operation> {
    let key = || "[a-d]{1,2}".prop_map(|key| Bytes::from(key.as_str()));
    let length = || prop_oneof![1 => Just(0), 2 => 1..1000usize];
    let bytes = move || length().prop_flat_map(|length| prop::collection::vec(any::<u8>(), length));
    let value = || bytes().prop_map(Bytes::from);
    prop_oneof![
        3 => (key(), value()).prop_map(|(key, value)| Operation::Put { key, value }),
        2 => key().prop_map(|key| Operation::Delete { key }),
        2 => (key(), value()).prop_map(|(key, suffix)| Operation::Append { key, suffix }),
        2 => (key(), prop::option::of(1..40u64), value()).prop_map(
            |(key, expected, value)| Operation::CompareAndSet { key, expected, value }
        ),
        1 => Just(Operation::OpenSession),
        2 => (0..4u64).prop_map(|owner| Operation::OpenSessionFor { owner: Owner(owner) }),
    ]
}

fn any_request() -> impl Strategy<Value = Request> {
    prop_oneof![
        1 => Just(Request::Blank),
        1 => prop::collection::vec(any::<u8>(), 0..8).prop_map(Request::Nonsense),
        4 => (any::<usize>(), -2..4i64, any_operation())
            .prop_map(|(session, ahead, operation)| Request::Session(session, ahead, operation)),
        4 => any_operation().prop_map(Request::Plain),
        2 => any::<usize>().prop_map(Request::Again),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop::collection::vec(any_request(), 1..12).prop_map(Step::Apply),
        1 => Just(Step::Sync),
        1 => Just(Step::Restart),
        1 => Just(Step::Crash),
        1 => Just(Step::Move),
    ]
}

/// The number of sessions before the steps that open too many of them.
const ALMOST_ALL: usize = 9_995;

/// Returns steps in which sessions are opened and used.
fn any_step_with_sessions() -> impl Strategy<Value = Step> {
    let opening = prop_oneof![0..6u64, 0..2000u64]
        .prop_map(|o| Operation::OpenSessionFor { owner: Owner(o) });
    let put = || Operation::Put { key: Bytes::from("k"), value: Bytes::from("v") };
    let request = prop_oneof![
        2 => opening.clone().prop_map(Request::Plain),
        1 => (any::<usize>(), opening).prop_map(|(of, opening)| Request::Session(of, 1, opening)),
        2 => (any::<usize>(), 0..2i64).prop_map(move |(of, ahead)| Request::Session(of, ahead, put())),
    ];
    prop_oneof![
        8 => prop::collection::vec(request, 1..40).prop_map(Step::Apply),
        1 => Just(Step::Restart),
        1 => Just(Step::Move),
    ]
}

/// The expected state of the store, and the log that leads to it.
#[derive(Default)]
struct Model {
    log: Vec<Entry>,
    answers: Vec<Bytes>,
    keys: BTreeMap<Vec<u8>, (u64, Vec<u8>)>,
    sessions: BTreeMap<u64, Session>,
}

#[derive(Default)]
struct Session {
    owner: u64,
    last_use: u64,
    serial: u64,
    /// The encoded answer to the last request; empty before the first request.
    answer: Vec<u8>,
}

impl Model {
    fn entry(&self, request: &Request) -> Entry {
        match request {
            Request::Blank => Entry { term: Term(1), payload: Payload::Noop },
            Request::Nonsense(bytes) => entry(bytes),
            Request::Plain(operation) => command(None, operation.clone()),
            Request::Session(place, ahead, operation) => {
                let place = place % (self.sessions.len() + 1);
                // The place after the last session means a session that does not exist.
                let known = self.sessions.iter().nth(place);
                let (client, last) =
                    known.map_or((1 << 40, 0), |(name, known)| (*name, known.serial));
                let serial = last.saturating_add_signed(*ahead).max(1);
                let request = RequestId { client: ClientId(client), serial };
                command(Some(request), operation.clone())
            }
            Request::Again(place) => match self.log.len() {
                0 => self.entry(&Request::Blank),
                length => self.log[place % length].clone(),
            },
        }
    }

    fn apply(&mut self, entry: Entry) {
        let index = self.log.len() as u64 + 1;
        let answer = match &entry.payload {
            Payload::Noop => Bytes::empty(),
            Payload::Command(bytes) => match Command::decode(bytes.as_slice()) {
                Err(_) => Answer::BadCommand.encode(),
                Ok(command) => self.command(index, command),
            },
        };
        self.log.push(entry);
        self.answers.push(answer);
    }

    fn command(&mut self, index: u64, command: Command) -> Bytes {
        let Some(RequestId { client, serial }) = command.request else {
            return self.perform(index, command.operation).encode();
        };
        let Some(session) = self.sessions.get_mut(&client.0) else {
            return Answer::UnknownSession.encode();
        };
        session.last_use = index;
        let owner = session.owner;
        if serial < session.serial {
            return Answer::StaleSerial.encode();
        }
        if serial == session.serial {
            return Bytes::from(session.answer.as_slice());
        }
        let answer = self.perform(index, command.operation).encode();
        let remembered = answer.as_slice().to_owned();
        let session = Session { owner, last_use: index, serial, answer: remembered };
        self.sessions.insert(client.0, session);
        answer
    }

    fn perform(&mut self, index: u64, operation: Operation) -> Answer {
        let (key, value) = match operation {
            Operation::Put { key, value } => (key, value.as_slice().to_owned()),
            Operation::Append { key, suffix } => {
                let mut value = self
                    .keys
                    .get(key.as_slice())
                    .map(|(_, value)| value.clone())
                    .unwrap_or_default();
                value.extend(suffix.as_slice());
                (key, value)
            }
            Operation::CompareAndSet { key, expected, value } => {
                let present = self.keys.get(key.as_slice()).map(|(version, _)| *version);
                if present != expected {
                    return Answer::Conflict { present };
                }
                (key, value.as_slice().to_owned())
            }
            Operation::Delete { key } => {
                return Answer::Deleted { existed: self.keys.remove(key.as_slice()).is_some() };
            }
            Operation::OpenSession => return self.open_session(index, 0),
            Operation::OpenSessionFor { owner } => return self.open_session(index, owner.0),
        };
        let length = value.len() as u64;
        self.keys.insert(key.as_slice().to_owned(), (index, value));
        Answer::Written { version: index, length }
    }

    fn open_session(&mut self, index: u64, owner: u64) -> Answer {
        if self.sessions.len() as u64 >= MAX_SESSIONS {
            let mut counts = BTreeMap::new();
            for session in self.sessions.values() {
                *counts.entry(session.owner).or_insert(0) += 1;
            }
            let most = *counts.values().max().expect("there are sessions");
            let of_those =
                self.sessions.iter().filter(|(_, session)| counts[&session.owner] == most);
            let rank = |(client, session): &(&u64, &Session)| {
                (session.last_use, Reverse(session.owner), **client)
            };
            let ended = *of_those.min_by_key(rank).expect("there are sessions").0;
            self.sessions.remove(&ended);
        }
        self.sessions.insert(index, Session { owner, last_use: index, ..Session::default() });
        Answer::SessionOpened { client: ClientId(index) }
    }

    /// Returns the expected bytes of a snapshot.
    fn snapshot(&self) -> Vec<u8> {
        let number = |number: usize| (number as u64).to_le_bytes();
        let short = |number: usize| number.to_le_bytes()[..4].to_owned();
        let mut bytes = [b"RAFT-KV\0\x02\0\0\0".as_slice(), &number(self.log.len())].concat();
        for (key, (version, value)) in &self.keys {
            let lengths = [short(key.len()), short(value.len())].concat();
            bytes.extend([&[1], &*lengths, key, &version.to_le_bytes(), value].concat());
        }
        for (client, session) in &self.sessions {
            bytes.push(2);
            let numbers = [*client, session.owner, session.last_use, session.serial];
            bytes.extend(numbers.map(u64::to_le_bytes).concat());
            bytes.extend(&number(session.answer.len())[..1]);
            bytes.extend(&session.answer);
        }
        bytes.push(0);
        bytes.extend([number(self.keys.len()), number(self.sessions.len())].concat());
        bytes
    }
}

/// A store under test and its expected state.
struct Run {
    model: Model,
    dir: TempDir,
    store: KvStore,
    synced: usize,
}

impl Run {
    fn new() -> Run {
        let dir = directory();
        Run { model: Model::default(), store: open(dir.path()), dir, synced: 0 }
    }

    fn step(mut self, step: Step) -> Run {
        match step {
            Step::Apply(requests) => {
                for request in &requests {
                    self.model.apply(self.model.entry(request));
                }
                self.catch_up();
            }
            Step::Sync => {
                self.store.sync().expect("synced");
                self.synced = self.model.log.len();
            }
            Step::Restart => {
                let Run { model, dir, mut store, .. } = self;
                store.sync().expect("synced");
                drop(store);
                let synced = model.log.len();
                self = Run { model, store: open(dir.path()), dir, synced };
                assert_eq!(self.store.applied().0, synced as u64);
            }
            Step::Crash => {
                let dir = directory();
                let name = "state.redb";
                fs::copy(self.dir.path().join(name), dir.path().join(name)).expect("copied");
                self = Run { store: open(dir.path()), dir, ..self };
                assert!(self.store.applied().0 >= self.synced as u64);
                self.catch_up();
            }
            Step::Move => {
                let (index, data) = snapshot(&self.store);
                let mut other = Run::new();
                other.store.restore(index, &mut data.as_slice()).expect("restored");
                // Until the next sync, a crash may lose the whole restored state.
                self = Run { model: self.model, ..other };
            }
        }
        self
    }

    /// Applies the rest of the log to the store, and checks that the answers are those of the
    /// model.
    fn catch_up(&mut self) {
        let applied = usize::try_from(self.store.applied().0).expect("a small number");
        let first = Index::ZERO.plus(applied).next();
        let answers = self.store.apply(first, &self.model.log[applied..]).expect("applied");
        assert_eq!(answers, self.model.answers[applied..]);
    }

    fn check(&self) {
        let reader = self.store.reader();
        assert_eq!(reader.applied().0, self.model.log.len() as u64);
        assert_eq!(snapshot(&self.store).1, self.model.snapshot());
        for (key, (version, value)) in &self.model.keys {
            let found = reader.get(key).expect("readable").expect("a value");
            assert_eq!((found.version, &found.value), (*version, value));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_store_is_a_map_whatever_happens_to_it(steps in prop::collection::vec(any_step(), 1..25)) {
        let mut run = Run::new();
        for step in steps {
            run = run.step(step);
            run.check();
        }
    }

    #[test]
    fn of_too_many_sessions_the_one_ends_that_should(
        owners in prop::collection::vec(prop_oneof![0..6u64, 0..2000u64], ALMOST_ALL),
        steps in prop::collection::vec(any_step_with_sessions(), 1..10),
    ) {
        prop_assert_eq!(ALMOST_ALL as u64, MAX_SESSIONS - 5);
        let mut run = Run::new();
        for owner in owners {
            run.model.apply(command(None, Operation::OpenSessionFor { owner: Owner(owner) }));
        }
        run.catch_up();
        for step in steps {
            run = run.step(step);
            run.check();
        }
    }

    #[test]
    fn how_entries_are_batched_does_not_show(
        requests in prop::collection::vec(any_request(), 1..60),
        batches in prop::collection::vec(1..20usize, 60),
    ) {
        let mut model = Model::default();
        for request in &requests {
            model.apply(model.entry(request));
        }
        let (mut one, mut other) = (Run::new(), Run::new());
        one.store.apply(Index(1), &model.log).expect("applied");
        let mut rest = model.log.as_slice();
        for batch in batches {
            let (batch, behind) = rest.split_at(batch.min(rest.len()));
            let first = other.store.applied().next();
            other.store.apply(first, batch).expect("applied");
            rest = behind;
        }
        prop_assert_eq!(snapshot(&one.store), snapshot(&other.store));
    }
}
