//! Laws of the small parts. Each law compares a part with a definition that is written down
//! independently and as simply as possible.

mod arbitrary;

use arbitrary::Story;
use itertools::Itertools;
use quickcheck::{Arbitrary, Gen, QuickCheck};
use raft_core::quorum::{majority, reached_by};
use raft_core::{
    Bytes, DISK_LIMIT, Effect, Entry, Index, Input, Log, LogPosition, Mark, NUMBER_LIMIT, Node,
    Paper, Payload, PersistentState, Snapshot, Term, TermAt, Write,
};

fn always<A: Arbitrary + std::fmt::Debug>(law: fn(A)) {
    QuickCheck::new().tests(500).quickcheck(law);
}

// The order of log positions: section 5.4.1.

#[derive(Clone, Copy, Debug)]
struct AnyPosition(LogPosition);

impl Arbitrary for AnyPosition {
    fn arbitrary(g: &mut Gen) -> AnyPosition {
        // Few different numbers, so that equal ones are frequent.
        let mut number = || u64::arbitrary(g) % 4;
        AnyPosition(LogPosition { term: Term(number()), index: Index(number()) })
    }
}

/// "If the logs have last entries with different terms, then the log with the later term is more
/// up-to-date. If the logs end with the same term, then whichever log is longer is more
/// up-to-date."
fn more_up_to_date(a: LogPosition, b: LogPosition) -> bool {
    if a.term == b.term { a.index > b.index } else { a.term > b.term }
}

#[test]
fn later_positions_are_what_the_paper_calls_more_up_to_date() {
    fn law((AnyPosition(a), AnyPosition(b)): (AnyPosition, AnyPosition)) {
        assert_eq!(a > b, more_up_to_date(a, b));
        assert_eq!(a >= b, !more_up_to_date(b, a));
    }
    always(law);
}

#[test]
fn up_to_date_is_a_total_order() {
    fn law(positions: (AnyPosition, AnyPosition, AnyPosition)) {
        let (AnyPosition(a), AnyPosition(b), AnyPosition(c)) = positions;
        assert!(a <= b || b <= a);
        assert!(!(a <= b && b <= c) || a <= c);
        assert_eq!(a <= b && b <= a, a == b);
    }
    always(law);
}

// Majorities.

#[test]
fn any_two_majorities_share_a_server() {
    for servers in 1..=9 {
        let majorities = || (0..servers).combinations(majority(servers));
        for (a, b) in majorities().cartesian_product(majorities().collect_vec()) {
            assert!(a.iter().any(|server| b.contains(server)), "{a:?} {b:?}");
        }
    }
}

#[test]
fn a_majority_is_as_small_as_it_can_be() {
    for servers in 1..=9 {
        // With one server fewer, two groups of that size need not share a server.
        let smaller = majority(servers) - 1;
        assert!(2 * smaller <= servers);
        assert!(majority(servers) <= servers);
    }
}

#[test]
fn the_quorum_index_is_the_highest_that_enough_servers_have_reached() {
    fn law((quorum, indexes): (u8, Vec<u8>)) {
        let quorum = usize::from(quorum % 12);
        let enough = |index: &u8| indexes.iter().filter(|i| *i >= index).count() >= quorum;
        let highest = (0..=u8::MAX).rev().find(enough);
        // A quorum of 0 servers proves nothing.
        let highest = if quorum == 0 { None } else { highest };
        let reached = reached_by(quorum, indexes.iter().map(|i| Index(u64::from(*i))));
        assert_eq!(reached, Index(u64::from(highest.unwrap_or(0))));
    }
    always(law);
}

// The log, against a list of numbered entries.

#[derive(Clone, Debug)]
enum Operation {
    Append(Vec<u64>),
    TruncateFrom(u64),
    Compact { last: u64, term: u64 },
    Install { last: u64, term: u64 },
}

impl Arbitrary for Operation {
    fn arbitrary(g: &mut Gen) -> Operation {
        let mut below = |limit| u64::arbitrary(g) % limit;
        let far = below(12) == 0;
        let index = if far { NUMBER_LIMIT } else { below(12) };
        let term = below(4);
        match below(8) {
            0..=4 => Operation::Append((0..below(4)).map(|_| below(4)).collect()),
            5 => Operation::TruncateFrom(index),
            6 => Operation::Compact { last: index, term },
            _ if below(4) == 0 => Operation::Install { last: index, term },
            _ => Operation::TruncateFrom(below(12)),
        }
    }
}

fn entry(term: u64) -> Entry {
    Entry { term: Term(term), payload: Payload::Command(Bytes::from(format!("{term}").as_str())) }
}

fn snapshot(last: u64, term: u64) -> Snapshot {
    Snapshot {
        last_included_index: Index(last),
        last_included_term: Term(term),
        handle: Bytes::from("data"),
    }
}

/// The model of a log: a base, and entries with their indexes.
struct Model {
    base: u64,
    base_term: u64,
    entries: Vec<(u64, u64)>,
}

impl Model {
    fn last_index(&self) -> u64 {
        self.entries.last().map_or(self.base, |(index, _)| *index)
    }

    fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Append(terms) => {
                for term in terms {
                    self.entries.push((self.last_index() + 1, *term));
                }
            }
            Operation::TruncateFrom(first) if *first > self.base => {
                self.entries.retain(|(index, _)| index < first);
            }
            Operation::TruncateFrom(_) => {}
            Operation::Compact { last, term } => {
                self.entries.retain(|(index, _)| index > last);
                (self.base, self.base_term) = (*last, *term);
            }
            Operation::Install { last, term } => {
                self.entries.clear();
                (self.base, self.base_term) = (*last, *term);
            }
        }
    }

    fn term_at(&self, wanted: u64) -> TermAt {
        let here = self.entries.iter().find(|(index, _)| *index == wanted);
        match here {
            _ if wanted < self.base => TermAt::Compacted,
            _ if wanted == self.base => TermAt::Present(Term(self.base_term)),
            Some((_, term)) => TermAt::Present(Term(*term)),
            None => TermAt::Beyond,
        }
    }

    fn from(&self, first: u64, max: usize) -> Vec<Entry> {
        let is_here = self.entries.iter().any(|(index, _)| *index == first);
        let tail = self.entries.iter().filter(|(index, _)| *index >= first);
        let tail = tail.take(max).map(|(_, term)| entry(*term));
        if is_here { tail.collect() } else { Vec::new() }
    }

    /// Returns the last position, the base included, whose index and term are at most those of
    /// `limit`.
    fn last_within(&self, limit: LogPosition) -> Option<LogPosition> {
        let base = [(self.base, self.base_term)];
        let all = base.iter().chain(&self.entries);
        let mut within =
            all.filter(|(index, term)| *index <= limit.index.0 && *term <= limit.term.0);
        within
            .next_back()
            .map(|(index, term)| LogPosition { term: Term(*term), index: Index(*index) })
    }

    fn is_valid(&self) -> bool {
        let terms = [self.base_term].into_iter();
        let terms = terms.chain(self.entries.iter().map(|(_, term)| *term));
        let ascending = terms.tuple_windows().all(|(a, b)| a <= b);
        let from_one = self.entries.iter().all(|(_, term)| *term > 0);
        let base_is_position = (self.base == 0) == (self.base_term == 0);
        ascending && from_one && base_is_position && self.base <= DISK_LIMIT
    }
}

fn operate(log: &mut Log, operation: &Operation) {
    match operation {
        Operation::Append(terms) => log.append(terms.iter().map(|term| entry(*term))),
        Operation::TruncateFrom(first) => log.truncate_from(Index(*first)),
        Operation::Compact { last, term } => log.compact(snapshot(*last, *term)),
        Operation::Install { last, term } => log.install(snapshot(*last, *term)),
    }
}

/// Tries a law on a log and its model, after each of many operations.
fn always_of_logs(operations: Vec<Operation>, law: impl Fn(&Log, &Model)) {
    let mut log = Log::default();
    let mut model = Model { base: 0, base_term: 0, entries: Vec::new() };
    law(&log, &model);
    for operation in operations {
        let goes_back = matches!(operation, Operation::Compact { last, .. } if last < model.base);
        // No caller compacts to an index before the base: the entries in between are gone.
        if goes_back {
            continue;
        }
        operate(&mut log, &operation);
        model.apply(&operation);
        law(&log, &model);
    }
}

/// Returns the indexes in and around a log, and some far away from it.
fn indexes(model: &Model) -> impl Iterator<Item = u64> + use<> {
    let near = model.base.saturating_sub(3)..=model.last_index() + 3;
    let far = [0, NUMBER_LIMIT - 1, NUMBER_LIMIT, u64::MAX - 1, u64::MAX];
    near.chain(far)
}

#[test]
fn a_log_ends_where_its_last_entry_is() {
    fn law(operations: Vec<Operation>) {
        always_of_logs(operations, |log, model| {
            assert_eq!(log.last_index(), Index(model.last_index()));
            assert_eq!(TermAt::Present(log.last().term), model.term_at(model.last_index()));
            assert_eq!(log.last().index, log.last_index());
            assert_eq!(log.base().index, Index(model.base));
            assert_eq!(log.base().term, Term(model.base_term));
        });
    }
    always(law);
}

#[test]
fn a_log_knows_the_terms_after_its_base_and_no_others() {
    fn law(operations: Vec<Operation>) {
        always_of_logs(operations, |log, model| {
            for index in indexes(model) {
                assert_eq!(log.term_at(Index(index)), model.term_at(index), "{index}");
            }
        });
    }
    always(law);
}

#[test]
fn a_log_gives_its_entries_by_index_one_or_many() {
    fn law(operations: Vec<Operation>) {
        always_of_logs(operations, |log, model| {
            for index in indexes(model) {
                for max in [0, 1, 2, usize::MAX] {
                    assert_eq!(log.entries_from(Index(index), max), model.from(index, max));
                }
                assert_eq!(log.entry(Index(index)), model.from(index, 1).first());
            }
            let all = model.entries.iter().map(|(_, term)| entry(*term));
            assert!(log.entries().iter().cloned().eq(all));
        });
    }
    always(law);
}

#[test]
fn a_log_finds_its_last_entry_that_can_agree_with_another_log() {
    fn law(operations: Vec<Operation>) {
        always_of_logs(operations, |log, model| {
            for (index, term) in indexes(model).cartesian_product(0..6) {
                let limit = LogPosition { term: Term(term), index: Index(index) };
                let found = log.last_within(limit);
                // A log whose terms decrease is invalid, and its result does not matter; but the
                // call must not panic.
                if model.is_valid() {
                    assert_eq!(found, model.last_within(limit), "{limit:?}");
                }
            }
        });
    }
    always(law);
}

#[test]
fn a_log_is_valid_if_its_terms_begin_at_one_and_ascend() {
    fn law(operations: Vec<Operation>) {
        always_of_logs(operations, |log, model| {
            assert_eq!(log.is_valid(), model.is_valid());
        });
    }
    always(law);
}

// The writes of a node, and the contents of its disk.

#[test]
fn the_writes_of_a_node_reproduce_its_persistent_state() {
    fn law(story: Story) {
        let mut disk = story.disk.clone();
        story.play(|taken| {
            assert_eq!(disk, image(taken.before));
            writes(taken.effects).for_each(|write| disk.write(write));
            assert_eq!(disk, image(taken.after));
        });
    }
    always(law);
}

/// Returns the persistent state as the node has written it.
fn image(node: &Node) -> PersistentState {
    PersistentState {
        current_term: node.current_term,
        voted_for: node.voted_for,
        log: node.log.clone(),
    }
}

/// After each step, the server can start again from the writes that are durable by then and from
/// the entries that the state machine has applied.
#[test]
fn a_server_can_start_from_what_is_durable_at_any_time() {
    fn law(story: Story) {
        let mut disk = story.disk.clone();
        let mut under_way: Vec<(Mark, Write)> = Vec::new();
        let mut lied_to = false;
        story.play(|taken| {
            // No start is possible if the state machine has applied entries that are not on the
            // disk.
            let last = disk.log.last_index();
            lied_to |= matches!(taken.input, Input::Applied { index } if *index > last);
            let mark = taken.after.disk.issued;
            under_way.extend(writes(taken.effects).map(|write| (mark, write.clone())));
            while let Some((mark, write)) = under_way.first()
                && *mark <= taken.after.disk.durable
            {
                disk.write(write);
                under_way.remove(0);
            }
            if !lied_to {
                assert_starts(taken.after, &disk);
            }
        });
    }
    always(law);
}

fn assert_starts(node: &Node, disk: &PersistentState) {
    let applied = node.last_applied.max(disk.log.base().index);
    let started = Node::restart(&Paper, node.config.clone(), disk.clone(), applied);
    match started {
        Ok(started) => assert_eq!(started.commit_index, applied),
        Err(reason) => panic!("{reason:?}"),
    }
}

fn writes(effects: &[Effect]) -> impl Iterator<Item = &Write> {
    effects.iter().filter_map(|effect| match effect {
        Effect::Persist { write, .. } => Some(write),
        _ => None,
    })
}

// Bytes in readable formats.

#[test]
fn bytes_survive_json() {
    fn law(bytes: Vec<u8>) {
        let bytes = Bytes::from(bytes);
        let json = serde_json::to_string(&bytes).expect("a string is JSON");
        assert!(json.is_ascii());
        let back: Bytes = serde_json::from_str(&json).expect("it was written like this");
        assert_eq!(back, bytes);
    }
    always(law);
    law((0..=u8::MAX).collect());
}

#[test]
fn what_was_never_written_as_bytes_is_refused_and_not_guessed() {
    for text in [r"\", r"\q", r"\x", r"\x4", r"\xg0", r"\x\x", "\u{e9}", "\u{2028}"] {
        let json = serde_json::to_string(text).expect("a string is JSON");
        let bytes = serde_json::from_str::<Bytes>(&json);
        assert!(bytes.is_err(), "{text:?} {bytes:?}");
    }
}

#[test]
fn any_text_is_read_as_bytes_or_refused() {
    fn law(text: String) {
        let json = serde_json::Value::from(text).to_string();
        if let Ok(bytes) = serde_json::from_str::<Bytes>(&json) {
            let again = serde_json::to_string(&bytes).expect("a string is JSON");
            assert_eq!(serde_json::from_str::<Bytes>(&again).ok(), Some(bytes));
        }
    }
    always(law);
}
