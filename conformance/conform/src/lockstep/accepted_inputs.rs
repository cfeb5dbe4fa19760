//! Compares the inputs that copies of both servers accept. Production must refuse each input that
//! the model refuses, for the same reason and without any effect. An action must be possible for
//! both servers or for neither.

use std::sync::{Arc, Mutex, PoisonError};

use raft_core::{
    AppendEntries, AppendEntriesReply, AppendOutcome, Bytes, Effect, Entry, Index, Input,
    InstallSnapshot, LogPosition, Message, Node, NodeId, Paper, Payload, ReadId, ReadRound,
    RequestVote, RequestVoteReply, Role, Snapshot, Term, step,
};
use raft_node::orders::{Free, Order};
use raft_node::peer_message::PeerMessage;
use raft_node::replica::{Observer, Replica};
use raft_trace::Action;

use super::divergence::{Divergence, same};
use super::{Lockstep, Watcher, one_by_one};
use raft_simulation::server::Running;

/// Disk and state machine count as busy, because the orders of a copy are not performed.
const BUSY: Free = Free { disk: false, machine: false };

impl Lockstep<'_> {
    /// Compares the inputs that copies of both servers accept. Returns the number of inputs.
    ///
    /// # Errors
    ///
    /// The first input about which the servers do not agree.
    pub fn accepts(&self) -> Result<u64, Divergence> {
        let (Some(process), Some(running)) = (&self.model.process, &self.running) else {
            // Both servers are down, as the comparison has checked. They accept no input.
            return Ok(0);
        };
        let probes = messages(&process.node);
        for (what, from, message) in &probes {
            self.would_refuse(what, &process.node, running, *from, message)?;
        }
        self.would_begin(&process.node, running)?;
        let mut asked = probes.len() as u64 + 3;
        let possible = |action: &Action| {
            let settings = one_by_one(self.settings);
            self.model.clone().run(&settings, &Paper, action).is_ok()
        };
        let server = self.setup.id;
        let shell = running.replica.shell();
        let would_apply = !running.tasks.is_empty() || shell.has_task();
        let would_take = self.copy(running).takes_a_snapshot();
        for (action, would) in [
            (Action::Apply { server }, would_apply),
            (Action::StartSnapshot { server }, would_take),
            (Action::FinishSnapshot { server }, running.storing.is_some()),
            (Action::Sync { server, writes: 1 }, !running.writes.is_empty()),
        ] {
            let what = format!("whether this is possible: {action:?}");
            same(&what, &possible(&action), &would)?;
            asked += 1;
        }
        Ok(asked)
    }

    fn copy(&self, running: &Running) -> Copy {
        let watcher: Arc<Mutex<Watcher>> = Arc::default();
        let replica = running.replica.fork(Some(watcher.clone() as Observer));
        Copy { replica, watcher, now: self.now }
    }

    fn would_refuse(
        &self,
        what: &str,
        node: &Node,
        running: &Running,
        from: NodeId,
        message: &Message,
    ) -> Result<(), Divergence> {
        let mut copy = self.copy(running);
        let message = self.refinement.message(message);
        let input = Input::Receive { from, message: message.clone() };
        let mut effects = Vec::new();
        step(&Paper, &mut self.refinement.node(node), input, &mut effects);
        let refused = effects.iter().filter_map(|effect| match effect {
            Effect::Rejected(reason) => Some(*reason),
            _ => None,
        });
        copy.replica.hear(copy.now, from, PeerMessage::Message(message));
        let seen = copy.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        let model: Vec<_> = refused.collect();
        same(&format!("whether {what} is refused"), &model, &seen.rejections)?;
        if !model.is_empty() {
            let what = format!("what {what}, which is refused, changes");
            same(&what, running.replica.shell().node(), copy.replica.shell().node())?;
        }
        Ok(())
    }

    /// Compares whether a command and a read are accepted, and the input that the timer gives.
    fn would_begin(&self, node: &Node, running: &Running) -> Result<(), Divergence> {
        let model = |input: Input| {
            let mut effects = Vec::new();
            step(&Paper, &mut self.refinement.node(node), input, &mut effects);
            effects
        };
        let command = self.refinement.command(&Bytes::from("would"));
        let proposed = model(Input::Propose { commands: vec![command.clone()] });
        let accepted = proposed.iter().any(|effect| matches!(effect, Effect::Proposed { .. }));
        let copy = self.copy(running);
        same("whether a command is accepted", &accepted, &copy.accepts_command(command))?;

        // The id must not be in use.
        let read = model(Input::Read { id: ReadId(u64::MAX) });
        let accepted = !read.iter().any(|effect| matches!(effect, Effect::ReadRefused { .. }));
        same("whether a read is accepted", &accepted, &self.copy(running).accepts_read())?;

        let timer = if node.is_leader() { Input::Heartbeat } else { Input::ElectionTimeout };
        same("what the timer is for", &Some(timer), &self.copy(running).timer_input())
    }
}

/// A copy of a replica, with the observer of its steps.
struct Copy {
    replica: Replica,
    watcher: Arc<Mutex<Watcher>>,
    now: std::time::Duration,
}

impl Copy {
    fn takes_a_snapshot(mut self) -> bool {
        self.replica.take_snapshot();
        let orders = self.replica.orders(self.now, BUSY);
        orders.iter().any(|order| matches!(order, Order::TakeView))
    }

    fn accepts_command(mut self, command: Bytes) -> bool {
        let Ok(id) = self.replica.propose(self.now, command) else { return false };
        self.replica.advance(self.now, false);
        let orders = self.replica.orders(self.now, BUSY);
        let refused =
            |order: &Order| matches!(order, Order::AnswerProposal(of, Err(_)) if *of == id);
        !orders.iter().any(refused)
    }

    fn accepts_read(mut self) -> bool {
        let id = self.replica.read(self.now);
        self.replica.advance(self.now, false);
        let orders = self.replica.orders(self.now, BUSY);
        let refused = |order: &Order| matches!(order, Order::AnswerRead(of, Err(_)) if *of == id);
        !orders.iter().any(refused)
    }

    fn timer_input(mut self) -> Option<Input> {
        self.replica.advance(self.replica.timer(), false);
        let mut seen = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        seen.timer.take()
    }
}

/// Returns messages that validation just accepts or just refuses, each with a name for reports and
/// its sender.
fn messages(node: &Node) -> Vec<(&'static str, NodeId, Message)> {
    let own = node.id();
    let Some(peer) = node.config.voters.iter().copied().find(|id| *id != own) else {
        return Vec::new();
    };
    let stranger = NodeId(node.config.voters.iter().map(|id| id.0).max().unwrap_or(0) + 1);
    let leader = node.known_leader().filter(|leader| *leader != own).unwrap_or(peer);
    let usurper = node.config.voters.iter().copied().find(|id| *id != own && *id != leader);
    let (term, last) = (node.current_term.max(Term(1)), node.log.last());
    let read_round = ReadRound::default();
    let ask = |term, last_log| Message::RequestVote(RequestVote { term, last_log });
    let append = |term, prev_log, entries| {
        let leader_commit = Index::ZERO;
        Message::AppendEntries(AppendEntries { term, prev_log, entries, leader_commit, read_round })
    };
    let answer = |match_index| {
        let outcome = AppendOutcome::Matched { match_index };
        Message::AppendEntriesReply(AppendEntriesReply { term, outcome, read_round })
    };
    let blank = |term| Entry { term, payload: Payload::Noop };
    let begin = LogPosition::default();
    let descending = vec![blank(term.next()), blank(term)];
    let no_snapshot = InstallSnapshot { term, snapshot: Snapshot::none(), read_round };
    let granted = RequestVoteReply { term: term.next(), granted: true };
    let mut probes = vec![
        ("a question of a stranger", stranger, ask(term.next(), last)),
        ("a heartbeat of the server itself", own, append(term, begin, Vec::new())),
        ("a candidate with an entry of its own term", peer, {
            ask(term.next(), LogPosition { term: term.next(), index: last.index.next() })
        }),
        ("a heartbeat of term 0", peer, append(Term::ZERO, begin, Vec::new())),
        ("a request whose terms descend", leader, append(term.next(), begin, descending)),
        ("a heartbeat of the leader", leader, append(term, begin, Vec::new())),
        ("an entry that contradicts what is committed", leader, {
            let first = node.log.base();
            append(term.next(), first, vec![blank(term.next())])
        }),
        ("an acknowledgement of what was never sent", peer, answer(last.index.next())),
        ("an acknowledgement of all", peer, answer(last.index)),
        ("a vote for a term that has not begun", peer, Message::RequestVoteReply(granted)),
        ("a snapshot of nothing", leader, Message::InstallSnapshot(no_snapshot)),
    ];
    if let (Role::Follower { leader: Some(_) }, Some(usurper)) = (&node.role, usurper) {
        let heartbeat = append(node.current_term, begin, Vec::new());
        probes.push(("a heartbeat of a second leader", usurper, heartbeat));
    }
    probes
}
