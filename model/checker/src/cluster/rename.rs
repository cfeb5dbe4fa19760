//! Renaming of servers. Nothing in Raft depends on the names of the servers, so clusters that
//! differ only by a renaming behave alike. Symmetry reduction relies on this, and a test of the
//! server model checks it.

use itertools::Itertools;
use raft_core::{LogWrite, Node, NodeId, Role, VoteRecord, Write};
use raft_trace::{Action, Envelope};

use super::server::{Process, Server};

/// A renaming of the servers n1, n2, ..
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renaming(Vec<NodeId>);

impl Renaming {
    /// Returns all renamings of that many servers, the one that changes nothing first.
    pub fn all(servers: u64) -> Vec<Renaming> {
        let count = usize::try_from(servers).unwrap_or(0);
        (1..=servers).map(NodeId).permutations(count).map(Renaming).collect()
    }

    /// Returns the renaming that undoes this one.
    pub fn inverse(&self) -> Renaming {
        let mut inverse = self.0.clone();
        for (old, new) in (1..).map(NodeId).zip(&self.0) {
            let place = usize::try_from(new.0 - 1).unwrap_or(0);
            inverse[place] = old;
        }
        Renaming(inverse)
    }

    /// Returns the renaming that does this one and then `other`.
    #[must_use]
    pub fn then(&self, other: &Renaming) -> Renaming {
        Renaming(self.0.iter().map(|id| other.id(*id)).collect())
    }

    /// Returns the new name of a server; the old one if the renaming does not know the server.
    pub fn id(&self, id: NodeId) -> NodeId {
        let place = usize::try_from(id.0).ok().and_then(|number| number.checked_sub(1));
        place.and_then(|place| self.0.get(place)).copied().unwrap_or(id)
    }

    /// Returns the message between the renamed servers. Its contents name no server.
    pub fn envelope(&self, envelope: &Envelope) -> Envelope {
        let Envelope { from, to, message } = envelope;
        Envelope { from: self.id(*from), to: self.id(*to), message: message.clone() }
    }

    /// Returns the action of the renamed servers.
    pub fn action(&self, action: &Action) -> Action {
        let mut action = action.clone();
        match &mut action {
            Action::ElectionTimeout { server }
            | Action::Heartbeat { server }
            | Action::Propose { server, .. }
            | Action::Read { server, .. }
            | Action::Sync { server, .. }
            | Action::Apply { server }
            | Action::Crash { server, .. }
            | Action::Restart { server }
            | Action::StartSnapshot { server }
            | Action::FinishSnapshot { server } => *server = self.id(*server),
            Action::Deliver(envelope) | Action::Drop(envelope) | Action::Duplicate(envelope) => {
                *envelope = self.envelope(envelope);
            }
        }
        action
    }

    /// Returns a node with every id in it renamed.
    pub fn node(&self, node: &Node) -> Node {
        let mut node = node.clone();
        node.config.id = self.id(node.config.id);
        node.config.voters = node.config.voters.iter().map(|id| self.id(*id)).collect();
        node.voted_for = node.voted_for.map(|id| self.id(id));
        match &mut node.role {
            Role::Follower { leader } => *leader = leader.map(|id| self.id(id)),
            Role::Candidate { votes, .. } => {
                *votes = votes.iter().map(|id| self.id(*id)).collect();
            }
            Role::Leader(leadership) => {
                let followers = std::mem::take(&mut leadership.followers);
                leadership.followers =
                    followers.into_iter().map(|(id, progress)| (self.id(id), progress)).collect();
            }
        }
        node
    }

    /// Returns a server with every id in it renamed, also on its disk and in its waiting writes and
    /// messages.
    pub fn server(&self, server: &Server) -> Server {
        let Server { id, disk, state_machine, process, released_vote } = server.clone();
        let mut disk = disk;
        disk.voted_for = disk.voted_for.map(|id| self.id(id));
        Server {
            id: self.id(id),
            disk,
            state_machine,
            process: process.map(|process| self.process(process)),
            released_vote: released_vote.map(|(term, id)| (term, self.id(id))),
        }
    }

    fn process(&self, process: Process) -> Process {
        let Process { node, writes, outbox, apply_queue, storing, memory } = process;
        let writes = writes.into_iter().map(|(mark, write)| (mark, self.write(write)));
        let memory = memory.into_iter().map(|(id, index)| (self.id(id), index)).collect();
        let outbox = outbox
            .iter()
            .map(|(mark, envelope)| (*mark, self.envelope(envelope)))
            .sorted()
            .collect();
        Process {
            node: self.node(&node),
            writes: writes.collect(),
            outbox,
            apply_queue,
            storing,
            memory,
        }
    }

    fn write(&self, write: Write) -> Write {
        let rename = |vote: VoteRecord| VoteRecord {
            voted_for: vote.voted_for.map(|id| self.id(id)),
            ..vote
        };
        let log: Option<LogWrite> = write.log;
        Write { vote: write.vote.map(rename), log }
    }
}
