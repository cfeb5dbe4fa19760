//! The notation of runs: servers, messages and actions, each in one line of plain ASCII.

use std::fmt::Write as _;

use raft_core::{
    AppendEntries, AppendOutcome, Entry, InstallOutcome, LogPosition, Message, NodeId, Pace,
    Payload, Role,
};
use raft_trace::{Action, Envelope};

use crate::cluster::server::{Process, Server};

/// Describes an entry: its command, or `-` for a leader's blank entry, and its term.
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

/// Describes a server in one line: role and term, vote, log, commit index, and pending work.
///
/// `L2 [-1 a1 -2] c2`: leader of term 2, three entries, committed up to 2. `{3}` before the entries
/// stands for a snapshot up to index 3, `v1` for a vote for n1, `a1` for a state machine that has
/// applied entries only up to index 1, and `w2` for two writes that are not durable yet.
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

/// Describes a server like [`describe_server`], with the state that only its role has, its disk if this
/// differs from the process, and the messages that wait for writes.
///
/// Of a candidate, `votes n2 n3`. Of a leader, the progress of each follower: `n2 1<3` is match index
/// 1 and next index 3, and `n2 1<3?` the same while the leader probes.
pub fn describe_server_in_detail(server: &Server) -> String {
    let mut text = describe_server(server);
    let Some(Process { node, writes, outbox, apply_queue, .. }) = &server.process else {
        return text;
    };
    match &node.role {
        Role::Follower { leader: Some(leader) } => {
            let _ = write!(text, " of {leader}");
        }
        Role::Follower { leader: None } => {}
        Role::Candidate { votes, .. } => {
            let votes: Vec<String> = votes.iter().map(ToString::to_string).collect();
            let _ = write!(text, " votes {}", votes.join(" "));
        }
        Role::Leader(leadership) => {
            for (id, progress) in &leadership.followers {
                let probes = if progress.pace == Pace::Probe { "?" } else { "" };
                let (known, next) = (progress.match_index, progress.next_index);
                let _ = write!(text, " {id} {known}<{next}{probes}");
            }
            if !leadership.reads.is_empty() {
                let _ = write!(text, " reads {}", leadership.reads.len());
            }
        }
    }
    if !writes.is_empty() {
        let disk = &server.disk;
        let _ = write!(text, " disk T{}{}", disk.current_term, describe_vote(disk.voted_for));
        let _ = write!(text, " {}", describe_log(&disk.log));
    }
    if !apply_queue.is_empty() {
        let _ = write!(text, " to apply {}", apply_queue.len());
    }
    for (_, envelope) in outbox {
        let _ = write!(text, " (waits: {})", describe_envelope(envelope));
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

/// Describes a message in one line.
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

/// Describes a message with its sender and receiver.
pub fn describe_envelope(envelope: &Envelope) -> String {
    let Envelope { from, to, message } = envelope;
    format!("{from}->{to} {}", describe_message(message))
}

/// Describes an action in one line.
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
