//! Removes an entry of the log, or a whole term, from the actions of one server.
//!
//! Messages carry absolute indexes and terms, so later entries and terms are renumbered. The result
//! is a guess: the caller has to check whether it still leads to the difference.

use std::collections::{BTreeMap, BTreeSet};

use raft_checker::cluster::server::Server;
use raft_checker::cluster::snapshot_data::{decode, encode};
use raft_checker::properties::PropertySet;
use raft_core::{
    AppendEntries, AppendEntriesReply, AppendOutcome, Entry, Index, InstallOutcome,
    InstallSnapshot, InstallSnapshotReply, LogPosition, Message, NodeId, Paper, Snapshot, Term,
};
use raft_trace::{Action, Settings};

/// Returns those of the actions that the model's server can perform without breaking a property. A
/// sync takes at most as many writes as there are.
pub(super) fn possible(settings: &Settings, id: NodeId, actions: Vec<Action>) -> Vec<Action> {
    let mut server = Server::boot(settings, &Paper, id);
    let mut done = Vec::with_capacity(actions.len());
    for mut action in actions {
        if let Action::Sync { writes, .. } = &mut action {
            *writes = (*writes).min(server.process.as_ref().map_or(0, |up| up.writes.len()));
            if *writes == 0 {
                continue;
            }
        }
        let before = server.clone();
        let mut broken = PropertySet::default();
        match server.run_observed(settings, &Paper, &action, &mut broken) {
            Ok(_) if broken.is_empty() => done.push(action),
            _ => server = before,
        }
    }
    done
}

/// The indexes and terms in a server's actions. `proposals` and `elections` hold the positions of
/// the actions that create the entry at an index or begin a term.
pub(super) struct Numbers {
    proposals: BTreeMap<Index, BTreeSet<usize>>,
    elections: BTreeMap<Term, BTreeSet<usize>>,
    /// The term of the entry at an index, as far as messages and proposals show it.
    terms: BTreeMap<Index, Term>,
}

impl Numbers {
    /// Returns the indexes and terms in a list of possible actions.
    pub(super) fn of(settings: &Settings, id: NodeId, actions: &[Action]) -> Numbers {
        let mut server = Server::boot(settings, &Paper, id);
        let mut numbers = Numbers {
            proposals: BTreeMap::new(),
            elections: BTreeMap::new(),
            terms: BTreeMap::new(),
        };
        for (place, action) in actions.iter().enumerate() {
            if let Action::Deliver(envelope) = action
                && let Message::AppendEntries(request) = &envelope.message
            {
                let first = request.prev_log.index.next();
                numbers.terms.insert(request.prev_log.index, request.prev_log.term);
                for (offset, entry) in request.entries.iter().enumerate() {
                    numbers.terms.insert(first.plus(offset), entry.term);
                }
            }
            if server.run(settings, &Paper, action).is_err() {
                break;
            }
            let Some(up) = &server.process else { continue };
            match action {
                Action::Propose { .. } if up.node.is_leader() => {
                    let index = up.node.log.last_index();
                    numbers.terms.insert(index, up.node.current_term);
                    numbers.proposals.entry(index).or_default().insert(place);
                }
                Action::ElectionTimeout { .. } => {
                    numbers.elections.entry(up.node.current_term).or_default().insert(place);
                }
                _ => {}
            }
        }
        numbers
    }

    /// Returns the indexes that are in use, the last one first.
    pub(super) fn indexes(&self) -> Vec<Index> {
        self.terms.keys().rev().copied().filter(|index| *index > Index::ZERO).collect()
    }

    /// Returns the terms that are in use, the last one first.
    pub(super) fn terms(&self) -> Vec<Term> {
        let elected = self.elections.keys().copied();
        let terms: BTreeSet<Term> = self.terms.values().copied().chain(elected).collect();
        terms.into_iter().rev().filter(|term| *term > Term(0)).collect()
    }

    /// Returns the actions without the entry at an index, and without its proposal.
    pub(super) fn without_index(&self, actions: &[Action], index: Index) -> Vec<Action> {
        let nowhere = BTreeSet::new();
        let proposals = self.proposals.get(&index).unwrap_or(&nowhere);
        let left = (0..).zip(actions).filter(|(place, _)| !proposals.contains(place));
        left.filter_map(|(_, action)| self.action_without_index(action, index)).collect()
    }

    /// Returns the actions without a term: its elections are removed, and this and all later terms
    /// become one lower.
    pub(super) fn without_term(&self, actions: &[Action], term: Term) -> Vec<Action> {
        let nowhere = BTreeSet::new();
        let elections = self.elections.get(&term).unwrap_or(&nowhere);
        let left = (0..).zip(actions).filter(|(place, _)| !elections.contains(place));
        left.map(|(_, action)| action_without_term(action, term)).collect()
    }

    fn action_without_index(&self, action: &Action, index: Index) -> Option<Action> {
        let mut action = action.clone();
        let lower = |other: &mut Index| {
            if *other >= index {
                *other = other.prev();
            }
        };
        if let Action::Crash { applied_kept, .. } = &mut action {
            lower(applied_kept);
        }
        let Action::Deliver(envelope) = &mut action else { return Some(action) };
        match &mut envelope.message {
            Message::RequestVote(request) => self.lower_position(&mut request.last_log, index),
            Message::RequestVoteReply(_) => {}
            Message::AppendEntries(AppendEntries { prev_log, entries, leader_commit, .. }) => {
                let offset = index.0.checked_sub(prev_log.index.0 + 1);
                let offset = offset.and_then(|offset| usize::try_from(offset).ok());
                if let Some(offset) = offset.filter(|offset| *offset < entries.len()) {
                    entries.remove(offset);
                }
                self.lower_position(prev_log, index);
                lower(leader_commit);
            }
            Message::AppendEntriesReply(AppendEntriesReply { outcome, .. }) => match outcome {
                AppendOutcome::StaleTerm => {}
                AppendOutcome::Matched { match_index } => lower(match_index),
                AppendOutcome::Conflict { prev_log_index, hint } => {
                    lower(prev_log_index);
                    self.lower_position(hint, index);
                }
            },
            Message::InstallSnapshot(InstallSnapshot { snapshot, .. }) => {
                let mut entries = decode(&snapshot.handle);
                let offset = usize::try_from(index.0.saturating_sub(1)).ok()?;
                if offset < entries.len() {
                    entries.remove(offset);
                }
                *snapshot = holding(&entries)?;
            }
            Message::InstallSnapshotReply(InstallSnapshotReply { outcome, .. }) => {
                if let InstallOutcome::Covered { last_included_index } = outcome {
                    lower(last_included_index);
                }
            }
        }
        Some(action)
    }

    fn lower_position(&self, position: &mut LogPosition, index: Index) {
        if position.index < index {
            return;
        }
        let same = position.index == index;
        position.index = position.index.prev();
        if same {
            let known = self.terms.get(&position.index).copied();
            position.term = known.unwrap_or(position.term);
        }
        if position.index == Index::ZERO {
            position.term = Term(0);
        }
    }
}

/// Returns the model's snapshot of these entries, or `None` if there are no entries.
fn holding(entries: &[Entry]) -> Option<Snapshot> {
    let last = entries.last()?;
    Some(Snapshot {
        last_included_index: Index(entries.len() as u64),
        last_included_term: last.term,
        handle: encode(entries),
    })
}

fn action_without_term(action: &Action, term: Term) -> Action {
    let mut action = action.clone();
    let Action::Deliver(envelope) = &mut action else { return action };
    let lower = |other: &mut Term| {
        if *other >= term {
            *other = Term(other.0.saturating_sub(1));
        }
    };
    let lower_all = |entries: &mut [Entry]| {
        for entry in entries {
            lower(&mut entry.term);
        }
    };
    match &mut envelope.message {
        Message::RequestVote(request) => {
            lower(&mut request.term);
            lower(&mut request.last_log.term);
        }
        Message::RequestVoteReply(reply) => lower(&mut reply.term),
        Message::AppendEntries(request) => {
            lower(&mut request.term);
            lower(&mut request.prev_log.term);
            lower_all(&mut request.entries);
        }
        Message::AppendEntriesReply(reply) => {
            lower(&mut reply.term);
            if let AppendOutcome::Conflict { hint, .. } = &mut reply.outcome {
                lower(&mut hint.term);
            }
        }
        Message::InstallSnapshot(request) => {
            lower(&mut request.term);
            let mut entries = decode(&request.snapshot.handle);
            lower_all(&mut entries);
            if let Some(snapshot) = holding(&entries) {
                request.snapshot = snapshot;
            }
        }
        Message::InstallSnapshotReply(reply) => lower(&mut reply.term),
    }
    action
}

#[cfg(test)]
mod tests {
    use raft_core::{Bytes, Limits, Payload, ReadRound};
    use raft_trace::{ApplyMode, DiskMode, Envelope};

    use super::*;

    const FOLLOWER: NodeId = NodeId(1);

    fn settings() -> Settings {
        let limits = Limits { batch: 8, window: 8, reads: 8 };
        Settings { servers: 3, limits, disk: DiskMode::Queued, apply: ApplyMode::Separate }
    }

    /// Returns two actions: a leader's message with an entry that follows the entry `prev`, and a
    /// sync.
    fn entry(term: u64, prev: (u64, u64), name: &str, commit: u64) -> [Action; 2] {
        let prev_log = LogPosition { term: Term(prev.0), index: Index(prev.1) };
        let payload = Payload::Command(Bytes::from(name));
        let request = AppendEntries {
            term: Term(term),
            prev_log,
            entries: vec![Entry { term: Term(term), payload }],
            leader_commit: Index(commit),
            read_round: ReadRound(0),
        };
        let message = Message::AppendEntries(request);
        let envelope = Envelope { from: NodeId(2), to: FOLLOWER, message };
        [Action::Deliver(envelope), Action::Sync { server: FOLLOWER, writes: 9 }]
    }

    fn log_after(actions: &[Action]) -> Vec<(u64, String)> {
        let mut server = Server::boot(&settings(), &Paper, FOLLOWER);
        for action in actions {
            server.run(&settings(), &Paper, action).expect("it is possible");
        }
        let up = server.process.expect("it is up");
        let entry = |entry: &Entry| match &entry.payload {
            Payload::Noop => (entry.term.0, String::new()),
            Payload::Command(name) => (entry.term.0, name.to_string()),
        };
        up.node.log.entries().iter().map(entry).collect()
    }

    fn three_entries() -> Vec<Action> {
        let sent = [entry(1, (0, 0), "a", 0), entry(1, (1, 1), "b", 2), entry(2, (1, 2), "c", 3)];
        possible(&settings(), FOLLOWER, sent.into_iter().flatten().collect())
    }

    #[test]
    fn without_an_entry_those_behind_it_move_up() {
        let actions = three_entries();
        assert_eq!(actions.len(), 6);
        let numbers = Numbers::of(&settings(), FOLLOWER, &actions);
        assert_eq!(numbers.indexes(), [Index(3), Index(2), Index(1)]);
        let shorter = numbers.without_index(&actions, Index(2));
        let shorter = possible(&settings(), FOLLOWER, shorter);
        assert_eq!(log_after(&shorter), [(1, "a".to_owned()), (2, "c".to_owned())]);
        let first = possible(&settings(), FOLLOWER, numbers.without_index(&actions, Index(1)));
        assert_eq!(log_after(&first), [(1, "b".to_owned()), (2, "c".to_owned())]);
    }

    #[test]
    fn without_a_term_later_ones_are_one_lower() {
        let actions = three_entries();
        let numbers = Numbers::of(&settings(), FOLLOWER, &actions);
        assert_eq!(numbers.terms(), [Term(2), Term(1)]);
        let shorter = possible(&settings(), FOLLOWER, numbers.without_term(&actions, Term(2)));
        let all = ["a", "b", "c"].map(|name| (1, name.to_owned()));
        assert_eq!(log_after(&shorter), all);
    }

    #[test]
    fn what_is_not_possible_is_left_out() {
        let server = FOLLOWER;
        let mut actions = three_entries();
        actions.push(Action::Restart { server });
        actions.push(Action::Sync { server, writes: 1 });
        actions.push(Action::FinishSnapshot { server });
        assert_eq!(possible(&settings(), FOLLOWER, actions), three_entries());
    }
}
