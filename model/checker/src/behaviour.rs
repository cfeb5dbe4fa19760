//! The behaviour of the servers in an exploration: for each of their local transitions, the answers of
//! the rules and the effects, counted in classes.
//!
//! Transitions of one class have the same kind of input in the same role, and effects of the same kinds.
//! Each class has an example and a hash of all its transitions, so a behaviour that changed is seen
//! even where every count stayed the same.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use raft_core::{AppendOutcome, InstallOutcome, Message, NodeId, Paper, Role, Rule, Rules};
use raft_trace::{Action, Envelope};
use serde::{Deserialize, Serialize};

use crate::cluster::rename::Renaming;
use crate::cluster::server::{Reaction, Server};
use crate::config::BoundedConfig;
use crate::notation::{describe_action, describe_envelope, describe_server_in_detail};

/// The behaviour of the servers in an exploration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Behaviour {
    /// The answers of each rule that was asked, by the name of the rule.
    pub rules: BTreeMap<String, RuleAnswers>,
    /// The local transitions, by class.
    pub classes: BTreeMap<String, Class>,
    /// The transitions that the caller has asked for.
    pub listed: BTreeSet<Step>,
}

/// The answers of a rule, one for each question in a local transition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleAnswers {
    /// How often its condition was fulfilled; for a rule that prescribes a number, how often it was
    /// asked.
    pub yes: u64,
    /// How often its condition was not fulfilled.
    pub no: u64,
}

/// Local transitions of the same kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// Their number.
    pub count: u64,
    /// A hash of all of them, which does not depend on their order.
    pub hash: u64,
    /// The first of them, in the order of their texts.
    pub example: Step,
}

/// A local transition in the notation of runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The server before it.
    pub server: String,
    /// The input.
    pub input: String,
    /// The server after it.
    pub after: String,
    /// The messages that leave the server.
    pub sends: Vec<String>,
}

impl Step {
    /// Describes the server after the step and the messages that it sends, in one line.
    pub fn effect(&self) -> String {
        let after = if self.after == self.server { "no change" } else { &self.after };
        let parts = std::iter::once(after.to_owned());
        let sends = self.sends.iter().map(|message| format!("sends {message}"));
        parts.chain(sends).collect::<Vec<_>>().join("; ")
    }

    /// Returns whether another step is of the same server at the same input.
    pub fn has_cause_of(&self, other: &Step) -> bool {
        self.server == other.server && self.input == other.input
    }
}

impl Behaviour {
    /// Does the local transitions of a configuration again. Lists those for which `list` returns true.
    pub fn of<'t>(
        config: &BoundedConfig,
        transitions: impl Iterator<Item = (&'t Server, Action)>,
        list: impl Fn(&Step) -> bool,
    ) -> Behaviour {
        let renamings = Renaming::all(config.settings.servers);
        let mut behaviour = Behaviour::default();
        for (server, action) in transitions {
            let Canonical { texts, server, action } = canonical(&renamings, server, &action);
            let listening = Listening::default();
            let mut after = server.clone();
            // Only possible transitions are listed by an exploration.
            let Ok(reaction) = after.run(&config.settings, &listening, &action) else { continue };
            let (server_before, input) = texts;
            let step = Step {
                server: server_before,
                input,
                after: describe_server_in_detail(&after),
                sends: reaction.sent.iter().map(describe_envelope).collect(),
            };
            if list(&step) {
                behaviour.listed.insert(step.clone());
            }
            let class = class_name(&server, &action, &after, &reaction);
            let hash = hash(&(&server, &action, &after, &reaction.sent));
            behaviour.count(class, hash, step, listening.asked.into_inner());
        }
        behaviour
    }

    fn count(&mut self, class: String, hash: u64, step: Step, asked: Vec<(Rule, bool)>) {
        for (rule, answer) in asked {
            let answers = self.rules.entry(rule.name()).or_default();
            *(if answer { &mut answers.yes } else { &mut answers.no }) += 1;
        }
        let first = || Class { count: 0, hash: 0, example: step.clone() };
        let class = self.classes.entry(class).or_insert_with(first);
        class.count += 1;
        class.hash = class.hash.wrapping_add(hash);
        if step < class.example {
            class.example = step;
        }
    }
}

fn hash(content: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    hasher.finish()
}

/// One of the transitions that differ only by a renaming of the servers.
struct Canonical {
    /// The server and the action as texts.
    texts: (String, String),
    server: Server,
    action: Action,
}

/// Returns the transition whose server has the lowest id and whose texts come first.
fn canonical(renamings: &[Renaming], server: &Server, action: &Action) -> Canonical {
    let to_lowest = renamings.iter().filter(|renaming| renaming.id(server.id) == NodeId(1));
    let renamed = to_lowest.map(|renaming| {
        let (server, action) = (renaming.server(server), renaming.action(action));
        let texts = (describe_server_in_detail(&server), describe_action(&action));
        Canonical { texts, server, action }
    });
    // Different servers may have the same text.
    let key = |c: &Canonical| (c.texts.clone(), hash(&(&c.server, &c.action)));
    renamed.min_by_key(key).expect("some renaming gives the server the lowest id")
}

/// Returns the name of the class of a transition: role, input, and the kinds of effects.
fn class_name(before: &Server, action: &Action, after: &Server, reaction: &Reaction) -> String {
    let (role, role_after) = (role(before), role(after));
    let mut name = format!("{role}, {}", kind(action));
    let mut effects = Vec::new();
    if role != role_after {
        effects.push(format!("becomes {role_after}"));
    }
    let kinds = |messages: &[&Envelope]| {
        let kinds = messages.iter().map(|envelope| message_kind(&envelope.message));
        kinds.collect::<BTreeSet<_>>()
    };
    if matches!(action, Action::Sync { .. }) {
        // Which messages have waited for a write says little about the write.
        effects.extend((!reaction.sent.is_empty()).then(|| "sends what waited".to_owned()));
    } else {
        let sent = kinds(&reaction.sent.iter().collect::<Vec<_>>());
        effects.extend(sent.into_iter().map(|kind| format!("sends {kind}")));
        let waiting = kinds(&newly_waiting(before, after));
        effects.extend(waiting.into_iter().map(|kind| format!("{kind} waits for the disk")));
    }
    effects.extend(changes(before, after).into_iter().map(str::to_owned));
    if !effects.is_empty() {
        name += ": ";
        name += &effects.join(", ");
    }
    name
}

fn role(server: &Server) -> &'static str {
    match server.process.as_ref().map(|process| &process.node.role) {
        None => "down",
        Some(Role::Follower { .. }) => "follower",
        Some(Role::Candidate { .. }) => "candidate",
        Some(Role::Leader(_)) => "leader",
    }
}

fn kind(action: &Action) -> String {
    match action {
        Action::ElectionTimeout { .. } => "election timeout".to_owned(),
        Action::Heartbeat { .. } => "heartbeat".to_owned(),
        Action::Propose { .. } => "proposal".to_owned(),
        Action::Read { .. } => "read".to_owned(),
        Action::Sync { .. } => "writes durable".to_owned(),
        Action::Apply { .. } => "apply".to_owned(),
        Action::StartSnapshot { .. } => "snapshot taken".to_owned(),
        Action::FinishSnapshot { .. } => "snapshot stored".to_owned(),
        Action::Crash { .. } => "crash".to_owned(),
        Action::Restart { .. } => "restart".to_owned(),
        Action::Deliver(envelope) | Action::Drop(envelope) | Action::Duplicate(envelope) => {
            format!("receives {}", message_kind(&envelope.message))
        }
    }
}

/// Returns the name of a message, and of its answer if it is a reply.
fn message_kind(message: &Message) -> &'static str {
    match message {
        Message::RequestVote(_) => "RequestVote",
        Message::RequestVoteReply(reply) if reply.granted => "a vote",
        Message::RequestVoteReply(_) => "no vote",
        Message::AppendEntries(_) => "AppendEntries",
        Message::AppendEntriesReply(reply) => match reply.outcome {
            AppendOutcome::StaleTerm => "stale term (AppendEntries)",
            AppendOutcome::Matched { .. } => "match",
            AppendOutcome::Conflict { .. } => "conflict",
        },
        Message::InstallSnapshot(_) => "InstallSnapshot",
        Message::InstallSnapshotReply(reply) => match reply.outcome {
            InstallOutcome::StaleTerm => "stale term (InstallSnapshot)",
            InstallOutcome::Covered { .. } => "snapshot covered",
        },
    }
}

/// Returns the messages that wait for writes since a transition.
fn newly_waiting<'s>(before: &Server, after: &'s Server) -> Vec<&'s Envelope> {
    let outbox = |server: &'s Server| server.process.iter().flat_map(|process| &process.outbox);
    let waited = before.process.as_ref().map(|process| process.outbox.as_slice());
    let waited = waited.unwrap_or_default();
    outbox(after)
        .filter(|waiting| !waited.contains(waiting))
        .map(|(_, envelope)| envelope)
        .collect()
}

/// Returns the parts of a server that a transition has changed.
fn changes(before: &Server, after: &Server) -> Vec<&'static str> {
    let mut changes = Vec::new();
    let mut compare = |differs: bool, name: &'static str| {
        if differs {
            changes.push(name);
        }
    };
    compare(before.disk != after.disk, "disk");
    if let (Some(before), Some(after)) = (&before.process, &after.process) {
        let (node, now) = (&before.node, &after.node);
        compare(node.current_term != now.current_term, "term");
        compare(node.voted_for != now.voted_for && now.voted_for.is_some(), "vote");
        compare(now.log.last_index() > node.log.last_index(), "longer log");
        compare(now.log.last_index() < node.log.last_index(), "shorter log");
        compare(now.log.base() != node.log.base(), "log base");
        compare(now.commit_index != node.commit_index, "commit");
    }
    compare(before.state_machine != after.state_machine, "state machine");
    changes
}

/// The paper's rules, which record the answers.
#[derive(Default)]
struct Listening {
    asked: RefCell<Vec<(Rule, bool)>>,
}

impl Rules for Listening {
    fn holds(&self, rule: Rule, answer: bool) -> bool {
        let answer = Paper.holds(rule, answer);
        self.asked.borrow_mut().push((rule, answer));
        answer
    }

    fn value(&self, rule: Rule, value: u64) -> u64 {
        self.asked.borrow_mut().push((rule, true));
        Paper.value(rule, value)
    }
}
