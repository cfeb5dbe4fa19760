//! The check of the answers to clients.

use raft_checker::cluster::snapshot_data::decode;
use raft_core::{Entry, Payload};
use raft_node::ProposeError;

use super::divergence::Divergence;
use super::{Lockstep, Proposed};
use raft_simulation::server::ClientAnswer;

impl Proposed {
    /// Returns whether an entry holds this command and has the same term.
    fn is_in(&self, entry: &Entry) -> bool {
        let holds = matches!(&entry.payload, Payload::Command(held) if *held == self.command);
        holds && entry.term == self.term
    }
}

impl Lockstep<'_> {
    /// Checks answers to clients. A client may be told that its command was applied only if the
    /// state machine has just applied it with this answer.
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

    /// Checks the answer that a command was not applied and never will be: the command must not be
    /// in the log. Recorded runs are not checked, because a client may have proposed the same
    /// command before.
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
