//! The checks at every step of a simulated cluster: the properties of the paper's Figure 3, over
//! the whole run, in a form that is cheap enough for a simulation.
//!
//! Each step of a server is checked when it happens, with the node as it is then. A property of
//! several servers at one moment is checked after an event on which it depends: a leader was
//! elected, or an entry was committed.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use raft_core::{
    Config, Effect, Entry, Index, Input, Mark, Message, Node, NodeId, PersistentState,
    RequestVoteReply, Term, TermAt,
};
use raft_node::shell::Observe;
use raft_trace::{Action, Envelope, NodeDigest, NodeRecord};

use super::http::HttpResponse;

/// A property that does not hold, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The name of the property in the checker.
    pub property: &'static str,
    /// A description of the violation.
    pub what: String,
}

/// The state of a server after its last step.
#[derive(Clone, Debug, Default)]
struct Seen {
    leads: bool,
    term: Term,
    commit: Index,
    applied: Index,
    durable: Mark,
}

/// The observations of a cluster's run.
#[derive(Debug, Default)]
pub struct Checks {
    /// The first committed entry of each index.
    pub decided: Vec<Entry>,
    /// The lowest term in which a leader committed each entry, where a leader did.
    committed_in: Vec<Option<Term>>,
    won: BTreeMap<Term, NodeId>,
    votes: BTreeMap<(NodeId, Term), NodeId>,
    /// Votes that wait for a write before they leave.
    waiting_votes: Vec<(NodeId, Mark, Term, NodeId)>,
    seen: BTreeMap<NodeId, Seen>,
    /// The first broken property.
    pub broken: Option<Broken>,
    /// The number of steps so far.
    pub steps: u64,
    /// The number of elections so far.
    pub elections: u64,
    /// The index up to which committed entries were checked to be on a majority.
    pub durable_checked: Index,
    /// The leaders that were elected and not checked yet.
    pub elected: Vec<NodeId>,
    /// The actions of the run, if they are recorded.
    pub recorded: Option<Vec<Action>>,
    /// The logs that servers with a trace log would write, if they are kept.
    pub node_logs: Option<BTreeMap<NodeId, Vec<NodeRecord>>>,
    /// The number of requests that servers asked to send: for votes, with entries, with snapshots.
    pub calls: u64,
    hash: DefaultHasher,
}

impl Checks {
    /// Returns a hash of all inputs and effects of the servers and of all answers to clients, in
    /// order.
    pub fn hash(&self) -> u64 {
        self.hash.finish()
    }

    /// Records a broken property. Only the first one is kept.
    pub fn complain(&mut self, property: &'static str, what: String) {
        self.broken.get_or_insert(Broken { property, what });
    }

    /// Records an answer to a client.
    pub fn note_response(&mut self, id: NodeId, response: &HttpResponse) {
        (id, response).hash(&mut self.hash);
    }

    /// Records the start of a server, and checks that its term is not higher than before.
    pub fn started(&mut self, node: &Node) {
        self.waiting_votes.retain(|(id, ..)| *id != node.id());
        let (term, commit, applied) = (node.current_term, node.commit_index, node.last_applied);
        if let Some(seen) = self.seen.get(&node.id())
            && seen.term < term
        {
            self.complain(
                "monotonic",
                format!("{} starts in {term:?}, later than it ever was", node.id()),
            );
        }
        let durable = node.disk.durable;
        self.seen.insert(node.id(), Seen { leads: false, term, commit, applied, durable });
    }

    /// Records the start in the node log of a server.
    pub fn log_start(&mut self, config: Config, state: PersistentState, applied: Index) {
        if let Some(logs) = &mut self.node_logs {
            let log = logs.entry(config.id).or_default();
            log.push(NodeRecord::Start { config, state, applied });
        }
    }

    fn log_step(&mut self, input: &Input, effects: &[Effect], node: &Node) {
        let Some(logs) = &mut self.node_logs else { return };
        let log = logs.entry(node.id()).or_default();
        let seq = match log.last() {
            Some(NodeRecord::Step { seq, .. }) => seq + 1,
            _ => 1,
        };
        let (input, effects) = (input.clone(), effects.to_vec());
        log.push(NodeRecord::Step { seq, input, effects, after: NodeDigest::of(node) });
    }

    fn watch(&mut self, input: &Input, effects: &[Effect], node: &Node) {
        self.steps += 1;
        self.log_step(input, effects, node);
        let id = node.id();
        (id, input, effects).hash(&mut self.hash);
        let before = self.seen.entry(id).or_default().clone();
        self.record_input(id, input, before.durable);
        if node.current_term < before.term
            || node.commit_index < before.commit
            || node.last_applied < before.applied
        {
            let Seen { term, commit, applied, .. } = before;
            let what = format!(
                "{id} goes back: it is in term {}, has committed {} and applied {}; before, it was in \
                 term {term}, had committed {commit} and applied {applied}",
                node.current_term, node.commit_index, node.last_applied
            );
            self.complain("monotonic", what);
        }
        for effect in effects {
            self.watch_effect(node, effect);
        }
        if let Input::Durable { mark } = input {
            self.release_votes(id, *mark);
        }
        let leads = node.is_leader();
        if leads && (!before.leads || before.term != node.current_term) {
            self.elections += 1;
            self.elected.push(id);
            self.vote(id, node.current_term, id);
            if let Some(other) = self.won.insert(node.current_term, id) {
                let what = format!("{other} and {id} were elected in {:?}", node.current_term);
                self.complain("election-safety", what);
            }
        }
        if node.commit_index > before.commit {
            self.decide(before.commit, node);
        }
        let (term, commit, applied) = (node.current_term, node.commit_index, node.last_applied);
        let durable = node.disk.durable;
        self.seen.insert(id, Seen { leads, term, commit, applied, durable });
    }

    fn watch_effect(&mut self, node: &Node, effect: &Effect) {
        let id = node.id();
        match effect {
            Effect::Send { to, message: Message::RequestVoteReply(reply), after } => {
                let RequestVoteReply { term, granted } = *reply;
                match after {
                    Some(mark) if granted && *mark > node.disk.durable => {
                        self.waiting_votes.push((id, *mark, term, *to));
                    }
                    _ if granted => self.vote(id, term, *to),
                    _ => {}
                }
            }
            Effect::Send {
                message:
                    Message::RequestVote(_) | Message::AppendEntries(_) | Message::InstallSnapshot(_),
                ..
            } => self.calls += 1,
            Effect::Halt(reason) => self.complain("nobody-halts", format!("{id}: {reason:?}")),
            Effect::Rejected(reason) => {
                self.complain("nothing-rejected", format!("{id} refuses a message: {reason:?}"));
            }
            _ => {}
        }
    }

    fn release_votes(&mut self, id: NodeId, mark: Mark) {
        let waiting = std::mem::take(&mut self.waiting_votes);
        for (voter, waits, term, candidate) in waiting {
            if voter == id && waits <= mark {
                self.vote(id, term, candidate);
            } else {
                self.waiting_votes.push((voter, waits, term, candidate));
            }
        }
    }

    /// Records an input as an action of the model. The tasks of the state machine are recorded
    /// elsewhere, when they are done.
    fn record_input(&mut self, server: NodeId, input: &Input, durable: Mark) {
        let Some(recorded) = &mut self.recorded else { return };
        recorded.push(match input.clone() {
            Input::ElectionTimeout => Action::ElectionTimeout { server },
            Input::Heartbeat => Action::Heartbeat { server },
            Input::Propose { commands } => {
                let each = commands.into_iter();
                return recorded.extend(each.map(|command| Action::Propose { server, command }));
            }
            Input::Read { id } => Action::Read { server, id },
            Input::Receive { from, message } => {
                Action::Deliver(Envelope { from, to: server, message })
            }
            Input::Durable { mark } => {
                let writes = usize::try_from(mark.0.saturating_sub(durable.0)).unwrap_or(0);
                Action::Sync { server, writes }
            }
            Input::SnapshotTaken { .. } => Action::FinishSnapshot { server },
            Input::Applied { .. } => return,
        });
    }

    fn vote(&mut self, id: NodeId, term: Term, candidate: NodeId) {
        if let Some(other) = self.votes.insert((id, term), candidate)
            && other != candidate
        {
            let what = format!("{id} votes for {other} and for {candidate} in {term:?}");
            self.complain("vote-once", what);
        }
    }

    /// Records and checks the entries that a server has committed after `before`.
    fn decide(&mut self, before: Index, node: &Node) {
        let (id, log) = (node.id(), &node.log);
        let leads = node.is_leader().then_some(node.current_term);
        if leads.is_some() && log.term_at(node.commit_index) != TermAt::Present(node.current_term) {
            let what = format!("{id} commits {} of another term", node.commit_index);
            self.complain("own-term-commit", what);
        }
        let first = before.max(log.base().index).next();
        for index in (first.0..=node.commit_index.0).map(Index) {
            let Some(entry) = log.entry(index) else { continue };
            let place = usize::try_from(index.0 - 1).unwrap_or(usize::MAX);
            match self.decided.get(place) {
                Some(decided) if decided != entry => {
                    let what = format!("at {index} {id} commits {entry:?}, and {decided:?} was");
                    self.complain("state-machine-safety", what);
                }
                Some(_) => {}
                None => {
                    self.decided.push(entry.clone());
                    self.committed_in.push(None);
                }
            }
            if let (Some(term), Some(known)) = (leads, self.committed_in.get_mut(place)) {
                *known = Some(known.map_or(term, |known| known.min(term)));
            }
        }
    }

    /// Checks that a new leader has all entries that were committed in earlier terms.
    pub fn check_leader(&mut self, node: &Node) {
        for (place, committed_in) in self.committed_in.iter().enumerate() {
            let index = Index(place as u64 + 1);
            if index <= node.log.base().index
                || committed_in.is_none_or(|term| term >= node.current_term)
            {
                continue;
            }
            if node.log.entry(index) != self.decided.get(place) {
                let what = format!("{} leads without the entry {index}", node.id());
                return self.complain("leader-completeness", what);
            }
        }
    }
}

impl Observe for Checks {
    fn step(&mut self, input: &Input, effects: &[Effect], node: &Node) {
        self.watch(input, effects, node);
    }
}
