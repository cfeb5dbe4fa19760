//! What clients are told.

use raft_checker::cluster::snapshot_data::decode;
use raft_core::{Entry, Payload};
use raft_node::ProposeError;

use super::divergence::Divergence;
use super::{Lockstep, Proposed};
use raft_simulation::server::ClientAnswer;

impl Proposed {
    /// Whether it is what this entry holds.
    fn is_in(&self, entry: &Entry) -> bool {
        let holds = matches!(&entry.payload, Payload::Command(held) if *held == self.command);
        holds && entry.term == self.term
    }
}

impl Lockstep<'_> {
    /// Clients are told something: that a command was applied only if it just was, with this answer.
    pub(super) fn hear_as_client(&mut self, told: Vec<ClientAnswer>) {
        for told in told {
            match told {
                ClientAnswer::Read(reader, result) => {
                    let read = self.clients.reads.remove(&reader);
                    self.served[1].extend(read.filter(|_| result.is_ok()));
                }
                ClientAnswer::Proposal(id, result) => {
                    let proposed = self.clients.proposals.remove(&id);
                    let answer = match result {
                        Ok(answer) => answer,
                        Err(ProposeError::NotLeader { .. } | ProposeError::Superseded) => {
                            self.hear_not_done(proposed.as_ref());
                            continue;
                        }
                        Err(_) => continue,
                    };
                    let right = self.applied.iter().any(|(entry, given)| {
                        *given == answer && proposed.as_ref().is_some_and(|it| it.is_in(entry))
                    });
                    if !right {
                        let what = "what a client is told about its command";
                        self.complaint = Some(Divergence::of(what, &self.applied, &proposed));
                    }
                }
            }
        }
    }

    /// A client is told that its command was not done and will not be. So it is nowhere in the log. In a
    /// recorded run a client may have asked for the same before.
    fn hear_not_done(&mut self, proposed: Option<&Proposed>) {
        let Some(process) =
            self.model.process.as_ref().filter(|_| !self.refinement.is_of_service())
        else {
            return;
        };
        let log = &process.node.log;
        let earlier = decode(&log.snapshot().handle);
        let mut entries = self.refinement.entries(&earlier);
        entries.extend(self.refinement.entries(log.entries()));
        if proposed.is_some_and(|proposed| entries.iter().any(|entry| proposed.is_in(entry))) {
            let (model, node) = ("is in the log", "was not done");
            self.complaint =
                Some(Divergence::of("what a client is told about its command", model, node));
        }
    }
}
