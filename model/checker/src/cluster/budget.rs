//! The bounds of a configuration, and the part of each that a run has used.

use raft_core::{Bytes, NodeId, ReadId, Term};
use raft_trace::{Action, Settings};
use serde::{Deserialize, Serialize};

use super::Cluster;
use super::local_action::LocalAction;

/// The bounds of a configuration. They are guards inside the actions: an action beyond them is not
/// possible, and every state within them is visited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// No election timeout leads beyond this term.
    pub max_term: u64,
    /// How many commands clients propose.
    pub proposals: u8,
    /// How often a leader's heartbeat timer runs out.
    pub heartbeats: u8,
    /// How many reads clients begin.
    #[serde(default)]
    pub reads: u8,
    /// How many crashes happen. Restarts are free.
    #[serde(default)]
    pub crashes: u8,
    /// How many messages the network repeats.
    #[serde(default)]
    pub duplicates: u8,
    /// How many snapshots servers take by themselves. Installing them is free.
    #[serde(default)]
    pub snapshots: u8,
    /// How many messages are on the network at once. Beyond that, what sends is not possible.
    pub in_flight: usize,
}

/// The part of each budget that a run has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Used {
    pub(crate) proposals: u8,
    pub(crate) heartbeats: u8,
    pub(crate) reads: u8,
    pub(crate) crashes: u8,
    pub(crate) duplicates: u8,
    pub(crate) snapshots: u8,
}

impl Used {
    /// Returns an action in full, given that this much was used before it. The k-th proposal of a
    /// run proposes the k-th value. The values stand for any distinct commands, and numbering them
    /// in this order folds their symmetry.
    pub(crate) fn complete(self, server: NodeId, action: LocalAction) -> Action {
        match action {
            LocalAction::ElectionTimeout => Action::ElectionTimeout { server },
            LocalAction::Heartbeat => Action::Heartbeat { server },
            LocalAction::Propose => Action::Propose { server, command: value(self.proposals) },
            LocalAction::Read => Action::Read { server, id: ReadId(u64::from(self.reads) + 1) },
            LocalAction::Sync { writes } => Action::Sync { server, writes },
            LocalAction::Apply => Action::Apply { server },
            LocalAction::StartSnapshot => Action::StartSnapshot { server },
            LocalAction::FinishSnapshot => Action::FinishSnapshot { server },
            LocalAction::Crash { writes_kept, applied_kept } => {
                Action::Crash { server, writes_kept, applied_kept }
            }
            LocalAction::Restart => Action::Restart { server },
        }
    }

    /// Returns the counters after an action.
    pub(crate) fn after(mut self, action: LocalAction) -> Used {
        match action {
            LocalAction::Propose => self.proposals += 1,
            LocalAction::Heartbeat => self.heartbeats += 1,
            LocalAction::Read => self.reads += 1,
            LocalAction::Crash { .. } => self.crashes += 1,
            LocalAction::StartSnapshot => self.snapshots += 1,
            LocalAction::ElectionTimeout
            | LocalAction::Sync { .. }
            | LocalAction::Apply
            | LocalAction::FinishSnapshot
            | LocalAction::Restart => {}
        }
        self
    }
}

impl Used {
    /// Returns the counters after an action of a run.
    pub(crate) fn after_action(self, action: &Action) -> Used {
        match local_action(action) {
            Some(local) => self.after(local),
            None if matches!(action, Action::Duplicate(_)) => {
                Used { duplicates: self.duplicates + 1, ..self }
            }
            None => self,
        }
    }
}

/// Returns all actions that are possible in a cluster within the bounds. Some of them may change
/// nothing.
pub(crate) fn possible(
    cluster: &Cluster,
    settings: &Settings,
    bounds: &Bounds,
    used: Used,
) -> Vec<Action> {
    let mut actions = Vec::new();
    for server in &cluster.servers {
        let local = server.local_actions(settings, bounds.max_term());
        let allowed = local.into_iter().filter(|action| bounds.allow(used, *action));
        actions.extend(allowed.map(|action| used.complete(server.id, action)));
    }
    let is_up = |id| cluster.server(id).is_some_and(|server| server.process.is_some());
    for envelope in cluster.network.keys() {
        if is_up(envelope.to) {
            actions.push(Action::Deliver(envelope.clone()));
        }
        actions.push(Action::Drop(envelope.clone()));
        if bounds.allow_duplicate(used) {
            actions.push(Action::Duplicate(envelope.clone()));
        }
    }
    actions
}

impl Bounds {
    pub(crate) fn max_term(&self) -> Term {
        Term(self.max_term)
    }

    /// Decides whether an action is still within the budgets. The bound on terms is checked
    /// elsewhere.
    pub(crate) fn allow(&self, used: Used, action: LocalAction) -> bool {
        match action {
            LocalAction::Propose => used.proposals < self.proposals,
            LocalAction::Heartbeat => used.heartbeats < self.heartbeats,
            LocalAction::Read => used.reads < self.reads,
            LocalAction::Crash { .. } => used.crashes < self.crashes,
            LocalAction::StartSnapshot => used.snapshots < self.snapshots,
            LocalAction::ElectionTimeout
            | LocalAction::Sync { .. }
            | LocalAction::Apply
            | LocalAction::FinishSnapshot
            | LocalAction::Restart => true,
        }
    }

    /// Decides whether the network may repeat one more message.
    pub(crate) fn allow_duplicate(&self, used: Used) -> bool {
        used.duplicates < self.duplicates
    }
}

/// Returns the local action behind an action of a trace, if it is one of a server.
fn local_action(action: &Action) -> Option<LocalAction> {
    match action {
        Action::ElectionTimeout { .. } => Some(LocalAction::ElectionTimeout),
        Action::Heartbeat { .. } => Some(LocalAction::Heartbeat),
        Action::Propose { .. } => Some(LocalAction::Propose),
        Action::Read { .. } => Some(LocalAction::Read),
        Action::Sync { writes, .. } => Some(LocalAction::Sync { writes: *writes }),
        Action::Apply { .. } => Some(LocalAction::Apply),
        Action::StartSnapshot { .. } => Some(LocalAction::StartSnapshot),
        Action::FinishSnapshot { .. } => Some(LocalAction::FinishSnapshot),
        Action::Crash { writes_kept, applied_kept, .. } => {
            Some(LocalAction::Crash { writes_kept: *writes_kept, applied_kept: *applied_kept })
        }
        Action::Restart { .. } => Some(LocalAction::Restart),
        Action::Deliver(_) | Action::Drop(_) | Action::Duplicate(_) => None,
    }
}

/// Returns the command of the proposal after `proposals` others: `a`, `b`, .. `z`, `a1`, ..
fn value(proposals: u8) -> Bytes {
    let letter = char::from(b'a' + proposals % 26);
    match proposals / 26 {
        0 => Bytes::from(letter.to_string().as_str()),
        round => Bytes::from(format!("{letter}{round}").as_str()),
    }
}
