//! Arbitrary stories of a server: how it starts, and which inputs it gets then.
//!
//! Message validation rejects nearly all inputs that are drawn independently of the server.
//! Therefore most moves are relative to the server's state (a vote that it waits for, an
//! acknowledgement of something that it sent), so that stories reach deep states. The other moves
//! are as arbitrary as the types allow.

use quickcheck::{Arbitrary, Gen};
use raft_core::{
    AppendEntries, AppendEntriesReply, AppendOutcome, Bytes, Config, DISK_LIMIT, Effect, Entry,
    HaltReason, Index, Input, InstallOutcome, InstallSnapshot, InstallSnapshotReply, Limits, Log,
    LogPosition, Mark, Message, NUMBER_LIMIT, Node, NodeId, Paper, Payload, PersistentState,
    ReadId, ReadRound, RequestVote, RequestVoteReply, Role, Snapshot, Term, TermAt, step,
};

/// The start of a server, and the moves after it.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    pub(crate) config: Config,
    pub(crate) disk: PersistentState,
    /// The last index that the state machine has applied when the server starts.
    applied: Index,
    moves: Vec<Move>,
}

/// One step of a story.
pub(crate) struct Step<'a> {
    pub(crate) before: &'a Node,
    pub(crate) input: &'a Input,
    pub(crate) effects: &'a [Effect],
    pub(crate) after: &'a Node,
}

impl Story {
    /// Starts the server.
    pub(crate) fn start(&self) -> Result<Node, HaltReason> {
        Node::restart(&Paper, self.config.clone(), self.disk.clone(), self.applied)
    }

    /// Plays the story and calls `look` for each step. A server that refuses to start takes no
    /// step.
    ///
    /// A story ends when an election goes beyond the last term that a disk may hold. The next start
    /// would refuse that disk, so the laws do not cover this state. A peer cannot bring a server
    /// there, because its terms end at [`NUMBER_LIMIT`]. A story gets there only if its disk starts
    /// near that last term.
    pub(crate) fn play(self, mut look: impl FnMut(&Step)) {
        let Ok(mut node) = self.start() else {
            return;
        };
        for next in &self.moves {
            let before = node.clone();
            let input = next.input(&node);
            let mut effects = Vec::new();
            step(&Paper, &mut node, input.clone(), &mut effects);
            if node.current_term.0 > DISK_LIMIT {
                return;
            }
            look(&Step { before: &before, input: &input, effects: &effects, after: &node });
        }
    }
}

impl Arbitrary for Story {
    fn arbitrary(g: &mut Gen) -> Story {
        let boots = below(g, 3) > 0;
        let (disk, applied) = if boots { Default::default() } else { (disk(g), Index(number(g))) };
        Story { config: config(g), disk, applied, moves: Vec::arbitrary(g) }
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Story>> {
        let story = self.clone();
        let with = move |moves| Story { moves, ..story.clone() };
        Box::new(self.moves.shrink().map(with))
    }
}

/// The next event. All variants but the first are relative to the node. A number called `back` or
/// `ahead` is a distance from the obvious choice.
#[derive(Clone, Debug)]
enum Move {
    Wild(Input),
    Durable {
        back: u64,
    },
    Applied {
        back: u64,
    },
    SnapshotTaken {
        back: u64,
    },
    /// A candidate with a log that ends near the end of the node's log.
    Candidate {
        from: NodeId,
        newer: u64,
        last: Near,
    },
    Vote {
        from: NodeId,
        granted: bool,
    },
    /// A leader's entries, after a position near the end of the node's log.
    Append {
        from: NodeId,
        newer: u64,
        after: Near,
        /// The growth of the term from each entry to the next.
        growth: Vec<u64>,
        commit: Near,
    },
    Matched {
        from: NodeId,
        at: Near,
    },
    /// A refusal of the leader's last request to this follower.
    Conflict {
        from: NodeId,
        back: u64,
        term: Term,
    },
    Install {
        from: NodeId,
        newer: u64,
        last: Near,
    },
    Installed {
        from: NodeId,
    },
}

/// A position near another one.
#[derive(Clone, Copy, Debug)]
struct Near {
    back: u64,
    ahead: u64,
}

impl Near {
    fn of(self, index: Index) -> Index {
        Index(index.0.saturating_sub(self.back).saturating_add(self.ahead))
    }
}

impl Move {
    fn input(&self, node: &Node) -> Input {
        let (from, message) = match self {
            Move::Wild(input) => return input.clone(),
            Move::Durable { back } => {
                let mark = Mark(node.disk.issued.0.saturating_sub(*back));
                return Input::Durable { mark };
            }
            Move::Applied { back } => {
                let restored = node.log.base().index <= node.durable_index();
                let reached = if restored {
                    node.apply_requested.min(node.durable_index())
                } else {
                    node.last_applied
                };
                let index = Index(reached.0.saturating_sub(*back)).max(node.last_applied);
                return Input::Applied { index };
            }
            Move::SnapshotTaken { back } => {
                let index = Index(node.last_applied.0.saturating_sub(*back));
                let handle = Bytes::from("own");
                return Input::SnapshotTaken { index, handle };
            }
            Move::Candidate { from, newer, last } => (from, candidate(node, *newer, *last)),
            Move::Vote { from, granted } => {
                let term = node.current_term;
                let granted = *granted;
                let reply = RequestVoteReply { term, granted };
                (from, Message::RequestVoteReply(reply))
            }
            Move::Append { from, newer, after, growth, commit } => {
                (from, append(node, *newer, *after, growth, *commit))
            }
            Move::Matched { from, at } => {
                let match_index = at.of(node.log.last_index());
                (from, answer(node, AppendOutcome::Matched { match_index }))
            }
            Move::Conflict { from, back, term } => (from, conflict(node, *from, *back, *term)),
            Move::Install { from, newer, last } => (from, install(node, *newer, *last)),
            Move::Installed { from } => {
                let reply = InstallSnapshotReply {
                    term: node.current_term,
                    outcome: InstallOutcome::Covered { last_included_index: node.log.base().index },
                    read_round: newest_round(node),
                };
                (from, Message::InstallSnapshotReply(reply))
            }
        };
        let from = *from;
        Input::Receive { from, message }
    }
}

fn later(node: &Node, newer: u64) -> Term {
    Term(node.current_term.0.saturating_add(newer))
}

/// Returns the position at an index. Its term is that of the node's entry there, if the node knows
/// it, otherwise that of the base or of the last entry.
fn position(node: &Node, index: Index) -> LogPosition {
    let term = match node.log.term_at(index) {
        TermAt::Present(term) => term,
        TermAt::Compacted => node.log.base().term,
        TermAt::Beyond => node.log.last().term.max(Term(1)),
    };
    LogPosition { term, index }
}

fn newest_round(node: &Node) -> ReadRound {
    match &node.role {
        Role::Leader(leadership) => leadership.read_round,
        _ => ReadRound(0),
    }
}

fn candidate(node: &Node, newer: u64, last: Near) -> Message {
    Message::RequestVote(RequestVote {
        term: later(node, newer),
        last_log: position(node, last.of(node.log.last_index())),
    })
}

fn append(node: &Node, newer: u64, after: Near, growth: &[u64], commit: Near) -> Message {
    let prev_log = position(node, after.of(node.log.last_index()));
    let mut term = prev_log.term.max(Term(1));
    let mut entries = Vec::new();
    for grows in growth {
        term = Term(term.0.saturating_add(*grows));
        let payload = Payload::Noop;
        entries.push(Entry { term, payload });
    }
    Message::AppendEntries(AppendEntries {
        term: later(node, newer).max(term),
        prev_log,
        entries,
        leader_commit: commit.of(node.commit_index),
        read_round: ReadRound(0),
    })
}

fn answer(node: &Node, outcome: AppendOutcome) -> Message {
    Message::AppendEntriesReply(AppendEntriesReply {
        term: node.current_term,
        outcome,
        read_round: newest_round(node),
    })
}

fn conflict(node: &Node, from: NodeId, back: u64, term: Term) -> Message {
    let next_index = match &node.role {
        Role::Leader(leadership) => leadership.followers.get(&from).map(|f| f.next_index),
        _ => None,
    };
    let prev_log_index = next_index.unwrap_or(Index(1)).prev();
    let index = Index(prev_log_index.0.saturating_sub(back));
    let term = if index == Index::ZERO { Term::ZERO } else { term.max(Term(1)) };
    let hint = LogPosition { term, index };
    answer(node, AppendOutcome::Conflict { prev_log_index, hint })
}

fn install(node: &Node, newer: u64, last: Near) -> Message {
    let last = position(node, last.of(node.commit_index));
    Message::InstallSnapshot(InstallSnapshot {
        term: later(node, newer),
        snapshot: Snapshot {
            last_included_index: last.index,
            last_included_term: last.term,
            handle: Bytes::from("leader's"),
        },
        read_round: ReadRound(0),
    })
}

impl Arbitrary for Move {
    fn arbitrary(g: &mut Gen) -> Move {
        match below(g, 26) {
            0 => Move::Wild(wild_input(g)),
            1 | 2 => Move::Wild(Input::ElectionTimeout),
            3 => Move::Wild(Input::Heartbeat),
            4 | 5 => Move::Wild(propose(g)),
            6 => Move::Wild(Input::Read { id: ReadId(1) }),
            7..=9 => Move::Durable { back: below(g, 3) },
            10 | 11 => Move::Applied { back: below(g, 3) },
            12 => Move::SnapshotTaken { back: below(g, 3) },
            13 => Move::Candidate { from: server(g), newer: below(g, 4) / 3, last: near(g) },
            14..=16 => Move::Vote { from: server(g), granted: below(g, 5) > 0 },
            17..=19 => Move::Append {
                from: server(g),
                newer: below(g, 8) / 7,
                after: near(g),
                growth: (0..below(g, 4)).map(|_| below(g, 2)).collect(),
                commit: near(g),
            },
            20 | 21 => Move::Matched { from: server(g), at: near(g) },
            22 | 23 => {
                Move::Conflict { from: server(g), back: below(g, 3), term: Term(below(g, 5)) }
            }
            24 => Move::Install { from: server(g), newer: below(g, 8) / 7, last: near(g) },
            _ => Move::Installed { from: server(g) },
        }
    }
}

/// Returns a number below `limit`.
fn below(g: &mut Gen, limit: u64) -> u64 {
    let numbers: Vec<u64> = (0..limit).collect();
    g.choose(&numbers).copied().unwrap_or(0)
}

/// Returns a number that is mostly small, sometimes at the limits or beyond.
fn number(g: &mut Gen) -> u64 {
    const EXTREMES: [u64; 7] =
        [0, 1, NUMBER_LIMIT - 1, NUMBER_LIMIT, NUMBER_LIMIT + 1, u64::MAX / 2, u64::MAX];
    match below(g, 5) {
        0 => g.choose(&EXTREMES).copied().unwrap_or(0),
        _ => below(g, 8),
    }
}

fn near(g: &mut Gen) -> Near {
    let extreme = below(g, 40) == 0;
    let ahead = if extreme { number(g) } else { below(g, 3) };
    let back = below(g, 4);
    Near { back, ahead }
}

/// Returns mostly one of the usual peers, seldom the node itself (n1) or an unknown server.
fn server(g: &mut Gen) -> NodeId {
    match below(g, 20) {
        0 => NodeId(number(g)),
        1 => NodeId(4),
        _ => NodeId(2 + below(g, 2)),
    }
}

fn term(g: &mut Gen) -> Term {
    match below(g, 5) {
        0 => Term(number(g)),
        _ => Term(below(g, 6)),
    }
}

fn any_position(g: &mut Gen) -> LogPosition {
    LogPosition { term: term(g), index: Index(number(g)) }
}

fn bytes(g: &mut Gen) -> Bytes {
    match below(g, 50) {
        0 => Bytes::from(vec![b'x'; 10_000]),
        _ => Bytes::from(Vec::<u8>::arbitrary(g)),
    }
}

fn propose(g: &mut Gen) -> Input {
    let count = match below(g, 50) {
        0 => 300,
        _ => below(g, 4),
    };
    Input::Propose { commands: (0..count).map(|_| Bytes::from("x")).collect() }
}

fn entry(g: &mut Gen) -> Entry {
    let payload = match below(g, 2) {
        0 => Payload::Noop,
        _ => Payload::Command(bytes(g)),
    };
    Entry { term: term(g), payload }
}

/// Returns entries whose terms mostly ascend, as they should.
fn entries(g: &mut Gen) -> Vec<Entry> {
    let count = match below(g, 50) {
        0 => 300,
        _ => below(g, 5),
    };
    let mut entries: Vec<Entry> = (0..count).map(|_| entry(g)).collect();
    if below(g, 4) > 0 {
        entries.sort_by_key(|entry| entry.term);
    }
    entries
}

fn snapshot(g: &mut Gen) -> Snapshot {
    let LogPosition { term, index } = any_position(g);
    Snapshot { last_included_index: index, last_included_term: term, handle: bytes(g) }
}

fn disk(g: &mut Gen) -> PersistentState {
    let base = match below(g, 2) {
        0 => Snapshot::none(),
        _ => snapshot(g),
    };
    PersistentState {
        current_term: term(g),
        voted_for: (below(g, 2) > 0).then(|| server(g)),
        log: Log::new(base, entries(g)),
    }
}

fn config(g: &mut Gen) -> Config {
    let voters = g.choose(&[1, 2, 3, 3, 3, 3, 4, 5]).copied().unwrap_or(3);
    let id = match below(g, 20) {
        0 => NodeId(number(g)),
        _ => NodeId(1),
    };
    let limit = |g: &mut Gen| match below(g, 10) {
        0 => usize::try_from(number(g)).unwrap_or(usize::MAX),
        _ => 1 + usize::from(u8::arbitrary(g) % 4),
    };
    Config {
        id,
        voters: (1..=voters).map(NodeId).collect(),
        limits: Limits { batch: limit(g), window: limit(g), reads: limit(g) },
    }
}

/// Returns any input, without regard to the node's state.
fn wild_input(g: &mut Gen) -> Input {
    match below(g, 12) {
        0 => Input::Durable { mark: Mark(number(g)) },
        1 => Input::Applied { index: Index(number(g)) },
        2 => Input::SnapshotTaken { index: Index(number(g)), handle: bytes(g) },
        3 => Input::Read { id: ReadId(number(g)) },
        _ => Input::Receive { from: server(g), message: wild_message(g) },
    }
}

fn wild_message(g: &mut Gen) -> Message {
    let term = term(g);
    let read_round = ReadRound(number(g));
    match below(g, 6) {
        0 => Message::RequestVote(RequestVote { term, last_log: any_position(g) }),
        1 => Message::RequestVoteReply(RequestVoteReply { term, granted: bool::arbitrary(g) }),
        2 => Message::AppendEntries(AppendEntries {
            term,
            prev_log: any_position(g),
            entries: entries(g),
            leader_commit: Index(number(g)),
            read_round,
        }),
        3 => Message::AppendEntriesReply(AppendEntriesReply {
            term,
            outcome: wild_outcome(g),
            read_round,
        }),
        4 => Message::InstallSnapshot(InstallSnapshot { term, snapshot: snapshot(g), read_round }),
        _ => Message::InstallSnapshotReply(InstallSnapshotReply {
            term,
            outcome: InstallOutcome::Covered { last_included_index: Index(number(g)) },
            read_round,
        }),
    }
}

fn wild_outcome(g: &mut Gen) -> AppendOutcome {
    match below(g, 3) {
        0 => AppendOutcome::StaleTerm,
        1 => AppendOutcome::Matched { match_index: Index(number(g)) },
        _ => AppendOutcome::Conflict {
            prev_log_index: Index(number(g)),
            hint: LogPosition { term: term(g), index: Index(number(g)) },
        },
    }
}
