//! Laws of trace files, for arbitrary traces. A written trace is read back unchanged, a truncated
//! file is never read as a shorter trace, and no file makes the reader panic. A trace is evidence,
//! so its reader must not guess.

use quickcheck::{Arbitrary, Gen, QuickCheck, Testable, empty_shrinker};
use raft_core::{
    AppendEntries, AppendEntriesReply, AppendOutcome, Bytes, Entry, Index, InstallOutcome,
    InstallSnapshot, InstallSnapshotReply, Limits, LogPosition, Message, NodeId, Payload, ReadId,
    ReadRound, RequestVote, RequestVoteReply, Snapshot, Term,
};
use raft_trace::{Action, ApplyMode, ClusterTrace, DiskMode, Envelope, Settings, TraceError};

/// A well-formed trace, whose actions need not be possible.
#[derive(Clone, Debug)]
struct AnyTrace(ClusterTrace);

impl Arbitrary for AnyTrace {
    fn arbitrary(g: &mut Gen) -> AnyTrace {
        let length = usize::arbitrary(g) % 8;
        AnyTrace(ClusterTrace {
            settings: settings(g),
            about: String::arbitrary(g),
            actions: (0..length).map(|_| action(g)).collect(),
        })
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = AnyTrace>> {
        let ClusterTrace { settings, about, actions } = self.0.clone();
        if actions.is_empty() {
            return empty_shrinker();
        }
        let without = move |place| {
            let mut actions = actions.clone();
            actions.remove(place);
            AnyTrace(ClusterTrace { settings: settings.clone(), about: about.clone(), actions })
        };
        Box::new((0..self.0.actions.len()).map(without))
    }
}

fn settings(g: &mut Gen) -> Settings {
    Settings {
        servers: u64::arbitrary(g),
        limits: Limits {
            batch: usize::arbitrary(g),
            window: usize::arbitrary(g),
            reads: usize::arbitrary(g),
        },
        disk: pick(g, &[DiskMode::Atomic, DiskMode::Queued]),
        apply: pick(g, &[ApplyMode::AtOnce, ApplyMode::Separate]),
    }
}

fn action(g: &mut Gen) -> Action {
    let server = node(g);
    match u8::arbitrary(g) % 13 {
        0 => Action::ElectionTimeout { server },
        1 => Action::Heartbeat { server },
        2 => Action::Propose { server, command: bytes(g) },
        3 => Action::Read { server, id: ReadId(u64::arbitrary(g)) },
        4 => Action::Deliver(envelope(g)),
        5 => Action::Drop(envelope(g)),
        6 => Action::Duplicate(envelope(g)),
        7 => Action::Sync { server, writes: usize::arbitrary(g) },
        8 => Action::Apply { server },
        9 => Action::Crash { server, writes_kept: usize::arbitrary(g), applied_kept: index(g) },
        10 => Action::Restart { server },
        11 => Action::StartSnapshot { server },
        _ => Action::FinishSnapshot { server },
    }
}

fn envelope(g: &mut Gen) -> Envelope {
    Envelope { from: node(g), to: node(g), message: message(g) }
}

fn message(g: &mut Gen) -> Message {
    let (term, read_round) = (term(g), ReadRound(u64::arbitrary(g)));
    match u8::arbitrary(g) % 6 {
        0 => Message::RequestVote(RequestVote { term, last_log: position(g) }),
        1 => Message::RequestVoteReply(RequestVoteReply { term, granted: bool::arbitrary(g) }),
        2 => Message::AppendEntries(AppendEntries {
            term,
            prev_log: position(g),
            entries: (0..u8::arbitrary(g) % 4).map(|_| entry(g)).collect(),
            leader_commit: index(g),
            read_round,
        }),
        3 => {
            let outcome = outcome(g);
            Message::AppendEntriesReply(AppendEntriesReply { term, outcome, read_round })
        }
        4 => {
            let LogPosition { term: last_included_term, index: last_included_index } = position(g);
            let snapshot = Snapshot { last_included_index, last_included_term, handle: bytes(g) };
            Message::InstallSnapshot(InstallSnapshot { term, snapshot, read_round })
        }
        _ => {
            let outcome = if bool::arbitrary(g) {
                InstallOutcome::Covered { last_included_index: index(g) }
            } else {
                InstallOutcome::StaleTerm
            };
            Message::InstallSnapshotReply(InstallSnapshotReply { term, outcome, read_round })
        }
    }
}

fn outcome(g: &mut Gen) -> AppendOutcome {
    match u8::arbitrary(g) % 3 {
        0 => AppendOutcome::StaleTerm,
        1 => AppendOutcome::Matched { match_index: index(g) },
        _ => AppendOutcome::Conflict {
            prev_log_index: index(g),
            hint: LogPosition { term: term(g), index: index(g) },
        },
    }
}

fn entry(g: &mut Gen) -> Entry {
    let payload = if bool::arbitrary(g) { Payload::Noop } else { Payload::Command(bytes(g)) };
    Entry { term: term(g), payload }
}

fn position(g: &mut Gen) -> LogPosition {
    LogPosition { term: term(g), index: index(g) }
}

fn node(g: &mut Gen) -> NodeId {
    NodeId(u64::arbitrary(g))
}

fn term(g: &mut Gen) -> Term {
    Term(u64::arbitrary(g))
}

fn index(g: &mut Gen) -> Index {
    Index(u64::arbitrary(g))
}

fn bytes(g: &mut Gen) -> Bytes {
    Bytes::from(Vec::<u8>::arbitrary(g))
}

fn pick<T: Copy>(g: &mut Gen, from: &[T]) -> T {
    *g.choose(from).expect("there is something to choose from")
}

fn written(trace: &ClusterTrace) -> Vec<u8> {
    let mut file = Vec::new();
    trace.write(&mut file).expect("memory takes everything");
    file
}

fn read(file: &[u8]) -> Result<ClusterTrace, TraceError> {
    ClusterTrace::read(file)
}

/// Tries a law on arbitrary traces, whose lists have at most 16 elements.
fn check(tests: u64, law: impl Testable) {
    QuickCheck::new().rng(Gen::new(16)).tests(tests).quickcheck(law);
}

#[test]
fn what_is_written_is_read_back() {
    fn law(AnyTrace(trace): AnyTrace) -> bool {
        read(&written(&trace)).is_ok_and(|found| found == trace)
    }
    check(500, law as fn(AnyTrace) -> bool);
}

/// Only the last byte may be missing: it is the line break after the closing line.
#[test]
fn a_truncated_file_is_an_error_and_not_a_shorter_trace() {
    fn law(AnyTrace(trace): AnyTrace) -> bool {
        let file = written(&trace);
        let complete = file.len() - 1;
        (0..complete).all(|end| read(&file[..end]).is_err())
            && read(&file[..complete]).is_ok_and(|found| found == trace)
    }
    check(50, law as fn(AnyTrace) -> bool);
}

#[test]
fn a_file_cut_between_two_lines_is_called_truncated() {
    fn law(AnyTrace(trace): AnyTrace) -> bool {
        let file = written(&trace);
        let lines: Vec<&[u8]> = file.split_inclusive(|byte| *byte == b'\n').collect();
        (0..=trace.actions.len()).all(|kept| {
            let cut = read(&lines[..=kept].concat());
            matches!(cut, Err(TraceError::Truncated { steps }) if steps == kept)
        })
    }
    check(100, law as fn(AnyTrace) -> bool);
}

/// Steps are numbered, so that the reader notices a missing line.
#[test]
fn a_file_without_one_of_its_lines_is_an_error() {
    fn law(AnyTrace(trace): AnyTrace) -> bool {
        let file = written(&trace);
        let lines: Vec<&[u8]> = file.split_inclusive(|byte| *byte == b'\n').collect();
        (0..lines.len()).all(|missing| {
            let mut rest = lines.clone();
            rest.remove(missing);
            read(&rest.concat()).is_err()
        })
    }
    check(100, law as fn(AnyTrace) -> bool);
}

/// One byte of a valid file is replaced. The result may still be a trace, with another name or
/// number in it, but only one of as many steps.
#[test]
fn a_damaged_byte_never_panics_and_never_loses_a_step() {
    fn law(AnyTrace(trace): AnyTrace, place: usize, byte: u8) -> bool {
        let mut file = written(&trace);
        let place = place % file.len();
        file[place] = byte;
        read(&file).map_or(true, |found| found.actions.len() == trace.actions.len())
    }
    check(1000, law as fn(AnyTrace, usize, u8) -> bool);
}

/// Garbage after a valid header is tried too, so that the reader gets beyond its first line.
#[test]
fn garbage_is_an_error() {
    fn law(garbage: Vec<u8>, text: String) -> bool {
        let header = br#"{"schema":"raft-cluster-trace","version":2,"settings":{"servers":3,"limits":{"batch":1,"window":1,"reads":1},"disk":"atomic","apply":"at-once"},"about":""}"#;
        let behind_header = [header, b"\n".as_slice(), &garbage].concat();
        [garbage, text.into_bytes(), behind_header].iter().all(|file| read(file).is_err())
    }
    check(2000, law as fn(Vec<u8>, String) -> bool);
}

#[test]
fn another_version_is_named() {
    let trace = ClusterTrace {
        settings: settings(&mut Gen::from_size_and_seed(16, 1)),
        about: "one line".to_owned(),
        actions: Vec::new(),
    };
    let file = String::from_utf8(written(&trace)).expect("traces are text");
    let newer = file.replacen("\"version\":2", "\"version\":3", 1);
    let refused = read(newer.as_bytes()).expect_err("this version is not known");
    assert!(matches!(refused, TraceError::OtherVersion { found: 3 }), "{refused}");
}
