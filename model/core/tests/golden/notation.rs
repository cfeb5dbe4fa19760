//! The notation of the scripts: an entry is `x@2` (a command and its term) or `noop@2`, a position
//! is `5@2` (an index and its term), an entry in its place is `5:x@2`. The functions here write
//! this notation, and the `FromStr` types read it.

use std::str::FromStr;

use itertools::Itertools;
use raft_core::{
    AppendOutcome, Bytes, Effect, Entry, Index, Input, InstallOutcome, LogPosition, LogWrite,
    Message, Node, NodeId, Pace, Payload, Progress, ReadRefusal, ReadRound, Role, Snapshot, Term,
    VoteRecord, Write,
};

/// A server: `2` or `n2`.
pub(crate) struct Server(pub(crate) NodeId);

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> Result<Server, String> {
        let digits = text.strip_prefix('n').unwrap_or(text);
        Ok(Server(NodeId(number(digits)?)))
    }
}

/// A position: `5@2`.
#[derive(Default)]
pub(crate) struct Position(pub(crate) LogPosition);

impl FromStr for Position {
    type Err = String;

    fn from_str(text: &str) -> Result<Position, String> {
        let (index, term) = text.split_once('@').ok_or("a position is INDEX@TERM")?;
        Ok(Position(LogPosition { term: Term(number(term)?), index: Index(number(index)?) }))
    }
}

/// Entries, without their places: `noop@1 x@1 y@2`.
#[derive(Default)]
pub(crate) struct Entries(pub(crate) Vec<Entry>);

impl FromStr for Entries {
    type Err = String;

    fn from_str(text: &str) -> Result<Entries, String> {
        text.split_whitespace().map(parse_entry).try_collect().map(Entries)
    }
}

fn parse_entry(text: &str) -> Result<Entry, String> {
    let (command, term) = text.split_once('@').ok_or("an entry is COMMAND@TERM")?;
    let payload = match command {
        "noop" => Payload::Noop,
        _ => Payload::Command(Bytes::from(command)),
    };
    let term = Term(number(term)?);
    Ok(Entry { term, payload })
}

fn number(text: &str) -> Result<u64, String> {
    match text {
        "limit" => Ok(raft_core::NUMBER_LIMIT),
        "limit+1" => Ok(raft_core::NUMBER_LIMIT + 1),
        "disk-limit+1" => Ok(raft_core::DISK_LIMIT + 1),
        _ => text.parse().map_err(|_| format!("{text:?} is not a number")),
    }
}

/// A number that may also be written as `limit`, `limit+1` or `disk-limit+1`.
#[derive(Clone, Copy, Default)]
pub(crate) struct Number(pub(crate) u64);

impl FromStr for Number {
    type Err = String;

    fn from_str(text: &str) -> Result<Number, String> {
        number(text).map(Number)
    }
}

/// Writes the command of an entry, or `noop`.
pub(crate) fn command(entry: &Entry) -> String {
    match &entry.payload {
        Payload::Noop => "noop".to_owned(),
        Payload::Command(command) => command.to_string(),
    }
}

fn entries(first: Index, entries: &[Entry]) -> String {
    if entries.is_empty() {
        return "nothing".to_owned();
    }
    let place = |(offset, entry): (usize, &Entry)| {
        let index = first.plus(offset);
        format!("{index}:{}@{}", command(entry), entry.term)
    };
    entries.iter().enumerate().map(place).join(" ")
}

fn position(position: LogPosition) -> String {
    format!("{}@{}", position.index, position.term)
}

fn snapshot(snapshot: &Snapshot) -> String {
    let Snapshot { last_included_index, last_included_term, handle } = snapshot;
    format!("{last_included_index}@{last_included_term} {handle:?}")
}

/// Writes a read round, unless it is 0: rounds matter only where there are reads.
fn round(round: ReadRound) -> String {
    match round {
        ReadRound(0) => String::new(),
        ReadRound(round) => format!(" round {round}"),
    }
}

fn server_or(server: Option<NodeId>, otherwise: &str) -> String {
    server.map_or(otherwise.to_owned(), |server| server.to_string())
}

/// Writes a message, without its envelope.
pub(crate) fn message(message: &Message) -> String {
    let term = message.term();
    match message {
        Message::RequestVote(request) => {
            format!("RequestVote t{term} last {}", position(request.last_log))
        }
        Message::RequestVoteReply(reply) => {
            let answer = if reply.granted { "granted" } else { "refused" };
            format!("RequestVoteReply t{term} {answer}")
        }
        Message::AppendEntries(request) => format!(
            "AppendEntries t{term} after {}: {}; commit {}{}",
            position(request.prev_log),
            entries(request.prev_log.index.next(), &request.entries),
            request.leader_commit,
            round(request.read_round),
        ),
        Message::AppendEntriesReply(reply) => format!(
            "AppendEntriesReply t{term} {}{}",
            outcome(&reply.outcome),
            round(reply.read_round),
        ),
        Message::InstallSnapshot(request) => format!(
            "InstallSnapshot t{term} {}{}",
            snapshot(&request.snapshot),
            round(request.read_round),
        ),
        Message::InstallSnapshotReply(reply) => format!(
            "InstallSnapshotReply t{term} {}{}",
            install_outcome(&reply.outcome),
            round(reply.read_round),
        ),
    }
}

fn install_outcome(outcome: &InstallOutcome) -> String {
    match outcome {
        InstallOutcome::StaleTerm => "stale term".to_owned(),
        InstallOutcome::Covered { last_included_index } => format!("through {last_included_index}"),
    }
}

fn outcome(outcome: &AppendOutcome) -> String {
    match outcome {
        AppendOutcome::StaleTerm => "stale term".to_owned(),
        AppendOutcome::Matched { match_index } => format!("matched {match_index}"),
        AppendOutcome::Conflict { prev_log_index, hint } => {
            format!("conflict at {prev_log_index}: at most {}", position(*hint))
        }
    }
}

/// Writes an input, as the headline of a step.
pub(crate) fn input(input: &Input) -> String {
    match input {
        Input::ElectionTimeout => "election timeout".to_owned(),
        Input::Heartbeat => "heartbeat".to_owned(),
        Input::Propose { commands } => format!("propose [{}]", commands.iter().join(" ")),
        Input::Read { id } => format!("read {}", id.0),
        Input::Receive { from, message: m } => format!("<- {from} {}", message(m)),
        Input::Durable { mark } => format!("durable {}", mark.0),
        Input::Applied { index } => format!("applied {index}"),
        Input::SnapshotTaken { index, handle } => format!("snapshot taken {index} {handle:?}"),
    }
}

/// Writes an effect, on one line.
pub(crate) fn effect(effect: &Effect) -> String {
    match effect {
        Effect::Persist { mark, write: w } => format!("write {}: {}", mark.0, write(w)),
        Effect::Send { to, message: m, after } => {
            let after = after.map(|mark| format!(" (after write {})", mark.0));
            format!("-> {to} {}{}", message(m), after.unwrap_or_default())
        }
        Effect::Apply { first, entries: e } => format!("apply {}", entries(*first, e)),
        Effect::Restore { snapshot: s, after } => {
            format!("restore {} (after write {})", snapshot(s), after.0)
        }
        Effect::ResetElectionTimer => "reset election timer".to_owned(),
        Effect::Proposed { first, term } => format!("proposed from {first}@{term}"),
        Effect::ProposalRefused { leader } => {
            format!("proposal refused, leader {}", server_or(*leader, "unknown"))
        }
        Effect::ReadReady { id, read_index } => format!("read {} ready at {read_index}", id.0),
        Effect::ReadRefused { id, reason } => format!("read {} refused: {}", id.0, why(*reason)),
        Effect::Rejected(reason) => format!("rejected: {reason:?}"),
        Effect::Halt(reason) => format!("HALT: {reason:?}"),
    }
}

fn why(refusal: ReadRefusal) -> String {
    match refusal {
        ReadRefusal::NotLeader { leader } => {
            format!("not the leader, leader {}", server_or(leader, "unknown"))
        }
        ReadRefusal::NothingCommittedInTerm => "nothing committed in this term yet".to_owned(),
        ReadRefusal::TooManyReads => "too many reads".to_owned(),
    }
}

/// Writes the content of a write to the disk.
pub(crate) fn write(write: &Write) -> String {
    let vote = write.vote.map(|record| {
        let VoteRecord { current_term, voted_for } = record;
        format!("t{current_term} vote {}", server_or(voted_for, "-"))
    });
    let log = write.log.as_ref().map(|log| match log {
        LogWrite::Append { first, entries: e } => format!("append {}", entries(*first, e)),
        LogWrite::Compact(s) => format!("compact to {}", snapshot(s)),
        LogWrite::Install(s) => format!("install {}", snapshot(s)),
    });
    vote.into_iter().chain(log).join(", ")
}

/// Writes role and term.
pub(crate) fn role(node: &Node) -> String {
    let term = node.current_term;
    match &node.role {
        Role::Follower { leader: None } => format!("follower t{term}"),
        Role::Follower { leader: Some(leader) } => format!("follower t{term} of {leader}"),
        Role::Candidate { votes, .. } => {
            format!("candidate t{term} with votes [{}]", votes.iter().join(" "))
        }
        Role::Leader(_) => format!("leader t{term}"),
    }
}

/// Writes the leader's knowledge about a follower.
pub(crate) fn progress(progress: &Progress) -> String {
    let pace = match progress.pace {
        Pace::Probe => "probe",
        Pace::Replicate => "replicate",
    };
    format!(
        "match {} next {} {pace}{}",
        progress.match_index,
        progress.next_index,
        round(progress.acked_round),
    )
}

/// Writes the log: `(2@1 "x")` for a snapshot at its base, the entries, and `|` before the part
/// that is not durable yet.
pub(crate) fn log(node: &Node) -> String {
    let base = node.log.base().index;
    let durable = node.durable_index();
    let kept = usize::try_from(durable.since(base)).unwrap_or(usize::MAX);
    let (synced, unsynced) = node.log.entries().split_at(kept);

    let mut parts = Vec::new();
    if durable < base {
        parts.push("|".to_owned());
    }
    if base > Index::ZERO {
        parts.push(format!("({})", snapshot(node.log.snapshot())));
    }
    if !synced.is_empty() {
        parts.push(entries(base.next(), synced));
    }
    if !unsynced.is_empty() {
        if durable >= base {
            parts.push("|".to_owned());
        }
        parts.push(entries(base.next().plus(kept), unsynced));
    }
    if parts.is_empty() {
        parts.push("empty".to_owned());
    }
    parts.join(" ")
}

/// Writes role, term, vote, commit and applied index, on one line.
pub(crate) fn state(node: &Node) -> String {
    format!(
        "{}, vote {}, commit {}, applied {}",
        role(node),
        server_or(node.voted_for, "-"),
        node.commit_index,
        node.last_applied,
    )
}

/// Lists the changes that a step made to the node and that its effects do not show.
pub(crate) fn changes(before: &Node, after: &Node) -> Vec<String> {
    let mut changes = Vec::new();
    if role(before) != role(after) {
        changes.push(role(after));
    }
    if before.commit_index != after.commit_index {
        changes.push(format!("commit {}", after.commit_index));
    }
    if let (Role::Leader(old), Role::Leader(new)) = (&before.role, &after.role) {
        for (follower, now) in &new.followers {
            if old.followers.get(follower) != Some(now) {
                changes.push(format!("{follower} {}", progress(now)));
            }
        }
    }
    changes
}
