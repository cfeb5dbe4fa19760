//! Servers, messages and actions in a line each, and what a person reads beside the table of a run
//! that fails: the sentence that was broken, the step where the damage was done, the rules that were
//! asked. Plain ASCII.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};

use raft_core::{
    AppendEntries, AppendOutcome, Entry, InstallOutcome, LogPosition, Message, NodeId, Payload,
    Role, Rule,
};
use raft_trace::{Action, Envelope};
use textwrap::{Options, WordSeparator, WordSplitter};

use crate::cluster::server::{Process, Server};
use crate::properties::Property;
use crate::replay::{Answer, Replay, Step};

/// The width of what is written where there is no terminal, and of sentences everywhere.
pub const WIDTH: usize = 100;

/// The width of the terminal that is the standard output, or [`WIDTH`] if it is none.
pub fn terminal_width() -> usize {
    let size = if io::stdout().is_terminal() { terminal_size::terminal_size() } else { None };
    // Some terminals do not know their size and report 0.
    size.map(|(width, _)| usize::from(width.0)).filter(|width| *width > 0).unwrap_or(WIDTH)
}

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

/// What was broken, in words, and the rules behind it. No line of prose is wider than `width`, nor
/// than [`WIDTH`].
pub fn explain(replay: &Replay, width: usize) -> String {
    let Some((place, broken)) = replay.violation() else {
        return String::new();
    };
    let mut out = String::new();
    for property in broken.iter() {
        let _ = writeln!(out, "X {} is broken at step {}.", property.name(), place + 1);
        let _ = writeln!(out, "{}", wrap_to(property.sentence(), "    ", width));
        if let (Property::CanRecover, Some(stuck)) = (property, &replay.stuck) {
            let majority: Vec<String> = stuck.majority.iter().map(NodeId::to_string).collect();
            let _ = writeln!(out, "    {} cannot recover alone.", majority.join(" and "));
        }
    }
    let contradicted = replay.contradicted();
    if let Some(earlier) = contradicted {
        let _ = writeln!(out, "> It contradicts what happened at step {}.", earlier + 1);
    }
    out.push_str(&explain_rules(&replay.steps[place], place, width));
    if let Some(earlier) = contradicted {
        out.push_str(&explain_rules(&replay.steps[earlier], earlier, width));
    }
    out
}

/// The rules that a step asked, and those that its handler lists and that it did not ask.
fn explain_rules(step: &Step, place: usize, width: usize) -> String {
    let title = format!("Rules at step {} ({}):", place + 1, describe_action(&step.action));
    let mut out = format!("\n{}\n", wrap_to(&title, "", width));
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
        let _ = writeln!(out, "{}", wrap_to(&not_asked.join(", "), "    ", width));
    }
    out
}

/// Breaks a text into lines of at most `width` letters; all but the first are indented by two. A word
/// that is too long is broken as well.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let options = Options::new(width)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .subsequent_indent("  ");
    textwrap::wrap(text, options).into_iter().map(String::from).collect()
}

/// Breaks a text into indented lines of at most [`WIDTH`] columns. A word is never broken.
pub fn wrap(text: &str, indent: &str) -> String {
    wrap_to(text, indent, WIDTH)
}

/// Breaks a text into indented lines of at most `most` columns, or [`WIDTH`] if that is less. A word
/// is never broken.
pub fn wrap_to(text: &str, indent: &str, most: usize) -> String {
    let most = most.min(WIDTH);
    let (mut out, mut width) = (indent.to_owned(), indent.len());
    for word in text.split_whitespace() {
        if width > indent.len() && width + 1 + word.len() > most {
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
