//! Sessions: a request takes effect once.

use raft_core::Index;
use raft_kv::command::{Answer, ClientId, Operation, Owner};
use raft_kv::store::{KvStore, MAX_SESSIONS};
use raft_node::StateMachine;

use crate::{append, ask, command, compare_and_set, directory, get, open, put, snapshot};

fn open_session(store: &mut KvStore) -> ClientId {
    match ask(store, None, Operation::OpenSession) {
        Answer::SessionOpened { client } => client,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_session_is_named_after_its_entry() {
    let dir = directory();
    let mut store = open(dir.path());
    ask(&mut store, None, put("k", "v"));
    assert_eq!(open_session(&mut store), ClientId(2));
    assert_eq!(open_session(&mut store), ClientId(3));
}

#[test]
fn a_retry_gets_the_first_answer_and_changes_nothing() {
    let dir = directory();
    let mut store = open(dir.path());
    let client = open_session(&mut store);
    let first = ask(&mut store, Some((client, 1)), append("k", "a"));
    assert_eq!(first, Answer::Written { version: 2, length: 1 });
    assert_eq!(ask(&mut store, Some((client, 1)), append("k", "a")), first);
    // A request is recognized by its id, not by its operation.
    assert_eq!(ask(&mut store, Some((client, 1)), put("l", "b")), first);
    assert_eq!(get(&store, "k"), Some((2, "a".into())));
    assert_eq!(get(&store, "l"), None);
}

#[test]
fn without_a_session_a_repetition_is_a_new_request() {
    let dir = directory();
    let mut store = open(dir.path());
    ask(&mut store, None, append("k", "a"));
    ask(&mut store, None, append("k", "a"));
    assert_eq!(get(&store, "k"), Some((2, "aa".into())));
}

#[test]
fn failures_are_remembered_like_successes() {
    let dir = directory();
    let mut store = open(dir.path());
    let client = open_session(&mut store);
    let conflict = Answer::Conflict { present: None };
    let hopeless = || compare_and_set("k", Some(9), "v");
    assert_eq!(ask(&mut store, Some((client, 1)), hopeless()), conflict);
    ask(&mut store, None, put("k", "w"));
    assert_eq!(ask(&mut store, Some((client, 1)), hopeless()), conflict);
}

#[test]
fn serials_may_jump_but_not_go_back() {
    let dir = directory();
    let mut store = open(dir.path());
    let client = open_session(&mut store);
    ask(&mut store, Some((client, 1)), append("k", "a"));
    ask(&mut store, Some((client, 7)), append("k", "b"));
    for serial in [1, 6] {
        let stale = ask(&mut store, Some((client, serial)), append("k", "c"));
        assert_eq!(stale, Answer::StaleSerial);
    }
    let remembered = ask(&mut store, Some((client, 7)), append("k", "b"));
    assert_eq!(remembered, Answer::Written { version: 3, length: 2 });
    assert_eq!(get(&store, "k"), Some((3, "ab".into())));
}

#[test]
fn a_request_of_an_unknown_session_is_not_applied() {
    let dir = directory();
    let mut store = open(dir.path());
    let answer = ask(&mut store, Some((ClientId(7), 1)), put("k", "v"));
    assert_eq!(answer, Answer::UnknownSession);
    assert_eq!(get(&store, "k"), None);
}

#[test]
fn sessions_do_not_disturb_each_other() {
    let dir = directory();
    let mut store = open(dir.path());
    let (one, two) = (open_session(&mut store), open_session(&mut store));
    ask(&mut store, Some((one, 5)), append("k", "a"));
    ask(&mut store, Some((two, 1)), append("k", "b"));
    assert_eq!(get(&store, "k"), Some((4, "ab".into())));
}

#[test]
fn a_session_opened_in_a_session_is_opened_once() {
    let dir = directory();
    let mut store = open(dir.path());
    let outer = open_session(&mut store);
    let opened = ask(&mut store, Some((outer, 1)), Operation::OpenSession);
    assert_eq!(opened, Answer::SessionOpened { client: ClientId(2) });
    assert_eq!(ask(&mut store, Some((outer, 1)), Operation::OpenSession), opened);
    let inner = ask(&mut store, Some((ClientId(2), 1)), put("k", "v"));
    assert_eq!(inner, Answer::Written { version: 4, length: 1 });
}

#[test]
fn one_session_too_many_displaces_the_one_used_least_recently() {
    let dir = directory();
    let mut store = open(dir.path());
    let opening = command(None, Operation::OpenSession);
    let count = usize::try_from(MAX_SESSIONS).expect("a small number");
    store.apply(Index(1), &vec![opening; count]).expect("applied");
    let used = |store: &mut KvStore, client, serial| {
        ask(store, Some((ClientId(client), serial)), put("k", "v"))
    };
    // A request counts as a use of its session. A retry and a request with an old serial number
    // count too.
    for (client, serial) in [(1, 2), (2, 1), (1, 2), (3, 2), (3, 1)] {
        assert_ne!(used(&mut store, client, serial), Answer::UnknownSession);
    }
    // Session 4 has not been used yet. This request uses it, so session 5 is removed instead.
    let answer = ask(&mut store, Some((ClientId(4), 1)), Operation::OpenSession);
    assert!(matches!(answer, Answer::SessionOpened { .. }), "{answer:?}");
    for _ in 6..count {
        open_session(&mut store);
    }
    open_session(&mut store);
    assert_eq!(used(&mut store, 5, 1), Answer::UnknownSession);
    assert_eq!(used(&mut store, MAX_SESSIONS, 1), Answer::UnknownSession);
    for client in [2, 1, 3, 4] {
        assert_ne!(used(&mut store, client, 9), Answer::UnknownSession);
    }
    store
        .apply(store.applied().next(), &vec![command(None, Operation::OpenSession); count - 4])
        .expect("applied");
    for client in [2, 1, 3, 4] {
        assert_ne!(used(&mut store, client, 10), Answer::UnknownSession);
    }
    store
        .apply(store.applied().next(), &vec![command(None, Operation::OpenSession); count - 3])
        .expect("applied");
    assert_eq!(used(&mut store, 2, 11), Answer::UnknownSession);
    assert_ne!(used(&mut store, 1, 11), Answer::UnknownSession);
}

#[test]
fn a_restored_state_displaces_the_same_sessions() {
    let (dir, other) = (directory(), directory());
    let (mut store, mut restored) = (open(dir.path()), open(other.path()));
    let count = usize::try_from(MAX_SESSIONS).expect("a small number");
    store.apply(Index(1), &vec![command(None, Operation::OpenSession); count]).expect("applied");
    ask(&mut store, Some((ClientId(1), 1)), put("k", "v"));
    let (index, data) = snapshot(&store);
    restored.restore(index, &mut data.as_slice()).expect("restored");
    for store in [&mut store, &mut restored] {
        open_session(store);
        assert_eq!(ask(store, Some((ClientId(2), 1)), put("k", "w")), Answer::UnknownSession);
    }
    assert_eq!(snapshot(&restored), snapshot(&store));
}

#[test]
fn who_opens_too_many_sessions_ends_its_own() {
    let dir = directory();
    let mut store = open(dir.path());
    let of = |owner| Operation::OpenSessionFor { owner: Owner(owner) };
    // Two owners have one session each. These sessions are the least recently used ones.
    let (one, two) = match [of(1), of(2)].map(|opening| ask(&mut store, None, opening)) {
        [Answer::SessionOpened { client: one }, Answer::SessionOpened { client: two }] => {
            (one, two)
        }
        other => panic!("{other:?}"),
    };
    let count = usize::try_from(MAX_SESSIONS).expect("a small number");
    let many = vec![command(None, of(3)); count + 100];
    store.apply(store.applied().next(), &many).expect("applied");
    let mut is_there =
        |client| ask(&mut store, Some((client, 1)), put("k", "v")) != Answer::UnknownSession;
    assert!(is_there(one) && is_there(two));
    // The first sessions of the third owner are gone, as many as exceeded the limit.
    assert!(!is_there(ClientId(3)) && !is_there(ClientId(104)));
    assert!(is_there(ClientId(105)));
}

#[test]
fn of_owners_with_equally_many_sessions_the_one_loses_that_used_its_own_least_recently() {
    let (dir, other) = (directory(), directory());
    let (mut store, mut restored) = (open(dir.path()), open(other.path()));
    let of = |owner| Operation::OpenSessionFor { owner: Owner(owner) };
    let owners = || 1..=MAX_SESSIONS / 2;
    let all: Vec<_> = owners().chain(owners()).map(|owner| command(None, of(owner))).collect();
    store.apply(Index(1), &all).expect("applied");
    // The first owner uses both of its sessions. The second owner uses one of its two sessions.
    let second = MAX_SESSIONS / 2;
    for client in [1, second + 1, 2] {
        ask(&mut store, Some((ClientId(client), 1)), put("k", "v"));
    }
    let (index, data) = snapshot(&store);
    restored.restore(index, &mut data.as_slice()).expect("restored");
    for store in [&mut store, &mut restored] {
        let mut is_there = |client| {
            ask(store, Some((ClientId(client), 2)), put("k", "v")) != Answer::UnknownSession
        };
        assert!([1, 2, 3, second + 1, second + 2].into_iter().all(&mut is_there));
        // This removes the oldest session that has not been used since it was opened.
        ask(store, None, of(0));
        let mut is_there = |client| {
            ask(store, Some((ClientId(client), 3)), put("k", "v")) != Answer::UnknownSession
        };
        assert!([1, 2, 3, second + 1, second + 2].into_iter().all(&mut is_there));
        assert!(!is_there(4) && is_there(second + 3));
    }
    assert_eq!(snapshot(&restored), snapshot(&store));
}
