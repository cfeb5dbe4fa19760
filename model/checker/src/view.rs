//! What a person reads when something fails: one column for each server, only what changed, messages
//! folded into one line, the step where the damage was done, the sentence that was broken, the rules
//! that were asked, and how to go on. Plain ASCII, at most 100 columns.

use std::fmt::Write as _;

use raft_core::{
    AppendEntries, AppendOutcome, Entry, InstallOutcome, LogPosition, Message, NodeId, Payload,
    Role, Rule,
};
use raft_trace::{Action, Envelope};

use crate::cluster::server::{Process, Server};
use crate::properties::Property;
use crate::replay::{Answer, Replay, Step};

/// The width of the whole table.
const WIDTH: usize = 100;

/// The narrowest that the column of actions gets, however wide the servers' columns are.
const ACTION_WIDTH: usize = 28;

/// An entry: its command, or `-` for a leader's blank entry, and its term.
pub fn describe_entry(entry: &Entry) -> String {
    match &entry.payload {
        Payload::Noop => format!("-{}", entry.term),
        Payload::Command(command) => format!("{command}{}", entry.term),
    }
}

fn describe_entries(entries: &[Entry]) -> String {
    entries.iter().map(describe_entry).collect::<Vec<_>>().join(" ")
}

fn position(position: LogPosition) -> String {
    if position.index.0 == 0 {
        "start".to_owned()
    } else {
        format!("{}@{}", position.index, position.term)
    }
}

/// A server in one line: role and term, vote, log, commit index, and what is under way.
///
/// `L2 [-1 a1 -2] c2`: leader of term 2, three entries, committed up to 2. `{3}` before the entries
/// stands for a snapshot up to index 3; `v1` for a vote for n1; `a1` for a state machine that lags,
/// `w2` for two writes that are not durable yet.
pub fn describe_server(server: &Server) -> String {
    let Some(process) = &server.process else {
        let log = describe_log(&server.disk.log);
        let vote = describe_vote(server.disk.voted_for);
        return format!("down T{}{vote} {log}", server.disk.current_term);
    };
    let Process { node, writes, storing, .. } = process;
    let role = match node.role {
        Role::Follower { .. } => 'F',
        Role::Candidate { .. } => 'C',
        Role::Leader(_) => 'L',
    };
    let vote = describe_vote(node.voted_for.filter(|candidate| *candidate != node.id()));
    let mut text = format!("{role}{}{vote} {}", node.current_term, describe_log(&node.log));
    let _ = write!(text, " c{}", node.commit_index);
    if node.last_applied < node.commit_index {
        let _ = write!(text, " a{}", node.last_applied);
    }
    if !writes.is_empty() {
        let _ = write!(text, " w{}", writes.len());
    }
    if storing.is_some() {
        text.push_str(" storing");
    }
    text
}

fn describe_vote(voted_for: Option<NodeId>) -> String {
    voted_for.map_or_else(String::new, |candidate| format!(" v{}", candidate.0))
}

fn describe_log(log: &raft_core::Log) -> String {
    let base = log.base().index;
    let snapshot = if base.0 > 0 { format!("{{{base}}}") } else { String::new() };
    format!("{snapshot}[{}]", describe_entries(log.entries()))
}

/// A message in one line.
pub fn describe_message(message: &Message) -> String {
    match message {
        Message::RequestVote(request) => {
            format!("vote? t{} log {}", request.term, position(request.last_log))
        }
        Message::RequestVoteReply(reply) => {
            let answer = if reply.granted { "vote" } else { "no vote" };
            format!("{answer} t{}", reply.term)
        }
        Message::AppendEntries(AppendEntries {
            term, prev_log, entries, leader_commit, ..
        }) => {
            let entries = describe_entries(entries);
            format!("append t{term} {}+[{entries}] c{leader_commit}", position(*prev_log))
        }
        Message::AppendEntriesReply(reply) => match reply.outcome {
            AppendOutcome::StaleTerm => format!("stale, now t{}", reply.term),
            AppendOutcome::Matched { match_index } => format!("ack {match_index} t{}", reply.term),
            AppendOutcome::Conflict { prev_log_index, hint } => {
                format!("no {prev_log_index}, try after {} t{}", position(hint), reply.term)
            }
        },
        Message::InstallSnapshot(request) => {
            let snapshot = &request.snapshot;
            let (index, term) = (snapshot.last_included_index, snapshot.last_included_term);
            format!("snapshot t{} {index}@{term}", request.term)
        }
        Message::InstallSnapshotReply(reply) => match reply.outcome {
            InstallOutcome::StaleTerm => format!("stale, now t{}", reply.term),
            InstallOutcome::Covered { last_included_index } => {
                format!("has snapshot {last_included_index} t{}", reply.term)
            }
        },
    }
}

/// A message with its sender and receiver.
pub fn describe_envelope(envelope: &Envelope) -> String {
    let Envelope { from, to, message } = envelope;
    format!("{from}->{to} {}", describe_message(message))
}

/// An action in one line.
pub fn describe_action(action: &Action) -> String {
    match action {
        Action::ElectionTimeout { server } => format!("{server} election timeout"),
        Action::Heartbeat { server } => format!("{server} heartbeat"),
        Action::Propose { server, command } => format!("{server} <- client: {command}"),
        Action::Read { server, id } => format!("{server} <- client: read {}", id.0),
        Action::Deliver(Envelope { from, to, message }) => {
            format!("{to} <- {from} {}", describe_message(message))
        }
        Action::Drop(envelope) => format!("lost {}", describe_envelope(envelope)),
        Action::Duplicate(envelope) => format!("repeated {}", describe_envelope(envelope)),
        Action::Sync { server, writes } => format!("{server} disk: {writes} writes durable"),
        Action::Apply { server } => format!("{server} applies"),
        Action::Crash { server, writes_kept, applied_kept } => {
            format!("{server} CRASH, keeps {writes_kept} writes, a{applied_kept}")
        }
        Action::Restart { server } => format!("{server} restart"),
        Action::StartSnapshot { server } => format!("{server} takes a snapshot"),
        Action::FinishSnapshot { server } => format!("{server} has stored the snapshot"),
    }
}

/// The run as a table, one line a step.
pub fn table(replay: &Replay) -> String {
    let violation = replay.violation();
    let damage = violation.and_then(|(place, broken)| {
        broken.iter().find_map(|property| replay.contradicted_step(place, property))
    });
    let rows: Vec<Row> = (0..replay.steps.len()).map(|place| Row::of(replay, place)).collect();
    let servers = replay.start.servers.len().max(1);
    let cells = rows.iter().flat_map(|row| &row.cells).map(String::len);
    let fair = (WIDTH - 8 - ACTION_WIDTH) / servers - 3;
    let cell_width = cells.max().unwrap_or(0).clamp(4, fair.max(4));
    let room = (WIDTH - 8).saturating_sub(servers * (cell_width + 3)).max(ACTION_WIDTH);
    let action_width = rows.iter().map(|row| row.action.len()).max().unwrap_or(0).clamp(8, room);

    let mut out = format!("  step  {:action_width$}", "action");
    for server in &replay.start.servers {
        let _ = write!(out, " | {:cell_width$}", server.id.to_string());
    }
    out = format!("{}\n", out.trim_end());
    for (place, row) in rows.iter().enumerate() {
        let mark = match violation {
            Some((broken, _)) if broken == place => 'X',
            _ if damage == Some(place) => '>',
            _ => ' ',
        };
        let mut line =
            format!("{mark} {:4}  {:action_width$}", place + 1, clip(&row.action, action_width));
        for cell in &row.cells {
            let _ = write!(line, " | {:cell_width$}", clip(cell, cell_width));
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

struct Row {
    action: String,
    /// For each server what it is now, or nothing if it did not change.
    cells: Vec<String>,
}

impl Row {
    fn of(replay: &Replay, place: usize) -> Row {
        let step = &replay.steps[place];
        let before = place.checked_sub(1).map_or(&replay.start, |last| &replay.steps[last].after);
        let pairs = before.servers.iter().zip(&step.after.servers);
        let cells = pairs.map(|(before, after)| {
            let now = describe_server(after);
            if describe_server(before) == now { String::new() } else { now }
        });
        Row { action: describe_action(&step.action), cells: cells.collect() }
    }
}

/// A text that fits, with a mark where something is missing.
fn clip(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(2)).collect();
    format!("{kept}..")
}

/// What was broken, in words, and the rules behind it.
pub fn explain(replay: &Replay) -> String {
    let Some((place, broken)) = replay.violation() else {
        return String::new();
    };
    let mut out = String::new();
    for property in broken.iter() {
        let _ = writeln!(out, "X {} is broken at step {}.", property.name(), place + 1);
        let _ = writeln!(out, "{}", wrap(property.sentence(), "    "));
        if let (Property::CanRecover, Some(stuck)) = (property, &replay.stuck) {
            let majority: Vec<String> = stuck.majority.iter().map(NodeId::to_string).collect();
            let _ = writeln!(out, "    {} cannot recover alone.", majority.join(" and "));
        }
    }
    let damage = broken.iter().find_map(|property| replay.contradicted_step(place, property));
    if let Some(earlier) = damage {
        let _ = writeln!(out, "> It contradicts what happened at step {}.", earlier + 1);
    }
    out.push_str(&explain_rules(&replay.steps[place], place));
    if let Some(earlier) = damage {
        out.push_str(&explain_rules(&replay.steps[earlier], earlier));
    }
    out
}

/// The rules that a step asked, and those that its handler lists and that it did not ask.
fn explain_rules(step: &Step, place: usize) -> String {
    let mut out = format!("\nRules at step {} ({}):\n", place + 1, describe_action(&step.action));
    if step.asked.is_empty() {
        out.push_str("    none was asked\n");
    }
    for (rule, answer) in &step.asked {
        let answer = match answer {
            Answer::Holds(true) => "yes".to_owned(),
            Answer::Holds(false) => "no".to_owned(),
            Answer::Value(value) => format!("= {value}"),
        };
        let _ = writeln!(out, "    {answer:5} {}  ({})", rule.name(), rule.text().source);
    }
    let not_asked: Vec<String> = step.not_asked().into_iter().map(Rule::name).collect();
    if !not_asked.is_empty() {
        out.push_str("  not asked there, though the handler has them:\n");
        let _ = writeln!(out, "{}", wrap(&not_asked.join(", "), "    "));
    }
    out
}

/// Breaks a text into indented lines of at most 100 columns.
pub fn wrap(text: &str, indent: &str) -> String {
    let (mut out, mut width) = (indent.to_owned(), indent.len());
    for word in text.split_whitespace() {
        if width > indent.len() && width + 1 + word.len() > WIDTH {
            out.push('\n');
            out.push_str(indent);
            width = indent.len();
        } else if width > indent.len() {
            out.push(' ');
            width += 1;
        }
        out.push_str(word);
        width += word.len();
    }
    out
}
