//! The result of the validation, for people and for programs.

use std::fmt::Write as _;
use std::path::PathBuf;

use raft_checker::notation::describe_message;
use raft_checker::replay::Answer;
use raft_checker::text_width::wrap;
use raft_core::{Input, NodeId};
use raft_trace::NodeRecord;
use serde_json::{Value, json};

use super::explained_prefix::ExplainedPrefix;
use super::global_order::Merge;
use super::network::MessageCounts;
use super::refusal::Refusal;
use super::replica::Replica;

/// The result for all logs.
#[derive(Clone, Debug)]
pub struct Report {
    /// The servers, in the order of their ids.
    pub servers: Vec<ServerReport>,
    /// The counts of messages.
    pub messages: MessageCounts,
    /// The number of elections that were won.
    pub elections: u64,
    /// The highest index that a leader has committed.
    pub committed: u64,
}

/// The result for one log.
#[derive(Clone, Debug)]
pub struct ServerReport {
    /// The server.
    pub id: NodeId,
    /// The file.
    pub path: PathBuf,
    /// The number of steps that were explained.
    pub steps: u64,
    /// The number of incarnations that have begun.
    pub incarnations: u64,
    /// The lines that were cut short.
    pub cut_lines: Vec<u64>,
    /// The number of writes that had reached the disk at a restart without having been reported.
    pub kept_writes: u64,
    /// The number of writes that had not reached the disk at a restart.
    pub lost_writes: u64,
    /// The number of reads that were served.
    pub reads_served: u64,
    /// The number of snapshots that the server took.
    pub snapshots_taken: u64,
    /// The number of snapshots that the server received from a leader.
    pub snapshots_installed: u64,
    /// The first record that is not explained, if there is one.
    pub incomplete: Option<Incomplete>,
}

/// The first record of a log that is not explained.
#[derive(Clone, Debug)]
pub struct Incomplete {
    /// The line of the record, counted from 1.
    pub line: u64,
    /// A short description of the record.
    pub record: String,
    /// The reason why the record is not explained.
    pub refusal: Refusal,
}

impl Report {
    pub(super) fn of(merge: &Merge) -> Report {
        let servers = merge.readings.iter().zip(&merge.replicas);
        let servers: Vec<_> = servers.map(|(reading, replica)| server(reading, replica)).collect();
        let never_left = merge.replicas.iter().map(Replica::never_left).sum();
        Report {
            servers,
            messages: MessageCounts { never_left, ..merge.network.counts() },
            elections: merge.history.elections() as u64,
            committed: merge.history.committed().0,
        }
    }

    /// Returns whether every record is explained.
    pub fn is_explained(&self) -> bool {
        self.servers.iter().all(|server| server.incomplete.is_none())
    }

    /// Returns the records that contradict the model by themselves.
    pub fn contradictions(&self) -> impl Iterator<Item = (&ServerReport, &Incomplete)> {
        let incomplete = |server: &'_ ServerReport| server.incomplete.is_some();
        let servers = self.servers.iter().filter(move |server| incomplete(server));
        let pairs = servers.filter_map(|server| Some((server, server.incomplete.as_ref()?)));
        pairs.filter(|(_, incomplete)| incomplete.refusal.is_contradiction())
    }

    /// Returns the number of steps that were explained.
    pub fn steps(&self) -> u64 {
        self.servers.iter().map(|server| server.steps).sum()
    }

    /// Returns the result as JSON.
    pub fn to_json(&self) -> Value {
        let servers: Vec<Value> = self.servers.iter().map(server_json).collect();
        json!({
            "explained": self.is_explained(),
            "steps": self.steps(),
            "elections": self.elections,
            "committed": self.committed,
            "messages": self.messages,
            "servers": servers,
        })
    }

    /// Explains to people why the logs are refused. The text is empty if they are explained.
    pub fn explain(&self) -> String {
        let mut out = String::new();
        let mut waiting: Vec<_> = Vec::new();
        for server in &self.servers {
            let Some(incomplete) = &server.incomplete else { continue };
            if incomplete.refusal.is_contradiction() {
                out.push_str(&explain_contradiction(server, incomplete));
                out.push('\n');
            } else {
                waiting.push((server, incomplete));
            }
        }
        for (server, Incomplete { line, record, refusal }) in waiting {
            let place = format!("{}:{line}", server.path.display());
            let _ = writeln!(out, "- {place}  {record}");
            let detail = refusal.details().join("; ");
            let _ = writeln!(out, "{}", wrap(&format!("not reached: it waits {detail}"), INDENT));
        }
        out
    }
}

const INDENT: &str = "    ";

fn explain_contradiction(server: &ServerReport, incomplete: &Incomplete) -> String {
    let Incomplete { line, record, refusal } = incomplete;
    let mut out = format!("X {}:{line}  {record}\n", server.path.display());
    let _ = writeln!(out, "  {}", refusal.name());
    let _ = writeln!(out, "{}", wrap(refusal.sentence(), INDENT));
    for detail in refusal.details() {
        let _ = writeln!(out, "{}", wrap(&format!("> {detail}"), INDENT));
    }
    let asked = refusal.asked();
    if !asked.is_empty() {
        let _ = writeln!(out, "  Rules that the model asked in this step:");
    }
    for (rule, answer) in asked {
        let (name, source) = (rule.name(), rule.text().source);
        let _ = writeln!(out, "    {:5} {name}  ({source})", describe_answer(*answer));
    }
    out
}

fn describe_answer(answer: Answer) -> String {
    match answer {
        Answer::Holds(true) => "yes".to_owned(),
        Answer::Holds(false) => "no".to_owned(),
        Answer::Value(value) => format!("= {value}"),
    }
}

fn server(reading: &ExplainedPrefix, replica: &Replica) -> ServerReport {
    let incomplete = reading.next.as_ref().zip(reading.refusal.as_ref());
    let incomplete = incomplete.map(|(next, refusal)| Incomplete {
        line: next.line,
        record: describe(replica.id, &next.record),
        refusal: refusal.clone(),
    });
    let counts = replica.counts;
    ServerReport {
        id: replica.id,
        path: reading.log.path().to_owned(),
        steps: counts.steps,
        incarnations: counts.incarnations,
        cut_lines: reading.log.cut_lines().to_vec(),
        kept_writes: counts.kept_writes,
        lost_writes: counts.lost_writes,
        reads_served: counts.reads_served,
        snapshots_taken: counts.snapshots_taken,
        snapshots_installed: counts.snapshots_installed,
        incomplete,
    }
}

/// Describes a record in one line.
fn describe(id: NodeId, record: &NodeRecord) -> String {
    let NodeRecord::Step { seq, input, .. } = record else {
        return format!("{id} starts");
    };
    let what = match input {
        Input::ElectionTimeout => "election timeout".to_owned(),
        Input::Heartbeat => "heartbeat".to_owned(),
        Input::Propose { commands } => format!("<- clients: {} commands", commands.len()),
        Input::Read { id } => format!("<- client: read {}", id.0),
        Input::Receive { from, message } => format!("<- {from} {}", describe_message(message)),
        Input::Durable { mark } => format!("write {} is durable", mark.0),
        Input::Applied { index } => format!("index {index} is applied"),
        Input::SnapshotTaken { index, .. } => format!("a snapshot up to {index} is stored"),
    };
    clip(format!("{id} step {seq}: {what}"))
}

/// The number of characters of a description that are shown.
const SHOWN: usize = 70;

fn clip(text: String) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text,
    }
}

fn server_json(server: &ServerReport) -> Value {
    json!({
        "id": server.id,
        "path": server.path.display().to_string(),
        "steps": server.steps,
        "incarnations": server.incarnations,
        "cut_lines": server.cut_lines,
        "kept_writes": server.kept_writes,
        "lost_writes": server.lost_writes,
        "reads_served": server.reads_served,
        "snapshots_taken": server.snapshots_taken,
        "snapshots_installed": server.snapshots_installed,
        "incomplete": server.incomplete.as_ref().map(incomplete_json),
    })
}

fn incomplete_json(incomplete: &Incomplete) -> Value {
    let Incomplete { line, record, refusal } = incomplete;
    let answer = |answer: Answer| match answer {
        Answer::Holds(holds) => json!(holds),
        Answer::Value(value) => json!(value),
    };
    let asked = refusal.asked().iter();
    let asked: Vec<Value> = asked
        .map(|(rule, given)| json!({ "rule": rule.name(), "answer": answer(*given) }))
        .collect();
    json!({
        "line": line,
        "record": record,
        "contradiction": refusal.is_contradiction(),
        "rule": refusal.name(),
        "sentence": refusal.sentence(),
        "details": refusal.details(),
        "asked": asked,
    })
}
