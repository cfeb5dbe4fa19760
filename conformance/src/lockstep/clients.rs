//! What clients are told.

use raft_checker::cluster::snapshot_data::decode;
use raft_core::{Bytes, Entry, Payload};
use raft_node::ProposeError;

use super::Lockstep;
use super::divergence::Divergence;
use crate::server::Told;

impl Lockstep<'_> {
    /// Clients are told something: that a command was applied only if it just was, with this answer.
    pub(super) fn hear_as_client(&mut self, told: Vec<Told>) {
        for told in told {
            match told {
                Told::Read(reader, result) => {
                    let read = self.clients.reads.remove(&reader);
                    self.served[1].extend(read.filter(|_| result.is_ok()));
                }
                Told::Proposal(id, result) => {
                    let command = self.clients.proposals.remove(&id);
                    let answer = match result {
                        Ok(answer) => answer,
                        Err(ProposeError::NotLeader { .. } | ProposeError::Superseded) => {
                            self.hear_not_done(command.as_ref());
                            continue;
                        }
                        Err(_) => continue,
                    };
                    let right = self.applied.iter().any(|(entry, given)| {
                        *given == answer
                            && matches!(&entry.payload, Payload::Command(applied)
                                if Some(applied) == command.as_ref())
                    });
                    if !right {
                        let what = "what a client is told about its command";
                        self.complaint = Some(Divergence::of(what, &self.applied, &command));
                    }
                }
            }
        }
    }

    /// A client is told that its command was not done and will not be. So it is nowhere in the log. In a
    /// recorded run a client may have asked for the same before.
    fn hear_not_done(&mut self, command: Option<&Bytes>) {
        let Some(process) = self.model.process.as_ref().filter(|_| !self.words.is_of_service())
        else {
            return;
        };
        let log = &process.node.log;
        let earlier = decode(&log.snapshot().handle);
        let mut entries = self.words.entries(&earlier);
        entries.extend(self.words.entries(log.entries()));
        let is_it = |entry: &Entry| match &entry.payload {
            Payload::Command(known) => Some(known) == command,
            Payload::Noop => false,
        };
        if entries.iter().any(is_it) {
            let (model, node) = ("is in the log", "was not done");
            self.complaint =
                Some(Divergence::of("what a client is told about its command", model, node));
        }
    }
}
